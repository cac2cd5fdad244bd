"""What needs a person, each as one sentence; nothing when all is well. Light: `status` asks for it."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from churnwatch.daemon import attention_served
from churnwatch.pipeline import drift_words, files, scan
from churnwatch.pipeline.clock import from_iso, utc_now
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.ledger import notices
from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.notices import Outcome
from churnwatch.pipeline.records import UNREADABLE, Band, Decision, FileState
from churnwatch.pipeline.settings import Home

DAEMON_LOCK, NOTIFY_LOCK = "daemon.lock", "notify.lock"
_ENOUGH_ROWS = 30  # positive, and as many negative: with fewer it may be chance
_MANY_BAD = 0.01  # share of rows; a few are in every export
_LOW_DISK_BYTES = 200 << 20
_REPORT_TAKES = timedelta(seconds=30)
_STALE_CHECK = timedelta(days=7)
_STALE_LOOK = timedelta(hours=1)


def of(home: Home, ledger: Reader, *, now: datetime | None = None, of_notices: bool = True) -> list[str]:
    """Return everything about a home that somebody should look at, the most pressing first.

    Args:
        home: which.
        ledger: its own.
        now: the time.
        of_notices: also what should have been told to people and was not; a mail does not speak of itself.
    """
    found = [
        *_daemon(home),
        *_last_run(ledger),
        *_model(ledger),
        *_drift(ledger),
        *attention_served.of(home, ledger, now or utc_now()),
        *_files(home, ledger),
        *_release(ledger),
        *_approval(home, ledger),
        *_packages(ledger, now or utc_now()),
        *_report(home, ledger),
        *(_notices(home, ledger, now or utc_now()) if of_notices else ()),
        *_machine(home),
    ]
    return [scan.on_one_line(each) for each in found]


def _daemon(home: Home) -> Iterator[str]:
    """A daemon that stopped in order leaves its lock file empty; one that was killed does not."""
    lock = home.state / DAEMON_LOCK
    if daemon_pid(home) is None and lock.exists() and lock.read_text(encoding="utf-8"):
        yield "the daemon died without a word; see its log (journalctl -u churnwatch), then start it again"


def before_first_run(home: Home) -> Iterator[str]:
    """Yield what needs attention in a home that has no ledger yet."""
    yield from _machine(home)


def _last_run(ledger: Reader) -> Iterator[str]:
    newest = ledger.runs(limit=1)
    if not newest:
        return
    run = newest[0]
    if run["status"] in ("failed", "broken", "interrupted"):
        yield f"run {run['run']} {run['status']}: {run['error']}"
    bad = sum(row["quarantined"] or 0 for row in ledger.run_file_states(run["run"]))
    read = sum(row["rows_read"] or 0 for row in ledger.run_file_states(run["run"]))
    if bad > _MANY_BAD * read:
        yield f"run {run['run']} quarantined {bad:,} of {read:,} rows; see `churnwatch show {run['run']}`"
    if run["decision"] == Decision.STAGED and ledger.pin() is not None:
        yield f"a better model waits: {run['sentence']}"
    if run["decision"] == Decision.UNDECIDABLE:
        yield f"run {run['run']} could not be decided: {run['sentence']}"
    for warning in (run["warning"], run["decision_warning"]):
        if warning:
            yield f"run {run['run']}: {warning}"


def _model(ledger: Reader) -> Iterator[str]:
    """The model in use did no better on the newest rows than saying of everybody that they leave."""
    champion = ledger.champion()
    tested = ledger.newest_prequential(champion.model.version) if champion is not None else []
    if any(row["name"] == "mae" for row in tested):
        yield from _model_of_amounts(tested)
        return
    counts: Counter[str] = Counter()
    for row in tested:
        counts[row["name"]] += row["value"] or 0
    hits, misses = counts["true_positives"], counts["false_negatives"]
    alarms, rest = counts["false_positives"], counts["true_negatives"]
    if min(hits + misses, alarms + rest) < _ENOUGH_ROWS:
        return
    f1 = 2 * hits / (2 * hits + alarms + misses)
    share = (hits + misses) / (hits + misses + alarms + rest)
    everybody = 2 * share / (1 + share)
    if f1 <= everybody:
        yield (
            f"on the new rows of run {tested[0]['run']} the model in use had F1 {f1:.2f}, no better than saying"
            f" `leaves` of everybody ({everybody:.2f})"
        )


def _drift(ledger: Reader) -> Iterator[str]:
    """Rows so unlike those the model knows that it wants experiments, as long as no model was trained since."""
    found = ledger.unanswered_drifts(Band.SEARCH)
    if found:
        first = found[0]
        deviation = drift_words.percent(first.deviation_percent / 100)
        asked = " (a request to score)" if first.file is not None else ""
        yield f"run {first.run}{asked}: {first.cause} (deviation {deviation}); no model was trained on such rows yet"


def _model_of_amounts(tested: Sequence[Row]) -> Iterator[str]:
    """Its squared errors on the newest rows are as large as if it expected the mean of everybody."""
    by_batch: dict[int, dict[str, float]] = defaultdict(dict)
    for row in tested:
        by_batch[row["batch"]][row["name"]] = row["value"]
        by_batch[row["batch"]]["rows"] = row["rows"]
    known = [each for each in by_batch.values() if "r2" in each]
    missed = sum(each["rows"] * each["rmse"] ** 2 for each in known)
    spread = sum(each["rows"] * each["rmse"] ** 2 / (1 - each["r2"]) for each in known if each["r2"] < 1)
    if sum(each["rows"] for each in known) >= 2 * _ENOUGH_ROWS and missed >= spread:
        yield (
            f"on the new rows of run {tested[0]['run']} the model in use was no better than expecting the mean of"
            f" everybody (R² {1 - missed / spread:.2f})"
        )


def _files(home: Home, ledger: Reader) -> Iterator[str]:
    """Files that were not read, as long as they lie there and nobody replaced them."""
    newest = {row["path"]: row for row in ledger.files()}
    unread = [row for row in newest.values() if _was_not_read(row) and _lies_there(home, row)]
    for row in unread[:3]:
        yield f"{row['path']} was not read: {row['reason']}"
    if len(unread) > 3:  # noqa: PLR2004 - as many as were named above
        yield f"{len(unread) - 3} more files were not read; see `churnwatch files --state quarantined`"


def _lies_there(home: Home, row: dict[str, object]) -> bool:
    return scan.located(home.source, str(row["path"])).exists()


def _was_not_read(row: dict[str, object]) -> bool:
    by_itself = row["sha256"] == UNREADABLE or row["run"] is not None  # and not because somebody asked for it
    tried_in_vain = row["state"] == FileState.RETRY and by_itself
    return tried_in_vain or row["state"] in (FileState.QUARANTINED, FileState.FAILED)


def _release(ledger: Reader) -> Iterator[str]:
    if ledger.open_intent() is not None:
        yield "a promotion was begun and not finished; the next run finishes it"
    verdicts = [row["decision"] for row in ledger.decisions()]
    if verdicts and ledger.champion() is None:
        yield "no model serves: every candidate so far was refused"


def _approval(home: Home, ledger: Reader) -> Iterator[str]:
    waiting = ledger.staged() if home.settings.approval == "manual" and ledger.pin() is None else []
    for row in waiting[:1]:
        since, version = row["decided_at"][:10], f"v{row['version']}"
        yield (
            f"{version} passed the gate and waits since {since}: churnwatch approve {version} --why …, or"
            f" churnwatch reject {version} --why … ({row['sentence']})"
        )


def _packages(ledger: Reader, now: datetime) -> Iterator[str]:
    """Vulnerable packages at once; not knowing only once it has gone on, since a box may be offline for a while."""
    check = ledger.package_check()
    if check is None:
        return
    if check["vulnerable"]:
        yield f"{check['vulnerable']} installed packages have known vulnerabilities; see `churnwatch packages`"
    unknown_since = ledger.packages_unknown_since()
    if unknown_since is not None and now - from_iso(unknown_since) > _STALE_CHECK:
        yield f"packages could not be fully checked since {unknown_since[:10]}; see `churnwatch packages`"
    age = now - from_iso(check["checked_at"])
    if age > _STALE_CHECK:
        yield f"packages were last checked {age.days} days ago; run `churnwatch packages`"


def _report(home: Home, ledger: Reader) -> Iterator[str]:
    """A report that is older than the last run: it could not be written then."""
    newest = ledger.runs(limit=1)
    if not newest or newest[0]["ended_at"] is None:
        return
    ended = from_iso(newest[0]["ended_at"])
    written = home.report.stat().st_mtime if home.report.exists() else 0.0
    if written < ended.timestamp() and (utc_now() - ended) > _REPORT_TAKES:
        yield f"{home.report.name} is older than the last run; write it anew: churnwatch report"


def _notices(home: Home, ledger: Reader, now: datetime) -> Iterator[str]:
    """What should have been told to people and was not."""
    if not (home.settings.mail.to or home.settings.alerts.channels):
        return
    lock = home.state / NOTIFY_LOCK
    looked = datetime.fromtimestamp(lock.stat().st_mtime, UTC) if lock.exists() else None
    if looked is None or now - looked > _STALE_LOOK:
        since = "yet" if looked is None else f"since {looked:%Y-%m-%d %H:%M} UTC"
        yield f"nobody has looked for alerts and mail to send {since}; start the daemon or its timer (docs/mail.md)"
    failed = [row for row in notices.undelivered(ledger) if row["outcome"] is not None]
    for channel in home.settings.alerts.channels:
        own = [row for row in failed if row["channel"] == channel]
        if own:
            yield (
                f"alerts by {channel} do not arrive since {_minute(own[0]['first_begun_at'])} ({_attempts(own[0])}):"
                f" {_bare(own[0]['error'])}; they are tried again; try it yourself: churnwatch alert --test"
            )
    if files.holder(lock) is None:  # else it may be on its way this very moment
        yield from _weekly_mail(ledger)


def _weekly_mail(ledger: Reader) -> Iterator[str]:
    newest = notices.weekly_mail(ledger)
    row = notices.weekly_delivery(ledger, newest.week) if newest is not None else None
    if row is None or not row["attempts"]:
        return
    if row["outcome"] == Outcome.FAILED:
        yield (
            f"the mail of week {row['week']} was not sent ({_attempts(row)}): {_bare(row['error'])}; it is tried again"
        )
    elif row["outcome"] != Outcome.DELIVERED:
        why = row["error"] or "the process ended while it was sent."
        yield (
            f"the mail of week {row['week']} may not have arrived: {why} If it has not: churnwatch mail --to ADDRESS"
        )
    elif row["error"] is not None:
        yield f"the mail of week {row['week']} was refused for some: {row['error']}"


def _bare(line: str) -> str:
    return line.rstrip(".")


def _attempts(row: Row) -> str:
    return f"{row['attempts']} attempt{'' if row['attempts'] == 1 else 's'}"


def _minute(moment: str) -> str:
    return f"{moment[:16].replace('T', ' ')} UTC"


def _machine(home: Home) -> Iterator[str]:
    try:
        scan.look(home.source)
    except DataError as error:
        yield str(error)
    free = shutil.disk_usage(home.path).free
    if free < _LOW_DISK_BYTES:
        yield f"only {free >> 20} MB are free where the home lies; runs fail when there is none"


def daemon_pid(home: Home) -> int | None:
    """Return the daemon's process id, None when none runs."""
    return files.holder(home.state / DAEMON_LOCK)

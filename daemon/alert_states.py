"""What is wrong right now, of all that an alert is raised for. Derived from the ledger and the disk; keeps nothing."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from churnwatch.pipeline import drift_words, scan
from churnwatch.pipeline.clock import from_iso, iso
from churnwatch.pipeline.ledger import notices
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.notices import AlertKind
from churnwatch.pipeline.records import MOST_BREAKDOWNS, Decision
from churnwatch.pipeline.settings import Home

_GB = 1e9
_ROOM_AGAIN = 1.1  # times the limit: room that goes up and down around it is one alert, not many


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong: what, since when, what it costs, and what to type."""

    since: str
    what: str
    costs: str
    command: str


Found = tuple[AlertKind, Trouble | None]


def look(home: Home, ledger: Reader, *, now: datetime, raised: Collection[AlertKind] = ()) -> Iterator[Found]:
    """Yield each kind with what is wrong, or None where all is well; a kind that cannot be told now is left out.

    Args:
        home: whose settings say when a state is wrong.
        ledger: of the home.
        now: the time.
        raised: of which kinds an alert is open.
    """
    for each in (_run_failed, _drift, _undecidable, _vulnerable):
        yield from each(home, ledger)
    yield from _no_drop(home, ledger, now)
    yield from _disk_low(home, now, raised=AlertKind.DISK_LOW in raised)


def typed(home: Home, words: str) -> str:
    """Return a command as it is typed."""
    return f"churnwatch --home {shlex.quote(str(home.path))} {words}"


def _run_failed(home: Home, ledger: Reader) -> Iterator[Found]:
    """The run that ended last failed, or one that failed before is still to be taken up."""
    last, given_up = notices.last_end(ledger), set(ledger.given_up(MOST_BREAKDOWNS))
    if last is None:
        return
    failing = [row for row in notices.failing_runs(ledger) if row["run"] not in given_up or row["run"] == last["run"]]
    if not failing:
        yield AlertKind.RUN_FAILED, None
        return
    row, champion = failing[0], ledger.champion()
    goes_on = f"{champion.model.name} stays in use as it is" if champion else "there is no model yet"
    yield (
        AlertKind.RUN_FAILED,
        Trouble(
            row["since"],
            scan.on_one_line(f"run {row['run']} {row['status']}: {row['error']}"),
            f"what was dropped since is not learned from, and nobody is predicted anew; {goes_on}",
            typed(home, f"show {row['run']}"),
        ),
    )


def _drift(home: Home, ledger: Reader) -> Iterator[Found]:
    """The newest rows deviate so that a new model is called for, and the model in use has not learned from them."""
    run, champion = ledger.last_drift_run(), ledger.champion()
    if run is None or champion is None:
        return
    found = [each for each in ledger.drifts(run) if each.band.retrains]
    if not found or champion.model.run >= run:
        yield AlertKind.DRIFT, None
        return
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    yield (
        AlertKind.DRIFT,
        Trouble(
            notices.run_started(ledger, run),
            scan.on_one_line(f"in the rows of run {run}, {drift_words.deviates(found[0])}{more}"),
            f"{champion.model.name} has not learned from such rows; its probabilities may be off until one has",
            typed(home, f"show {run}"),
        ),
    )


def _undecidable(home: Home, ledger: Reader) -> Iterator[Found]:
    decision = notices.last_decision(ledger)
    if decision is None:
        return
    if decision["decision"] != Decision.UNDECIDABLE:
        yield AlertKind.UNDECIDABLE, None
        return
    enough = f"; {decision['rows_needed']:,} would be enough" if decision["rows_needed"] else ""
    yield (
        AlertKind.UNDECIDABLE,
        Trouble(
            decision["since"],
            scan.on_one_line(f"run {decision['run']} could not be decided: {decision['sentence']}"),
            f"no new model is released, however good it is: {decision['rows']:,} holdout rows are too few{enough}",
            typed(home, f"show {decision['run']}"),
        ),
    )


def _vulnerable(home: Home, ledger: Reader) -> Iterator[Found]:
    """Not knowing is neither: a check that failed ends no alert."""
    check = ledger.package_check()
    if check is None or check["vulnerable"] is None:
        return
    if not check["vulnerable"]:
        yield AlertKind.VULNERABLE, None
        return
    found = [each for each in ledger.package_findings(check["check_id"]) if each["kind"] == "vulnerable"]
    packages = sorted({each["package"] for each in found})
    pip = shlex.join([sys.executable, "-m", "pip", "install", "--upgrade", *packages])
    yield (
        AlertKind.VULNERABLE,
        Trouble(
            notices.vulnerable_since(ledger) or check["checked_at"],
            f"installed packages with known vulnerabilities: {', '.join(packages)}",
            "whoever can drop files, or reach this machine, may be able to use them",
            f"{pip} && {typed(home, 'packages')}",
        ),
    )


def _no_drop(home: Home, ledger: Reader, now: datetime) -> Iterator[Found]:
    days, last = home.settings.alerts.no_drop_days, notices.last_drop(ledger)
    if days is None or last is None or now - from_iso(last) < timedelta(days=days):
        yield AlertKind.NO_DROP, None
        return
    yield (
        AlertKind.NO_DROP,
        Trouble(
            last,
            f"nothing new was dropped into {home.settings.source_folder} for {days} days or more",
            f"customers are judged by what was known of them on {last[:10]}",
            f"ls -lt {shlex.quote(str(home.source))} | head",
        ),
    )


def _disk_low(home: Home, now: datetime, *, raised: bool) -> Iterator[Found]:
    limit, free = home.settings.alerts.disk_low_gb * _GB, shutil.disk_usage(home.path).free
    if free >= limit * (_ROOM_AGAIN if raised else 1):
        yield AlertKind.DISK_LOW, None
        return
    yield (
        AlertKind.DISK_LOW,
        Trouble(
            iso(now),
            f"{free / _GB:.1f} GB are free where {home.path} lies, less than {home.settings.alerts.disk_low_gb:g}",
            "runs fail when there is no room; what was acknowledged stays",
            f"du -xh --max-depth=2 {shlex.quote(str(home.path))} | sort -h | tail",
        ),
    )

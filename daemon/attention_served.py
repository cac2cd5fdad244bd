"""What needs a person of all that was served, each as one sentence. Light: `status` asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from churnwatch.pipeline import coverage
from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.reader import Reader as LedgerReader
from churnwatch.pipeline.records import Champion
from churnwatch.pipeline.served import due
from churnwatch.pipeline.served.reader import Reader
from churnwatch.pipeline.settings import SERVED_FOLDER, Home
from churnwatch.pipeline.shares import f1_interval

_NEWEST = 1000  # outcomes that count
_ENOUGH_ROWS = 30  # positive, and as many negative: with fewer it may be chance
_WORSE = 0.05  # by how much F1 must be lower than on the holdout, beyond doubt
_LOST_LATELY = timedelta(days=1)
_TAKES = timedelta(hours=1)  # a batch that is due so long is not made


def of(home: Home, ledger: LedgerReader, now: datetime) -> Iterator[str]:
    """Yield what somebody should look at; nothing where nothing was served."""
    if not home.serving_log.exists():
        return
    champion = ledger.champion()
    if champion is not None:
        yield from _expected(ledger, champion)
    try:
        with Reader.open(home.serving_log) as served:
            if champion is not None:
                yield from _came(served, champion)
            yield from _lost(served, now)
            yield from _waiting(home, ledger, served, now)
    except LedgerError as error:
        yield str(error)


def _expected(ledger: LedgerReader, champion: Champion) -> Iterator[str]:
    """Of the newest batch of predictions, the model in use is expected to do worse than it did on its holdout."""
    newest = next(iter(coverage.expected(ledger, "f1", 1)), None)
    known, model = _on_holdout(champion), champion.model
    if newest is None or newest.version != model.version or not newest.path.startswith(f"{SERVED_FOLDER}/"):
        return
    if newest.truth is None and newest.high is not None and known is not None and newest.high < known - _WORSE:
        yield (
            f"of the {newest.rows:,} predictions in {newest.path}, F1 {newest.value:.2f} ({newest.low:.2f} to"
            f" {newest.high:.2f}) is to be expected, where {model.name} has {known:.2f} on its holdout"
        )


def _came(served: Reader, champion: Champion) -> Iterator[str]:
    """What the model in use served turned out worse than it does on its holdout."""
    name, known = champion.model.name, _on_holdout(champion)
    found = served.confusion(name, _NEWEST)
    hits, alarms, misses = found.true_positives, found.false_positives, found.false_negatives
    if known is None or min(hits + misses, alarms + found.true_negatives) < _ENOUGH_ROWS:
        return
    low, high = f1_interval(hits, hits + alarms + misses)
    if high < known - _WORSE:
        f1, rows = 2 * hits / (2 * hits + alarms + misses), hits + alarms + misses + found.true_negatives
        yield (
            f"what {name} served had F1 {f1:.2f} ({low:.2f} to {high:.2f}) by the newest {rows:,} outcomes,"
            f" where it has {known:.2f} on its holdout; see GET /performance"
        )


def _on_holdout(champion: Champion) -> float | None:
    """Return F1 on the holdout as it was evaluated last; None of a model of amounts."""
    return champion.value if champion.metric == "f1" else None


def _lost(served: Reader, now: datetime) -> Iterator[str]:
    rows, last = served.not_logged()
    if last is not None and now - from_iso(last) < _LOST_LATELY:
        when = last[:16].replace("T", " ")
        yield f"{rows:,} served predictions could not be logged, the last on {when} UTC; is there room on the disk?"


def _waiting(home: Home, ledger: LedgerReader, served: Reader, now: datetime) -> Iterator[str]:
    """What was served and is taken in by no run, though it should have been."""
    limit = timedelta(hours=home.settings.serve.batch_hours) + _TAKES
    for each in due.waiting(home, ledger, served):
        since = each.waiting.since
        if since is not None and now - from_iso(since) > limit:
            yield (
                f"{each.waiting.rows:,} served {each.kind} wait since {since[:10]} for a run to take them in; start the"
                " daemon, or churnwatch run --once"
            )

"""The ledger → what the report says of drift: deviations by column, run by run."""

from __future__ import annotations

from churnwatch.pipeline import drift_words
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Drift
from churnwatch.pipeline.settings import Home
from churnwatch.reports.data_facts import Drifting, DriftRow
from churnwatch.reports.listed import Listed

MOST_RUNS = 12
MOST_COLUMNS = 40


def drifting(home: Home, reader: Reader) -> Drifting:
    """Return the deviations of the newest runs that were held against a reference."""
    runs = reader.drift_runs(MOST_RUNS)
    found = [{(each.kind, each.column_name): each for each in reader.drifts(run)} for run in runs]
    names = dict.fromkeys(key for by_name in reversed(found) for key in by_name)
    rows = [_row([by_name.get(key) for by_name in found]) for key in names]
    moved = sorted((row for row in rows if row.highest), key=_urgency)
    summary = drift_words.summary(list(found[-1].values()), home.settings.drift.retrain) if found else None
    return Drifting(tuple(runs), Listed(tuple(moved[:MOST_COLUMNS]), len(moved)), len(rows) - len(moved), summary)


def _row(history: list[Drift | None]) -> DriftRow:
    known = next(each for each in reversed(history) if each is not None)
    return DriftRow(drift_words.what(known), history[-1], tuple(history))


def _urgency(row: DriftRow) -> tuple[float, float, str]:
    return (-row.newest.deviation_percent if row.newest else 0.0, -row.highest, row.name)

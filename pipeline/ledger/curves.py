"""Questions to the ledger about the curves of a version, and about groups of customers."""

from __future__ import annotations

from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Curve, GroupCount


def curve(reader: Reader, run: int, version: int) -> list[Curve]:
    """Return the holdout rows of a run above some thresholds, the highest first; nothing where none were kept."""
    found = reader.rows("SELECT * FROM curves WHERE run = ? AND version = ? ORDER BY place", run, version)
    return [Curve(**row) for row in found]


def group_counts(reader: Reader, run: int, version: int) -> list[GroupCount]:
    """Return what a version said of groups of a run's holdout rows, by column and value."""
    sql = "SELECT * FROM group_counts WHERE run = ? AND version = ? ORDER BY column_name, value"
    return [GroupCount(**row) for row in reader.rows(sql, run, version)]

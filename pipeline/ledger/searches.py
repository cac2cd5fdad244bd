"""What models were searched for, as the ledger's drifts tell it."""

from __future__ import annotations

from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Band, DriftKind


def searched(ledger: Reader, *, version: int, before: int) -> dict[tuple[DriftKind, str], int]:
    """Return what deviated so far from a version's reference that experiments were called for, and a model was trained.

    Args:
        ledger: of the home.
        version: whose reference it is.
        before: only runs before this one count, so that a further attempt of it finds what the first did.

    Returns the first run of each, by kind and column. Requests to score train nothing, and do not count.
    """
    found = ledger.rows(
        "SELECT kind, column_name, min(run) AS run FROM drifts WHERE file IS NULL AND band = ? AND version = ?"
        " AND run < ? AND run IN (SELECT run FROM models) GROUP BY kind, column_name",
        Band.SEARCH,
        version,
        before,
    )
    return {(DriftKind(row["kind"]), row["column_name"]): row["run"] for row in found}

"""Questions to the ledger about summary statistics."""

from __future__ import annotations

from churnwatch.pipeline.ledger.reader import Reader, Row


def newest(ledger: Reader) -> list[Row]:
    """Return the newest summary statistics of each column, by name."""
    return ledger.rows(
        "SELECT p.*, r.created_at FROM (SELECT column_name, max(run) AS run FROM profiles GROUP BY column_name)"
        " JOIN profiles p USING (run, column_name) JOIN runs r USING (run) ORDER BY column_name"
    )


def extremes(ledger: Reader) -> dict[str, tuple[float, float]]:
    """Return the least and the greatest value that was ever accepted of each column of numbers."""
    found = ledger.rows(
        "SELECT column_name, min(minimum) AS low, max(maximum) AS high FROM profiles WHERE minimum IS NOT NULL"
        " GROUP BY column_name"
    )
    return {row["column_name"]: (row["low"], row["high"]) for row in found}

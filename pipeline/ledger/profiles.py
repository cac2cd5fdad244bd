"""Questions to the ledger about summary statistics."""

from __future__ import annotations

from churnwatch.pipeline.ledger.reader import Reader, Row


def newest(ledger: Reader) -> list[Row]:
    """Return the newest summary statistics of each column, by name."""
    return ledger.rows(
        "SELECT p.*, r.created_at FROM (SELECT column_name, max(run) AS run FROM profiles GROUP BY column_name)"
        " JOIN profiles p USING (run, column_name) JOIN runs r USING (run) ORDER BY column_name"
    )

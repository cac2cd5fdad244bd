"""Questions to the ledger about summary statistics."""

from __future__ import annotations

from churnwatch.pipeline.ledger.reader import Reader, Row


def newest(ledger: Reader) -> list[Row]:
    """Return the newest summary statistics of each column, by name."""
    return ledger.rows(
        "SELECT p.*, r.created_at FROM profiles p JOIN runs r USING (run) WHERE p.run ="
        " (SELECT max(run) FROM profiles n WHERE n.column_name = p.column_name) ORDER BY p.column_name"
    )

"""What the ledger knows of the API's keys. Functions of a reader; light."""

from __future__ import annotations

from churnwatch.pipeline.api_keys import Key, Scope
from churnwatch.pipeline.ledger.reader import Reader


def keys(ledger: Reader) -> list[Key]:
    """Return every key that ever was, the oldest first."""
    return [Key(**{**row, "scope": Scope(row["scope"])}) for row in ledger.rows("SELECT * FROM keys ORDER BY key")]

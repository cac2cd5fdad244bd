"""Questions to the ledger about batches of what was served."""

from __future__ import annotations

from churnwatch.pipeline.ledger.reader import Reader


def batches(ledger: Reader, beginning: str) -> list[str]:
    """Return the paths of the source files whose names begin so; a name holds which rows are in the batch."""
    return [row["path"] for row in ledger.rows("SELECT DISTINCT path FROM files WHERE path GLOB ?", f"{beginning}*")]

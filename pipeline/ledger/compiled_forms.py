"""What the ledger knows of the compiled forms of versions."""

from __future__ import annotations

from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import CompiledForm


def of_version(ledger: Reader, version: int) -> CompiledForm | None:
    """Return how the compiled form of a version compares with the version; None: they were not compared."""
    found = ledger.rows("SELECT * FROM compiled_forms WHERE version = ?", version)
    return CompiledForm(**found[0]) if found else None

"""Whether a file may have changed: some microseconds, where a question to the ledger takes milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

State: TypeAlias = tuple[tuple[int, int, int] | None, ...]


def of_ledger(ledger: Path) -> State:
    """Return what changes whenever the ledger does: whatever is recorded is first appended to the log beside it."""
    return (*of(ledger), *of(ledger.with_name(f"{ledger.name}-wal")))


def of(path: Path) -> State:
    """Return what changes whenever a file does, or where a link points."""
    try:
        found = path.lstat()
    except OSError:
        return (None,)
    return ((found.st_ino, found.st_size, found.st_mtime_ns),)

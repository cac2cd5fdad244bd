"""Opening a home's ledger for the commands that only read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from churnwatch.pipeline import settings
from churnwatch.pipeline.ledger.reader import Reader


@contextmanager
def ledger_of(folder: Path) -> Iterator[Reader]:
    """Open a home's ledger for reading.

    Raises:
        SettingsError: the folder is no home.
        LedgerError: it has no ledger yet, or a damaged one.
    """
    with Reader.open(settings.load(folder).ledger) as ledger:
        yield ledger


def home_in(arguments: Sequence[str]) -> Path:
    """Return the home that a command line names, for when the command itself broke down."""
    for before, after in zip(arguments, [*arguments[1:], ""], strict=True):
        if before == "--home":
            return Path(after)
        if before.startswith("--home="):
            return Path(before.removeprefix("--home="))
    return Path(os.environ.get("CHURNWATCH_HOME", "."))

"""Opening a home's ledger for the commands that change something, or need what only a run makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.settings import Home


@contextmanager
def ledger_of(home: Home) -> Iterator[Ledger]:
    """Open a home's ledger for writing; a ledger is made by the first run and by nothing else.

    Raises:
        LedgerError: there is none yet, or it is damaged.
    """
    with Reader.open(home.ledger):
        pass
    with Ledger.open(home.ledger) as ledger:
        yield ledger

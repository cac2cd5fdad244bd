"""Which rows of `serving.db` are in no batch yet, and whether it is time to make one. Light: the idle daemon asks.

A batch is a file below the source folder, and its name says which rows it holds: `outcomes-1f0c3a9e-1-1000.parquet`.
The next one begins after the last of those that the ledger knows or that lie there. So there is no record of its own
that a crash could leave apart from the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.ledger import served as of_ledger
from churnwatch.pipeline.ledger.reader import Reader as LedgerReader
from churnwatch.pipeline.served.reader import Kind, Reader
from churnwatch.pipeline.served.records import Waiting
from churnwatch.pipeline.settings import SERVED_FOLDER, Home, Settings


@dataclass(frozen=True)
class Next:
    """What the next batch of a kind begins after, and how much waits for it."""

    kind: Kind
    after: int
    waiting: Waiting


def is_due(home: Home, ledger: LedgerReader, *, now: datetime) -> bool:
    """Tell whether there are enough rows for a batch, or some that have waited long enough.

    Raises:
        LedgerError: `serving.db` cannot be read.
    """
    with Reader.open(home.serving_log) as served:
        return any(True for _ in due(home, ledger, served, now=now))


def due(home: Home, ledger: LedgerReader, served: Reader, *, now: datetime) -> Iterator[Next]:
    """Yield the kinds of which batches are to be made now."""
    serve = home.settings.serve
    for each in waiting(home, ledger, served):
        since = each.waiting.since
        waited = since is not None and now - from_iso(since) >= timedelta(hours=serve.batch_hours)
        if each.waiting.rows >= serve.batch_rows or waited:
            yield each


def waiting(home: Home, ledger: LedgerReader, served: Reader) -> Iterator[Next]:
    """Yield what is in no batch yet, by kind."""
    store = served.store
    for kind in _kinds(home.settings):
        after = _last(home, ledger, kind, store)
        yield Next(kind, after, served.waiting(kind, after=after, named=needs_id(home.settings)))


def batch_path(kind: Kind, store: str, first: int, last: int) -> str:
    """Return the path of a batch, below the source folder."""
    return f"{_beginning(kind, store)}{first}-{last}.parquet"


def needs_id(settings: Settings) -> bool:
    """Tell whether nothing is known of a customer without an id: features are made of `sources` then."""
    return bool(settings.sources)


def _kinds(settings: Settings) -> tuple[Kind, ...]:
    """Return what batches are made of; where a source tells who left, outcomes are not learned from as well."""
    return (Kind.PREDICTIONS,) if settings.churn is not None else (Kind.PREDICTIONS, Kind.OUTCOMES)


def _beginning(kind: Kind, store: str) -> str:
    return f"{SERVED_FOLDER}/{kind}-{store}-"


def _last(home: Home, ledger: LedgerReader, kind: Kind, store: str) -> int:
    """Return the last row that is in a batch, 0 before there is one."""
    beginning = _beginning(kind, store)
    there = [path.relative_to(home.source).as_posix() for path in home.source.glob(f"{beginning}*")]
    ends = (re.fullmatch(rf"{re.escape(beginning)}[0-9]+-([0-9]+)\.parquet", path)
            for path in (*there, *of_ledger.batches(ledger, beginning)))  # fmt: skip
    return max((int(end[1]) for end in ends if end is not None), default=0)

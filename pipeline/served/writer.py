"""Writing `serving.db`: one connection, of the serving process. What is acknowledged outlives a power cut."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
from sqlite_utils import Database

from churnwatch.pipeline import files
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.served.migrations import NAMES, served_migrations
from churnwatch.pipeline.served.reader import Reader
from churnwatch.pipeline.served.records import Fate, Outcome, Served
from churnwatch.pipeline.transactions import immediate

_TIMEOUT_S = 5.0
_INSERT = (
    "INSERT INTO served (uuid, at, customer, version, probability, decision, latency_s, inputs)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Store(Reader):
    """An open `serving.db` that can be written, from one thread at a time."""

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        """Open for writing, and close at the end; see `connect`."""
        store = cls.connect(path)
        try:
            yield store
        finally:
            store.close()

    @classmethod
    def connect(cls, path: Path) -> Self:
        """Open for writing; make or migrate the tables first where needed.

        Raises:
            LedgerError: it cannot be written, is none, or was written by a newer version.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = None
        try:
            connection = sqlite3.connect(path, timeout=_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            with files.lock(path.with_name(f".{path.name}.lock"), busy="", wait=True):
                _make_ready(connection, path)
        except (sqlite3.DatabaseError, OSError, LedgerError) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, LedgerError):
                raise
            advice = "Check its rights and the free space; move it away if it is damaged."
            raise LedgerError(f"{path}: what is served cannot be logged ({error}). {advice}") from error
        return cls(connection)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def add(self, served: Iterable[Served], *, lost: int, at: str) -> int:
        """Append predictions, and how many were lost; return how many are kept.

        One that cannot be, such as one whose id is there already, is lost, and holds up no other.

        Args:
            served: the predictions.
            lost: how many before them were lost.
            at: the time.
        """
        kept = 0
        with immediate(self._connection):
            for each in served:
                try:
                    self._connection.execute(_INSERT, _columns(each))
                    kept += 1
                except (sqlite3.IntegrityError, ValueError, TypeError):
                    lost += 1
            if lost:
                self._connection.execute("INSERT INTO not_logged (at, rows) VALUES (?, ?)", (at, lost))
        return kept

    def tell(self, outcomes: Sequence[Outcome], *, told_at: str) -> list[Fate]:
        """Join outcomes to their predictions, all of them, or none where one is unknown or contradicts another.

        Returns what became of each, or would have. A contradiction is recorded.
        """
        with immediate(self._connection):
            rows = [self._row_of(each) for each in outcomes]
            known = {row: self._target_of(row) for row in rows if row is not None}
            fates = []
            for row, each in zip(rows, outcomes, strict=True):
                fates.append(_fate(row, each, known))
                if row is not None and known[row] is None:
                    known[row] = each.target
            refused = {Fate.UNKNOWN, Fate.CONTRADICTS} & set(fates)
            wanted, table = (Fate.CONTRADICTS, "contradictions") if refused else (Fate.JOINED, "outcomes")
            self._connection.executemany(
                f"INSERT OR IGNORE INTO {table} (row, target, at, told_at) VALUES (?, ?, ?, ?)",
                [(row, each.target, each.at, told_at) for row, each, fate in zip(rows, outcomes, fates, strict=True)
                 if fate is wanted],
            )  # fmt: skip
        return fates

    def _row_of(self, outcome: Outcome) -> int | None:
        found = self.rows("SELECT row FROM served WHERE uuid = ?", outcome.uuid)
        return found[0][0] if found else None

    def _target_of(self, row: int) -> float | None:
        found = self.rows("SELECT target FROM outcomes WHERE row = ?", row)
        return found[0][0] if found else None

    def prune(self, before: str, *, most: int) -> int:
        """Remove the oldest predictions from before a time with their outcomes; return how many are gone.

        One whose outcome was told since stays: it may be in no batch yet.
        """
        of_old = (
            "SELECT s.row FROM served s WHERE s.at < ? AND NOT EXISTS"
            " (SELECT 1 FROM outcomes o WHERE o.row = s.row AND o.told_at >= ?) ORDER BY s.at LIMIT ?"
        )
        with immediate(self._connection):
            old = self.rows(of_old, before, before, most)
            for table in ("outcomes", "contradictions", "served"):
                self._connection.executemany(f"DELETE FROM {table} WHERE row = ?", old)
        return len(old)


def _columns(served: Served) -> tuple[Any, ...]:
    return (served.uuid, served.at, served.customer, served.version, served.probability, served.decision,
            served.latency_s, _encode(served.inputs).decode())  # fmt: skip


def _fate(row: int | None, told: Outcome, known: Mapping[int, float | None]) -> Fate:
    if row is None:
        return Fate.UNKNOWN
    before = known[row]
    if before is None:
        return Fate.JOINED
    return Fate.KNOWN if before == told.target else Fate.CONTRADICTS


def _make_ready(connection: sqlite3.Connection, path: Path) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    db = Database(connection)
    newer = {migration.name for migration in served_migrations.applied(db)} - NAMES
    if newer:
        raise LedgerError(f"{path}: written by a newer churnwatch ({', '.join(sorted(newer))}). Install that one.")
    served_migrations.apply(db)

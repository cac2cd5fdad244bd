"""Reading `serving.db` with the standard library alone: the idle daemon and `status` ask."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.served.records import Answered, Confusion, Row, Waiting

_IN_WINDOW = "s.at >= ? AND s.at < ?"


class Kind(StrEnum):
    """What a batch is made of: its name begins so."""

    PREDICTIONS = "predictions"  # requests to score
    OUTCOMES = "outcomes"  # rows to learn from


_ROWS = {
    Kind.PREDICTIONS: "SELECT row AS number, at, customer, inputs, NULL AS target, at AS since FROM served",
    Kind.OUTCOMES: "SELECT o.outcome AS number, s.at, s.customer, s.inputs, o.target, o.told_at AS since"
    " FROM outcomes o JOIN served s USING (row)",
}


class Reader:
    """Questions to an open `serving.db`. One instance per thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open for reading only, all of it as of the first question.

        Raises:
            LedgerError: it cannot be read.
        """
        uri = f"{path.resolve().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)) as connection:
                connection.execute("BEGIN")
                yield cls(connection)
        except sqlite3.DatabaseError as error:
            raise LedgerError(f"{path}: cannot be read ({error}). Move it away; a new one is begun.") from None

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return a query's rows. For this package and its tests; others ask one of the questions below."""
        return self._connection.execute(sql, values).fetchall()

    @property
    def store(self) -> str:
        """The name of this file: numbers are its own."""
        return str(self.rows("SELECT store FROM stores")[0][0])

    def waiting(self, kind: Kind, *, after: int, named: bool) -> Waiting:
        """Return how many rows come after a number; `named`: only those of whom the customer's id is known."""
        found = self.rows(f"SELECT count(*), min(since) FROM ({_ROWS[kind]}) WHERE number > ?{_named(named)}", after)
        return Waiting(*found[0])

    def batch(self, kind: Kind, *, after: int, named: bool, most: int) -> list[Row]:
        """Return the next rows after a number, in their order."""
        found = self.rows(
            f"SELECT number, at, customer, inputs, target FROM ({_ROWS[kind]}) WHERE number > ?{_named(named)}"
            " ORDER BY number LIMIT ?",
            after,
            most,
        )
        return [Row(*each) for each in found]

    def served(self, start: str, end: str) -> dict[str, int]:
        """Return how many predictions each version made from `start` to before `end`, the first version first."""
        return dict(
            self.rows(
                f"SELECT s.version, count(*) FROM served s WHERE {_IN_WINDOW} GROUP BY s.version ORDER BY min(s.row)",
                start,
                end,
            )
        )

    def answered(self, start: str, end: str) -> list[Answered]:
        """Return the predictions from `start` to before `end` of which the outcome is known, in their order."""
        found = self.rows(
            "SELECT s.version, s.probability, s.decision, o.target FROM served s JOIN outcomes o USING (row)"
            f" WHERE {_IN_WINDOW} ORDER BY s.row",
            start,
            end,
        )
        return [Answered(*each) for each in found]

    def confusion(self, version: str, newest: int) -> Confusion:
        """Return what came of a version's newest predictions with an outcome."""
        of_these = (
            "SELECT s.at, s.decision, o.target FROM outcomes o JOIN served s USING (row) WHERE s.version = ?"
            " ORDER BY o.outcome DESC LIMIT ?"
        )
        counts = ", ".join(
            f"count(*) FILTER (WHERE decision = {decision} AND target = {target})"
            for decision, target in ((1, 1), (1, 0), (0, 1), (0, 0))
        )
        return Confusion(*self.rows(f"SELECT {counts}, min(at) FROM ({of_these})", version, newest)[0])

    def not_logged(self) -> tuple[int, str | None]:
        """Return how many predictions could not be logged, and when the last of them was."""
        return self.rows("SELECT coalesce(sum(rows), 0), max(at) FROM not_logged")[0][:2]

    def copy_to(self, target: Path) -> None:
        """Copy it as of this moment into a file of its own, whoever writes to it meanwhile."""
        with closing(sqlite3.connect(target)) as copy:
            self._connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it


def _named(named: bool) -> str:
    return " AND customer IS NOT NULL" if named else ""

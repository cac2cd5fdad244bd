"""The tables of `serving.db`, as named migrations: STRICT; rows are appended, and leave only when they are too old."""

from __future__ import annotations

import secrets

from sqlite_utils import Database, Migrations

served_migrations = Migrations("served")


@served_migrations()
def s001_first_shape(db: Database) -> None:
    """Make the first tables. A store has a name of its own, since numbers begin anew in another one."""
    for statement in (
        "CREATE TABLE stores (store TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
        """CREATE TABLE served (
            row INTEGER PRIMARY KEY AUTOINCREMENT,
            uuid TEXT NOT NULL UNIQUE,
            at TEXT NOT NULL,
            customer TEXT,
            version TEXT NOT NULL,
            probability REAL NOT NULL,
            decision INTEGER CHECK (decision IN (0, 1)),
            latency_s REAL NOT NULL CHECK (latency_s >= 0),
            inputs TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX served_at ON served (at)",
        """CREATE TABLE outcomes (
            outcome INTEGER PRIMARY KEY AUTOINCREMENT,
            row INTEGER NOT NULL UNIQUE REFERENCES served,
            target REAL NOT NULL,
            at TEXT NOT NULL,
            told_at TEXT NOT NULL
        ) STRICT""",
        """CREATE TABLE contradictions (
            row INTEGER NOT NULL REFERENCES served,
            target REAL NOT NULL,
            at TEXT NOT NULL,
            told_at TEXT NOT NULL,
            PRIMARY KEY (row, target)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE not_logged (
            loss INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            rows INTEGER NOT NULL CHECK (rows > 0)
        ) STRICT""",
    ):
        db.execute(statement)
    db.table("stores").insert({"store": secrets.token_hex(4)})


NAMES = frozenset({"s001_first_shape"})

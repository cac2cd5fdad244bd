from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.migrations import NAMES, ledger_migrations
from churnwatch.pipeline.ledger.writer import Ledger


def _ours(ledger: Ledger, kind: str) -> list[str]:
    found = ledger.rows("SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite_%'", kind)
    return sorted(row["name"] for row in found if not row["name"].startswith("_"))


def test_every_table_is_strict(ledger: Ledger) -> None:
    strict = {row["name"] for row in ledger.rows("PRAGMA table_list") if row["strict"]}
    tables = set(_ours(ledger, "table"))
    assert len(tables) > 15
    assert tables <= strict


def test_a_value_of_another_type_is_refused(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in INTEGER column"):
        ledger.rows("INSERT INTO pins (at, version, actor) VALUES ('now', 'seven', 'me')")


def test_every_view_answers(ledger: Ledger) -> None:
    views = _ours(ledger, "view")
    assert len(views) > 5
    for view in views:
        assert ledger.rows(f"SELECT * FROM {view}") == []


def test_every_reference_names_a_table_that_there_is(ledger: Ledger) -> None:
    tables = set(_ours(ledger, "table"))
    for table in tables:
        for reference in ledger.rows(f"PRAGMA foreign_key_list({table})"):
            assert reference["table"] in tables


def test_rows_that_do_not_add_up_are_refused(ledger: Ledger) -> None:
    ledger.rows("INSERT INTO files VALUES (1, 'a.csv', 1, 1, 1, 'sha', 'now')")
    insert = (
        "INSERT INTO file_events (file, at, state, rows_read, accepted, duplicate, quarantined)"
        " VALUES (1, 'now', 'ingested', ?, ?, ?, ?)"
    )
    ledger.rows(insert, 6, 1, 2, 3)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"):
        ledger.rows(insert, 7, 1, 2, 3)


def test_names_are_those_of_the_migrations() -> None:
    assert {migration.name for migration in ledger_migrations.pending(Database(memory=True))} == NAMES


def test_a_second_opening_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "churnwatch.db"
    with Ledger.open(path) as ledger:
        before = ledger.rows("SELECT * FROM sqlite_master ORDER BY name")
    with Ledger.open(path) as ledger:
        assert ledger.rows("SELECT * FROM sqlite_master ORDER BY name") == before


def test_a_ledger_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "churnwatch.db"
    with Ledger.open(path) as ledger:
        columns = "migration_set, name, applied_at"
        ledger.rows(f"INSERT INTO _sqlite_migrations ({columns}) VALUES ('churnwatch', 'm099_later', 'now')")
    with (
        pytest.raises(LedgerError, match=r"written by a newer churnwatch \(m099_later\)\. Install that one\."),
        Ledger.open(path),
    ):
        pass


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "churnwatch.db"
    broken = "churnwatch.pipeline.ledger.migrations._VIEWS"
    with monkeypatch.context() as patch:
        patch.setattr(broken, ("CREATE VIEW x AS SELECT nothing FROM nowhere", "no SQL"))
        with pytest.raises(LedgerError), Ledger.open(path):
            pass
    with Ledger.open(path) as ledger:
        assert "runs" in _ours(ledger, "table")
        assert "x" not in _ours(ledger, "view")

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.migrations import NAMES, ledger_migrations
from churnwatch.pipeline.ledger.reader import Reader
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


def test_who_reads_a_ledger_of_an_older_version_is_told_what_brings_it_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "churnwatch.db"
    with Ledger.open(path) as ledger:
        for left_out in ("VIEW drift_over_time", "TABLE drifts"):
            ledger.rows(f"DROP {left_out}")
    with (
        pytest.raises(LedgerError, match=r"made by an older churnwatch; the next run brings it up to date"),
        Reader.open(path) as reader,
    ):
        reader.drifts(1)


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


# -- what was released -----------------------------------------------------------------------------------------

# the shape that a ledger has after each migration; one that was released is never changed, a further one is added
RELEASED = {
    "m001_first_shape": "cdad750eb4b265df",
    "m002_sources": "d7075dfaa2bbf729",
    "m003_gate": "a5e1f9db8a97b542",
    "m005_experiments": "5d288af07ea1db29",
    "m006_drift": "90bb9a1c47dbd36d",
    "m007_labels": "51a240b4485e7ffd",
    "m008_regression": "34bca584d62b52a8",
    "m009_reasons": "975a688ec79ff61e",
    "m010_buckets": "3c90237f04b4a01b",
    "m011_campaigns": "c7558c055ba434f5",
    "m012_alerts": "2f801679ae7e51a5",
    "m013_curves": "f81c8fad20414a05",
    "m014_warnings": "f22abe9637c27eba",
    "m015_uplift": "d24bbae016e3ea12",
    "m016_compiled": "3adc8466c69c8afe",
    "m018_keys": "96e03d60d0c591f6",
}
ROWS = (
    "INSERT INTO settings VALUES ('s1', '{}', '2026-01-01T00:00:00.000Z')",
    "INSERT INTO runs VALUES (1, 'r1', 'drop', '2026-01-01T00:00:00.000Z', 's1', '1')",
    "INSERT INTO schemas (canonical, at) VALUES ('{}', '2026-01-01T00:00:00.000Z')",
    "INSERT INTO parts (part, run, sha256, rows, size_bytes, created_at) VALUES ('part-1', 1, 'x', 3, 4, '2026')",
)


def _of_version(path: Path, newest: str) -> list[str]:
    """Make a ledger as an older churnwatch left it; return all that is in it."""
    with closing(sqlite3.connect(path)) as connection:
        later = [name for name in sorted(NAMES) if name > newest]
        ledger_migrations.apply(Database(connection), stop_before=later)
        for row in ROWS:
            connection.execute(row)
        connection.commit()
        return list(connection.iterdump())


def _contents(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_released_migration_is_never_changed(name: str) -> None:
    later = [each for each in sorted(NAMES) if each > name]
    with closing(sqlite3.connect(":memory:")) as connection:
        ledger_migrations.apply(Database(connection), stop_before=later)
        shape = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE '\\_%' ESCAPE '\\'"
                                   " ORDER BY type, name").fetchall()  # fmt: skip
    assert hashlib.sha256(repr(shape).encode()).hexdigest()[:16] == RELEASED[name]


@pytest.mark.parametrize("name", sorted(NAMES)[:-1])
def test_a_ledger_of_every_older_version_is_brought_up_to_date_after_a_copy_of_it_was_kept(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "churnwatch.db"
    before = _of_version(path, name)
    with Ledger.open(path) as ledger:
        assert ledger.problems() == []
        assert [part.part for part in ledger.parts()] == ["part-1"]
        assert ledger.rows("SELECT run_id FROM runs") == [{"run_id": "r1"}]
    following = sorted(NAMES)[sorted(NAMES).index(name) + 1]
    kept = tmp_path / f"churnwatch.db.before-{following}"
    assert _contents(kept) == before
    kept.unlink()
    with Ledger.open(path):
        assert not kept.exists()


def test_a_new_ledger_has_no_former_one_to_keep(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "churnwatch.db"):
        assert not list(tmp_path.glob("*.before-*"))

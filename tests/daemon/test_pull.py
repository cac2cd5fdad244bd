"""`churnwatch pull`, as somebody at a terminal meets it, and the daemon's turn on what it brought."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from churnwatch.daemon import work
from churnwatch.pipeline import settings
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import Home

Churnwatch = Callable[..., Any]

SETTINGS = """\
target: left
positive: 1
id: id
date: day
columns: {{id: text, day: date, left: integer}}
labels: "labels*.csv"
packages: {{check: never}}
sources:
  payments:
    files: "payments-*.parquet"
    key: id
    time: at
    columns: {{n: integer, id: text, at: date, amount: number}}
    pull: {{database: "sqlite://{folder}/crm.db", table: payments, cursor: n}}
  logs:
    files: "logs/*.csv"
    key: id
    columns: {{id: text, plan: text}}
    pull: {{url: "file://{folder}/remote/*"}}
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "settings.yaml").write_text(SETTINGS.format(folder=tmp_path))
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / "a.csv").write_text("id,plan\nc1,small\n")
    with closing(sqlite3.connect(tmp_path / "crm.db")) as connection, connection:
        connection.execute("CREATE TABLE payments (n INTEGER PRIMARY KEY, id TEXT, at TEXT, amount REAL)")
    _pay(tmp_path, 1, 2)
    return settings.load(folder)


def _pay(folder: Path, *numbers: int) -> None:
    with closing(sqlite3.connect(folder / "crm.db")) as connection, connection:
        rows = [(n, f"c{n}", "2026-01-01", n / 10) for n in numbers]
        connection.executemany("INSERT INTO payments VALUES (?, ?, ?, ?)", rows)


def test_what_is_pulled_is_ingested_and_the_next_pull_goes_on_there(
    churnwatch: Churnwatch, home: Home, tmp_path: Path
) -> None:
    result = churnwatch("pull", home=home)
    assert (result.code, result.err) == (0, "")
    payments, logs = result.out.splitlines()
    assert payments.startswith(f"payments: 2 rows from sqlite://{tmp_path}/crm.db into {home.source}/payments-pulled-")
    assert logs == f"logs: 1 file(s), 17 bytes from file://{tmp_path}/remote/* into {home.source}/logs: a.csv"
    (home.source / "labels-1.csv").write_text("id,day,left\nc1,2026-02-01,1\nc2,2026-02-01,0\n")
    work.once(home, reason="once")
    with Reader.open(home.ledger) as ledger:
        states = {row["path"].partition("-")[0]: (row["state"], row["accepted"]) for row in ledger.files()}
    assert states == {"payments": ("ingested", 2), "logs/a.csv": ("ingested", 1), "labels": ("ingested", 2)}
    assert churnwatch("pull", home=home).out == "payments: nothing new\nlogs: nothing new\n"
    _pay(tmp_path, 3)
    again = churnwatch("pull", "payments", home=home)
    assert again.out.startswith("payments: 2 rows")  # the one that the cursor stands on comes again


def test_a_source_that_fails_is_told_on_standard_error(churnwatch: Churnwatch, home: Home, tmp_path: Path) -> None:
    (tmp_path / "crm.db").unlink()
    result = churnwatch("pull", home=home)
    assert result.code == 1
    assert result.out.startswith("logs: 1 file(s)")
    assert result.err == (
        f"churnwatch: payments: sqlite://{tmp_path}/crm.db: the database cannot be reached; is it there, and may this"
        " user open it?\n"
    )


def test_a_source_that_is_not_there_is_told_with_those_that_are(churnwatch: Churnwatch, home: Home) -> None:
    result = churnwatch("pull", "bills", home=home)
    assert (result.code, result.out) == (1, "")
    assert "these have: payments, logs" in result.err

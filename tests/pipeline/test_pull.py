"""Real databases through ADBC, real file systems through fsspec, and what comes of pulling twice."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sources_world import World

from churnwatch.pipeline import files, pull, pull_database, settings
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.errors import BusyError, NotFoundError, SettingsError
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import FileEvent, FileState
from churnwatch.pipeline.settings import Home, parse

SETTINGS = """\
target: left
positive: 1
id: id
date: day
columns: {{id: text, day: date, left: integer}}
labels: "labels*.csv"
sources:
  payments:
    files: "{files}"
    key: id
    time: at
    columns: {{n: integer, id: text, at: date, amount: number, note: text}}
    pull: {pull}
"""
SQLITE = "CREATE TABLE payments (n INTEGER PRIMARY KEY, id TEXT, at TEXT, amount REAL, note TEXT, secret TEXT)"
ROWS = [
    (1, "a", "2026-01-01", 0.1, "x"),
    (2, "b", "2026-01-02 10:00:00", None, 'it\'s "b"'),
    (3, "a", "2026-01-03T10:00:00", 2.5, None),
]

MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Return what makes a home of one source with this `pull`."""
    home = tmp_path / "home"
    home.mkdir()
    for folder in ("sourcedata", ".churnwatch"):
        (home / folder).mkdir()
    with Ledger.open(home / "churnwatch.db") as ledger, duckdb_engine(tmp_path / "spill", threads=1) as engine:

        def make(given: str, glob: str = "payments-*.parquet") -> World:
            (home / "settings.yaml").write_text(SETTINGS.format(pull=given, files=glob))
            return World(settings.load(home), ledger, engine)

        yield make


@pytest.fixture
def crm(tmp_path: Path) -> Path:
    path = tmp_path / "c r#m.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(SQLITE)
    _insert(path, ROWS)
    return path


def _insert(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO payments (n, id, at, amount, note) VALUES (?, ?, ?, ?, ?)", rows)


def _told(home: Home) -> list[str]:
    found = list(pull.pull(home))
    assert all(each.ok for each in found), found
    return [each.line for each in found]


def _failed(home: Home) -> str:
    (found,) = pull.pull(home)
    assert not found.ok
    assert not _there(home)
    return found.line


def _there(home: Home) -> list[Path]:
    return sorted(each for each in home.source.rglob("*") if each.is_file())


def _bring(world: World) -> list[Path]:
    """Pull, and return the new files under names that the next pull within the second does not take again."""
    before = set(_there(world.home))
    _told(world.home)
    new = []
    for path in sorted(set(_there(world.home)) - before):
        assert path.name.startswith("payments-pulled-")
        new.append(path.rename(path.with_name(f"payments-{len(before)}.parquet")))
    return new


def _ingested(world: World) -> list[dict[str, Any]]:
    parts = [world.home.ingested / part.part for part in world.ledger.parts("payments")]
    columns = 'n, id, "at", amount, note'
    found: list[dict[str, Any]] = world.engine.arrow(
        f"SELECT {columns} FROM {world.engine.scan(parts)} AS p ORDER BY n, note"
    ).to_pylist()
    return found


# -- SQLite ----------------------------------------------------------------------------------------------------


def test_a_table_comes_as_one_file_of_the_declared_columns(make_world: MakeWorld, crm: Path) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments, cursor: n}}', "billing/payments-*.parquet")
    (line,) = _told(world.home)
    (path,) = _there(world.home)
    assert path.parent == world.home.source / "billing"
    assert line == f"payments: 3 rows from sqlite://{crm} into {path}"
    stamp = dt.datetime.strptime(path.name, "payments-pulled-%Y%m%dT%H%M%SZ.parquet").replace(tzinfo=dt.UTC)
    assert abs(dt.datetime.now(dt.UTC) - stamp) < dt.timedelta(minutes=1)
    assert pq.read_schema(path).names == ["n", "id", "at", "amount", "note"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_first_pull_needs_no_ledger(make_world: MakeWorld, crm: Path, tmp_path: Path) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments, cursor: n}}')
    bare = tmp_path / "bare"
    shutil.copytree(world.home.path, bare, ignore=shutil.ignore_patterns("churnwatch.db*"))
    assert _told(settings.load(bare))[0].startswith("payments: 3 rows")


@pytest.mark.parametrize("cursor", ["n", "at", "amount"])
def test_a_pull_goes_on_where_the_data_set_ends(make_world: MakeWorld, crm: Path, cursor: str) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments, cursor: {cursor}}}')
    world.run(_bring(world))
    assert [(row["n"], row["amount"], row["note"]) for row in _ingested(world)] == [
        (1, 0.1, "x"), (2, None, 'it\'s "b"'), (3, 2.5, None)]  # fmt: skip
    assert _told(world.home) == ["payments: nothing new"]
    _insert(crm, [(10, "c", "2026-01-03 10:00:01", 1e30, "new")])
    (second,) = _bring(world)
    assert [row["n"] for row in pq.read_table(second).to_pylist()] == ["3", "10"]
    world.run([second])
    assert [row["n"] for row in _ingested(world)] == [1, 2, 3, 10]
    assert _ingested(world)[-1]["amount"] == 1e30
    assert _told(world.home) == ["payments: nothing new"]


def test_rows_with_equal_values_of_the_cursor_are_not_lost(make_world: MakeWorld, crm: Path) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments, cursor: at}}')
    world.run(_bring(world))
    _insert(crm, [(4, "d", "2026-01-03T10:00:00", 1, "late"), (5, "d", "2026-01-04", 1, "later")])
    world.run(_bring(world))
    assert [row["n"] for row in _ingested(world)] == [1, 2, 3, 4, 5]


def test_a_table_without_a_cursor_comes_whole_and_only_when_it_changed(make_world: MakeWorld, crm: Path) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments}}')
    (first,) = _bring(world)
    assert _told(world.home) != ["payments: nothing new"]  # it may yet be deleted before it is read
    _there(world.home)[-1].unlink()
    world.run([first])
    file = world.ledger.see_file(pull.scan.observe(world.home.source, first.name), sha256=files.sha256_of(first), at="")
    world.ledger.add(FileEvent(file.file, None, "", FileState.INGESTED, 3, 0, 3, 0))
    assert _told(world.home) == ["payments: nothing new"]
    _insert(crm, [(4, "d", "2026-01-04", 1, "y")])
    (second,) = _bring(world)
    assert pq.read_metadata(second).num_rows == 4


def test_an_empty_table_makes_no_file(make_world: MakeWorld, crm: Path) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments, cursor: n}}')
    with closing(sqlite3.connect(crm)) as connection, connection:
        connection.execute("DELETE FROM payments")
    assert _told(world.home) == ["payments: nothing new"]
    assert not _there(world.home)


def test_a_key_that_grows_is_compared_as_the_number_that_it_is_declared_as(make_world: MakeWorld, crm: Path) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments, cursor: n}}')
    file = world.home.path / "settings.yaml"
    file.write_text(file.read_text().replace("    key: id\n", "    key: n\n"))
    world.home = settings.load(world.home.path)
    _insert(crm, [(9, "c", "2026-02-01", 1, "x")])
    world.run(_bring(world))
    _insert(crm, [(10, "c", "2026-02-01", 1, "x")])
    (second,) = _bring(world)
    assert [row["n"] for row in pq.read_table(second).to_pylist()] == ["9", "10"]


def test_columns_whose_first_values_tell_no_type_and_numbers_in_text_are_read(
    make_world: MakeWorld, crm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_database, "_BATCH_ROWS", 2)
    with closing(sqlite3.connect(crm)) as connection, connection:
        connection.execute("DROP TABLE payments")
        connection.execute("CREATE TABLE payments (n TEXT, id INTEGER, at TEXT, amount NUMERIC, note TEXT)")
    odd = 0.1 + 0.2
    _insert(crm, [("8", 7, "2026-01-01", None, None), ("9", 7, "2026-01-01", None, None),
                  ("10", 7, "2026-01-01", 1, None), ("11", 7, "2026-01-01", odd, "x")])  # fmt: skip
    world = make_world(f'{{database: "sqlite://{crm}", table: payments, cursor: n}}')
    (first,) = _bring(world)
    assert pq.read_metadata(first).num_row_groups == 2
    world.run([first])
    assert [(row["n"], row["id"], row["amount"]) for row in _ingested(world)] == [
        (8, "7", None), (9, "7", None), (10, "7", 1.0), (11, "7", odd)]  # fmt: skip
    assert _told(world.home) == ["payments: nothing new"]


def test_names_are_quoted(make_world: MakeWorld, crm: Path) -> None:
    with closing(sqlite3.connect(crm)) as connection, connection:
        connection.execute('ALTER TABLE payments RENAME TO "pay ""ments; --"')
    world = make_world(f'{{database: "sqlite://{crm}", table: \'pay "ments; --\', cursor: n}}')
    assert _told(world.home)[0].startswith("payments: 3 rows")


def test_a_stream_that_breaks_off_leaves_nothing(
    make_world: MakeWorld, crm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments, cursor: n}}')
    monkeypatch.setattr(pull_database, "_BATCH_ROWS", 1)
    monkeypatch.setattr(pull_database, "_sqlite_text", lambda cell: cell)  # the driver stops at another type
    _insert(crm, [(4, "d", "2026-01-04", "sekret", "x")])
    line = _failed(world.home)
    assert line == f"payments: sqlite://{crm}: table `payments`: reading it broke off; nothing was kept."


def test_a_full_disk_leaves_nothing(make_world: MakeWorld, crm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    world = make_world(f'{{database: "sqlite://{crm}", table: payments, cursor: n}}')
    monkeypatch.setattr(pa.parquet.ParquetWriter, "write_batch", full)
    assert "No space left" in _failed(world.home)


def test_what_a_killed_pull_left_is_swept(make_world: MakeWorld, crm: Path) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments}}')
    (world.home.source / ".payments-pulled-20260101T000000Z.parquet-abc.tmp").write_text("half")
    other = world.home.source / ".somebodys.tmp"
    other.touch()
    _told(world.home)
    assert [path for path in _there(world.home) if path.name.startswith(".")] == [other]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DROP TABLE payments", "table `payments` cannot be read; is there one, and may this user read it?"),
        ("ALTER TABLE payments DROP COLUMN id", "table `payments` has no column `id`, but the source's `columns` do."),
        (
            "ALTER TABLE payments RENAME note TO m",
            "table `payments` has no column `note`, but the source's `columns` do.",
        ),
    ],
)
def test_a_table_that_is_not_as_declared_is_told_in_one_line(
    make_world: MakeWorld, crm: Path, change: str, says: str
) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments, cursor: n}}')
    with closing(sqlite3.connect(crm)) as connection, connection:
        connection.execute(change)
    assert _failed(world.home) == f"payments: sqlite://{crm}: {says}"


def test_a_database_that_is_not_there_is_not_made(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(f'{{database: "sqlite://{tmp_path}/none.db", table: payments}}')
    assert "the database cannot be reached" in _failed(world.home)
    assert not (tmp_path / "none.db").exists()


def test_a_driver_that_is_missing_is_named_with_its_extra(
    make_world: MakeWorld, crm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments}}')
    monkeypatch.setitem(sys.modules, "adbc_driver_sqlite.dbapi", None)
    assert "pip install 'churnwatch[databases]'" in _failed(world.home)


# -- addresses that stand elsewhere ----------------------------------------------------------------------------


def test_an_address_may_stand_in_the_environment(
    make_world: MakeWorld, crm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world('{database: "env:CRM", table: payments}')
    monkeypatch.delenv("CRM", raising=False)
    assert "there is no environment variable CRM" in _failed(world.home)
    monkeypatch.setenv("CRM", f"sqlite://{crm}\n")
    assert _told(world.home)[0].startswith("payments: 3 rows")


def test_an_address_may_be_a_credential_of_systemd(
    make_world: MakeWorld, crm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world('{database: "credential:crm", table: payments}')
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "no $CREDENTIALS_DIRECTORY" in _failed(world.home)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert "the credential crm cannot be read" in _failed(world.home)
    (tmp_path / "crm").write_text(f"sqlite://{crm}\n")
    assert _told(world.home)[0].startswith("payments: 3 rows")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:sekret@127.0.0.1:1/crm",
        "postgresql://me@127.0.0.1:1/crm?password=sekret",
        "postgresql://me:sek/sekret@127.0.0.1:1/crm",
        "postgresql://me:sek@sekret@127.0.0.1:1/crm",
        "postgresql://me:sek?sekret@127.0.0.1:1/crm",
        "postgresql://me:sekret",
        "mysql://me:sekret@127.0.0.1/crm",
    ],
)
def test_a_password_is_never_shown(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    world = make_world('{database: "env:CRM", table: payments}')
    monkeypatch.setenv("CRM", address)
    line = _failed(world.home)
    assert "sek" not in line
    assert "postgresql://127.0.0.1:1/crm" in line or "is no address such as" in line


# -- settings --------------------------------------------------------------------------------------------------


def _refused(given: str, glob: str = "payments-*.parquet", more: str = "") -> str:
    with pytest.raises(SettingsError) as caught:
        parse(SETTINGS.format(pull=given, files=glob) + more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "glob", "says"),
    [
        ("{table: t}", "*.parquet", "either `database` and `table`, or `url`"),
        ("{url: 'file:///x', table: t}", "*.parquet", "either `database` and `table`, or `url`"),
        ("{url: 'file:///x', cursor: n}", "*.parquet", "goes with a `table` only"),
        ("{url: x}", "*.parquet", "an address such as"),
        ("{database: 'env:A', table: t}", "p.parquet", "one `*`, and .parquet"),
        ("{database: 'env:A', table: t}", "p-*-*.parquet", "one `*`, and .parquet"),
        ("{database: 'env:A', table: t}", "*/p.parquet", "its folder must be one folder"),
        ("{database: 'env:A', table: t}", "p*.csv", "one `*`, and .parquet"),
        ("{database: 'env:A', table: 'a.'}", "*.parquet", "a table, or one of a schema"),
        ("{database: 'env:A', table: t, cursor: m}", "*.parquet", "`m` is not one of its `columns`"),
        ("{database: 'env:A', table: t, cursor: note}", "*.parquet", "must be of type integer, number or date"),
        ("{database: 'credential:../a', table: t}", "*.parquet", "where such an address stands"),
        ("{database: 'mysql://x', table: t}", "*.parquet", "where such an address stands"),
        ("{databse: 'env:A', table: t}", "*.parquet", "did you mean `database`"),
    ],
)
def test_settings_that_do_not_fit_are_refused(given: str, glob: str, says: str) -> None:
    assert says in _refused(given, glob)


@pytest.mark.parametrize(
    "given",
    [
        "{database: 'postgresql://me:sekret@host/crm', table: t}",
        "{database: 'postgresql://me@host/crm?Password=sekret', table: t}",
        "{url: 'sftp://me:sekret@host/logs/*.csv'}",
    ],
)
def test_a_password_in_the_settings_is_refused_without_showing_it(given: str) -> None:
    line = _refused(given)
    assert "line 13: sources.payments.pull" in line
    assert "a password must not stand here" in line
    assert "sekret" not in line


def test_a_table_is_not_pulled_where_rows_that_come_again_would_count_again() -> None:
    assert "needs `dedup: on`" in _refused("{database: 'env:A', table: t}", more="dedup: off\n")


def test_a_file_that_another_source_would_take_is_not_made(make_world: MakeWorld, crm: Path) -> None:
    world = make_world(f'{{database: "sqlite://{crm}", table: payments}}')
    file = world.home.path / "settings.yaml"
    first = 'sources:\n  all: {files: "*.parquet", key: id, columns: {id: text}}\n'
    file.write_text(file.read_text().replace("sources:\n", first))
    assert "would not be taken for one of this source" in _failed(settings.load(world.home.path))


# -- which sources ---------------------------------------------------------------------------------------------


def test_a_source_that_fails_does_not_stop_the_others(make_world: MakeWorld, crm: Path, tmp_path: Path) -> None:
    world = make_world(f'{{database: "sqlite://{tmp_path}/none.db", table: payments}}')
    (tmp_path / "bills.csv").write_text("id\n1\n")
    file = world.home.path / "settings.yaml"
    file.write_text(
        file.read_text()
        + f'  bills: {{files: "bills*", key: id, columns: {{id: text}}, pull: {{url: "file://{tmp_path}/b*.csv"}}}}\n'
        + '  quiet: {files: "q*", key: id, columns: {id: text}}\n'
    )
    home = settings.load(world.home.path)
    assert [each.ok for each in pull.pull(home)] == [False, True]
    assert [each.line for each in pull.pull(home, ["bills"])] == ["bills: nothing new"]
    with pytest.raises(NotFoundError, match=r"quiet: no source of that name has a `pull`; these have: payments, bills"):
        list(pull.pull(home, ["quiet"]))
    with pytest.raises(BusyError), files.lock(home.state / pull.LOCK, busy=""):
        list(pull.pull(home))


def test_without_any_pull_the_settings_are_asked_for(make_world: MakeWorld) -> None:
    with pytest.raises(SettingsError, match="no source has a `pull`"):
        list(pull.pull(make_world("").home))


# -- fsspec ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["file", "memory"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Callable[[str, str], None]]]:
    """Return the url of a remote folder, and what puts objects there."""
    url = f"file://{tmp_path}/bucket" if request.param == "file" else "memory://bucket"

    def put(path: str, text: str) -> None:
        with fsspec.open(f"{url}/{path}", "w", auto_mkdir=True) as file:
            file.write(text)

    yield url, put
    fsspec.filesystem("memory").store.clear()


def test_objects_are_copied_once_under_their_own_names(make_world: MakeWorld, bucket: Any) -> None:
    url, put = bucket
    world = make_world(f'{{url: "{url}/*.csv"}}', "billing/payments*.csv")
    put("payments-1.csv", "n,id\n1,a\n")
    put("payments-2.csv", "n,id\n2,a\n")
    put("sub.csv/payments-3.csv", "n,id\n2,a\n")
    folder = world.home.source / "billing"
    assert _told(world.home) == [
        f"payments: 2 file(s), 18 bytes from {url}/*.csv into {folder}: payments-1.csv, payments-2.csv"
    ]
    assert [(path.name, path.read_text()[-4:]) for path in _there(world.home)] == [
        ("payments-1.csv", "1,a\n"), ("payments-2.csv", "2,a\n")]  # fmt: skip
    assert _told(world.home) == ["payments: nothing new"]
    put("payments-2.csv", "n,id\n2,a\n3,a\n")
    assert _told(world.home)[0].startswith("payments: 1 file(s), 13 bytes")
    # once it was seen it need not lie there any more
    seen = pull.scan.observe(world.home.source, "billing/payments-1.csv")
    assert seen is not None
    file = world.ledger.see_file(seen, sha256="", at="")
    world.ledger.add(FileEvent(file.file, None, "", FileState.QUARANTINED))
    (folder / "payments-1.csv").unlink()
    assert _told(world.home) == ["payments: nothing new"]


def test_objects_that_would_be_taken_for_something_else_are_refused(make_world: MakeWorld, bucket: Any) -> None:
    url, put = bucket
    world = make_world(f'{{url: "{url}/**"}}', "payments*")
    for path in ("labels-1.csv", "payments-1.csv", "b/payments-1.csv", "payments.txt"):
        put(path, "n,id\n")
    *refused, done = pull.pull(world.home)
    assert done.ok
    assert [each.ok for each in refused] == [False] * 3
    assert sum("does not fit the source's `files`" in each.line for each in refused) == 2
    assert sum("another object that was found has the same name" in each.line for each in refused) == 1
    assert [path.name for path in _there(world.home)] == ["payments-1.csv"]


def test_an_object_that_comes_cut_short_leaves_nothing(
    make_world: MakeWorld, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, put = bucket
    put("payments-1.csv", "n,id\n")
    world = make_world(f'{{url: "{url}/*"}}', "payments*")
    kind = type(fsspec.core.url_to_fs(url)[0])
    monkeypatch.setattr(kind, "get_file", lambda _self, _there, to, **_: Path(to).write_text("n"))
    assert "1 bytes came where 5 were announced" in _failed(world.home)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("sekret")

    monkeypatch.setattr(kind, "get_file", broken)
    assert _failed(world.home).endswith("cannot be read or copied (RuntimeError).")


def test_a_plugin_or_fsspec_that_is_missing_is_told(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world('{url: "nosuch://me@bucket/*"}', "payments*")
    line = _failed(world.home)
    assert "fsspec has no plugin for nosuch://bucket/*" in line
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert "pip install 'churnwatch[remote]'" in _failed(world.home)


# -- PostgreSQL ------------------------------------------------------------------------------------------------


def _programs() -> Path | None:
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    return max(found, default=Path(on_path).resolve().parent if on_path else None, key=str)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start a PostgreSQL that listens on a socket in a folder, with a password; return its address."""
    programs = _programs()
    if programs is None:
        if "CI" in os.environ:
            pytest.fail("PostgreSQL's programs are missing; see .ci/run")
        pytest.skip("no PostgreSQL on this machine (initdb)")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    # it refuses to run as root
    become: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    if become:
        shutil.chown(folder, "nobody", "nogroup")
    (folder / "password").write_text("sek%ret")
    make = [programs / "initdb", "-D", folder / "data", "-U", "crm", "-A", "scram-sha-256", "--no-sync", "--pwfile"]
    subprocess.run([*make, folder / "password"], check=True, capture_output=True, cwd=folder, **become)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", "-k", folder, "-h", "", "-F"],
            stdout=log, stderr=log, cwd=folder, **become,
        )  # fmt: skip
    try:
        subprocess.run(
            ["timeout", "30", "sh", "-c", f"until {programs / 'pg_isready'} -q -h {folder}; do sleep 0.05; done"],
            check=True,
        )
        yield f"postgresql://crm:sek%25ret@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(folder)


@pytest.fixture
def crm_on_postgres(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return what executes SQL; the address stands in the variable CRM."""
    monkeypatch.setenv("CRM", postgres)
    with adbc_driver_postgresql.dbapi.connect(postgres, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA billing")
        yield cursor.execute
        cursor.execute("DROP SCHEMA billing CASCADE")


@pytest.mark.postgres
@pytest.mark.parametrize(("cursor", "zone"), [("n", "tz"), ("at", "tz"), ("at", "")])
def test_postgresql_goes_on_where_the_data_set_ends(
    make_world: MakeWorld, crm_on_postgres: Callable[[str], None], cursor: str, zone: str
) -> None:
    execute = crm_on_postgres
    execute(f"CREATE TABLE billing.payments (n int, id uuid, at timestamp{zone}, amount numeric(30, 2), note jsonb)")
    known = "00000000-0000-0000-0000-00000000000a"
    execute(f"""INSERT INTO billing.payments VALUES (1, gen_random_uuid(), '2026-01-01', NULL, NULL),
                (9, '{known}', '2026-01-02 10:00:00.123456', 1.50, '{{"a": 1}}')""")
    world = make_world(f'{{database: "env:CRM", table: billing.payments, cursor: {cursor}}}')
    world.run(_bring(world))
    row = _ingested(world)[-1]
    assert row["n"] == 9
    assert row["id"] == known
    assert (row["amount"], row["note"]) == (1.5, '{"a": 1}')
    assert row["at"] == dt.datetime(2026, 1, 2, 10, 0, 0, 123456)  # noqa: DTZ001 - rows have no zone
    assert _told(world.home) == ["payments: nothing new"]
    execute("INSERT INTO billing.payments SELECT 9, id, at, amount, '\"late\"' FROM billing.payments WHERE n = 9")
    assert _told(world.home) == ["payments: nothing new"]
    execute("INSERT INTO billing.payments VALUES (10, gen_random_uuid(), '2026-01-02 10:00:00.123457', 1.51, NULL)")
    (second,) = _bring(world)
    assert sorted(each["n"] for each in pq.read_table(second).to_pylist()) == [9, 9, 10]
    world.run([second])
    assert [each["n"] for each in _ingested(world)] == [1, 9, 9, 10]
    assert _told(world.home) == ["payments: nothing new"]


@pytest.mark.postgres
def test_postgresql_tells_what_is_wrong_in_one_line(
    make_world: MakeWorld, crm_on_postgres: Callable[[str], None], postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = crm_on_postgres
    world = make_world('{database: "env:CRM", table: billing.payments, cursor: n}')
    assert "table `billing.payments` cannot be read; is there one, and may this user read it? (SQLSTATE 42P01)" in (
        _failed(world.home)
    )
    execute("CREATE TABLE billing.payments (n text, id text, at timestamp, amount int, note text)")
    execute("INSERT INTO billing.payments VALUES ('1', 'a', '2026-01-01', 1, 'x')")
    (first,) = _bring(world)
    world.run([first])
    first.unlink()
    assert "does the cursor `n` have the declared type there? (SQLSTATE 42883)" in _failed(world.home)
    monkeypatch.setenv("CRM", postgres.replace("sek", "hush"))
    line = _failed(world.home)
    assert "postgresql:///postgres: the database cannot be reached" in line
    assert "hush" not in line


@pytest.mark.postgres
def test_postgresql_that_breaks_off_leaves_nothing(
    make_world: MakeWorld, crm_on_postgres: Callable[[str], None]
) -> None:
    execute = crm_on_postgres
    execute("CREATE VIEW billing.payments AS SELECT 10 / (30000 - i) AS n, repeat('x', 999) AS id, now() AS at,"
            " 1 AS amount, '' AS note FROM generate_series(1, 30000) AS i")  # fmt: skip
    world = make_world('{database: "env:CRM", table: billing.payments}')
    assert "reading it broke off; nothing was kept." in _failed(world.home)


@pytest.mark.postgres
def test_postgresql_streams_also_from_a_cursor_on(
    make_world: MakeWorld, crm_on_postgres: Callable[[str], None]
) -> None:
    execute = crm_on_postgres
    rows = "i AS n, repeat('x', 999) AS id, timestamp '2026-01-01' AS at, 1 AS amount, '' AS note"
    execute(f"CREATE TABLE billing.payments AS SELECT {rows} FROM generate_series(1, 1) AS i")
    world = make_world('{database: "env:CRM", table: billing.payments, cursor: n}')
    world.run(_bring(world))
    execute(f"INSERT INTO billing.payments SELECT {rows} FROM generate_series(2, 20000) AS i")
    (second,) = _bring(world)
    assert pq.read_metadata(second).num_row_groups > 1
    assert pq.read_metadata(second).num_rows == 20000

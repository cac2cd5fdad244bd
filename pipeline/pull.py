"""What does not come as files by itself → files in the source folder: rows of a table, or objects found by fsspec.

A file is written beside under a hidden name and renamed, so that the daemon takes it up like any other. Where a pull
goes on is read from the data set and the ledger; there is no state of its own that could disagree with them. No
message has a cell's value in it, nor an address as it was given: a password may stand there.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from churnwatch.pipeline import files, scan
from churnwatch.pipeline.clock import utc_now
from churnwatch.pipeline.datasets import paths, role
from churnwatch.pipeline.engine import duckdb_engine, name
from churnwatch.pipeline.errors import ChurnwatchError, DataError, NotFoundError, SettingsError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import (
    ADDRESS_ELSEWHERE,
    FILE_NAME,
    POSTGRESQL,
    SQLITE,
    ColumnType,
    Home,
    Pull,
    Settings,
    SourceTable,
)

LOCK = "pull.lock"
_BATCH_ROWS = 1 << 16
_VARIABLE = "churnwatch.cursor"
_SHOWN_NAMES = 3
_DUCKDB_TYPES = {ColumnType.INTEGER: "BIGINT", ColumnType.NUMBER: "DOUBLE", ColumnType.DATE: "TIMESTAMP"}
_POSTGRESQL_TYPES = {ColumnType.INTEGER: "BIGINT", ColumnType.NUMBER: "DOUBLE PRECISION", ColumnType.DATE: "TIMESTAMP"}
_SQLITE_TYPES = {ColumnType.INTEGER: "INTEGER", ColumnType.NUMBER: "REAL"}

Cursor = int | float | datetime


@dataclass(frozen=True)
class Result:
    """What came of pulling a source, or of one object of it that was refused, in one line."""

    line: str
    ok: bool = True


class _NothingNewError(Exception):
    """The file that was written holds nothing new; raised to have it removed."""


def pull(home: Home, names: Sequence[str] = ()) -> Iterator[Result]:
    """Bring what is new of these sources, else of all that have a `pull`; one that fails does not stop the others.

    Raises:
        NotFoundError: there is no such source, or it has no `pull`.
        SettingsError: no source has one.
        BusyError: another pull of this home is under way.
    """
    wanted = _wanted(home.settings, names)
    with files.lock(home.state / LOCK, busy=f"{home.path}: another pull is under way."), _ledger(home) as ledger:
        for source, given in wanted.items():
            try:
                if given.url is not None:
                    yield from _objects(home, ledger, source, given.url)
                else:
                    yield _table(home, ledger, source, given)
            except (ChurnwatchError, OSError) as error:
                yield Result(f"{source}: {error}", ok=False)


def _wanted(settings: Settings, names: Sequence[str]) -> dict[str, Pull]:
    there = {source: table.pull for source, table in settings.sources.items() if table.pull is not None}
    if not there:
        raise SettingsError(f"{FILE_NAME}: no source has a `pull`; docs/settings.md says what it is.")
    for source in names:
        if source not in there:
            raise NotFoundError(f"{source}: no source of that name has a `pull`; these have: {', '.join(there)}.")
    return {source: given for source, given in there.items() if source in names or not names}


@contextlib.contextmanager
def _ledger(home: Home) -> Iterator[Reader | None]:
    """Open the ledger; before the first run there is none, and nothing was ingested."""
    if not home.ledger.exists():
        yield None
        return
    with Reader.open(home.ledger) as ledger:
        yield ledger


def _is_taken(settings: Settings, source: str, path: str) -> bool:
    """Tell whether a file of this name in the source folder would be taken for one of this source."""
    return scan.is_ours(path) and role(settings, path) == source


# -- tables ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Address:
    """Where a database is, and how that may be shown."""

    given: str
    shown: str
    file: str | None  # of SQLite


def _table(home: Home, ledger: Reader | None, source: str, given: Pull) -> Result:
    declared = home.settings.sources[source]
    path = declared.files.replace("*", f"pulled-{utc_now():%Y%m%dT%H%M%SZ}")
    if not _is_taken(home.settings, source, path):
        raise SettingsError(f"{FILE_NAME}: a file such as {path} would not be taken for one of this source; a source"
                            " before it, whose `files` fit too, would have it.")  # fmt: skip
    after = _newest(home, ledger, source, given.cursor)
    address = _address(source, given.database or "")
    target = home.source / path
    files.sweep(target.parent, f"{declared.files.rpartition('/')[2]}-*")
    with _connected(address) as connection:
        table = _Table(connection, address, given, declared)
        if after is not None and not table.has_more(after):
            return Result(f"{source}: nothing new")
        rows = _keep(table.batches(after), target, ledger)
    return Result(f"{source}: {rows:,} rows from {address.shown} into {target}" if rows else f"{source}: nothing new")


def _newest(home: Home, ledger: Reader | None, source: str, cursor: str | None) -> Cursor | None:
    """Return the largest value of the cursor that was ingested; what was quarantined does not count."""
    parts = [] if ledger is None or cursor is None else paths(home, ledger, source)
    if cursor is None or not parts:
        return None
    kind = _DUCKDB_TYPES[home.settings.sources[source].declared[cursor].type]  # a key is kept as text
    with duckdb_engine(home.state / "spill") as engine:
        found: Cursor | None = engine.rows(
            f"SELECT max(TRY_CAST({name(cursor)} AS {kind})) FROM {engine.scan(parts)} AS p"
        )[0][0]
    return found


def _keep(batches: Generator[pa.RecordBatch, None, None], target: Path, ledger: Reader | None) -> int:
    """Write rows into a file of the source folder, if there is anything new in it; return how many there are."""
    with contextlib.suppress(_NothingNewError), files.written_beside(target) as beside:
        rows = _write(batches, beside)
        _refuse_nothing_new(rows, beside, ledger)
        return rows
    return 0


def _refuse_nothing_new(rows: int, path: Path, ledger: Reader | None) -> None:
    """Refuse a file without rows, and one of whose bytes were ingested before: the table has not changed."""
    if rows == 0 or (ledger is not None and ledger.content_owner(files.sha256_of(path), 0) is not None):
        raise _NothingNewError


def _address(source: str, given: str) -> _Address:
    elsewhere = ADDRESS_ELSEWHERE.fullmatch(given)
    text = _read_elsewhere(source, elsewhere[1], elsewhere[2]) if elsewhere else given
    if sqlite := SQLITE.fullmatch(text):
        return _Address(text, text, sqlite[1])
    if postgresql := POSTGRESQL.fullmatch(text):
        return _Address(text, f"postgresql://{postgresql['place']}", None)
    raise SettingsError(
        f"{FILE_NAME}: sources.{source}.pull.database: what stands in {given} is no address such as"
        " `sqlite:///path` or `postgresql://user:password@host/database`; in a password, /@:?#% are written as %2F…"
    )


def _read_elsewhere(source: str, where: str, key: str) -> str:
    setting = f"{FILE_NAME}: sources.{source}.pull.database"
    if where == "env":
        if key not in os.environ:
            raise SettingsError(f"{setting}: there is no environment variable {key}.")
        return os.environ[key].strip()
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        raise SettingsError(f"{setting}: there is no $CREDENTIALS_DIRECTORY; systemd sets it for LoadCredential=.")
    try:
        return (Path(folder) / key).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{setting}: the credential {key} cannot be read; see LoadCredential=.") from None


@contextlib.contextmanager
def _connected(address: _Address) -> Iterator[Any]:
    """Open a database for reading.

    Raises:
        SettingsError: its driver is not installed.
        DataError: it cannot be reached.
    """
    try:
        driver = import_module(f"adbc_driver_{'postgresql' if address.file is None else 'sqlite'}.dbapi")
    except ImportError:
        raise SettingsError(
            f"{address.shown}: its driver is not installed: pip install 'churnwatch[databases]'"
        ) from None
    given = f"{Path(address.file).as_uri()}?mode=ro" if address.file is not None else address.given
    with _told(f"{address.shown}: the database cannot be reached; is it there, and may this user open it?"):
        connection = driver.connect(given)
    with connection:
        yield connection


@contextlib.contextmanager
def _told(line: str) -> Iterator[None]:
    """Turn what a driver raises into this line; its own words may hold values or parts of an address."""
    import adbc_driver_manager  # noqa: PLC0415 - an extra

    try:
        yield
    except (adbc_driver_manager.Error, OSError, pa.ArrowException) as error:
        state = getattr(error, "sqlstate", None)
        raise DataError(f"{line} (SQLSTATE {state})" if state else line) from None


class _Table:
    """A table of a database: its rows from a value of the cursor on."""

    def __init__(self, connection: Any, address: _Address, given: Pull, declared: SourceTable) -> None:
        self._connection, self._address, self._declared = connection, address, declared
        self._cursor_column = given.cursor
        self._table = ".".join(name(part) for part in (given.table or "").split("."))
        self._called = f"{address.shown}: table `{given.table}`"
        self._types = self._columns()
        missing = [column for column in declared.columns if column not in self._types]
        if missing:  # the file would be refused
            raise DataError(f"{self._called} has no column `{missing[0]}`, but the source's `columns` do.")

    def _columns(self) -> dict[str, pa.DataType]:
        with (
            _told(f"{self._called} cannot be read; is there one, and may this user read it?"),
            self._connection.cursor() as asked,
        ):
            asked.execute(f"SELECT * FROM {self._table} WHERE 1 = 0")
            schema = asked.fetch_record_batch().schema
            return dict(zip(schema.names, schema.types, strict=True))

    def has_more(self, after: Cursor) -> bool:
        """Tell whether there are rows beyond this value of the cursor."""
        with self._comparing(), self._connection.cursor() as asked:
            self._ask(asked, f"SELECT 1 AS more FROM {self._table}", ">", after, " LIMIT 1")
            return asked.fetchone() is not None

    def batches(self, after: Cursor | None) -> Generator[pa.RecordBatch, None, None]:
        """Yield the declared columns in Arrow batches, of all rows or from this value of the cursor on."""
        selected = ", ".join(f"{self._cell(column)} AS {name(column)}" for column in self._declared.columns)
        query = f"SELECT {selected} FROM {self._table}"
        with self._connection.cursor() as asked:
            if self._address.file is not None:
                asked.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_BATCH_ROWS)})
            with self._comparing():
                if after is None:
                    asked.execute(query)
                else:
                    self._ask(asked, query, ">=", after)
                reader = asked.fetch_record_batch()
            yield from self._read(reader)

    def _read(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        while True:
            with _told(f"{self._called}: reading it broke off; nothing was kept."):
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            yield _without_zones(batch)

    def _comparing(self) -> contextlib.AbstractContextManager[None]:
        cursor = (
            f"; does the cursor `{self._cursor_column}` have the declared type there?" if self._cursor_column else ""
        )
        return _told(f"{self._called} cannot be read{cursor}")

    def _ask(self, asked: Any, query: str, sign: str, after: Cursor, rest: str = "") -> None:
        """Execute a query over the rows beyond a value, which is bound.

        PostgreSQL's driver reads the result of a statement with parameters into memory as a whole. So the value is
        bound to a variable of the transaction, and the statement that streams reads it from there.
        """
        column = self._cursor_column or ""
        kind = self._declared.declared[column].type
        if self._address.file is not None:
            left, right = _ordered_by_sqlite(name(column), kind), _ordered_by_sqlite("?", kind)
            bound = after.isoformat(sep=" ") if isinstance(after, datetime) else after
            asked.execute(f"{query} WHERE {left} {sign} {right}{rest}", (bound,))
            return
        zoned = pa.types.is_timestamp(self._types[column]) and self._types[column].tz is not None
        text = after.isoformat(sep=" ") + ("+00" if zoned else "") if isinstance(after, datetime) else repr(after)
        asked.execute("SELECT set_config($1, $2, true)", (_VARIABLE, text))
        asked.fetchall()
        right = f"CAST(current_setting('{_VARIABLE}') AS {'TIMESTAMPTZ' if zoned else _POSTGRESQL_TYPES[kind]})"
        asked.execute(f"{query} WHERE {name(column)} {sign} {right}{rest}")

    def _cell(self, column: str) -> str:
        if self._address.file is not None:
            return _sqlite_text(name(column))
        return name(column) if _is_plain(self._types[column]) else f"CAST({name(column)} AS TEXT)"


def _sqlite_text(cell: str) -> str:
    """Return the SQL of a cell as text, and of none as an empty one, which is read as missing.

    A column of SQLite holds values of any type, and its driver tells the type by the first rows: where they are all
    NULL, or whole, a fraction later on is an error. Numbers whose short text is another number have all 17 digits.
    """
    text = f"CAST({cell} AS TEXT)"
    is_cut = f"typeof({cell}) = 'real' AND CAST({text} AS REAL) <> {cell}"
    return f"coalesce(CASE WHEN {is_cut} THEN printf('%!.17g', {cell}) ELSE {text} END, '')"


def _ordered_by_sqlite(value: str, kind: ColumnType) -> str:
    """Return the SQL of a value as what it is compared by; SQLite would compare numbers in a text column as texts."""
    if kind is ColumnType.DATE:
        return f"strftime('%Y-%m-%d %H:%M:%f', {value})"  # whether `T` or a blank stands in it
    return f"CAST({value} AS {_SQLITE_TYPES[kind]})"


def _is_plain(kind: pa.DataType) -> bool:
    """Tell whether a value of PostgreSQL comes as what a reader of Parquet shows as the database does."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string, pa.types.is_date,
             pa.types.is_timestamp)  # fmt: skip
    return any(test(kind) for test in tests)


def _without_zones(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose moments are UTC and say no zone: dates are read without one."""
    columns = [
        column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) and column.type.tz else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _write(batches: Generator[pa.RecordBatch, None, None], path: Path) -> int:
    """Write batches into one Parquet file, never more than one in memory; return how many rows there were."""
    rows = 0
    with contextlib.closing(batches), contextlib.ExitStack() as open_file:
        writer = None
        for batch in batches:
            if writer is None:
                writer = open_file.enter_context(pa.parquet.ParquetWriter(path, batch.schema, compression="zstd"))
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


# -- objects ---------------------------------------------------------------------------------------------------


def _objects(home: Home, ledger: Reader | None, source: str, url: str) -> Iterator[Result]:
    shown = re.sub(r"://.*@", "://", url)
    system, found = _found(source, url, shown)
    seen = {(row["path"], row["size_bytes"]) for row in ledger.files()} if ledger is not None else set()
    below = home.settings.sources[source].files.rpartition("/")[0]
    copied: dict[str, int] = {}
    names: set[str] = set()
    for there, size in found:
        base = there.rpartition("/")[2]
        path = f"{below}/{base}" if below else base
        if refusal := _refusal(home.settings, source, path, names):
            yield Result(f"{source}: {there}: not copied: {refusal}", ok=False)
            continue
        names.add(path)
        if (scan.shown(path), size) not in seen and not _lies_there(home.source / path, size):
            copied[base] = _copy(system, there, home.source / path, size, shown)
    if not copied:
        yield Result(f"{source}: nothing new")
        return
    listed = ", ".join([*copied][:_SHOWN_NAMES]) + (", …" if len(copied) > _SHOWN_NAMES else "")
    yield Result(f"{source}: {len(copied):,} file(s), {sum(copied.values()):,} bytes from {shown} into"
                 f" {home.source / below}: {listed}")  # fmt: skip


def _found(source: str, url: str, shown: str) -> tuple[Any, list[tuple[str, int | None]]]:
    """Return the file system of a url, and every object that its glob finds, with its size if that is known."""
    try:
        import fsspec  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError(f"{shown}: fsspec is not installed: pip install 'churnwatch[remote]'") from None
    try:
        system, pattern = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError):
        raise SettingsError(f"{FILE_NAME}: sources.{source}.pull.url: fsspec has no plugin for {shown};"
                            " it names them all in its documentation (such as s3fs, gcsfs).") from None  # fmt: skip
    with _fetching(shown):
        found = system.glob(pattern, detail=True)
        return system, sorted((there, each.get("size")) for there, each in found.items() if each["type"] == "file")


def _refusal(settings: Settings, source: str, path: str, names: set[str]) -> str | None:
    if not _is_taken(settings, source, path):
        return "its name does not fit the source's `files`, so it would be taken for something else"
    if path in names:
        return "another object that was found has the same name"
    return None


def _lies_there(target: Path, size: int | None) -> bool:
    return target.is_file() and target.stat().st_size == size


def _copy(system: Any, there: str, target: Path, size: int | None, shown: str) -> int:
    files.sweep(target.parent, f"{glob.escape(target.name)}-*")
    with files.written_beside(target) as beside:
        with _fetching(shown):
            system.get_file(there, str(beside))
        came = beside.stat().st_size
        if size is not None and came != size:
            raise DataError(f"{there}: {came:,} bytes came where {size:,} were announced; is it still being written?")
    return came


@contextlib.contextmanager
def _fetching(shown: str) -> Iterator[None]:
    """Turn whatever a plugin of fsspec raises into one line; its own words may hold parts of an address."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - each plugin has errors of its own
        why = getattr(error, "strerror", None) or type(error).__name__
        raise DataError(f"{shown}: cannot be read or copied ({why}).") from None

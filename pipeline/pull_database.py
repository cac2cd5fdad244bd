"""A table of SQLite or PostgreSQL → batches of its rows after a cursor, and one Parquet file of them.

No message has a cell's value in it, nor an address as it was given: a password may stand there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from churnwatch.pipeline import credentials
from churnwatch.pipeline.engine import name
from churnwatch.pipeline.errors import DataError, SettingsError
from churnwatch.pipeline.settings import (
    FILE_NAME,
    POSTGRESQL,
    SQLITE,
    ColumnType,
    Pull,
    SourceTable,
)

_BATCH_ROWS = 1 << 16
_VARIABLE = "churnwatch.cursor"
_POSTGRESQL_TYPES = {ColumnType.INTEGER: "BIGINT", ColumnType.NUMBER: "DOUBLE PRECISION", ColumnType.DATE: "TIMESTAMP"}
_SQLITE_TYPES = {ColumnType.INTEGER: "INTEGER", ColumnType.NUMBER: "REAL"}

Cursor = int | float | datetime


@dataclass(frozen=True)
class Address:
    """Where a database is, and how that may be shown."""

    given: str
    shown: str
    file: str | None  # of SQLite


def address_of(source: str, given: str) -> Address:
    """Return where a source's database is, from what the settings say or where they say that it stands.

    Raises:
        SettingsError: it does not stand there, or is no address of a database that is known.
    """
    text = credentials.resolved(f"sources.{source}.pull.database", given)
    if sqlite := SQLITE.fullmatch(text):
        return Address(text, text, sqlite[1])
    if postgresql := POSTGRESQL.fullmatch(text):
        return Address(text, f"postgresql://{postgresql['place']}", None)
    raise SettingsError(
        f"{FILE_NAME}: sources.{source}.pull.database: what stands in {given} is no address such as"
        " `sqlite:///path` or `postgresql://user:password@host/database`; in a password, /@:?#% are written as %2F…"
    )


@contextlib.contextmanager
def connected(address: Address) -> Iterator[Any]:
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


class Table:
    """A table of a database: its rows from a value of the cursor on."""

    def __init__(self, connection: Any, address: Address, given: Pull, declared: SourceTable) -> None:
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


def write(batches: Generator[pa.RecordBatch, None, None], path: Path) -> int:
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

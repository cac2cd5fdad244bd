"""One text of SQL, run where the data is: the only module that knows the database.

Names are quoted by `name`, texts by `literal`; nothing else from outside ever gets into a statement.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import duckdb
import pyarrow as pa

from churnwatch.pipeline import files
from churnwatch.pipeline.errors import DataError

T = TypeVar("T")
_EXPECTED = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.NotImplementedException,  # of a type that only Arrow knows
)
_OF_VALUES = (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException)


def name(identifier: str) -> str:
    """Quote a column's or table's name."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text value."""
    return "'" + text.replace("'", "''") + "'"


def constant(text: str) -> str:
    """Quote a text value of the data for either engine: to Spark a backslash within quotes begins an escape."""
    return f"concat({', chr(92), '.join(map(literal, text.split(chr(92))))})" if chr(92) in text else literal(text)


def timestamp(moment: object) -> str:
    """Quote a time, given as one or as its ISO text."""
    return f"CAST({literal(str(moment))} AS TIMESTAMP)"


def file_literal(path: Path) -> str:
    """Quote the path of one file for DuckDB, to which a name with `*`, `?` or `[` would mean several."""
    return literal(re.sub(r"[*?\[]", r"[\g<0>]", str(path)))


class Engine(Protocol):
    """What the steps ask of a database."""

    def table(self, table: str, source: str | pa.Table, *, lazy: bool = False) -> None:
        """Make a temporary table of a query or of an Arrow table, in place of one of the same name.

        A lazy one is a query under a name: worth it where it is read once or costs little.
        """

    def drop(self, table: str) -> None:
        """Give up a temporary table, if there is one of that name."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return a query's rows."""

    def arrow(self, sql: str) -> pa.Table:
        """Return a query's result as one Arrow table."""

    def write(self, sql: str, path: Path) -> int:
        """Write a query's result as one Parquet file and return the number of rows; durability is the caller's."""

    def batches(self, sql: str, rows: int = 100_000) -> Iterator[pa.RecordBatch]:
        """Yield a query's result in Arrow batches, never as a whole."""

    def scan(self, parts: Sequence[Path]) -> str:
        """Return what stands after FROM to read these Parquet files as one table."""

    def refusal(self, query: str) -> str | None:
        """Tell in one line why a query that a user wrote part of cannot be run; None when it can."""

    def mapped(
        self, sql: str, function: Callable[[pa.RecordBatch], pa.RecordBatch], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        """Yield what a function makes of a query's batches, computed where the data is; the schema is of its results.

        How the rows are cut into batches is the engine's business.
        """


class DuckDB:
    """The embedded engine.

    Attributes:
        scratch: a folder for files that nobody needs longer than the engine.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, scratch: Path) -> None:
        self._connection = connection
        self.scratch = scratch
        self._lazy: dict[str, bool] = {}

    def table(self, table: str, source: str | pa.Table, *, lazy: bool = False) -> None:
        """Make a temporary table; see `Engine.table`."""
        if self._lazy.setdefault(table, lazy) != lazy:  # a view does not take the place of a table by itself
            self._run(f"DROP {'TABLE' if lazy else 'VIEW'} IF EXISTS {name(table)}")
            self._lazy[table] = lazy
        if lazy:
            self._run(f"CREATE OR REPLACE TEMP VIEW {name(table)} AS {source}")
        elif isinstance(source, pa.Table):
            self._guarded(lambda: self._connection.register("_arrow", source))
            self._run(f"CREATE OR REPLACE TEMP TABLE {name(table)} AS SELECT * FROM _arrow")
            self._connection.unregister("_arrow")
        else:
            self._run(f"CREATE OR REPLACE TEMP TABLE {name(table)} AS {source}")

    def drop(self, table: str) -> None:
        """Give up a temporary table; see `Engine.drop`."""
        self._run(f"DROP {'VIEW' if self._lazy.pop(table, False) else 'TABLE'} IF EXISTS {name(table)}")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return a query's rows."""
        return self._run(sql).fetchall()

    def arrow(self, sql: str) -> pa.Table:
        """Return a query's result as one Arrow table."""
        return self._guarded(lambda: self._connection.sql(sql).to_arrow_table())

    def write(self, sql: str, path: Path) -> int:
        """Write one Parquet file; see `Engine.write`."""
        # Who keeps a file writes it beside its name; one more such file, of DuckDB's own, nobody would sweep up.
        options = "FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false"
        done = self._run(f"COPY ({sql}) TO {literal(str(path))} ({options})").fetchall()
        return int(done[0][0])

    def batches(self, sql: str, rows: int = 100_000) -> Iterator[pa.RecordBatch]:
        """Yield Arrow batches; see `Engine.batches`."""
        yield from self._guarded(lambda: self._connection.sql(sql).to_arrow_reader(rows))

    def scan(self, parts: Sequence[Path]) -> str:
        """Return a table expression over Parquet files; see `Engine.scan`."""
        return f"read_parquet([{', '.join(file_literal(part) for part in parts)}])"

    def mapped(
        self,
        sql: str,
        function: Callable[[pa.RecordBatch], pa.RecordBatch],
        schema: pa.Schema,  # noqa: ARG002 - the function's results say it themselves
    ) -> Iterator[pa.RecordBatch]:
        """Yield a function's results over a query's batches; see `Engine.mapped`."""
        return map(function, self.batches(sql))

    def refusal(self, query: str) -> str | None:
        """Tell why a query cannot be run; see `Engine.refusal`."""
        try:
            self._connection.execute(f"EXPLAIN {query}").fetchall()
        except duckdb.Error as error:
            return str(error).splitlines()[0]
        return None

    def _run(self, sql: str) -> duckdb.DuckDBPyConnection:
        return self._guarded(lambda: self._connection.execute(sql))

    @staticmethod
    def _guarded(query: Callable[[], T]) -> T:
        try:
            return query()
        except _OF_VALUES as error:
            # Our own casts try first; only an expression of the user's can fail. The reason would hold a cell's value.
            raise DataError(
                "a value in the data is not what an expression takes it for, or too large, or a part is damaged"
                f" ({type(error).__name__}); see `expressions`, `computed` and `features` in settings.yaml"
            ) from None
        except duckdb.Error as error:
            # A broken Parquet file comes as the base class itself; a mistake in SQL has a class of its own.
            if type(error) is duckdb.Error or isinstance(error, _EXPECTED):
                raise DataError(f"the data set cannot be read or written: {error}") from error
            raise


@contextmanager
def duckdb_engine(
    spill_folder: Path, *, threads: int | None = None, memory_gb: float | None = None
) -> Iterator[DuckDB]:
    """Open the embedded engine; what does not fit into its memory spills into a folder."""
    config: dict[str, Any] = {
        "threads": threads or os.cpu_count() or 1,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
    }
    if memory_gb is not None:
        config["memory_limit"] = f"{memory_gb}GB"
    with (
        files.scratch(spill_folder) as scratch,
        duckdb.connect(config={**config, "temp_directory": str(scratch)}) as connection,
    ):
        yield DuckDB(connection, scratch)

"""The second engine: the same text of SQL, run by a Spark cluster through Spark Connect.

Only small results come through the connection. Tables and large results go through Parquet files in one folder, the
exchange, that this process, the server and its workers all see at the same path. What Spark writes is one file per
partition, numbered in the order of the rows; whoever reads them does so in that order.
"""

from __future__ import annotations

import itertools
import logging
import re
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from churnwatch.pipeline.engine import name
from churnwatch.pipeline.errors import DataError, SettingsError

if TYPE_CHECKING:
    from pyspark.errors import PySparkException
    from pyspark.sql import DataFrame
    from pyspark.sql.connect.session import SparkSession

CONNECT_S = 10.0
CONF = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.caseSensitive": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",  # as DuckDB's, without a zone
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",  # few files, of a size worth a task
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",  # what `mapped` is given at once, as in DuckDB
}
# Not answered for so long, the connection is looked after; servers drop clients that ask within five minutes.
CHANNEL = [("grpc.keepalive_time_ms", 310_000), ("grpc.keepalive_timeout_ms", 20_000)]
# The parameters of the server's messages that name things. Others may hold what stands in a cell.
NAMING = ("path", "relationName", "objectName", "routineName")
QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")


class Spark:
    """The engine of a cluster; see `churnwatch.pipeline.engine.Engine`."""

    def __init__(self, session: SparkSession, folder: Path, address: str) -> None:
        self._session = session
        self._folder = folder
        self._address = address
        self._numbers = itertools.count(1)
        self._tables: dict[str, Path] = {}

    def table(self, table: str, source: str | pa.Table, *, lazy: bool = False) -> None:
        """Make a temporary table; see `Engine.table`. Its rows keep their order when it is read."""
        if lazy:
            with self._guarded():
                self._session.sql(_spelt(f"CREATE OR REPLACE TEMP VIEW {name(table)} AS {source}"))
            self._forget(table)
            return
        if isinstance(source, pa.Table):
            folder = self._fresh()
            with self._guarded():
                folder.mkdir()
                pq.write_table(source, folder / "part-0.parquet", coerce_timestamps="us", store_schema=False)
        else:
            folder = self._save(self._query(source))
        with self._guarded():
            first, *others = _parts(folder)
            head = self._read([first])
            rest = [self._session.read.schema(head.schema).parquet(_pattern(part)) for part in others]
            _in_order([head, *rest]).createOrReplaceTempView(_spelt(name(table)))
        self._forget(table)
        self._tables[table.lower()] = folder

    def drop(self, table: str) -> None:
        """Give up a temporary table; see `Engine.drop`."""
        with self._guarded():
            self._session.catalog.dropTempView(table)
        self._forget(table)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return a query's rows."""
        with self._guarded():
            found = self._session.sql(_spelt(sql)).toArrow()
        return list(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def arrow(self, sql: str) -> pa.Table:
        """Return a query's result as one Arrow table."""
        with self._saved(self._query(sql)) as parts:
            return pa.concat_tables(pq.ParquetFile(part).read() for part in parts).replace_schema_metadata()

    def write(self, sql: str, path: Path) -> int:
        """Write one Parquet file; see `Engine.write`.

        The server writes the partitions, and several are put together here: letting it bring them into one may
        change their order.
        """
        with self._saved(self._query(sql)) as parts:
            whole = parts[0] if len(parts) == 1 else _put_together(parts)
            shutil.move(whole, path)
            return int(pq.read_metadata(path).num_rows)

    def batches(self, sql: str, rows: int = 100_000) -> Iterator[pa.RecordBatch]:
        """Yield Arrow batches; see `Engine.batches`."""
        return self._batches(self._query(sql), rows)

    def mapped(
        self, sql: str, function: Callable[[pa.RecordBatch], pa.RecordBatch], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        """Yield what a function makes of a query's batches on the workers; see `Engine.mapped`.

        The function is sent with all code of this program that it uses. Its libraries must be on the workers.
        """
        from pyspark import cloudpickle  # noqa: PLC0415
        from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415

        import churnwatch  # noqa: PLC0415 - the workers have none

        send_by_value: Callable[[ModuleType], None] = cloudpickle.register_pickle_by_value
        send_by_value(churnwatch)

        def on_the_worker(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return map(function, batches)

        with self._guarded():
            made = self._query(sql).mapInArrow(on_the_worker, from_arrow_schema(schema, prefer_timestamp_ntz=True))
        return self._batches(made, 100_000)

    def scan(self, parts: Sequence[Path]) -> str:
        """Return a view over Parquet files; see `Engine.scan`."""
        view = name(f"scan {next(self._numbers)}")
        with self._guarded():
            self._read(parts).createOrReplaceTempView(view)
        return view

    def refusal(self, query: str) -> str | None:
        """Tell why a query cannot be run; see `Engine.refusal`."""
        from pyspark.errors import AnalysisException  # noqa: PLC0415

        with self._guarded():
            try:
                # Inside another query it can only be one; a statement would be carried out.
                self._session.sql(_spelt(f"SELECT * FROM ({query}) AS q"))
            except AnalysisException as error:
                return str(error.getMessage()).strip().splitlines()[0]
        return None

    def _query(self, sql: str) -> DataFrame:
        with self._guarded():
            return self._session.sql(_spelt(sql))

    def _read(self, parts: Sequence[Path]) -> DataFrame:
        return self._session.read.parquet(*(_pattern(part) for part in parts))

    def _batches(self, query: DataFrame, rows: int) -> Iterator[pa.RecordBatch]:
        with self._saved(query) as parts:
            for part in parts:
                with pq.ParquetFile(part) as file:
                    for batch in file.iter_batches(rows):
                        yield batch.replace_schema_metadata()

    @contextmanager
    def _saved(self, query: DataFrame) -> Iterator[list[Path]]:
        """Lend a query's result as files, in its order."""
        folder = self._save(query)
        try:
            with self._guarded():
                yield _parts(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _save(self, query: DataFrame) -> Path:
        folder = self._fresh()
        try:
            with self._guarded():
                query.write.parquet(f"file:{folder}")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def _fresh(self) -> Path:
        return self._folder / str(next(self._numbers))

    def _forget(self, table: str) -> None:
        """Remove what a table of that name was made of before; the views over it now read its successor."""
        if former := self._tables.pop(table.lower(), None):
            shutil.rmtree(former, ignore_errors=True)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn what the server, the connection and the storage can do into one line."""
        from pyspark.errors import PySparkException, PythonException  # noqa: PLC0415

        try:
            yield
        except PythonException:  # our own code failed on a worker
            raise
        except PySparkException as error:
            raise DataError(_words(error, self._address)) from error
        except (OSError, pa.ArrowInvalid) as error:
            what = getattr(error, "strerror", None) or type(error).__name__  # Arrow's texts may hold a cell
            raise DataError(
                f"{self._folder.parent}: the files shared with Spark cannot be read or written ({what}). See that there"
                " is room, and that the server runs as this user and sees the folder at this path."
            ) from error


@contextmanager
def spark_engine(url: str, exchange: Path) -> Iterator[Spark]:
    """Open a session with a Spark Connect server; large results go through a folder that all of Spark sees."""
    session, address = _connect(url)
    folder = exchange.resolve() / uuid.uuid4().hex
    engine = Spark(session, folder, address)
    try:
        with engine._guarded():  # noqa: SLF001 - the same errors, while it is set up
            folder.mkdir(parents=True)
            for key, value in CONF.items():
                session.conf.set(key, value)
        yield engine
    finally:
        session.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _connect(url: str) -> tuple[SparkSession, str]:
    """Return a session, and the server's address without what is secret in the URL."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        try:
            import grpc  # noqa: PLC0415 - an extra; see pyproject.toml
            from pyspark.sql.connect.client import DefaultChannelBuilder  # noqa: PLC0415
            from pyspark.sql.connect.session import SparkSession  # noqa: PLC0415
        except ImportError as error:
            raise SettingsError(
                f"settings.yaml: engine: Spark's client is missing ({error}). Run: pip install 'churnwatch[spark]'"
            ) from error
    try:
        builder = DefaultChannelBuilder(url, CHANNEL)
        address = builder.endpoint
    except ValueError as error:
        raise SettingsError(
            "settings.yaml: engine: not the address of a Spark Connect server; write sc://host:15002"
        ) from error
    channel = builder.toChannel()  # the session's own would be tried for as long as a query may take
    try:
        grpc.channel_ready_future(channel).result(timeout=CONNECT_S)
    except grpc.FutureTimeoutError as error:
        raise DataError(
            f"{address}: no Spark Connect server answers within {CONNECT_S:.0f} s. Start it, or mend `engine` in"
            " settings.yaml."
        ) from error
    finally:
        channel.close()
    for logger in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        logging.getLogger(logger).disabled = True  # they print the server's messages, with what stood in a cell
    session = SparkSession.builder.channelBuilder(builder).create()
    # What fails is said at once: whoever asked knows better whether it may be done twice. Also, only what is tried
    # again needs the client's threads, which outlive the session.
    session.client.set_retry_policies([])
    session.client.disable_reattachable_execute()
    return session, address


def _words(error: PySparkException, address: str) -> str:
    """Say what went wrong: the server's own class of error and the things it names, never what stands in a cell."""
    from pyspark.errors import PySparkAssertionError  # noqa: PLC0415

    condition = error.getCondition() or ""
    status = getattr(error, "getGrpcStatusCode", lambda: None)()
    if "No space left on device" in str(error):
        return f"{address}: Spark has no room left on its storage. Make room there."
    if (
        isinstance(error, PySparkAssertionError)  # another server than the one that was asked before
        or condition.startswith(("INVALID_HANDLE.", "NO_ACTIVE_SESSION"))
        or (status is not None and status.name in {"UNAVAILABLE", "CANCELLED", "UNKNOWN"} and not condition)
    ):
        return f"{address}: the Spark server is gone, or was started anew. See that it runs, then try again."
    named = [value for key, value in (error.getMessageParameters() or {}).items() if key in NAMING]
    what = " ".join([condition or (status.name if status else type(error).__name__), *named])
    return f"{address}: Spark refused or could not carry out a query ({what}). The server's log says more."


def _spelt(sql: str) -> str:
    """Return the text as Spark must be told it: a backslash inside quotes stands for itself."""

    def spell(quoted: re.Match[str]) -> str:
        inside = quoted[0]
        if "\\" not in inside:
            return inside
        if inside.startswith("'"):
            return inside.replace("\\", "\\\\")
        return "`" + inside[1:-1].replace('""', '"').replace("`", "``") + "`"

    return QUOTED.sub(spell, sql)


def _pattern(path: Path) -> str:
    """Return a path as Spark reads it: from the file system, and with nothing in it standing for anything else."""
    return "file:" + "".join(f"\\{sign}" if sign in "{}[]*?\\" else sign for sign in str(path.resolve()))


def _parts(folder: Path) -> list[Path]:
    """Return what a query was written to, in the order of its rows."""
    return sorted(folder.glob("part-*.parquet"))


def _in_order(frames: Sequence[DataFrame]) -> DataFrame:
    """Return one after the other, as a balanced tree: plans must not be deep."""
    while len(frames) > 1:
        pairs = itertools.zip_longest(frames[::2], frames[1::2])
        frames = [first if second is None else first.union(second) for first, second in pairs]
    return frames[0]


def _put_together(parts: Sequence[Path]) -> Path:
    """Write files as one, a group of rows at a time."""
    whole = parts[0].with_name("whole.parquet")
    with pq.ParquetWriter(whole, pq.read_schema(parts[0]).remove_metadata(), compression="zstd") as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group).replace_schema_metadata())
    return whole

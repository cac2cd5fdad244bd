from __future__ import annotations

import datetime as dt
import math
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from churnwatch.pipeline import campaigns, churn_rate, profile
from churnwatch.pipeline.activity import Activity
from churnwatch.pipeline.engine import DuckDB, Engine, literal, name
from churnwatch.pipeline.errors import DataError, SettingsError
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Column, ColumnType, SourceTable
from churnwatch.pipeline.settings_campaigns import Campaigns, ChurnRule
from churnwatch.pipeline.spark import Spark, spark_engine

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark_server")]

MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 123457)  # noqa: DTZ001
# The engines' moments have no zone.
OLD = dt.datetime(1883, 11, 18)  # noqa: DTZ001
LATE = dt.datetime(9999, 12, 31)  # noqa: DTZ001
CUSTOMERS = pa.table(
    {
        "key": pa.array([-(2**63), -1, 0, 2**53 + 1, 2**63 - 1, None]),
        "text": ["", "Zoë 🐣", 'it\'s "b"\\n\n', "İstanbul", None, "\x01 ,;"],
        "number": [0.1 + 0.2, -0.0, 5e-324, math.inf, math.nan, None],
        "moment": pa.array([MOMENT, OLD, None, LATE, MOMENT, MOMENT]),
        "flag": [True, False, False, True, False, True],
    }
)
SAME = [
    "SELECT * FROM customers ORDER BY key NULLS LAST",
    "SELECT KEY, \"Text\" FROM Customers WHERE text LIKE '%ë%'",
    "SELECT flag, COUNT(*) AS n, COUNT(number) FILTER (WHERE key < 1) AS low FROM customers GROUP BY 1 ORDER BY 1",
    "SELECT c.key FROM customers c SEMI JOIN keys k ON c.key = k.key ORDER BY c.key",
    "SELECT c.key FROM customers c ANTI JOIN keys k ON c.key = k.key ORDER BY c.key NULLS LAST",
    "SELECT key, CAST(row_number() OVER (ORDER BY key DESC NULLS LAST) AS BIGINT) AS nth FROM customers ORDER BY nth",
    "SELECT md5(text) AS a, CAST(length(text) AS BIGINT) AS n, substr(text, 2, 3) AS b FROM customers WHERE key = -1",
    "SELECT TRY_CAST(text AS BIGINT) AS i, TRY_CAST(text AS DOUBLE) AS d FROM customers ORDER BY key NULLS LAST",
    "SELECT key FROM customers WHERE moment = TIMESTAMP '2024-02-29 23:59:59.123457' ORDER BY key NULLS LAST",
    "SELECT CAST(MIN(moment) AS DATE) AS first, MAX(moment) AS last, AVG(key / 4) AS mean FROM customers WHERE key < 9",
    "SELECT key FROM customers WHERE false",
]


@pytest.fixture
def exchange(tmp_path: Path) -> Path:
    return tmp_path / "ex change [1]"


@pytest.fixture
def spark(spark_server: Any, exchange: Path) -> Iterator[Spark]:
    with spark_engine(spark_server.url, exchange) as opened:
        yield opened
    assert list(exchange.iterdir()) == []


def fill(engine: Engine) -> None:
    engine.table("customers", CUSTOMERS)
    engine.table("keys", pa.table({"key": pa.array([0, 2**53 + 1, 2**53 + 1, 7, None])}))


def bits(table: pa.Table) -> list[list[Any]]:
    """Return a table's values, doubles by their bits: one NaN is as good as another."""
    return [
        [value.hex() if isinstance(value, float) else value for value in column.to_pylist()] for column in table.columns
    ]


def test_a_table_that_is_given_up_is_gone(spark: Spark) -> None:
    for lazy in (False, True):
        spark.table("t", "SELECT 1 AS a", lazy=lazy)
        spark.drop("t")
        spark.drop("t")
        assert spark.refusal("SELECT a FROM t") is not None


@pytest.mark.parametrize("sql", SAME)
def test_the_same_text_of_sql_gives_the_same_on_both(spark: Spark, engine: DuckDB, sql: str, tmp_path: Path) -> None:
    fill(spark)
    fill(engine)
    ours, theirs = engine.arrow(sql), spark.arrow(sql)
    assert theirs.schema.types == ours.schema.types
    assert bits(theirs) == bits(ours)
    assert repr(spark.rows(sql)) == repr(engine.rows(sql))
    assert spark.write(sql, tmp_path / "spark.parquet") == engine.write(sql, tmp_path / "duckdb.parquet") == len(ours)
    for path in (tmp_path / "spark.parquet", tmp_path / "duckdb.parquet"):
        for each in (engine, spark):
            assert bits(each.arrow(f"SELECT * FROM {each.scan([path])}")) == bits(ours)


def test_very_many_rows_are_described_alike_by_a_sample(
    spark: Spark, engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "_LARGE", 10)
    monkeypatch.setattr(profile, "_DRAWN", 100)
    kinds = {"n": Column(type=ColumnType.NUMBER), "left": Column(type=ColumnType.TEXT)}
    shape = Schema(kinds, target="left", positive="yes")
    numbers = [value * 0.5 for value in range(400)]
    rows = pa.table(
        {"n": numbers, "left": ["yes", "no"] * 200, "_h2": pa.array([-(7**i) % 2**61 - 2**60 for i in range(400)])}
    )
    found = []
    for each in (engine, spark):
        each.table("rows", rows)
        found.append(profile.profile(shape, each, "rows", rows=400))
    for ours, theirs in zip(*found, strict=True):
        assert theirs.distinct_values == pytest.approx(ours.distinct_values, rel=0.1)
        assert theirs.median == ours.median
        assert (theirs.mean, theirs.std) == (pytest.approx(ours.mean), pytest.approx(ours.std))


def test_values_are_plain_python(spark: Spark) -> None:
    fill(spark)
    (row,) = spark.rows("SELECT * FROM customers WHERE key = -1")
    assert type(row) is tuple
    assert row == (-1, "Zoë 🐣", -0.0, OLD, False)
    assert spark.rows("SELECT CAST(NULL AS STRING) AS a") == [(None,)]
    assert spark.rows("SELECT key FROM customers WHERE false") == []


def test_types_are_those_that_duckdb_gives(spark: Spark, engine: DuckDB) -> None:
    for each in (spark, engine):
        fill(each)
        assert each.arrow("SELECT * FROM customers").schema.types == CUSTOMERS.schema.types
        assert next(each.batches("SELECT * FROM customers")).schema.types == CUSTOMERS.schema.types


@pytest.mark.parametrize("text", ["it's", "a\\nb", "\\", "\\'", "%_\\%", "\\u0041", "line\nline\t", "🐣"])
def test_a_text_comes_back_as_it_was(spark: Spark, text: str) -> None:
    assert spark.arrow(f"SELECT {literal(text)} AS {name(text)}").to_pydict() == {text: [text]}


def test_a_table_is_replaced_and_may_be_made_of_its_former_self(spark: Spark, exchange: Path) -> None:
    spark.table("t", pa.table({"a": [1, 2]}))
    spark.table("T", "SELECT a + 1 AS a FROM t")
    spark.table("doubled", "SELECT 2 * a AS a FROM t", lazy=True)
    assert spark.rows("SELECT a FROM doubled ORDER BY a") == [(4,), (6,)]
    spark.table("t", pa.table({"a": [5]}))
    assert spark.rows("SELECT a FROM doubled") == [(10,)]
    (session,) = exchange.iterdir()
    assert len(list(session.iterdir())) == 1
    spark.table("t", "SELECT 1 AS b", lazy=True)
    assert spark.rows("SELECT * FROM t") == [(1,)]
    assert list(session.iterdir()) == []


def test_a_table_is_computed_once(spark: Spark) -> None:
    spark.table("drawn", "SELECT rand() AS x FROM range(100)")
    assert spark.rows("SELECT x FROM drawn ORDER BY x") == spark.rows("SELECT x FROM drawn ORDER BY x")


@pytest.mark.parametrize(
    "name_", ["a b", "it's", 'say "x"', "a.b", "`tick`", "ümläut", "a,;{}()=", "a\\", '\\"`', "a\\'b"]
)
def test_any_name_can_be_a_column_and_a_table(spark: Spark, engine: DuckDB, name_: str, tmp_path: Path) -> None:
    for each, path in ((spark, tmp_path / "a"), (engine, tmp_path / "b")):
        each.table(name_, pa.table({name_: [1]}))
        each.write(f"SELECT {name(name_)} FROM {name(name_)}", path)
        assert each.arrow(f"SELECT * FROM {each.scan([path])}").to_pydict() == {name_: [1]}


@pytest.mark.parametrize("partitions", [1, 7])
def test_the_order_of_many_rows_is_kept(spark: Spark, partitions: int, tmp_path: Path) -> None:
    spark._session.conf.set("spark.sql.shuffle.partitions", str(partitions))
    spark._session.conf.set("spark.sql.adaptive.enabled", "false")
    count = 200_000
    keys = sorted(range(count), key=lambda i: (i * 7919) % count)
    sql = f"SELECT id AS i FROM range({count}) ORDER BY (id * 7919) % {count}"
    path = tmp_path / "it's [one].parquet"
    assert spark.write(sql, path) == count
    file = pq.ParquetFile(path)
    assert file.read().column("i").to_pylist() == keys
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert path.parent.joinpath(f".{path.name}.crc").exists() is False
    spark.table("ordered", sql)
    assert spark.write("SELECT * FROM ordered", path) == count
    assert pq.ParquetFile(path).read().column("i").to_pylist() == keys
    assert spark.arrow("SELECT i FROM ordered").column("i").to_pylist() == keys
    batches = list(spark.batches("SELECT i FROM ordered", rows=10_000))
    assert max(batch.num_rows for batch in batches) <= 10_000
    assert [i for batch in batches for i in batch.column(0).to_pylist()] == keys


def test_batches_that_nobody_reads_to_the_end_leave_nothing(spark: Spark, exchange: Path) -> None:
    batches = spark.batches("SELECT id FROM range(100) ORDER BY id", rows=10)
    assert next(batches).column(0).to_pylist() == list(range(10))
    batches.close()  # type: ignore[attr-defined]
    (session,) = exchange.iterdir()
    assert list(session.iterdir()) == []


def test_parts_of_both_engines_are_one_table(spark: Spark, engine: DuckDB, tmp_path: Path) -> None:
    parts = [tmp_path / "it's [1].parquet", tmp_path / "{2}.parquet"]
    engine.write("SELECT CAST(1 AS BIGINT) AS a, 'x' AS b", parts[0])
    spark.write("SELECT CAST(2 AS BIGINT) AS a, 'y' AS b", parts[1])
    for each in (spark, engine):
        assert each.rows(f"SELECT a, b FROM {each.scan(parts)} AS s ORDER BY a") == [(1, "x"), (2, "y")]
        assert each.rows(f"SELECT SUM(h.a) AS n FROM {each.scan(parts)} h SEMI JOIN {each.scan(parts[:1])} k"
                         " ON h.a = k.a") == [(1,)]  # fmt: skip


def test_a_function_is_run_on_both(spark: Spark, engine: DuckDB) -> None:
    offset = 10

    def add(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays(
            [pc.add(batch.column(0), offset), pc.utf8_upper(batch.column(1)), batch.column(2)], ["i", "t", "m"]
        )

    schema = pa.schema([("i", pa.int64()), ("t", pa.string()), ("m", pa.timestamp("us"))])
    found = []
    for each in (spark, engine):
        each.table("few", pa.table({"i": [3, 1, 2], "t": ["ç", None, "a"], "m": pa.array([MOMENT, None, MOMENT])}))
        found.append(pa.Table.from_batches(each.mapped("SELECT * FROM few ORDER BY i", add, schema)))
    assert found[0].schema == found[1].schema == schema
    assert found[0].to_pydict() == found[1].to_pydict()
    assert found[0].column("i").to_pylist() == [11, 12, 13]


def test_our_own_code_goes_to_the_workers(spark: Spark) -> None:
    def quoted(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([pa.array([name(text) for text in batch.column(0).to_pylist()])], ["q"])

    (batch,) = spark.mapped("SELECT 'a' AS t", quoted, pa.schema([("q", pa.string())]))
    assert batch.to_pydict() == {"q": ['"a"']}


def test_a_bug_in_the_function_is_no_data_error(spark: Spark, engine: DuckDB) -> None:
    def wrong(batch: pa.RecordBatch) -> pa.RecordBatch:
        raise KeyError("a bug")

    for each in (spark, engine):
        with pytest.raises(Exception, match="a bug") as caught:
            list(each.mapped("SELECT 1 AS a", wrong, pa.schema([("a", pa.int64())])))
        assert not isinstance(caught.value, DataError)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1 FROM nowhere", "TABLE_OR_VIEW_NOT_FOUND `nowhere`"),
        ("SELEC 1", "PARSE_SYNTAX_ERROR"),
        ("SELECT CAST(v AS BIGINT) AS v FROM (VALUES ('1'), ('secret')) AS t(v)", "CAST_INVALID_INPUT"),
    ],
)
def test_what_the_server_refuses_is_one_line_without_values(
    spark: Spark, sql: str, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = [
        lambda: spark.rows(sql),
        lambda: spark.arrow(sql),
        lambda: spark.write(sql, tmp_path / "a.parquet"),
        lambda: list(spark.batches(sql)),
        lambda: spark.table("t", sql),
    ]
    for ask in asked:
        with pytest.raises(DataError) as caught:
            ask()
        assert words in str(caught.value)
        assert "secret" not in str(caught.value)
        assert len(str(caught.value)) < 300
    assert list(tmp_path.glob("*.parquet")) == []
    assert "secret" not in "".join(capfd.readouterr())


def test_a_query_that_cannot_be_run_is_told_before(spark: Spark) -> None:
    fill(spark)
    assert spark.refusal("SELECT key FROM customers ORDER BY key") is None
    assert "cannot be resolved" in (spark.refusal("SELECT nothing FROM customers") or "")
    assert "Syntax error" in (spark.refusal("SELECT (key FROM customers") or "")
    assert spark.refusal("DROP VIEW customers") is not None
    assert len(spark.rows("SELECT key FROM customers")) == 6


def test_parts_that_are_gone_or_broken_are_data_errors(spark: Spark, tmp_path: Path) -> None:
    gone = tmp_path / "gone.parquet"
    with pytest.raises(DataError, match=r"PATH_NOT_FOUND.*gone\.parquet"):
        spark.rows(f"SELECT * FROM {spark.scan([gone])}")
    spark.write("SELECT 1 AS a", gone)
    scanned = spark.scan([gone])
    gone.unlink()
    with pytest.raises(DataError, match=r"FILE_NOT_EXIST.*gone\.parquet"):
        spark.rows(f"SELECT a FROM {scanned}")
    gone.write_bytes(b"no parquet at all")
    with pytest.raises(DataError, match="FAILED_READ_FILE"):
        spark.rows(f"SELECT * FROM {spark.scan([gone])}")
    with pytest.raises(DataError):
        spark.scan([])
    with pytest.raises(DataError, match="No such file"):
        spark.write("SELECT 1 AS a", tmp_path / "no folder" / "a.parquet")


def refused(url: str, exchange: Path) -> str:
    """Return the one line that the address is answered with, within the time it may take."""
    started = time.monotonic()
    with pytest.raises(DataError) as caught, spark_engine(url, exchange):
        pass
    assert time.monotonic() - started < 15
    assert not exchange.exists()
    return str(caught.value)


def test_nobody_at_the_address_is_said_soon(exchange: Path) -> None:
    said = refused("sc://127.0.0.1:1/;token=secret", exchange)
    assert said.startswith("127.0.0.1:1: no Spark Connect server answers within 10 s. Start it, or")


def test_a_program_that_is_no_spark_is_said_soon(exchange: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "no Spark Connect server answers" in refused(f"sc://127.0.0.1:{silent.getsockname()[1]}", exchange)


@pytest.mark.parametrize("url", ["http://host:1", "sc://", "sc://host:port", "sc://host:1/path"])
def test_an_address_that_is_none_is_a_settings_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="write sc://host:15002"), spark_engine(url, tmp_path):
        pass


def test_a_missing_client_is_a_settings_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql.connect.session", None)
    with pytest.raises(SettingsError, match=r"pip install 'churnwatch\[spark\]'"), spark_engine("sc://h:1", tmp_path):
        pass


def test_a_full_storage_is_said(spark: Spark, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.errors.exceptions.connect import SparkConnectGrpcException  # noqa: PLC0415

    def full(sql: str) -> None:
        raise SparkConnectGrpcException("(java.io.IOException) No space left on device")

    monkeypatch.setattr(spark._session, "sql", full)
    with pytest.raises(DataError, match="no room left on its storage"):
        spark.rows("SELECT 1 AS a")


def test_a_server_that_dies_is_said_at_once_and_another_session_works(spark_server: Any, exchange: Path) -> None:
    try:
        with spark_engine(spark_server.url, exchange) as engine:
            engine.table("t", pa.table({"a": [1]}))
            killer = threading.Timer(3, spark_server.kill)
            killer.start()
            started = time.monotonic()
            with pytest.raises(DataError, match="the Spark server is gone"):
                engine.rows("SELECT COUNT(*) AS n FROM range(1000000) a JOIN range(1000000) b ON a.id % 7 = b.id % 7")
            killer.join()
            with pytest.raises(DataError, match="the Spark server is gone"):
                engine.table("t", "SELECT a FROM t")
            assert time.monotonic() - started < 15
            spark_server.start()
            with pytest.raises(DataError, match="the Spark server is gone"):
                engine.rows("SELECT a FROM t")
        assert list(exchange.iterdir()) == []
    finally:
        spark_server.start()
    with spark_engine(spark_server.url, exchange) as engine:
        assert engine.rows("SELECT 1 AS a") == [(1,)]


# -- what came of customers ------------------------------------------------------------------------------------

FOLLOWED = Schema(
    columns={
        "who": Column(type=ColumnType.TEXT),
        "at": Column(type=ColumnType.DATE),
        "left": Column(type=ColumnType.INTEGER),
    },
    target="left",
    positive="1",
    id="who",
    date="at",
)


def _followed(engine: Engine, folder: Path) -> list[Any]:
    """Return campaigns, monthly churn and labels by activity, as one engine tells them of the same rows."""
    rows, done = engine.scan([folder / "rows.parquet"]), [folder / "done.parquet"]
    engine.table("timed", f"SELECT r.*, r.at AS {campaigns.TIME} FROM {rows} r")
    source = SourceTable(files="*", key="who", time="at", columns={})
    months = [dt.datetime(2026, month, 1) for month in (2, 3, 4)]  # noqa: DTZ001
    made = [Activity(rule, source, rows) for rule in
            (ChurnRule(source="x", inactive_days=30), ChurnRule(source="x", expiry="until", grace_days=5))]  # fmt: skip
    return [
        campaigns.outcomes(FOLLOWED, engine, done, "timed", Campaigns(files="*", days=40, label_days=10)),
        campaigns.values(FOLLOWED, engine, "timed", "left"),
        churn_rate.count(FOLLOWED, engine, rows),
        *(sorted(engine.rows(query)) for each in made for month in months
          for query in (each.labels(month), each.active(month))),
    ]  # fmt: skip


def test_what_came_of_customers_is_told_the_same_on_both_engines(spark: Spark, engine: DuckDB, tmp_path: Path) -> None:
    day = dt.timedelta(days=1)
    numbers = range(300)
    times = [dt.datetime(2026, 1, 1) + (number * 37 % 110) * day for number in numbers]  # noqa: DTZ001
    pq.write_table(pa.table({
        "who": [f"c{number % 40}" for number in numbers],
        "at": times,
        "until": [at + (number % 30) * day for number, at in zip(numbers, times, strict=True)],
        "left": [number % 3 // 2 if number % 11 else None for number in numbers],
        "_batch": list(numbers),
        "_line": list(numbers),
    }), tmp_path / "rows.parquet")  # fmt: skip
    pq.write_table(pa.table({
        "who": [f"c{number % 40}" for number in range(60)],
        "date": times[:60],
        "action": [["call", "it's \\ \"new\""][number % 2] for number in range(60)],
        "treated": [number % 2 if number < 50 else None for number in range(60)],
    }), tmp_path / "done.parquet")  # fmt: skip
    found = _followed(engine, tmp_path)
    assert all(found)
    assert _followed(spark, tmp_path) == found

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from churnwatch.pipeline.engine import DuckDB, duckdb_engine, literal, name
from churnwatch.pipeline.errors import DataError


@hypothesis_settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
)
def test_whatever_is_quoted_comes_back_as_it_was(engine: DuckDB, text: str) -> None:
    table = engine.arrow(f"SELECT {literal(text)} AS {name(text)}")
    assert table.column_names == [text]
    assert table.column(0).to_pylist() == [text]


def test_quotes_cannot_be_left() -> None:
    assert name('a"; DROP TABLE t; --') == '"a""; DROP TABLE t; --"'
    assert literal("it's'") == "'it''s'''"


def test_a_table_is_made_of_arrow_or_of_a_query_and_replaces_another(engine: DuckDB) -> None:
    engine.table("t", pa.table({"a": [1, 2]}))
    engine.table("t", "SELECT a + 1 AS a FROM t")
    assert engine.rows("SELECT a FROM t ORDER BY a") == [(2,), (3,)]


def test_a_name_may_stand_for_a_table_now_and_for_a_query_then(engine: DuckDB) -> None:
    for lazy in (False, True, False, True):
        engine.table("t", f"SELECT {int(lazy)} AS a", lazy=lazy)
        assert engine.rows("SELECT a FROM t") == [(int(lazy),)]


def test_a_table_that_is_given_up_is_gone_whatever_it_was(engine: DuckDB) -> None:
    for lazy in (False, True):
        engine.table("t", "SELECT 1 AS a", lazy=lazy)
        engine.drop("t")
        engine.drop("t")
        assert engine.refusal("SELECT a FROM t") is not None


def test_why_a_query_is_refused_is_said_in_one_line_and_nothing_is_carried_out(engine: DuckDB) -> None:
    engine.table("t", pa.table({"a": [1, 2]}))
    assert engine.refusal("SELECT a FROM t") is None
    why = engine.refusal("SELECT b FROM t")
    assert why is not None
    assert '"b" not found' in why
    assert "\n" not in why
    engine.refusal("DROP TABLE t")
    assert engine.rows("SELECT count(*) FROM t") == [(2,)]


def test_rows_are_written_and_scanned(engine: DuckDB, tmp_path: Path) -> None:
    paths = [tmp_path / "it's one.parquet", tmp_path / "two.parquet"]
    assert engine.write("SELECT 1 AS a, 'x' AS b", paths[0]) == 1
    assert engine.write("SELECT 'y' AS b, unnest([2, 3]) AS a", paths[1]) == 2
    assert engine.rows(f"SELECT a, b FROM {engine.scan(paths)} ORDER BY a") == [(1, "x"), (2, "y"), (3, "y")]


def test_batches_come_in_the_order_of_the_query(engine: DuckDB) -> None:
    batches = list(engine.batches("SELECT i FROM range(10000) AS r(i) ORDER BY i DESC", rows=2048))
    assert len(batches) > 1
    assert [value for batch in batches for value in batch.column(0).to_pylist()] == list(range(9999, -1, -1))


def test_a_part_that_is_gone_is_a_data_error(engine: DuckDB, tmp_path: Path) -> None:
    missing = engine.scan([tmp_path / "gone.parquet"])
    for ask in (engine.rows, engine.arrow):
        with pytest.raises(DataError, match="the data set cannot be read or written"):
            ask(f"SELECT * FROM {missing}")
    with pytest.raises(DataError):
        list(engine.batches(f"SELECT * FROM {missing}"))
    with pytest.raises(DataError):
        engine.write("SELECT 1", tmp_path / "no folder" / "a.parquet")


def test_a_part_that_is_none_is_a_data_error(engine: DuckDB, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(DataError):
        engine.rows(f"SELECT * FROM {engine.scan([tmp_path / 'a.parquet'])}")


@pytest.mark.parametrize("asked", ["strptime(t, '%Y')", "CAST(t AS INTEGER)", "regexp_extract('a', t || '(')",
                                   "json_extract('{' || t, '$.a')", "error(t)", "date_trunc(t, now())"])  # fmt: skip
def test_what_a_query_cannot_take_is_a_data_error_without_the_value(engine: DuckDB, asked: str) -> None:
    engine.table("cells", pa.table({"t": ["sekret"]}))
    with pytest.raises(DataError) as raised:
        engine.rows(f"SELECT {asked} FROM cells")
    assert "sekret" not in str(raised.value)


def test_a_mistake_in_a_query_is_a_bug(engine: DuckDB) -> None:
    with pytest.raises(duckdb.Error):
        engine.rows("SELECT nothing FROM nowhere")


def test_nothing_is_downloaded(tmp_path: Path) -> None:
    with duckdb_engine(tmp_path / "spill", threads=1) as engine:
        found = engine.rows("SELECT current_setting('autoinstall_known_extensions'), current_setting('threads')")
    assert found == [(False, 1)]


def test_what_does_not_fit_into_memory_spills(tmp_path: Path) -> None:
    with duckdb_engine(tmp_path / "spill", threads=1, memory_gb=0.25) as small:
        small.table("t", "SELECT i, repeat('x', 100) || i AS t FROM range(4000000) AS r(i)")
        assert small.rows("SELECT count(*) FROM t") == [(4_000_000,)]
        assert list((tmp_path / "spill").iterdir())


def test_a_file_is_written_in_its_place_so_that_a_kill_leaves_nothing_that_nobody_sweeps(
    engine: DuckDB, tmp_path: Path
) -> None:
    """DuckDB would write `tmp_…` beside it and rename that; the inode tells."""
    target = tmp_path / ".part.tmp"
    target.touch()
    before = target.stat().st_ino
    engine.write("SELECT 1 AS one", target)
    assert target.stat().st_ino == before

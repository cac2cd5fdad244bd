from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from churnwatch.pipeline import load
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.features import Rows, current_customers, dataset, in_window, labelled_rows, sample, usable
from churnwatch.pipeline.ingest import ingest
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Csv, Task
from churnwatch.pipeline.windows import Window

COLUMNS = {"id": "text", "day": "date", "n": "number", "i": "integer", "t": "text", "left": "text"}
HEADER = "id,day,n,i,t,left\n"
FIRST = HEADER + "a,2026-01-01,1.5,1,x,no\nb,2026-01-01,,,,yes\nc,2026-01-01,3,3,z,\n,2026-01-01,4,4,z,no\n"
SECOND = HEADER + "b,2026-02-01,9,9,y,no\na,2026-02-01,8,8,y,yes\nc,2025-12-01,7,7,y,yes\n"


@pytest.fixture
def schema(make_schema: Callable[..., Schema]) -> Schema:
    return make_schema(COLUMNS, id="id", date="day")


@pytest.fixture
def parts(engine: DuckDB, schema: Schema, make_source: Callable[..., Source], tmp_path: Path) -> list[Path]:
    """Return a data set of two parts."""
    found: list[Path] = []
    for number, content in enumerate((FIRST, SECOND), start=1):
        loaded = load.load(load.classify([make_source(content)], schema, Csv()).labelled, schema, Csv(), engine)
        ingested = ingest(loaded, schema, engine, tmp_path / "parts", history=found, next_batch=number, dedup=True,
                          promise_holdout=True)  # fmt: skip
        found += [part.path for part in ingested.parts]
    return found


def test_labelled_rows_come_in_a_fixed_order_with_numbers_texts_and_ids(
    engine: DuckDB, schema: Schema, parts: list[Path]
) -> None:
    rows = labelled_rows(schema, engine, dataset(schema, engine, parts))
    assert rows.ids is not None
    assert [None if pd.isna(each) else each for each in rows.ids] == ["a", "b", None, "b", "a", "c"]
    assert list(rows.y) == [0, 1, 0, 0, 1, 1]
    assert (len(rows), rows.positives) == (6, 3)
    assert list(rows.X.columns) == ["n", "i", "t"]
    assert [str(kind) for kind in rows.X.dtypes] == ["float64", "float64", "str"]
    assert rows.X.iloc[1].isna().all()


def test_rows_are_taken_under_a_condition(engine: DuckDB, schema: Schema, parts: list[Path]) -> None:
    rows = labelled_rows(schema, engine, dataset(schema, engine, parts), where="_batch = 2")
    assert list(rows.X["n"]) == [9.0, 8.0, 7.0]
    assert len(labelled_rows(schema, engine, dataset(schema, engine, parts), where="false")) == 0


def test_parts_of_another_order_of_columns_are_one_data_set(
    engine: DuckDB, parts: list[Path], make_schema: Callable[..., Schema]
) -> None:
    turned = make_schema(dict(reversed(COLUMNS.items())), id="id", date="day")
    rows = labelled_rows(turned, engine, dataset(turned, engine, parts))
    assert list(rows.X.columns) == ["t", "i", "n"]
    assert list(rows.X["n"].fillna(0)) == [1.5, 0, 4, 9, 8, 7]


def test_current_customers_are_the_newest_row_of_each_who_is_not_known_to_have_left(
    engine: DuckDB, schema: Schema, parts: list[Path]
) -> None:
    query = current_customers(schema, dataset(schema, engine, parts))
    assert query is not None
    # a left; b's row of February says no; c's newest row by date has no label; one row has no name.
    assert engine.rows(f"SELECT id, n, _batch FROM ({query}) AS c ORDER BY id") == [("b", 9.0, 2), ("c", 3.0, 1)]


def test_an_amount_is_its_own_label_and_nobody_has_left(
    engine: DuckDB, parts: list[Path], make_schema: Callable[..., Schema]
) -> None:
    amounts = make_schema(COLUMNS, id="id", date="day", target="n", positive=None, task=Task.REGRESSION)
    source = dataset(amounts, engine, parts)
    rows = labelled_rows(amounts, engine, source)
    assert (rows.y.dtype, list(rows.y)) == (np.float64, [1.5, 3, 4, 9, 8, 7])
    assert rows.positives == 6
    query = current_customers(amounts, source)
    assert engine.rows(f"SELECT id, _batch FROM ({query}) AS c ORDER BY id") == [("a", 2), ("b", 2), ("c", 1)]


def test_without_a_date_the_newest_batch_counts(
    engine: DuckDB, parts: list[Path], make_schema: Callable[..., Schema]
) -> None:
    undated = make_schema(COLUMNS, id="id")
    query = current_customers(undated, dataset(undated, engine, parts))
    assert query is not None
    assert engine.rows(f"SELECT id FROM ({query}) AS c") == [("b",)]


def test_without_an_id_there_are_no_customers_to_name(make_schema: Callable[..., Schema]) -> None:
    assert current_customers(make_schema(), "t") is None


def test_current_customers_come_in_a_fixed_order(engine: DuckDB, make_schema: Callable[..., Schema]) -> None:
    engine.table(
        "many",
        "SELECT CAST(i * 7919 % 20000 AS VARCHAR) AS id, 1.0 AS n, 'no' AS \"left\", 1 AS _batch, i AS _line"
        " FROM range(20000) AS r(i)",
    )
    query = current_customers(make_schema(id="id"), "many")
    assert query is not None
    ids = [row[0] for row in engine.rows(f"SELECT id FROM ({query})")]
    assert ids == sorted(ids)
    assert len(ids) == 20_000


def test_with_a_key_only_its_newest_row_counts(engine: DuckDB, schema: Schema, parts: list[Path]) -> None:
    rows = engine.rows(f"SELECT id, n FROM {dataset(schema, engine, parts, key=['id'])} AS d ORDER BY id NULLS LAST")
    assert rows == [("a", 8.0), ("b", 9.0), ("c", 3.0), (None, 4.0)]


def test_a_customer_of_several_keys_is_one_customer(engine: DuckDB, schema: Schema, parts: list[Path]) -> None:
    query = current_customers(schema, dataset(schema, engine, parts, key=["id", "day"]))
    assert query is not None
    assert engine.rows(f"SELECT id, n FROM ({query}) AS c ORDER BY id") == [("b", 9.0), ("c", 3.0)]


@pytest.fixture
def many(engine: DuckDB) -> str:
    """Return a table of 20,000 labelled rows with keys, a fifth of them positive."""
    engine.table(
        "many",
        "SELECT CAST(i AS VARCHAR) AS id, 1.0 * i AS n, CASE WHEN i % 5 = 0 THEN 'yes' ELSE 'no' END AS \"left\","
        " CAST(hash(i) >> 1 AS BIGINT) - 4611686018427387904 AS _h2, 1 AS _batch, i AS _line FROM range(20000) AS r(i)",
    )
    return "many"


@pytest.mark.parametrize(
    ("window", "expected"),
    [(Window(last=1), [9.0, 8.0, 7.0]), (Window(last=5), [1.5, None, 4.0, 9.0, 8.0, 7.0]),
     (Window(since=dt.date(2026, 1, 1)), [1.5, None, 4.0, 9.0, 8.0]), (Window(since=dt.date(2030, 1, 1)), [])],
)  # fmt: skip
def test_a_window_is_the_same_in_the_data_set_as_among_its_rows(
    engine: DuckDB, schema: Schema, parts: list[Path], window: Window, expected: list[float | None]
) -> None:
    source = dataset(schema, engine, parts)
    where = in_window(schema, engine, source, where="true", last=window.last, since=window.since)
    rows = labelled_rows(schema, engine, source, where=where)
    assert [None if pd.isna(each) else each for each in rows.X["n"]] == expected
    among = window.within(labelled_rows(schema, engine, source))
    assert among.X.reset_index(drop=True).equals(rows.X)


def test_the_newest_batches_are_those_with_rows_under_the_condition(
    engine: DuckDB, schema: Schema, parts: list[Path]
) -> None:
    source = dataset(schema, engine, parts)
    where = in_window(schema, engine, source, where="_batch < 2", last=1, since=None)
    assert len(labelled_rows(schema, engine, source, where=where)) == 3
    assert in_window(schema, engine, source, where="false", last=1, since=None) == "false"


def _drawn(engine: DuckDB, schema: Schema, many: str, **given: Any) -> Rows:
    drawn = sample(schema, engine, many, where="true", **given)
    assert drawn is not None
    assert drawn.rows == 20_000
    return labelled_rows(schema, engine, many, where=drawn.where)


def test_of_too_many_rows_a_sample_of_both_classes_is_drawn(
    engine: DuckDB, make_schema: Callable[..., Schema], many: str
) -> None:
    rows = _drawn(engine, make_schema(id="id"), many, most=5000, seed=0)
    assert 4800 < len(rows) < 5200
    assert 0.18 < rows.positives / len(rows) < 0.22


def test_the_seed_decides_which_rows_are_drawn(engine: DuckDB, make_schema: Callable[..., Schema], many: str) -> None:
    first, again, other = (
        set(_drawn(engine, make_schema(id="id"), many, most=5000, seed=seed).X["n"]) for seed in (0, 0, 40)
    )
    assert first == again
    assert first != other


def test_where_there_are_few_enough_rows_all_are_learned_from(
    engine: DuckDB, make_schema: Callable[..., Schema], many: str
) -> None:
    assert sample(make_schema(id="id"), engine, many, where="true", most=20_000, seed=0) is None


def test_columns_that_tell_no_rows_apart_are_not_usable() -> None:
    frame = pd.DataFrame({
        "flat": [1.0, 1.0], "empty": [np.nan, np.nan], "gap": [1.0, np.nan], "two": [1.0, 2.0],
        "same": pd.Series(["x", "x"], dtype="str"), "text": pd.Series(["x", None], dtype="str"),
    })  # fmt: skip
    assert usable(Rows(frame, np.array([0, 1]), None)) == ["gap", "two", "text"]

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from churnwatch.pipeline import profile as profile_module
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.profile import ColumnProfile, profile
from churnwatch.pipeline.schema import Schema


def test_numbers_are_described_and_of_texts_only_the_counts(engine: DuckDB, make_schema: Callable[..., Schema]) -> None:
    schema = make_schema({"i": "integer", "n": "number", "day": "date", "left": "text"})
    engine.table("fresh", pa.table({
        "i": pa.array([1, 2, None, 3], pa.int64()),
        "n": pa.array([0.5, 0.5, 0.5, None]),
        "day": pa.array([0, None, None, None], pa.timestamp("us")),
        "left": ["yes", "no", "no", None],
    }))  # fmt: skip
    whole, number, day, left = profile(schema, engine, "fresh")
    assert whole == ColumnProfile("i", 4, 1, 3, 2.0, 2.0, 1.0, 1.0, 3.0)
    assert (number.median, number.std, number.distinct_values) == (0.5, 0.0, 1)
    assert day == ColumnProfile("day", 4, 3, 1)
    assert left == ColumnProfile("left", 4, 1, 2)
    assert [each.missing_share for each in (whole, day)] == [0.25, 0.75]


def test_a_sample_of_one_has_no_deviation(engine: DuckDB, make_schema: Callable[..., Schema]) -> None:
    engine.table("fresh", pa.table({"id": ["a"], "n": [2.0], "left": ["no"]}))
    [_, number, _] = profile(make_schema(), engine, "fresh")
    assert (number.mean, number.std) == (2.0, None)


def test_no_rows_have_nothing_missing(engine: DuckDB, make_schema: Callable[..., Schema]) -> None:
    empty = pa.schema([("id", pa.string()), ("n", pa.float64()), ("left", pa.string())]).empty_table()
    engine.table("other", empty)
    found = profile(make_schema(), engine, "other")
    assert [(each.rows, each.missing_share, each.mean) for each in found] == [(0, 0.0, None)] * 3


def test_very_large_numbers_are_described(engine: DuckDB, make_schema: Callable[..., Schema]) -> None:
    schema = make_schema({"i": "integer", "left": "text"})
    engine.table("fresh", pa.table({"i": pa.array([2**62, 2**62, 0], pa.int64()), "left": ["no"] * 3}))
    assert profile(schema, engine, "fresh")[0].mean == pytest.approx(2**63 / 3)


def test_of_very_many_rows_medians_are_of_a_sample_and_distinct_values_are_estimated(
    engine: DuckDB, make_schema: Callable[..., Schema], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_module, "_LARGE", 1000)
    monkeypatch.setattr(profile_module, "_DRAWN", 500)
    engine.table(
        "fresh",
        "SELECT CAST(i AS DOUBLE) AS n, 'c' || (i % 300) AS id, 'no' AS \"left\","
        " CAST(hash(i) // 2 AS BIGINT) - 4000000000000000000 AS _h2 FROM range(5000) r(i)",
    )
    named, number, _ = profile(make_schema(), engine, "fresh", rows=5000)
    assert number.median == pytest.approx(2500, rel=0.1)
    assert (number.minimum, number.maximum, number.mean) == (0.0, 4999.0, 2499.5)
    assert named.distinct_values == pytest.approx(300, rel=0.1)
    assert number.distinct_values <= 5000

from __future__ import annotations

import math

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnwatch.pipeline.cells import typed_column
from churnwatch.pipeline.csv_cells import Rows
from churnwatch.pipeline.schema import LARGEST
from churnwatch.pipeline.settings import Column, ColumnType, Csv
from churnwatch.serving.bulk_inputs import understood
from churnwatch.serving.fields import Field

_CELLS = st.lists(st.text("0123456789+-.,eExX \t_", max_size=6) | st.sampled_from(["n/a", " n/a ", "inf", "1e999"]),
                  min_size=1, max_size=40)  # fmt: skip


def _field(kind: ColumnType, checks: Column | None = None) -> Field:
    return Field("x", kind, None, (), None, None, checks or Column(type=kind))


@pytest.mark.parametrize("kind", [ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.TEXT])
@pytest.mark.parametrize("decimal", [".", ","])
@settings(max_examples=30, deadline=None)
@given(texts=_CELLS)
def test_cells_get_the_values_that_they_get_in_files(kind: ColumnType, decimal: str, texts: list[str]) -> None:
    csv = Csv(decimal=decimal, missing=("n/a",))  # type: ignore[arg-type]
    cells = pa.table({"x": pa.array(texts)})
    expected = duckdb.sql(f"SELECT {typed_column('x', Column(type=kind), csv)} FROM cells").fetchall()
    found = understood(Rows(cells, None, {}), {"x": _field(kind)}, csv).columns["x"].tolist()
    plain = [None if isinstance(each, float) and math.isnan(each) else each for each in found]
    assert plain == [None if each is None else float(each) if kind is not ColumnType.TEXT else each
                     for (each,) in expected]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "checks", "cell", "why"),
    [
        (ColumnType.NUMBER, {"min": 1.0}, "0.5", "below 1"),
        (ColumnType.NUMBER, {"min": 1.0}, "-1e31", f"beyond {LARGEST:g}, either way"),
        (ColumnType.NUMBER, {"max": 1.0}, "1.5", "above 1"),
        (ColumnType.NUMBER, {"required": True}, "", "missing, but required"),
        (ColumnType.INTEGER, {"allowed": ("1", "2")}, "3", "none of the allowed values"),
        (ColumnType.TEXT, {"allowed": ("a", "b")}, "c", "none of the allowed values"),
        (ColumnType.TEXT, {"required": True}, " ", "missing, but required"),
    ],
)
def test_a_check_that_is_broken_is_a_problem_as_for_one_customer(
    kind: ColumnType, checks: dict[str, object], cell: str, why: str
) -> None:
    field = _field(kind, Column(type=kind, **checks))  # type: ignore[arg-type]
    good = {"min": "1", "max": "1", "allowed": "1" if kind is ColumnType.INTEGER else "a", "required": "7"}
    cells = pa.table({"x": pa.array([good[next(iter(checks))], cell])})
    assert understood(Rows(cells, None, {}), {"x": field}, Csv()).problems == {1: f"`x`: {why}"}
    value = cell.strip() or None
    assert field.wrong(float(value) if value is not None and field.is_number else value) == why

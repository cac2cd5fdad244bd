from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from churnwatch.pipeline import bins
from churnwatch.pipeline.bins import bin_name, interval
from churnwatch.pipeline.engine import DuckDB

_ENGINE: DuckDB
numbers = st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9), st.integers(-3, 3).map(float)), min_size=1, max_size=60)


def texts(*values: str | None) -> pd.Series:
    return pd.Series(values, dtype="str")


def test_numbers_have_the_deciles_for_bins() -> None:
    found = bins.of_numbers("age", np.arange(1.0, 1001.0))
    assert found.cuts == (100, 200, 300, 400, 500, 600, 700, 800, 900)
    assert found.rows == (*(100,) * 10, 0)


def test_a_value_that_a_tenth_of_the_rows_have_has_a_bin_of_its_own() -> None:
    found = bins.of_numbers("calls", np.array([0.0] * 60 + list(range(1, 41))))
    assert found.rows[1] == 60
    assert bin_name(found, 0) == "below 0"
    assert bin_name(found, 1) == "0"
    assert interval(found, 1, len(found.cuts)) == "0 or more"


def test_a_constant_column_tells_values_below_and_above_from_its_own() -> None:
    found = bins.of_numbers("fee", np.full(50, 5.0))
    assert found.rows == (0, 50, 0, 0)
    assert bins.count_numbers(found, np.array([3.0, 5.0, 9.0, np.nan])).tolist() == [1, 1, 1, 1]
    assert [bin_name(found, place) for place in range(4)] == ["below 5", "5", "above 5", "without a value"]


def test_a_column_without_any_value_has_a_bin_for_values() -> None:
    found = bins.of_numbers("empty", np.full(5, np.nan))
    assert (found.rows, found.cuts) == ((0, 5), ())
    assert bin_name(found, 0) == "a value"


def test_rare_categories_are_not_kept_by_name() -> None:
    found = bins.of_texts("plan", texts(*["basic"] * 20, *["plus"] * 10, *["Anna's own"] * 9, None))
    assert found.categories == ("basic", "plus")
    assert found.rows == (20, 10, 9, 1)
    assert bin_name(found, 2) == "rare or new values"


def test_of_many_categories_the_largest_are_kept() -> None:
    found = bins.of_texts("city", texts(*(f"c{place:02d}" for place in range(40) for _ in range(10 + place))))
    assert found.categories is not None
    assert len(found.categories) == 30
    assert (found.categories[0], found.categories[-1]) == ("c39", "c10")


def test_a_frame_has_bins_for_each_column_by_its_type() -> None:
    frame = pd.DataFrame({"n": [1.0, 2.0], "t": texts("a", None)})
    assert [(each.column, each.categories) for each in bins.of_frame(frame)] == [("n", None), ("t", ())]


@given(reference=numbers, current=numbers)
@example(reference=[0.0] * 9 + [5e-324], current=[0.0, -5e-324, 5e-324])
def test_an_engine_counts_numbers_as_numpy_does(reference: list[float | None], current: list[float | None]) -> None:
    known = bins.of_numbers("n", np.array(reference, dtype=np.float64))
    assert sum(known.rows) == len(reference)
    expected = bins.count_numbers(known, np.array(current, dtype=np.float64)).tolist()
    values = ", ".join("(NULL)" if each is None else f"(CAST('{each!r}' AS DOUBLE))" for each in current)
    assert bins.count([known], _ENGINE, f"(SELECT * FROM (VALUES {values}) AS v(n))")[0] == tuple(expected)


@pytest.fixture(autouse=True)
def _engine(engine: DuckDB) -> None:
    global _ENGINE  # noqa: PLW0603 - hypothesis wants no fixture of a single example
    _ENGINE = engine


def test_an_engine_counts_categories_with_new_ones_and_missing_ones(engine: DuckDB) -> None:
    known = bins.of_texts("it's", texts(*["a'b"] * 10, *["c"] * 10))
    engine.table("rows", pa.table({"it's": ["a'b", "c", "c", "new", None], "_batch": [1, 1, 1, 1, 2]}))
    assert bins.count([known], engine, '"rows"') == [(1, 2, 1, 1)]
    assert bins.count([known], engine, '"rows"', where="_batch = 2") == [(0, 0, 0, 1)]
    assert bin_name(known, 2) == "values not seen before"


def test_a_backslash_in_a_category_stands_in_no_quotes_since_engines_take_it_differently(engine: DuckDB) -> None:
    known = bins.of_texts("path", texts(*["a\\n'b\\"] * 10, *["\\"] * 10))
    assert not any("\\" in condition for condition in bins._conditions(known))
    engine.table("rows", pa.table({"path": ["a\\n'b\\", "\\", "\\", "\n"]}))
    assert bins.count([known], engine, '"rows"') == [(2, 1, 1, 0)]


def test_many_columns_are_counted_in_several_scans(engine: DuckDB) -> None:
    known = [bins.of_numbers(f"n{place}", np.arange(20.0)) for place in range(60)]
    engine.table("wide", pa.table({each.column: [1.0, 30.0] for each in known}))
    assert bins.count(known, engine, '"wide"') == [tuple(bins.count_numbers(known[0], np.array([1.0, 30.0])))] * 60

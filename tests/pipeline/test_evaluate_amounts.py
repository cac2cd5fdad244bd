from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    r2_score,
    root_mean_squared_error,
)

from churnwatch.pipeline.evaluate_amounts import baseline_amounts, evaluate_amounts, tenths

AMOUNT = st.integers(-500, 500).map(lambda cents: cents / 4)


@given(rows=st.lists(st.tuples(AMOUNT, AMOUNT), min_size=1, max_size=30))
def test_metrics_are_those_of_scikit_learn(rows: list[tuple[float, float]]) -> None:
    y, expected = np.array([1.0, 3.0, *(y for y, _ in rows)]), np.array([1.5, 2.0, *(e for _, e in rows)])
    found = evaluate_amounts(y, expected)
    assert found["mae"] == pytest.approx(mean_absolute_error(y, expected))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(y, expected))
    assert found["r2"] == pytest.approx(r2_score(y, expected))
    there = y != 0
    assert found["mape"] == pytest.approx(mean_absolute_percentage_error(y[there], expected[there]))


def test_what_is_not_defined_is_left_out() -> None:
    assert evaluate_amounts(np.empty(0), np.empty(0)) == {}
    assert evaluate_amounts(np.zeros(3), np.ones(3)) == {"mae": 1.0, "rmse": 1.0}
    assert evaluate_amounts(np.full(3, -2.0), np.full(3, -1.0)) == {"mae": 1.0, "mape": 0.5, "rmse": 1.0}


def test_the_share_at_capacity_is_what_stands_with_the_highest_expectations() -> None:
    y, expected = np.array([10.0, 60.0, 20.0, 10.0]), np.array([1.0, 9.0, 8.0, 7.0])
    assert evaluate_amounts(y, expected, top_share=0.5)["share_at_capacity"] == pytest.approx(0.8)


def test_the_dummy_expects_the_median_by_absolute_errors_and_the_mean_by_squared_ones() -> None:
    y = np.array([0.0, 0.0, 0.0, 10.0])
    assert baseline_amounts(y) == pytest.approx({"mae": 2.5, "mape": 1.0, "rmse": np.std(y), "r2": 0.0})
    assert baseline_amounts(np.empty(0)) == {}


def test_tenths_go_from_the_highest_expectation_to_the_lowest() -> None:
    expected = np.arange(25.0)
    found = tenths(expected * 2, expected)
    assert [rows for rows, _, _ in found] == [3] * 5 + [2] * 5
    assert found[0] == (3, 23.0, 46.0)
    assert found[-1] == (2, 0.5, 1.0)
    assert tenths(expected[:9], expected[:9]) == []

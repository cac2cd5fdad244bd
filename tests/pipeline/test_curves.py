from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from churnwatch.pipeline.curves import MOST_CUTS, cuts, groups
from churnwatch.pipeline.shares import f1_interval, wilson


def drawn(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    probability = draw.beta(1, 3, rows)
    return (draw.random(rows) < probability).astype(int), probability


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=40))
def test_each_cut_counts_the_rows_from_its_threshold_on(rows: list[tuple[bool, int]]) -> None:
    y, probability = np.array([int(left) for left, _ in rows]), np.array([each / 4 for _, each in rows])
    for cut in cuts(y, probability):
        above = probability >= cut.threshold
        assert (cut.rows, cut.leavers) == (above.sum(), y[above].sum())
        assert cut.expected_leavers == pytest.approx(probability[above].sum())


@pytest.mark.parametrize("rows", [20, 101, 5000])
def test_a_curve_has_few_points_that_keep_its_shape(rows: int) -> None:
    y, probability = drawn(rows)
    found = cuts(y, probability)
    assert len(found) <= MOST_CUTS
    assert (found[-1].rows, found[-1].leavers) == (rows, y.sum())
    assert all(after.rows > before.rows and after.threshold < before.threshold for before, after in pairwise(found))
    away = np.array([0, *[cut.rows - cut.leavers for cut in found]]) / (rows - y.sum())
    reached = np.array([0, *[cut.leavers for cut in found]]) / y.sum()
    assert np.trapezoid(reached, away) == pytest.approx(roc_auc_score(y, probability), abs=0.005)


def test_of_one_class_alone_there_are_no_curves() -> None:
    assert cuts(np.ones(9, dtype=int), np.linspace(0, 1, 9)) == []
    assert cuts(np.zeros(0, dtype=int), np.zeros(0)) == []


def test_groups_are_the_common_values_of_columns_of_few() -> None:
    y, probability = drawn(400)
    X = pd.DataFrame({
        "plan": ["monthly", "yearly"] * 195 + ["rare"] * 10, "senior": [0.0, 1.0] * 200, "fee": np.arange(400.0),
    })  # fmt: skip
    found = groups(X, y, probability, threshold=0.3)
    assert [(each.column, each.value) for each in found] == [
        ("plan", "monthly"), ("plan", "yearly"), ("senior", "0"), ("senior", "1"),
    ]  # fmt: skip
    monthly, decided = X["plan"] == "monthly", probability >= 0.3
    assert (found[0].rows, found[0].leavers) == (195, y[monthly].sum())
    assert (found[0].named, found[0].hits) == (decided[monthly].sum(), y[monthly & decided].sum())


def test_the_interval_of_a_share_holds_it_and_narrows() -> None:
    assert wilson(5, 10) == pytest.approx((0.2692, 0.7308), abs=1e-4)
    assert (wilson(0, 9)[0], wilson(9, 9)[1]) == (0, 1)
    low, high = f1_interval(30, 60)
    assert 0 < low < 2 / 3 < high < 1

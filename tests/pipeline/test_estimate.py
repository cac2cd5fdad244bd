from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnwatch.pipeline.coverage import coverage
from churnwatch.pipeline.estimate import Floats, estimate
from churnwatch.pipeline.evaluate import evaluate

THRESHOLD = 0.35
NAMES = ["f1", "precision", "recall", "accuracy", "roc_auc"]


def _world(rng: np.random.Generator, rows: int) -> Floats:
    return rng.beta(0.6, 2.0, rows)


def _compared(truth_of: Floats, said: Floats, rng: np.random.Generator, number: int) -> list[dict[str, object]]:
    """Hold an estimate made of what a model says against labels drawn by what is so."""
    y = (rng.random(len(said)) < truth_of).astype(np.int64)
    truth = evaluate(y, said, threshold=THRESHOLD)
    return [
        {"name": each.name, "run": number, "file": None, "batch": number, "low": each.low, "high": each.high,
         "truth": truth[each.name]}
        for each in estimate(said, threshold=THRESHOLD)
    ]  # fmt: skip


def test_expected_counts_are_sums_of_probabilities() -> None:
    found = {each.name: each.value for each in estimate(np.array([0.9, 0.6, 0.2, 0.1]), threshold=0.5)}
    assert found["precision"] == pytest.approx(1.5 / 2)
    assert found["recall"] == pytest.approx(1.5 / 1.8)
    assert found["f1"] == pytest.approx(2 * 1.5 / (2 + 1.8))
    assert found["accuracy"] == pytest.approx((1.5 + 1.7) / 4)


def test_where_probabilities_are_true_the_intervals_hold_the_truth_and_are_believed() -> None:
    rng = np.random.default_rng(3)
    found = []
    for number in range(80):
        probability = _world(rng, 60 if number % 2 else 300)
        found += _compared(probability, probability, rng, number)
    for name in NAMES:
        of_name = [row for row in found if row["name"] == name]
        held = np.mean([row["low"] <= row["truth"] <= row["high"] for row in of_name])
        assert held >= 0.9, name
        assert not coverage(of_name).is_muted


def test_where_the_relation_to_churn_changes_estimates_fall_silent() -> None:
    rng = np.random.default_rng(4)
    before = [_compared(p, p, rng, number) for number in range(20) for p in [_world(rng, 300)]]
    after = [_compared(p**2, p, rng, number) for number in range(20, 30) for p in [_world(rng, 300)]]
    f1 = [row for rows in (*before, *after) for row in rows if row["name"] == "f1"]
    assert not coverage(f1[:20]).is_muted
    assert coverage(f1).is_muted


def test_the_interval_is_narrower_where_there_are_more_rows() -> None:
    rng = np.random.default_rng(5)
    few, many = (estimate(_world(rng, rows), threshold=THRESHOLD)[0] for rows in (100, 10_000))
    assert many.high - many.low < 0.2 * (few.high - few.low)


def test_no_rows_no_estimates() -> None:
    assert estimate(np.empty(0), threshold=THRESHOLD) == ()


def test_where_everybody_is_sure_to_stay_nothing_can_be_ranked() -> None:
    found = {each.name: each for each in estimate(np.zeros(50), threshold=THRESHOLD)}
    assert "roc_auc" not in found
    assert (found["f1"].value, found["accuracy"].value) == (0.0, 1.0)


def test_the_same_rows_give_the_same_estimate_in_any_order() -> None:
    rng = np.random.default_rng(6)
    probability = _world(rng, 500)
    assert estimate(probability, threshold=THRESHOLD) == estimate(rng.permutation(probability), threshold=THRESHOLD)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=300), st.floats(0, 1))
def test_estimates_are_shares_whatever_the_probabilities(probability: list[float], threshold: float) -> None:
    for each in estimate(np.array(probability), threshold=threshold):
        assert 0 <= each.low <= each.high <= 1
        assert 0 <= each.value <= 1

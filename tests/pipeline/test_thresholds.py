from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from churnwatch.pipeline.thresholds import METRICS, best_threshold, steady_threshold


@pytest.mark.parametrize(
    ("metric", "function"),
    [("f1", f1_score), ("accuracy", accuracy_score), ("balanced_accuracy", balanced_accuracy_score)],
)
def test_the_best_threshold_has_the_best_value_of_the_metric(metric: str, function: Callable[..., float]) -> None:
    rng = np.random.default_rng(5)
    y = (rng.random(80) < 0.3).astype(np.int64)
    probability = np.clip(y * 0.3 + rng.random(80) * 0.7, 0, 1)
    threshold, value = best_threshold(y, probability, metric)
    assert value == function(y, probability >= threshold)
    assert value == max(function(y, probability >= level) for level in np.unique(probability)[1:])
    assert threshold not in probability


def test_probabilities_that_are_all_the_same_have_the_usual_threshold() -> None:
    assert best_threshold(np.array([0, 1, 1]), np.full(3, 0.2)) == (0.5, 0.0)


@pytest.mark.parametrize("metric", METRICS)
@given(
    rows=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9), st.integers(1, 4)), min_size=2, max_size=30).filter(
        lambda rows: len({y for y, _, _ in rows}) > 1
    )
)
def test_a_row_of_weight_three_counts_like_three_rows(metric: str, rows: list[tuple[int, int, int]]) -> None:
    y, level, times = (np.array(each) for each in zip(*rows, strict=True))
    threshold, value = best_threshold(y, level / 9, metric, times / 4)
    as_many = METRICS[metric](np.repeat(y, times), np.repeat(level / 9, times) >= threshold)
    assert value == pytest.approx(as_many)


# -- steady --------------------------------------------------------------------------------------------------------


def _folds(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    places = np.arange(n)
    return [(places[places % 5 != fold], places[places % 5 == fold]) for fold in range(5)]


def _drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probability = rng.beta(1, 3, n)
    return (rng.random(n) < probability).astype(np.int64), probability


def test_the_threshold_of_the_best_expected_f1_is_half_that_f1() -> None:
    y, probability = _drawn(20_000, 0)
    threshold, value = steady_threshold(y, probability, "f1", None, _folds(len(y)))
    assert threshold == pytest.approx(value / 2, abs=0.01)
    assert value == f1_score(y, probability >= threshold)


@pytest.mark.parametrize(("metric", "expected"), [("accuracy", 0.5), ("balanced_accuracy", 0.25)])
def test_other_metrics_have_the_threshold_that_probabilities_expect(metric: str, expected: float) -> None:
    y, probability = _drawn(2_000, 1)
    assert steady_threshold(y, probability, metric, None, _folds(2_000))[0] == pytest.approx(expected, abs=0.02)


def test_another_draw_of_labels_moves_it_less_than_the_best_one() -> None:
    drawn = [_drawn(1_000, seed) for seed in range(20)]
    steady = [steady_threshold(y, p, "f1", None, _folds(1_000))[0] for y, p in drawn]
    best = [best_threshold(y, p)[0] for y, p in drawn]
    assert np.std(steady) < np.std(best) / 2


def test_labels_overrule_probabilities_that_do_not_mean_what_they_say() -> None:
    y, probability = _drawn(2_000, 2)
    unsaid = probability**3
    threshold, value = steady_threshold(y, unsaid, "f1", None, _folds(2_000))
    assert (threshold, value) == best_threshold(y, unsaid)

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from churnwatch.pipeline.thresholds import METRICS, best_threshold


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

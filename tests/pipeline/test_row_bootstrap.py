from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from churnwatch.pipeline.row_bootstrap import LOSSES, OF_PROBABILITIES, bootstrap_rows, swap_rows, value

BY_SCIKIT_LEARN: dict[str, Any] = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "log_loss": log_loss,
    "brier": brier_score_loss,
}


@given(rows=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 19)), min_size=1, max_size=40))
def test_metrics_are_those_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    y, probability = np.array([0, 1, *(y for y, _ in rows)]), np.array([0.5, 0.5, *(p / 20 for _, p in rows)])
    assert OF_PROBABILITIES.keys() == BY_SCIKIT_LEARN.keys()
    for metric, of in BY_SCIKIT_LEARN.items():
        assert value(metric, y, probability) == pytest.approx(of(y, probability))


@pytest.mark.parametrize("metric", OF_PROBABILITIES)
def test_resamples_are_those_of_rows_drawn_one_by_one(metric: str) -> None:
    rng = np.random.default_rng(5)
    y = (rng.random(300) < 0.3).astype(np.int64)
    old, new = (np.clip(0.3 + 0.3 * (y - 0.3) + rng.normal(0, 0.2, 300), 0.01, 0.99).round(2) for _ in range(2))
    ours = np.subtract(*bootstrap_rows(metric, y, old, new, resamples=4000, seed=1))
    by_hand = []
    for _ in range(600):
        rows = rng.integers(300, size=300)
        of = BY_SCIKIT_LEARN[metric]
        by_hand.append(of(y[rows], old[rows]) - of(y[rows], new[rows]))
    spread = np.std(by_hand)
    assert np.mean(ours) == pytest.approx(np.mean(by_hand), abs=0.2 * spread)
    assert np.quantile(ours, [0.05, 0.95]) == pytest.approx(np.quantile(by_hand, [0.05, 0.95]), abs=0.3 * spread)


def test_resamples_without_one_of_the_classes_are_left_out_where_both_are_needed() -> None:
    y, probability = np.array([1, 0, 0, 0]), np.array([0.4, 0.3, 0.2, 0.1])
    ranked, _ = bootstrap_rows("roc_auc", y, probability, probability, resamples=500, seed=0)
    assert 250 < len(ranked) < 400
    assert np.isfinite(ranked).all()
    assert len(bootstrap_rows("brier", y, probability, probability, resamples=500, seed=0)[0]) == 500


def test_of_very_many_rows_fewer_resamples_are_drawn_and_a_certain_mistake_costs_no_infinity() -> None:
    y = np.arange(100_000) % 2
    old, new = bootstrap_rows("log_loss", y, np.zeros(100_000), np.full(100_000, 0.5), resamples=2000, seed=0)
    assert len(old) == 200
    assert np.isfinite(old).all()
    assert new == pytest.approx(np.log(2))


@pytest.mark.parametrize("metric", LOSSES)
def test_swapping_probabilities_tells_a_difference_from_a_coin(metric: str) -> None:
    """Ten rows that only the candidate knows: a coin gives all ten in one of 1,024 cases."""
    y = np.array([0, 1] * 25)
    champion, candidate = np.full(50, 0.5), np.concatenate([np.where(y[:10] == 1, 0.9, 0.1), np.full(40, 0.5)])
    assert swap_rows(metric, y, champion, candidate, resamples=20_000, seed=1) == pytest.approx(1 / 1024, abs=5e-4)
    assert swap_rows(metric, y, candidate, champion, resamples=2000, seed=1) > 0.99

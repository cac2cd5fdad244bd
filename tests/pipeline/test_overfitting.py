from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from churnwatch.pipeline import overfitting
from churnwatch.pipeline.overfitting import Estimate, estimates, gaps

Drawn = tuple[np.ndarray, np.ndarray]


def _drawn(rng: np.random.Generator, rows: int, separation: float) -> Drawn:
    """Return labels, a quarter of them positive, and probabilities that mean what they say."""
    y = (rng.random(rows) < 0.25).astype(np.int64)
    logit = np.log(1 / 3) + separation * (rng.normal(size=rows) + separation * y) - separation**2 / 2
    return y, 1 / (1 + np.exp(-logit))


# -- estimates -------------------------------------------------------------------------------------------------


def test_values_are_those_of_scikit_learn() -> None:
    y, probability = _drawn(np.random.default_rng(1), 500, 1.0)
    found = estimates(y, np.round(probability, 2), threshold=0.3)
    assert found["f1"].value == pytest.approx(f1_score(y, np.round(probability, 2) >= 0.3))
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(y, np.round(probability, 2)))
    assert found["log_loss"].value == pytest.approx(log_loss(y, np.round(probability, 2)))


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0])), max_size=40))
def test_every_interval_holds_its_value(rows: list[tuple[int, float]]) -> None:
    y = np.array([label for label, _ in rows], dtype=np.int64)
    for each in estimates(y, np.array([probability for _, probability in rows]), threshold=0.3).values():
        assert each.low <= each.value <= each.high


def test_the_error_of_roc_auc_is_the_one_of_all_pairs() -> None:
    rng = np.random.default_rng(2)
    positive, negative = np.round(rng.normal(0.6, 0.2, 30), 1), np.round(rng.normal(0.4, 0.2, 50), 1)
    pairs = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    error = np.sqrt(pairs.mean(axis=1).var(ddof=1) / 30 + pairs.mean(axis=0).var(ddof=1) / 50)
    found = estimates(np.repeat([1, 0], [30, 50]), np.concatenate([positive, negative]), threshold=0.5)["roc_auc"]
    assert found.high - found.value == pytest.approx(1.645 * error)


def test_what_rows_do_not_tell_is_left_out() -> None:
    nobody = np.zeros(5, dtype=np.int64)
    assert set(estimates(nobody, np.full(5, 0.1), threshold=0.5)) == {"log_loss"}
    assert estimates(nobody[:0], np.empty(0), threshold=0.5) == {}


# -- gaps ------------------------------------------------------------------------------------------------------


def test_a_gap_is_how_much_better_the_training_rows_are_whichever_way_is_better() -> None:
    train = {"f1": Estimate(0.9, 0.8, 0.95), "log_loss": Estimate(0.2, 0.15, 0.25)}
    holdout = {"f1": Estimate(0.6, 0.5, 0.68), "log_loss": Estimate(0.5, 0.4, 0.6), "roc_auc": Estimate(0.8, 0.7, 0.9)}
    found = gaps(train, holdout)
    assert found.keys() == {"f1", "log_loss"}
    assert (found["f1"].value, found["f1"].low, found["f1"].high) == pytest.approx(
        (0.3, 0.3 - np.hypot(0.1, 0.08), 0.3 + np.hypot(0.05, 0.1))
    )
    assert found["log_loss"].value == pytest.approx(0.3)


@pytest.mark.parametrize("metric", ["f1", "roc_auc", "log_loss"])
def test_nine_of_ten_intervals_hold_the_true_gap(metric: str) -> None:
    rng = np.random.default_rng(3)
    truth = gaps(*(estimates(*_drawn(rng, 400_000, separation), threshold=0.3) for separation in (1.8, 1.2)))[metric]
    held = 0
    for _ in range(400):
        pair = (
            estimates(*_drawn(rng, rows, separation), threshold=0.3) for rows, separation in ((500, 1.8), (200, 1.2))
        )
        found = gaps(*pair)[metric]
        held += found.low <= truth.value <= found.high
    assert 0.86 < held / 400 < 0.94


# -- the warning -----------------------------------------------------------------------------------------------


def test_a_gap_that_may_be_small_is_no_warning() -> None:
    assert overfitting.warning("v7", "boosting", 0.9, 0.6, Estimate(0.3, 0.09, 0.5), 0.1) is None


@pytest.mark.parametrize(
    ("estimator", "remedy", "simpler"),
    [
        ("logistic", "a smaller `C` of logistic", False),
        ("boosting", "fewer `max_leaf_nodes` or more `l2_regularization` of boosting", True),
        ("some.Tree", "more regularisation of some.Tree", True),
    ],
)
def test_a_warning_says_what_helps(estimator: str, remedy: str, simpler: bool) -> None:
    told = overfitting.warning("v7", estimator, 0.9, 0.6, Estimate(0.3, 0.2, 0.4), 0.1)
    assert told is not None
    assert told.startswith("v7 has F1 0.90 on the rows it learned from and 0.60 on the holdout")
    assert "(gap 0.300, 90 % interval 0.200 to 0.400)" in told
    assert f"fewer features (`exclude`), {remedy}, more rows" in told
    assert ("a simpler estimator first" in told) is simpler

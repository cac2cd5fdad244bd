from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from churnwatch.pipeline.evaluate import baseline_f1, evaluate, precision_at

Y = np.array([1, 1, 0, 0, 0, 1, 0, 0, 0, 0])
P = np.array([0.9, 0.8, 0.7, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1])


def test_a_row_at_the_threshold_is_decided_to_leave() -> None:
    found = evaluate(Y, P, threshold=0.7, top_share=0.2)
    counts = {name: found[name] for name in ("true_positives", "false_positives", "false_negatives", "true_negatives")}
    assert counts == {"true_positives": 2, "false_positives": 1, "false_negatives": 1, "true_negatives": 6}
    assert found["f1"] == pytest.approx(2 / 3)
    assert (found["precision"], found["recall"], found["accuracy"]) == pytest.approx((2 / 3, 2 / 3, 0.8))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 6])
def test_every_metric_is_what_scikit_learn_says(seed: int, digits: int) -> None:
    chance = np.random.default_rng(seed)
    probability = np.round(chance.random(200), digits)
    y = (chance.random(200) < probability / 2).astype(np.int64)
    found = evaluate(y, probability, threshold=0.4, top_share=0.1)
    decided = probability >= 0.4
    expected = {
        "f1": f1_score(y, decided), "precision": precision_score(y, decided), "recall": recall_score(y, decided),
        "accuracy": accuracy_score(y, decided), "brier": brier_score_loss(y, probability),
        "log_loss": log_loss(y, probability), "roc_auc": roc_auc_score(y, probability),
        "average_precision": average_precision_score(y, probability),
        "precision_at_capacity": y[np.argsort(-probability, kind="stable")[:20]].mean(),
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_the_capacity_is_the_share_who_can_be_called() -> None:
    found = evaluate(Y, P, threshold=0.5, top_share=0.2)
    assert (found["precision_at_capacity"], found["lift_at_capacity"]) == pytest.approx((1.0, 1 / 0.3))
    assert precision_at(Y, P, 0.3) == pytest.approx(2 / 3)
    assert precision_at(Y, P, 0.0) == 1.0


def test_ties_are_taken_in_row_order() -> None:
    assert precision_at(np.array([1, 0, 0, 0]), np.full(4, 0.5), 0.25) == 1.0
    assert precision_at(np.array([0, 0, 0, 1]), np.full(4, 0.5), 0.25) == 0.0


@pytest.mark.parametrize("label", [0, 1])
def test_of_one_class_only_what_can_be_known_is_told(label: int) -> None:
    found = evaluate(np.full(4, label), np.array([0.2, 0.4, 0.6, 0.8]), threshold=0.5)
    assert {"roc_auc", "average_precision", "lift_at_capacity"}.isdisjoint(found)
    assert found["accuracy"] == 0.5
    assert all(np.isfinite(value) for value in found.values())


def test_without_rows_there_is_nothing_to_tell() -> None:
    assert evaluate(np.empty(0, dtype=np.int64), np.empty(0), threshold=0.5) == {}


def test_every_value_is_a_plain_number() -> None:
    assert {type(value) for value in evaluate(Y, P, threshold=0.5).values()} == {float}


def test_the_baseline_says_of_everybody_that_they_leave() -> None:
    assert baseline_f1(Y) == pytest.approx(f1_score(Y, np.ones(10)))
    assert baseline_f1(np.zeros(5, dtype=np.int64)) == 0.0
    assert baseline_f1(np.empty(0, dtype=np.int64)) == 0.0

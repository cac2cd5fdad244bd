from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from churnwatch.pipeline.evaluate import baseline_f1, evaluate, precision_at

Y = np.array([1, 1, 0, 0, 0, 1, 0, 0, 0, 0])
P = np.array([0.9, 0.8, 0.7, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1])


def test_a_row_at_the_threshold_is_decided_to_leave() -> None:
    found = evaluate(Y, P, threshold=0.7, top_share=0.2)
    counts = {name: found[name] for name in ("true_positives", "false_positives", "false_negatives", "true_negatives")}
    assert counts == {"true_positives": 2, "false_positives": 1, "false_negatives": 1, "true_negatives": 6}
    assert found["f1"] == pytest.approx(2 / 3)
    assert (found["precision"], found["recall"], found["accuracy"]) == pytest.approx((2 / 3, 2 / 3, 0.8))


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

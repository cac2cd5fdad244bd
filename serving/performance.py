"""Predictions and what came of them → how good they were, with 90 % intervals where there are some."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline.evaluate import evaluate
from churnwatch.pipeline.evaluate_amounts import evaluate_amounts
from churnwatch.pipeline.metrics import METRICS, Needs
from churnwatch.pipeline.overfitting import Estimate, estimates, estimates_of_amounts, mean
from churnwatch.pipeline.served.records import Answered
from churnwatch.pipeline.shares import wilson

Figures = dict[str, dict[str, float]]
_DECIDED = 0.5  # between the decisions 0 and 1


def figures(answered: Sequence[Answered], *, amounts: bool) -> Figures:
    """Return each metric that these outcomes allow: its `value`, and `low` and `high` of the interval if it has one.

    Args:
        answered: predictions with their outcomes.
        amounts: whether amounts were predicted.
    """
    y = np.array([each.target for each in answered])
    predicted = np.array([each.probability for each in answered])
    if amounts:
        return _figures(evaluate_amounts(y, predicted), estimates_of_amounts(y, predicted))
    decided = np.array([each.decision or 0 for each in answered], dtype=np.float64)
    labels = y.astype(np.int64)
    found = evaluate(labels, predicted, threshold=_DECIDED)
    found |= _of_decisions(evaluate(labels, decided, threshold=_DECIDED))  # as they were made, by whatever threshold
    return _figures(found, _intervals(labels, predicted, decided))


def positives(answered: Sequence[Answered]) -> int:
    """Return how many of these customers left."""
    return sum(each.target > 0 for each in answered)


def _of_decisions(found: Mapping[str, float]) -> dict[str, float]:
    counts = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    return {name: value for name, value in found.items()
            if name in counts or (name in METRICS and METRICS[name].needs is Needs.DECISIONS)}  # fmt: skip


def _intervals(
    y: npt.NDArray[np.int64], predicted: npt.NDArray[np.float64], decided: npt.NDArray[np.float64]
) -> dict[str, Estimate]:
    found = estimates(y, predicted, threshold=_DECIDED) if len(y) else {}
    found |= {name: each for name, each in estimates(y, decided, threshold=_DECIDED).items() if name == "f1"}
    brier = mean((predicted - y) ** 2)
    called, left = decided == 1, y == 1
    shares = {"precision": left[called], "recall": called[left], "accuracy": called == left}
    found |= {name: _share(hits) for name, hits in shares.items() if len(hits)}
    return found | ({"brier": brier} if brier is not None else {})


def _share(hits: npt.NDArray[np.bool_]) -> Estimate:
    return Estimate(float(hits.mean()), *wilson(int(hits.sum()), len(hits)))


def _figures(found: Mapping[str, float], intervals: Mapping[str, Estimate]) -> Figures:
    told: dict[str, dict[str, Any]] = {name: {"value": value} for name, value in found.items() if name in METRICS}
    for name in told.keys() & intervals:
        ends = {"low": intervals[name].low, "high": intervals[name].high}
        told[name] |= ends if all(map(math.isfinite, ends.values())) else {}
    return told

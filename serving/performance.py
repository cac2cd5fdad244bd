"""Predictions and what came of them → how good they were, with 90 % intervals where there are some."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline.evaluate import evaluate
from churnwatch.pipeline.evaluate_amounts import evaluate_amounts
from churnwatch.pipeline.metrics import METRICS, Needs
from churnwatch.pipeline.overfitting import Estimate, estimates, estimates_of_amounts, mean
from churnwatch.pipeline.served.records import Answered
from churnwatch.pipeline.shares import wilson
from churnwatch.serving.scoring import Measured

_DECIDED = 0.5  # between the decisions 0 and 1


def figures(answered: Sequence[Answered], *, amounts: bool) -> tuple[Measured, ...]:
    """Return each metric that these outcomes allow, with its interval where there is one.

    Args:
        answered: predictions with their outcomes.
        amounts: whether amounts were predicted.
    """
    if not answered:
        return ()
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
    found = estimates(y, predicted, threshold=_DECIDED)
    found |= {name: each for name, each in estimates(y, decided, threshold=_DECIDED).items() if name == "f1"}
    brier = mean((predicted - y) ** 2)
    called, left = decided == 1, y == 1
    shares = {"precision": left[called], "recall": called[left], "accuracy": called == left}
    found |= {name: _share(hits) for name, hits in shares.items() if len(hits)}
    return found | ({"brier": brier} if brier is not None else {})


def _share(hits: npt.NDArray[np.bool_]) -> Estimate:
    return Estimate(float(hits.mean()), *wilson(int(hits.sum()), len(hits)))


def _figures(found: Mapping[str, float], intervals: Mapping[str, Estimate]) -> tuple[Measured, ...]:
    told = {name: value for name, value in found.items() if name in METRICS}
    return tuple(Measured(name, value, *_ends(intervals.get(name))) for name, value in told.items())


def _ends(known: Estimate | None) -> tuple[float | None, float | None]:
    if known is None or not (math.isfinite(known.low) and math.isfinite(known.high)):
        return None, None
    return known.low, known.high

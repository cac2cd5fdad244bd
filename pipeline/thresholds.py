"""Probabilities of rows that a model did not learn from → the threshold that suits a metric."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

Floats = npt.NDArray[np.float64]
METRICS = {"f1": f1_score, "accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score}
_THRESHOLDS = 200


def best_threshold(
    y: npt.NDArray[np.int64], probability: Floats, metric: str = "f1", weights: Floats | None = None
) -> tuple[float, float]:
    """Return the threshold with the best value of a metric, and that value.

    Args:
        y: (n,) labels, 0 or 1.
        probability: (n,) probability of 1.
        metric: one of `METRICS`.
        weights: (n,) how much each row counts; None: all alike.

    Thresholds lie halfway between probabilities, so that a rounding error decides nothing.
    """
    levels = np.unique(np.quantile(probability, np.linspace(0, 1, _THRESHOLDS)))
    between = (levels[1:] + levels[:-1]) / 2 if len(levels) > 1 else np.array([0.5])
    values = _at_thresholds(y, probability, between, metric, np.ones(len(y)) if weights is None else weights)
    best = int(np.argmax(values))
    return float(between[best]), float(values[best])


def _at_thresholds(
    y: npt.NDArray[np.int64], probability: Floats, thresholds: Floats, metric: str, weights: Floats
) -> Floats:
    """Return a metric at each threshold, shape (k,), from counts; scikit-learn k times took a third of a run."""
    positives, missed = _below(probability[y == 1], weights[y == 1], thresholds)
    negatives, spared = _below(probability[y == 0], weights[y == 0], thresholds)
    hits, alarms = positives - missed, negatives - spared
    if metric == "f1":
        return np.asarray(2 * hits / np.maximum(2 * hits + alarms + missed, 1e-12))
    if metric == "accuracy":
        return np.asarray((hits + spared) / (positives + negatives))
    return np.asarray((hits / max(positives, 1e-12) + spared / max(negatives, 1e-12)) / 2)


def _below(probability: Floats, weights: Floats, thresholds: Floats) -> tuple[float, Floats]:
    """Return the weight of all rows, and of those below each threshold, shape (k,)."""
    order = np.argsort(probability, kind="stable")
    summed = np.append(0.0, np.cumsum(weights[order]))
    return float(summed[-1]), summed[np.searchsorted(probability[order], thresholds)]

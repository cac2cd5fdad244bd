"""Probabilities of rows that a model did not learn from → the threshold that suits a metric.

Which threshold is the best for some thousand rows is mostly luck: around it the metric is flat, and a few rows more or
less move it far. What calibrated probabilities expect of each threshold is steady.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from churnwatch.pipeline.folds import Folds

Floats = npt.NDArray[np.float64]
METRICS = {"f1": f1_score, "accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score}
_THRESHOLDS = 200
_SURE = 3.0  # standard errors by which labels must contradict probabilities


def steady_threshold(
    y: npt.NDArray[np.int64], probability: Floats, metric: str, weights: Floats | None, folds: Folds
) -> tuple[float, float]:
    """Return the threshold with the best expected value of a metric, and the value that it has.

    Expected: as if the share `probability` of each row were positive. Where the threshold that is best for the labels
    is better by more than three standard errors over the folds, probabilities do not mean what they say: it is taken.

    Args:
        y: (n,) labels, 0 or 1.
        probability: (n,) probability of 1, calibrated.
        metric: one of `METRICS`.
        weights: (n,) how much each row counts; None: all alike.
        folds: which rows to tell differences by.

    Source: Lipton, Elkan and Naryanaswamy, Optimal thresholding of classifiers to maximize F1 measure (2014).
    """
    expected, best = (best_threshold(of, probability, metric, weights)[0] for of in (probability, y))
    weight = np.ones(len(y)) if weights is None else weights
    both = np.array([expected, best])
    of_folds = [_at_thresholds(y[test], probability[test], both, metric, weight[test]) for _, test in folds]
    gains = np.diff(of_folds)[:, 0]
    surely = np.mean(gains) > _SURE * np.std(gains, ddof=1) / np.sqrt(len(gains))
    threshold = best if surely else expected
    return threshold, float(_at_thresholds(y, probability, np.array([threshold]), metric, weight)[0])


def best_threshold(
    y: npt.NDArray[np.int64] | Floats, probability: Floats, metric: str = "f1", weights: Floats | None = None
) -> tuple[float, float]:
    """Return the threshold with the best value of a metric, and that value.

    Args:
        y: (n,) labels, 0 or 1, or how probable it is that they are 1.
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
    y: npt.NDArray[np.int64] | Floats, probability: Floats, thresholds: Floats, metric: str, weights: Floats
) -> Floats:
    """Return a metric at each threshold, shape (k,), from counts; scikit-learn k times took a third of a run."""
    positives, missed = _below(probability, weights * y, thresholds)
    negatives, spared = _below(probability, weights * (1 - y), thresholds)
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

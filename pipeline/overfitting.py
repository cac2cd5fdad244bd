"""Has a model learned its rows by heart? How much better it is on them than on the holdout, with an interval.

All intervals hold the truth in 90 % of the cases. They take rows for independent, so with many rows of each customer
they are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline.metrics import METRICS
from churnwatch.pipeline.row_bootstrap import log_losses
from churnwatch.pipeline.shares import f1_interval

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_NORMAL_5 = 1.645  # how many standard errors from the middle 5 % begin
_LESS_FREE = {
    "logistic": "a smaller `C` of logistic",
    "linear": "a larger `alpha` of linear",
    "boosting": "fewer `max_leaf_nodes` or more `l2_regularization` of boosting",
}


@dataclass(frozen=True)
class Estimate:
    """A number with the 90 % interval of what it stands for."""

    value: float
    low: float
    high: float

    def __sub__(self, other: Estimate) -> Estimate:
        """Return the difference of two numbers that come from different rows.

        Source: Zou and Donner, Construction of confidence limits about effect measures, Stat. Med. 27 (2008); for
        proportions it is Newcombe's, Stat. Med. 17 (1998), p. 873.
        """
        value = self.value - other.value
        below = math.hypot(self.value - self.low, other.high - other.value)
        above = math.hypot(self.high - self.value, other.value - other.low)
        return Estimate(value, value - below, value + above)

    def __neg__(self) -> Estimate:
        """Return the number with the other sign."""
        return Estimate(-self.value, -self.high, -self.low)

    @property
    def in_words(self) -> str:
        """The number with its interval."""
        return f"{self.value:.3f}, 90 % interval {self.low:.3f} to {self.high:.3f}"


def estimates(y: Labels, probability: Floats, *, threshold: float) -> dict[str, Estimate]:
    """Return F1, ROC AUC and log loss with their intervals, as far as these rows allow.

    Args:
        y: (n,) labels, 0 or 1.
        probability: (n,) probability of 1.
        threshold: from which probability on the decision is 1.
    """
    found = {
        "f1": _f1(y == 1, probability >= threshold),
        "roc_auc": _roc_auc(probability[y == 1], probability[y == 0]),
        "log_loss": mean(log_losses(y, probability)),
    }
    return {name: each for name, each in found.items() if each is not None}


def estimates_of_amounts(y: Floats, expected: Floats) -> dict[str, Estimate]:
    """Return mean absolute error and R² with their intervals, as far as these rows allow.

    That of R² is the interval of the mean squared error; the spread of the amounts is taken as it is.

    Args:
        y: (n,) amounts.
        expected: (n,) what a model expects of them.
    """
    found = {"mae": mean(np.abs(expected - y))}
    spread = float(y.var()) if len(y) else 0.0
    if 0 < spread < math.inf:
        found["r2"] = mean(1 - (expected - y) ** 2 / spread)
    return {name: each for name, each in found.items() if each is not None}


def gaps(train: Mapping[str, Estimate], holdout: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return by how much each metric is better on the rows that were learned from than on the holdout."""
    return {
        name: train[name] - holdout[name] if METRICS[name].sign > 0 else holdout[name] - train[name]
        for name in train
        if name in holdout
    }


def warning(
    model: str, estimator: str, train: float, holdout: float, gap: Estimate, most: float, *, metric: str = "f1"
) -> str | None:
    """Say that a model has learned its rows by heart, and what helps; None where the gap may be smaller than `most`.

    Args:
        model: what to call it, such as v7.
        estimator: its estimator.
        train: the metric on the rows it learned from.
        holdout: the metric on the holdout.
        gap: the difference.
        most: `training.max_gap`.
        metric: one that is 1 at best.
    """
    if gap.low <= most:
        return None
    tamer = _LESS_FREE.get(estimator, f"more regularisation of {estimator}")
    simpler = "" if estimator in ("logistic", "linear") else ", a simpler estimator first in `training.estimators`"
    return (
        f"{model} has {METRICS[metric].title} {train:.2f} on the rows it learned from and {holdout:.2f} on the holdout:"
        f" it has learned them by heart (gap {gap.in_words}); what helps: fewer features (`exclude`),"
        f" {tamer}, more rows{simpler}"
    )


def mean(values: Floats) -> Estimate | None:
    """Return the mean of independent values; None of fewer than two."""
    if len(values) < 2:  # noqa: PLR2004 - one value has no spread
        return None
    return _normal(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)))


def _normal(value: float, error: float) -> Estimate:
    return Estimate(value, value - _NORMAL_5 * error, value + _NORMAL_5 * error)


def _f1(left: npt.NDArray[np.bool_], decided: npt.NDArray[np.bool_]) -> Estimate | None:
    rows, hits = int((left | decided).sum()), int((left & decided).sum())
    if not rows:
        return None
    return Estimate(2 * hits / (rows + hits), *f1_interval(hits, rows))


def _roc_auc(positive: Floats, negative: Floats) -> Estimate | None:
    """Return ROC AUC of the probabilities of both classes; None where one of them has fewer than two rows.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988), p. 837.
    """
    if min(len(positive), len(negative)) < 2:  # noqa: PLR2004 - one value has no spread
        return None
    ahead, behind = _beaten(positive, np.sort(negative)), 1 - _beaten(negative, np.sort(positive))
    found = _normal(float(ahead.mean()), math.sqrt(ahead.var(ddof=1) / len(ahead) + behind.var(ddof=1) / len(behind)))
    return Estimate(found.value, max(0.0, found.low), min(1.0, found.high))


def _beaten(values: Floats, others: Floats) -> Floats:
    """Return the share of others (sorted) below each value, equal ones counted half."""
    values = np.sort(values)  # looked up several times faster than in any order
    below, to = (np.searchsorted(others, values, side=side) for side in ("left", "right"))
    return np.asarray((below + to) / (2 * len(others)))

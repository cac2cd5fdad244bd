"""Amounts and what was expected of them → metrics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline import row_bootstrap

Floats = npt.NDArray[np.float64]
_TENTHS = 10


def evaluate_amounts(y: Floats, expected: Floats, *, top_share: float = 0.1) -> dict[str, float]:
    """Return every metric that these rows allow.

    Args:
        y: (n,) amounts.
        expected: (n,) what a model expects of them.
        top_share: the share of customers who can be called, for the share of all amounts that stands with them.

    What is not defined is left out: MAPE where all amounts are nought, R² where all are equal, the share at the call
    capacity where some are below nought.
    """
    if not len(y):
        return {}
    found = {metric: row_bootstrap.value(metric, y, expected) for metric in row_bootstrap.OF_AMOUNTS}
    if y.min() >= 0 and y.sum() > 0:
        called = np.argsort(-expected, kind="stable")[: max(1, round(top_share * len(y)))]
        found["share_at_capacity"] = float(y[called].sum() / y.sum())
    return {name: value for name, value in found.items() if np.isfinite(value)}


def baseline_amounts(y: Floats) -> dict[str, float]:
    """Return the metrics of the dummy that expects the same of everybody: the best of those that look at nothing.

    By absolute errors that is the median, by squared ones the mean.
    """
    if not len(y):
        return {}
    median, mean = (evaluate_amounts(y, np.full(len(y), of(y))) for of in (np.median, np.mean))
    best = {"mae": median, "mape": median, "rmse": mean, "r2": mean}
    return {metric: found[metric] for metric, found in best.items() if metric in found}


def tenths(y: Floats, expected: Floats) -> list[tuple[int, float, float]]:
    """Return rows, mean of what was expected and mean of what came for each tenth by expectation, the highest first.

    Rows of the same expectation stay in their order; fewer than ten rows have no tenths.
    """
    if len(y) < _TENTHS:
        return []
    parts = np.array_split(np.argsort(-expected, kind="stable"), _TENTHS)
    return [(len(part), float(expected[part].mean()), float(y[part].mean())) for part in parts]

"""Labels and probabilities → what the curves of a model are drawn from, and counts by group of customers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import confusion_matrix_at_thresholds

MOST_CUTS = 100
MOST_COLUMNS, MOST_VALUES, LEAST_ROWS = 20, 6, 30

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cut:
    """All rows from a probability on: how many they are, how many of them left, how many were expected to."""

    threshold: float
    rows: int
    leavers: int
    expected_leavers: float


@dataclass(frozen=True, slots=True)
class Group:
    """The rows with one value of a column: how many, how many of them left, were named, and both."""

    column: str
    value: str
    rows: int
    leavers: int
    named: int
    hits: int


def cuts(y: Labels, probability: Floats) -> list[Cut]:
    """Return the rows above some thresholds, the highest first and the last with all rows.

    ROC, precision-recall, gain and lift, calibration and profit by threshold all follow from these counts. Of more than
    `MOST_CUTS` distinct probabilities, those are kept that are evenly spaced in rows and in leavers.

    Args:
        y: (n,) labels, 0 or 1; of one class alone there are no curves.
        probability: (n,) probability of 1.
    """
    if not 0 < y.sum() < len(y):
        return []
    _, stayed, _, left, thresholds = confusion_matrix_at_thresholds(y, probability)
    rows, left = (stayed + left).astype(int), left.astype(int)
    expected = np.cumsum(-np.sort(-probability))[rows - 1]
    kept = _spread(rows / rows[-1] + left / left[-1])
    return [Cut(float(thresholds[i]), int(rows[i]), int(left[i]), float(expected[i])) for i in kept]


def _spread(way: Floats) -> list[int]:
    """Return the places that are nearest to even steps along a way that only grows; always the last one."""
    steps = np.linspace(way[0], way[-1], MOST_CUTS)
    return sorted({int(place) for place in np.searchsorted(way, steps - 1e-12)} | {len(way) - 1})[-MOST_CUTS:]


def groups(X: pd.DataFrame, y: Labels, probability: Floats, *, threshold: float) -> list[Group]:
    """Return counts by value of the first columns of few values, without values that few rows have.

    Args:
        X: (n, features) what the model sees.
        y: (n,) labels, 0 or 1.
        probability: (n,) probability of 1.
        threshold: from which probability on the decision is 1.
    """
    few = [column for column in X.columns if 1 < X[column].nunique() <= MOST_VALUES]
    counted = pd.DataFrame({"rows": 1, "leavers": y, "named": probability >= threshold}, index=X.index).astype(int)
    counted["hits"] = counted["leavers"] * counted["named"]
    found = []
    for column in few[:MOST_COLUMNS]:
        sums = counted.groupby(X[column], observed=True).sum().query("rows >= @LEAST_ROWS")
        found += [
            Group(str(column), _shown(value), *map(int, row))
            for value, row in zip(sums.index, sums.to_numpy(), strict=True)
        ]
    return found


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

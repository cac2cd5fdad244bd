"""How much each column counts in a model: by what it contributes, and by what shuffling it costs on the holdout.

The two answer different questions. Contributions say what the model looks at; the permutation says what of that is
worth something on rows that it has never seen, with an interval.

Source: Breiman, Random forests (2001), for the permutation; Fisher, Rudin and Dominici, All models are wrong, but many
are useful (2019), for its estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from churnwatch.pipeline import row_bootstrap
from churnwatch.pipeline.features import Rows

Floats = npt.NDArray[np.float64]
Predict = Callable[[Rows], Floats]
_REPEATS = 3
_MOST_PREDICTED = 10_000  # rows, with all repeats: what that takes does not grow with holdout and columns
_FEWEST_ROWS = 100  # of the holdout; where that would be too many, fewer columns are shuffled
_HALF_INTERVAL = 1.645  # standard errors on either side of an interval of 90 %


@dataclass(frozen=True)
class Permuted:
    """By how much the loss of a model rises when a column is shuffled, with an interval of 90 %."""

    rise: float
    low: float
    high: float


def permuted(
    predict: Predict, rows: Rows, columns: Sequence[str], *, amounts: bool, seed: int
) -> Mapping[str, Permuted]:
    """Shuffle columns of rows that the model never saw, each on its own.

    Args:
        predict: rows -> (n,) probabilities, or amounts.
        rows: the holdout, n rows; of many, a sample is taken.
        columns: those that are worth the time, the most important first; the last are left out where there are many.
        amounts: whether the loss is the absolute error; else log loss.
        seed: of what is drawn.

    Returns what was found by column; nothing where there are fewer than two rows.
    """
    if len(rows) < 2:  # noqa: PLR2004 - one row has no interval, and nothing to be swapped with
        return {}
    rng = np.random.default_rng(seed)
    columns = columns[: _MOST_PREDICTED // (_REPEATS * min(_FEWEST_ROWS, len(rows)))]
    most = _MOST_PREDICTED // (_REPEATS * max(1, len(columns)))
    drawn = rows if len(rows) <= most else rows.where(_mask(rng.choice(len(rows), most, replace=False), len(rows)))
    loss = row_bootstrap.LOSSES["mae" if amounts else "log_loss"]
    shuffled = [rng.permutation(len(drawn)) for _ in range(_REPEATS)]
    frames = [_with(drawn.X, column, order) for column in columns for order in shuffled]
    if not frames:
        return {}
    found = predict(_repeated(drawn, frames)).reshape(len(columns), _REPEATS, len(drawn))
    before = loss(drawn.y, predict(drawn))
    return {
        column: _interval(np.mean([loss(drawn.y, each) for each in repeats], axis=0) - before)
        for column, repeats in zip(columns, found, strict=True)
    }


def _mask(places: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.bool_]:
    kept = np.zeros(length, dtype=bool)
    kept[places] = True
    return kept


def _with(X: pd.DataFrame, column: str, order: npt.NDArray[np.int64]) -> pd.DataFrame:
    return X.assign(**{column: X[column].to_numpy()[order]}).astype({column: X[column].dtype})


def _repeated(rows: Rows, frames: Sequence[pd.DataFrame]) -> Rows:
    return Rows(pd.concat(frames, ignore_index=True), np.tile(rows.y, len(frames)), None)


def _interval(rises: npt.NDArray[Any]) -> Permuted:
    """Return the mean over rows, and how far it may be off for so many of them."""
    mean, half = float(rises.mean()), _HALF_INTERVAL * float(rises.std(ddof=1)) / np.sqrt(len(rises))
    return Permuted(mean, float(mean - half), float(mean + half))

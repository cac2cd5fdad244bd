"""How far back to learn from: a window of the training rows, or weights that fall with age.

Where the world changes, old rows teach what no longer holds; where it does not, each row that is left out is a loss.
Which of both is the case can only be told forward in time: `compare` has models that were trained on what came before
predict the newest batches.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from churnwatch.pipeline.features import Rows, usable
from churnwatch.pipeline.settings import Training

Floats = npt.NDArray[np.float64]
Learn = Callable[[Rows, Floats | None], Callable[[Rows], Floats]]
ALL = "all"
_LAST = (3, 6, 12)  # batches
_HALF_LIFE = 6.0  # batches
_ENOUGH = 30  # positives and negatives among the rows that are predicted, and in each window
_ORIGINS = 2  # newest batches that are predicted, at least
_SURE = 1e-6  # no probability is taken to be surer than this: one row must not decide


@dataclass(frozen=True)
class Window:
    """Which training rows are learned from, and how much each counts.

    Attributes:
        last: only the newest so many batches; None: all.
        since: only rows dated so or later; None: all.
        half_life: a batch that is so many batches older counts half as much; None: all alike.
    """

    last: int | None = None
    since: dt.date | None = None
    half_life: float | None = None

    @classmethod
    def given(cls, training: Training) -> Window:
        """Return the window that the settings name; `compare` begins with all history."""
        last = int(training.window.split()[1]) if training.window.startswith("last") else None
        since = dt.date.fromisoformat(training.window.split()[1]) if training.window.startswith("since") else None
        return cls(last, since, training.half_life)

    @property
    def name(self) -> str:
        """The window as people say it."""
        rows = ALL if self.last is None else f"last {self.last} batches"
        if self.since is not None:
            rows = f"since {self.since}"
        return rows if self.half_life is None else f"{rows}, half-life {self.half_life:g} batches"

    def within(self, rows: Rows) -> Rows:
        """Return the rows in the window; a row without a date is in none that begins with one."""
        if self.since is not None and rows.dates is not None:
            return rows.where((pd.to_datetime(rows.dates) >= pd.Timestamp(self.since)).to_numpy())
        return rows if self.last is None else rows.where(_age(rows) < self.last)

    def weights(self, rows: Rows) -> Floats | None:
        """Return how much each row counts, shape (n,), 1 for those of the newest batch; None: all alike."""
        return None if self.half_life is None else np.asarray(0.5 ** (_age(rows) / self.half_life))


@dataclass(frozen=True)
class ComparedWindow:
    """One window, by what it says of batches that came later.

    Attributes:
        window: which one.
        log_loss: of the rows that were predicted.
        gain: log loss of all history less this one's, over the same rows.
        standard_error: of the gain; 0 for all history.
        rows: how many were predicted.
    """

    window: Window
    log_loss: float
    gain: float
    standard_error: float
    rows: int


def compare(rows: Rows, training: Training, learn: Learn, *, weighed: bool = True) -> tuple[ComparedWindow, ...]:
    """Predict the newest batches by models that learned what came before them, once with each window.

    Args:
        rows: the training rows.
        training: a half-life that it names is compared, instead of the usual one.
        learn: trains on rows with weights; returns what predicts rows.
        weighed: whether weights that fall with age are compared, too.

    Returns all history first; nothing where there are too few batches or rows to tell.
    """
    windows = [window for window in _candidates(rows, training) if weighed or window.half_life is None]
    found: dict[Window, list[Floats]] = {window: [] for window in windows}
    for past, asked in _origins(rows):
        usual = _losses(asked, Window(), past, learn)
        for window in windows:
            known = _is_enough(window.within(past)) and window != Window()
            found[window].append(_losses(asked, window, past, learn) if known else usual)
    losses = {window: np.concatenate(each) for window, each in found.items() if each}
    return tuple(_compared(window, each, losses[Window()]) for window, each in losses.items())


def choose(compared: Sequence[ComparedWindow]) -> Window:
    """Take the window with the least loss, or all history where that is within one standard error of it."""
    best = min(compared, key=lambda each: each.log_loss, default=None)
    return best.window if best is not None and best.gain > best.standard_error else Window()


def _candidates(rows: Rows, training: Training) -> list[Window]:
    batches = len(np.unique(rows.batches))
    weighted = Window(half_life=training.half_life or _HALF_LIFE)
    return [Window(), *(Window(last=last) for last in _LAST if last < batches - 1), weighted]


def _origins(rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Yield what came before a batch, and the batch, from the newest back until enough was predicted."""
    batches = np.unique(rows.batches)
    asked = positives = 0
    for number, batch in enumerate(batches[:0:-1]):
        past, new = rows.where(rows.batches < batch), rows.where(rows.batches == batch)
        if not _is_enough(past) or (number >= _ORIGINS and min(positives, asked - positives) >= _ENOUGH):
            return
        asked, positives = asked + len(new), positives + new.positives
        yield past, new


def _is_enough(rows: Rows) -> bool:
    return min(rows.positives, len(rows) - rows.positives) >= _ENOUGH and bool(usable(rows))


def _losses(asked: Rows, window: Window, past: Rows, learn: Learn) -> Floats:
    """Return the log loss of each row, shape (n,)."""
    known = window.within(past)
    probability = np.clip(learn(known, window.weights(known))(asked), _SURE, 1 - _SURE)
    return np.asarray(-np.log(np.where(asked.y == 1, probability, 1 - probability)))


def _compared(window: Window, losses: Floats, usual: Floats) -> ComparedWindow:
    gains = usual - losses
    error = float(np.std(gains) / math.sqrt(len(gains)))
    return ComparedWindow(window, float(losses.mean()), float(gains.mean()), error, len(gains))


def _age(rows: Rows) -> npt.NDArray[np.int64]:
    """Return how many batches each row is older than the newest, shape (n,)."""
    if not len(rows.batches):
        return np.zeros(len(rows), dtype=np.int64)
    batches, number = np.unique(rows.batches, return_inverse=True)
    return np.asarray(len(batches) - 1 - number, dtype=np.int64)

"""Champion and candidate on the same rows, by one metric: values, difference, and how far that may be luck."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline import paired, row_bootstrap
from churnwatch.pipeline.metrics import METRICS, Metric, Needs, minus
from churnwatch.pipeline.paired import Cells

Labels = npt.NDArray[Any]  # classes and decisions as int64, or amounts as float64
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How far a difference may be luck.

    Attributes:
        low: 5th percentile of the difference over resamples of the rows; above nought is better.
        high: 95th percentile.
        p: one-sided; how probable a difference like this is without there being one.
    """

    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Compared:
    """Champion and candidate on the same rows.

    Attributes:
        metric: one of `METRICS`.
        y: (n,) labels, 0 or 1, or amounts, in the order in which they came.
        champion: (n,) the champion's decisions, or the amounts that it expects.
        candidate: (n,) the candidate's.
        probabilities: (n,) of champion and candidate, where the metric is of these.
    """

    metric: str
    y: Labels
    champion: Labels
    candidate: Labels
    probabilities: tuple[Floats, Floats] | None = None

    def by(self, metric: str) -> Compared:
        """Return the same by another metric."""
        return replace(self, metric=metric)

    @property
    def of(self) -> Metric:
        """What the metric is."""
        return METRICS[self.metric]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.y)

    @property
    def of_amounts(self) -> bool:
        """Whether amounts are compared."""
        return self.of.needs is Needs.AMOUNTS

    @cached_property
    def cells(self) -> Cells | None:
        """How many rows fall into each of the eight cells of target × champion × candidate; amounts have none."""
        return None if self.of_amounts else paired.count_cells(self.y, self.champion, self.candidate)

    @property
    def positives(self) -> int:
        """How many rows are positive, of amounts how many are above nought."""
        return int(np.sum(self.y > 0))

    @cached_property
    def values(self) -> tuple[float, float]:
        """The metric of the champion and of the candidate.

        Raises:
            ValueError: it is one of probabilities, and there are none.
        """
        if self.of.needs is Needs.DECISIONS:
            old, new = paired.values(self.metric, np.array([self.cells], dtype=np.float64))[0]
        else:
            old, new = (row_bootstrap.value(self.metric, self.y, each) for each in self._numbers)
        return float(old), float(new)

    @property
    def delta(self) -> float:
        """By how much the candidate is better."""
        return (self.values[1] - self.values[0]) * self.of.sign

    @property
    def scale(self) -> float:
        """What a difference of 1 is: the champion's value where differences count as shares of it."""
        return self.values[0] if self.of.relative else 1.0

    @property
    def values_in_words(self) -> str:
        """Both values in words."""
        old, new = (self.of.shown(value) for value in self.values)
        return f"{new} against {old} on the same {self.rows:,} holdout rows"

    def in_words(self, delta: float) -> str:
        """Return a difference in words, with its sign: above nought is better."""
        if not self.of.relative:
            return minus(f"{delta:+.4f}")
        return minus(f"{delta / self.scale:+.2%}".replace("%", " %")) if self.scale else "none"

    @property
    def facts(self) -> str:
        """The metric and both values in words."""
        return f"{self.of.title} {self.values_in_words}"

    def spread(self, *, resamples: int, seed: int) -> Spread:
        """Return how far the difference may be luck, by drawing rows anew, and where it can be by swapping."""
        if self.cells is not None and self.of.needs is Needs.DECISIONS:
            drawn = paired.bootstrap(self.metric, self.cells, resamples=resamples, seed=seed)
            swapped = paired.swap_test(self.metric, self.cells, resamples=resamples, seed=seed)
        else:
            drawn = row_bootstrap.bootstrap_rows(self.metric, self.y, *self._numbers, resamples=resamples, seed=seed)
            swapped = self._swapped(resamples, seed)
        deltas = (drawn[1] - drawn[0]) * self.of.sign
        low, high = np.quantile(deltas, [0.05, 0.95])
        p = float((1 + np.sum(deltas <= 0)) / (1 + len(deltas)))
        return Spread(float(low), float(high), max(p, swapped))

    def _swapped(self, resamples: int, seed: int) -> float:
        if self.metric not in row_bootstrap.LOSSES:
            return 0.0
        return row_bootstrap.swap_rows(self.metric, self.y, *self._numbers, resamples=resamples, seed=seed)

    def wealth(self) -> float:
        """Return the most that a bet on the candidate ever came to, row by row; see `paired.wealth`."""
        if self.metric == "brier":
            old, new = self._probabilities
            return paired.wealth((old - self.y) ** 2 - (new - self.y) ** 2)
        return paired.wealth(paired.gains(self.metric, self.y, self.champion, self.candidate))

    @property
    def _numbers(self) -> tuple[Floats, Floats]:
        """What the metric is computed from: the amounts of both, or their probabilities."""
        return (self.champion, self.candidate) if self.of_amounts else self._probabilities

    @property
    def _probabilities(self) -> tuple[Floats, Floats]:
        if self.probabilities is None:
            raise ValueError(f"{self.metric} needs probabilities")
        return self.probabilities

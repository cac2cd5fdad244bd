"""How far the world has moved from what a model knows: a number with a meaning, and the range of chance around it.

The *deviation* of a column is the share of rows that would have to change bin for the new rows to be spread as those
of the reference are: the total variation distance of the two. Samples of one world differ, too, so chance is removed
twice. What it adds to the squared difference of a bin is taken off (which leaves an unbiased square), and what is then
within the floor counts as nothing.

The floor is one for all columns together: rows are dealt out anew between reference and new rows, 2,000 times, as
if it made no difference which is which, and in 95 of 100 such deals no column at all exceeds its floor (the single-step
"maxT" of Westfall and Young, Resampling-Based Multiple Testing, 1993, §2.8). Each column's deviations by chance are
measured in its own units, from their median to their 95th percentile, before the largest is taken: else the column with
most bins would set the floor of all. Columns are dealt out each by itself; where they go together, as they mostly do,
the floor is a little too high, never too low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline.records import Band

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SIMULATIONS = 2000
_HIGH = 0.95  # the percentile that a column's deviations by chance are measured by


@dataclass(frozen=True)
class Deviation:
    """One deviation.

    Attributes:
        value: as a share of the rows; of the log loss, by which share it rose. 0 within the floor.
        floor: what chance alone reaches.
        moved: by bin, the share of rows that came (or, below 0, went), without what may be chance; of the bins with a
            deviation only. Empty for the log loss.
    """

    value: float
    floor: float
    moved: Floats


class Compared(Protocol):
    """What can be held against a reference."""

    def observed(self) -> tuple[float, Floats]:
        """Return the deviation with what may be chance, and what moved."""

    def by_chance(self, rng: np.random.Generator) -> Floats:
        """Return deviations where there is no drift, one for each simulation."""

    @property
    def grain(self) -> float:
        """What a single row can make of the deviation."""


@dataclass(frozen=True)
class Spread:
    """Rows by bin: those of the reference and the new ones, of the same length and at least one row each."""

    reference: Sequence[int]
    current: Sequence[int]

    def observed(self) -> tuple[float, Floats]:
        """Return the share of rows that changed bin, and by how much each bin gained."""
        gained = self._gained(np.asarray([self.current]))[0]
        return float(np.abs(gained).sum() / 2), gained

    def by_chance(self, rng: np.random.Generator) -> Floats:
        """Deal all rows out anew."""
        pooled = np.add(self.reference, self.current)
        used = np.flatnonzero(pooled)
        dealt = np.zeros((SIMULATIONS, len(pooled)), dtype=np.int64)
        dealt[:, used] = rng.multivariate_hypergeometric(
            pooled[used], sum(self.current), size=SIMULATIONS, method="marginals"
        )
        return np.asarray(np.abs(self._gained(dealt)).sum(axis=1) / 2)

    @property
    def grain(self) -> float:
        """The share that one row is."""
        return 1 / sum(self.current)

    def _gained(self, current: Ints) -> Floats:
        """Return what each bin gained, with the variance by chance taken off its square; current: (samples, bins)."""
        rows, before = sum(self.current), sum(self.reference)
        pooled = np.add(self.reference, self.current)
        share = pooled / (rows + before)
        difference = current / rows - (pooled - current) / before
        square = difference**2 - share * (1 - share) * (1 / rows + 1 / before)
        return np.asarray(np.sign(difference) * np.sqrt(np.maximum(square, 0.0)))


@dataclass(frozen=True)
class Losses:
    """The log loss of one model on the reference and on new rows.

    Attributes:
        mean: on the reference.
        std: of single rows.
        skewness: of single rows.
        rows: of the reference.
        new_mean: on the new rows.
        new_rows: how many there are.
    """

    mean: float
    std: float
    skewness: float
    rows: int
    new_mean: float
    new_rows: int

    def observed(self) -> tuple[float, Floats]:
        """Return by which share the log loss rose; a lower one is no drift."""
        return max(0.0, self.new_mean / self.mean - 1), np.empty(0)

    def by_chance(self, rng: np.random.Generator) -> Floats:
        """Draw both means as of rows with this mean, spread and skewness (Pearson's type III: a shifted gamma)."""
        new, old = (self._mean_of(rows, rng) for rows in (self.new_rows, self.rows))
        return np.maximum(0.0, (new - old) / self.mean)

    @property
    def grain(self) -> float:
        """What a row with twice the usual loss makes of the mean."""
        return 1 / self.new_rows

    def _mean_of(self, rows: int, rng: np.random.Generator) -> Floats:
        """Return means of so many rows, less the true one."""
        scale = self.std / np.sqrt(rows)
        shape = 4 * rows / self.skewness**2 if self.skewness else np.inf
        if not np.isfinite(shape):
            return np.asarray(scale * rng.standard_normal(SIMULATIONS))
        drawn = (rng.standard_gamma(shape, SIMULATIONS) - shape) / np.sqrt(shape)
        return np.asarray(np.sign(self.skewness) * scale * drawn)


def deviations(compared: Sequence[Compared], *, alpha: float, seed: int = 0) -> list[Deviation]:
    """Return each deviation with its floor.

    Args:
        compared: what is held against the reference, all of it: the floor is one for all.
        alpha: in what share of the cases without any drift at least one may exceed its floor.
        seed: of the simulation.
    """
    if not compared:
        return []
    rng = np.random.default_rng(seed)
    by_chance = np.stack([each.by_chance(rng) for each in compared])  # (columns, simulations)
    floors = _floors(by_chance, np.array([each.grain for each in compared]), alpha)
    return [_judged(each, floor) for each, floor in zip(compared, floors.tolist(), strict=True)]


def _floors(by_chance: Floats, grains: Floats, alpha: float) -> Floats:
    """Return what no column exceeds in all but a share `alpha` of the simulations; shape (columns,)."""
    middle, high = np.quantile(by_chance, (0.5, _HIGH), axis=1)
    unit = high - middle + grains  # where a deviation by chance is rare, a single row is no wonder either
    largest = ((by_chance - middle[:, None]) / unit[:, None]).max(axis=0)
    return np.asarray(middle + np.quantile(largest, 1 - alpha, method="higher") * unit)


def _judged(compared: Compared, floor: float) -> Deviation:
    value, moved = compared.observed()
    return Deviation(value, floor, moved) if value > floor else Deviation(0.0, floor, np.zeros_like(moved))


def band(deviation: Deviation, *, watch: float, retrain: float, search: float) -> Band:
    """Return what a deviation calls for; the bounds are in percent."""
    percent = 100 * deviation.value
    for bound, reached in ((search, Band.SEARCH), (retrain, Band.RETRAIN), (watch, Band.WATCH)):
        if percent >= bound:
            return reached
    return Band.UNRESOLVED if 100 * deviation.floor > retrain else Band.NOTHING

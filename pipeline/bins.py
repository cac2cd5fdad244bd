"""How the values of columns are spread over bins: those a model was trained on, and new rows in the same bins.

Numbers have the deciles of the reference for bins, and a bin of its own for each value that a tenth of the rows have;
texts have their categories, the rare ones together. The last bin is that of rows without a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec import Struct

from churnwatch.pipeline.engine import Engine, constant, literal, name

Floats = npt.NDArray[np.float64]
FEWEST_ROWS = 10  # of a category that is kept by its name: fewer might tell of single customers
_MOST_CATEGORIES = 30
_DECILES = np.arange(1, 10) / 10
_AT_ONCE = 25  # columns in one query


class Bins(Struct, frozen=True):
    """The bins of one column, and how many rows of the reference are in each.

    Attributes:
        column: its name.
        rows: by bin: intervals between the cuts, or one for each category and one for all others; the last one counts
            the rows without a value.
        cuts: of numbers, the upper ends of the intervals, which belong to them; the last interval has none.
        categories: of texts; None for numbers.
    """

    column: str
    rows: tuple[int, ...]
    cuts: tuple[float, ...] = ()
    categories: tuple[str, ...] | None = None

    @property
    def missing(self) -> int:
        """The place of the bin of rows without a value."""
        return len(self.rows) - 1

    @property
    def others(self) -> int | None:
        """The place of the bin of categories without one of their own; None for numbers."""
        return None if self.categories is None else len(self.categories)


def of_numbers(column: str, values: Floats) -> Bins:
    """Make the bins of numbers, shape (n,), NaN where there is none."""
    present = values[~np.isnan(values)]
    cuts: list[float] = []
    for value in np.unique(np.quantile(present, _DECILES, method="inverted_cdf")) if len(present) else ():
        if np.mean(present == value) >= _DECILES[0]:
            cuts.append(float(np.nextafter(value, -np.inf)))
        cuts.append(float(value))
    empty = Bins(column, (0,) * (len(cuts) + 2), tuple(cuts))
    return Bins(column, tuple(count_numbers(empty, values).tolist()), tuple(cuts))


def count_numbers(bins: Bins, values: Floats) -> npt.NDArray[np.int64]:
    """Return how many of these numbers, NaN where there is none, are in each bin."""
    missing = np.isnan(values)
    counted = np.bincount(np.searchsorted(bins.cuts, values[~missing]), minlength=len(bins.rows))
    counted[bins.missing] = missing.sum()
    return counted


def of_texts(column: str, values: pd.Series) -> Bins:
    """Make the bins of texts."""
    counted = values.value_counts(sort=False)
    common = sorted(((-int(rows), str(text)) for text, rows in counted.items() if rows >= FEWEST_ROWS))
    kept = [(text, -rows) for rows, text in common[:_MOST_CATEGORIES]]
    others = int(counted.sum()) - sum(rows for _, rows in kept)
    rows = (*(rows for _, rows in kept), others, int(values.isna().sum()))
    return Bins(column, rows, categories=tuple(text for text, _ in kept))


def of_frame(X: pd.DataFrame) -> tuple[Bins, ...]:
    """Make the bins of every column of a frame as models see it: numbers as float64, texts as str."""
    return tuple(
        of_numbers(column, X[column].to_numpy()) if X[column].dtype == np.float64 else of_texts(column, X[column])
        for column in X.columns
    )


def count(wanted: Sequence[Bins], engine: Engine, source: str, *, where: str = "true") -> list[tuple[int, ...]]:
    """Return how many rows are in each bin of each column, from one scan for every 25 columns.

    Args:
        wanted: the columns with their bins.
        engine: where the rows are.
        source: what stands after FROM to read them.
        where: which of them.
    """
    found: list[tuple[int, ...]] = []
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        sums = ", ".join(f"count(CASE WHEN {condition} THEN 1 END)" for bins in some for condition in _conditions(bins))
        row = iter(engine.rows(f"SELECT count(*), {sums} FROM {source} AS s WHERE {where}")[0])
        total = int(next(row))
        found += [_by_bin(bins, total, [int(next(row)) for _ in _conditions(bins)]) for bins in some]
    return found


def _conditions(bins: Bins) -> Iterator[str]:
    """Yield whether there is a value, then whether it is one of each category, or is at most each cut."""
    value = name(bins.column)
    yield f"{value} IS NOT NULL"
    for category in bins.categories or ():
        yield f"{value} = {constant(category)}"
    for cut in bins.cuts:
        yield f"CAST({value} AS DOUBLE) <= CAST({literal(repr(cut))} AS DOUBLE)"


def _by_bin(bins: Bins, total: int, counted: Sequence[int]) -> tuple[int, ...]:
    present, *sums = counted
    if bins.categories is not None:
        return (*sums, present - sum(sums), total - present)
    return (*(high - low for low, high in pairwise((0, *sums, present))), total - present)


def typical(bins: Bins) -> float | str | None:
    """Return the median, or the most frequent category, of the rows that bins were made of.

    None where most rows have no value, and where no category is frequent enough to be kept by its name.
    """
    present = bins.rows[: bins.missing]
    if bins.rows[bins.missing] > sum(present):
        return None
    if bins.categories is not None:
        return bins.categories[0] if bins.categories else None
    below = 0
    for place, rows in enumerate(present[: len(bins.cuts)]):
        below += rows
        if 2 * below >= sum(present):
            return bins.cuts[place + 1 if _is_open(bins, place) else place]
    return None


def bin_name(bins: Bins, place: int) -> str:
    """Say in words which values a bin of numbers or texts has."""
    if place == bins.missing:
        return "without a value"
    if bins.categories is not None:
        if place < len(bins.categories):
            return bins.categories[place]
        return "rare or new values" if bins.rows[place] else "values not seen before"
    return interval(bins, place, place)


def interval(bins: Bins, first: int, last: int) -> str:
    """Say in words which numbers are in the bins from `first` to `last`."""
    low = _text(bins.cuts[first - 1]) if first else None
    high = _text(bins.cuts[last]) if last < len(bins.cuts) else None
    if low is None:
        return f"{'below' if _is_open(bins, last) else 'at most'} {high}" if high else "a value"
    if high is None:
        return f"{low} or more" if _is_open(bins, first - 1) else f"above {low}"
    return high if low == high else f"between {low} and {high}"


def _is_open(bins: Bins, cut: int) -> bool:
    """Tell whether a cut lies just below a value that has a bin of its own, which is the next cut."""
    return cut + 1 < len(bins.cuts) and bool(np.nextafter(bins.cuts[cut], np.inf) == bins.cuts[cut + 1])


def _text(number: float) -> str:
    return f"{0.0 if abs(number) < np.finfo(np.float64).tiny else number:.6g}"

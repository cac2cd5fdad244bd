"""Two models' decisions on the same rows → what can be said of their difference.

F1, precision, recall and accuracies depend on nothing but how many rows fall into each of the eight cells of target ×
champion's decision × candidate's decision. So resampling rows equals drawing the cells from a multinomial, at a cost
that does not grow with the rows (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 8 and 16).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Cells = tuple[int, ...]
_CHAMPION, _CANDIDATE, _POSITIVE = 2, 1, 4  # the bits of a cell's number
_ROUNDING = 1e-12
_MOST_STAKED = 0.9  # of the wealth, on one row


def count_cells(y: Labels, champion: Labels, candidate: Labels) -> Cells:
    """Return how many rows fall into each of the eight cells, from 000 to 111."""
    index = _POSITIVE * np.asarray(y) + _CHAMPION * np.asarray(champion) + np.asarray(candidate)
    return tuple(int(count) for count in np.bincount(index.astype(np.int64), minlength=8))


def values(metric: str, counts: Floats) -> Floats:
    """Return a metric of champion and candidate, shape (k, 2), from counts of the eight cells, shape (k, 8).

    Raises:
        KeyError: not one of `OF_DECISIONS`.
    """
    of = OF_DECISIONS[metric]
    positives, rows = counts[:, _POSITIVE:].sum(axis=1), counts.sum(axis=1)
    found = []
    for mask in (_CHAMPION, _CANDIDATE):
        decided = [cell for cell in range(8) if cell & mask]
        hits = counts[:, [cell for cell in decided if cell & _POSITIVE]].sum(axis=1)
        found.append(of(hits, counts[:, decided].sum(axis=1), positives, rows))
    return np.stack(found, axis=1)


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


# of hits, rows decided to be positive, positives, rows
OF_DECISIONS: Mapping[str, Callable[[Floats, Floats, Floats, Floats], Floats]] = {
    "f1": lambda hits, decided, positives, _: _share(2 * hits, decided + positives),
    "precision": lambda hits, decided, _, __: _share(hits, decided),
    "recall": lambda hits, _, positives, __: _share(hits, positives),
    "accuracy": lambda hits, decided, positives, rows: _share(rows - decided - positives + 2 * hits, rows),
    "balanced_accuracy": lambda hits, decided, positives, rows: (
        (_share(hits, positives) + _share(rows - decided - positives + hits, rows - positives)) / 2
    ),
}


def bootstrap(metric: str, cells: Cells, *, resamples: int, seed: int) -> tuple[Floats, Floats]:
    """Return the metric of champion and candidate over resamples of the rows, each of shape (resamples,).

    Args:
        metric: one of `OF_DECISIONS`.
        cells: rows in each of the eight cells, as `count_cells` has them.
        resamples: how many.
        seed: of the random numbers.
    """
    total = sum(cells)
    drawn = np.random.default_rng(seed).multinomial(total, np.array(cells) / total, size=resamples)
    found = values(metric, drawn.astype(np.float64))
    return found[:, 0], found[:, 1]


def swap_test(metric: str, cells: Cells, *, resamples: int, seed: int) -> float:
    """Return how often a difference as high as this one comes of a coin that says whose decision is whose.

    Only rows on which the two differ can be swapped, so this is right for equal models however few these are, where the
    bootstrap is a little too bold. Equal ones count half (mid-p: Lancaster, J. Am. Stat. Assoc. 56, 1961).
    Source: Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005, ch. 3.

    Args:
        metric: one of `OF_DECISIONS`.
        cells: rows in each of the eight cells, as `count_cells` has them.
        resamples: how many.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    counts = np.tile(np.array(cells, dtype=np.float64), (resamples, 1))
    for first, second in ((1, 2), (5, 6)):
        differ = cells[first] + cells[second]
        counts[:, first] = rng.binomial(differ, 0.5, resamples)
        counts[:, second] = differ - counts[:, first]
    drawn, seen = values(metric, counts), values(metric, np.array([cells], dtype=np.float64))[0]
    beyond = drawn[:, 1] - drawn[:, 0] - (seen[1] - seen[0])
    higher, equal = np.sum(beyond > _ROUNDING), np.sum(np.abs(beyond) <= _ROUNDING)
    return float((1 + higher + equal / 2) / (1 + resamples))


def wealth(gain: Floats) -> float:
    """Return the most that a bet against "the candidate is no better" ever came to, row by row, from a stake of 1.

    Whoever looks after every row, and stops when it pleases, sees 20 by luck in at most 5 % of the cases (Ville's
    inequality). Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, J. R. Stat.
    Soc. B 86 (2024), for the stakes, which follow mean and variance of the rows before.

    Args:
        gain: (n,) what each row is worth for the candidate, from -1 to 1, in the order in which they came; nought on
            average where the two are equal.
    """
    gain = gain[gain != 0]
    if not len(gain):
        return 1.0
    before = np.arange(1, len(gain) + 1)
    mean = np.concatenate([[0.0], np.cumsum(gain)[:-1]]) / before
    square = (0.25 + np.concatenate([[0.0], np.cumsum(gain**2)[:-1]])) / before
    stake = np.clip(mean / square, 0.0, _MOST_STAKED)
    return float(np.exp(max(0.0, np.cumsum(np.log1p(stake * gain)).max())))


def gains(metric: str, y: Labels, champion: Labels, candidate: Labels) -> Floats:
    """Return what each row is worth for the candidate beside the champion, from -1 to 1, shape (n,).

    Where a metric is a ratio of sums over rows, and v is the champion's, a row is worth numerator − v·denominator: F1
    is 2·hit / (positive + decided), so 2·hit − v·(positive + decided). That is nought on average for the champion, but
    for v being that of these very rows.

    Raises:
        KeyError: not one of `BY_ROW`.
    """
    v = values(metric, np.array([count_cells(y, champion, candidate)], dtype=np.float64))[0, 0]
    return np.asarray((candidate - champion) * BY_ROW[metric](y.astype(np.float64), v))


# what a row is worth whose decision becomes positive, of the labels and the champion's value
BY_ROW: Mapping[str, Callable[[Floats, float], Floats]] = {
    "f1": lambda y, v: y - v / 2,
    "precision": lambda y, v: y - v,
    "recall": lambda y, _: y,
    "accuracy": lambda y, _: 2 * y - 1,
}

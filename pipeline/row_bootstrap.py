"""Two models' probabilities or amounts on the same rows → what can be said of their difference, by drawing rows anew.

Metrics of these do not depend on a few counts, as those of decisions do (see `paired`), so rows themselves are
drawn with replacement, the same ones for both models (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
ch. 8). Each metric is computed for many draws at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[Any]  # classes as int64, or amounts as float64
Drawn = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
OfDraws = Callable[[Drawn], Floats]  # (k, n) drawn rows -> (k,) values
_MOST_DRAWN = 10_000_000  # rows over all resamples; of very many rows fewer resamples tell as much
_FEWEST = 200
_AT_ONCE = 500_000  # rows of the resamples that are held at a time
_LEAST = np.finfo(np.float64).eps  # a probability of nought would cost without end; as scikit-learn has it


def bootstrap_rows(
    metric: str, y: Labels, champion: Floats, candidate: Floats, *, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """Return the metric of champion and candidate over resamples of the rows, each of shape (k,).

    Args:
        metric: one of `OF_PROBABILITIES` or `OF_AMOUNTS`.
        y: (n,) labels, 0 or 1, or amounts.
        champion: (n,) its probabilities of 1, or the amounts that it expects.
        candidate: (n,) the candidate's.
        resamples: how many; of more than 5,000 rows fewer are drawn, but 200 at least.
        seed: of the random numbers.

    Resamples in which the metric is not defined, such as those without a row of either class, are left out.
    """
    prepared = _OF_ROWS[metric]
    old, new = prepared(y, champion), prepared(y, candidate)
    found = [(old(drawn), new(drawn)) for drawn in _draws(len(y), resamples, seed)]
    both = np.concatenate([np.stack(pair) for pair in found], axis=1)
    known = both[:, np.isfinite(both).all(axis=0)]
    return known[0], known[1]


def swap_rows(metric: str, y: Labels, champion: Floats, candidate: Floats, *, resamples: int, seed: int) -> float:
    """Return how often a difference as large as this one comes of a coin that says whose probability is whose.

    Right for equal models however few the rows are, where the bootstrap of a skewed loss is a little too bold. Of
    metrics that are a mean over rows, or its root, only: two models' ranks are on no common scale, so that nothing can
    be swapped.
    Source: Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005, ch. 3.

    Args:
        metric: one of `LOSSES`.
        y: (n,) labels, 0 or 1, or amounts.
        champion: (n,) its probabilities of 1, or the amounts that it expects.
        candidate: (n,) the candidate's.
        resamples: how many; of very many rows fewer, as for the bootstrap.
        seed: of the random numbers.
    """
    loss = LOSSES[metric]
    lower = loss(y, champion) - loss(y, candidate)
    rng = np.random.default_rng(seed)
    drawn = [rng.choice((-1.0, 1.0), (several, len(y))) @ lower for several in _several(len(y), resamples)]
    beyond = np.concatenate(drawn) >= lower.sum()
    return float((1 + beyond.sum()) / (1 + len(beyond)))


def means(values: Floats, *, resamples: int, seed: int) -> Floats:
    """Return the mean over resamples of values, shape (k,); of very many values fewer are drawn, as above."""
    return np.concatenate([values[drawn].mean(axis=1) for drawn in _draws(len(values), resamples, seed)])


def value(metric: str, y: Labels, probability: Floats) -> float:
    """Return a metric of one model on the rows as they are; NaN where it is not defined on them."""
    return float(_OF_ROWS[metric](y, probability)(np.arange(len(y))[None])[0])


def _draws(rows: int, resamples: int, seed: int) -> Iterator[Drawn]:
    """Yield the rows of each resample, shape (k, rows), some resamples at a time."""
    rng = np.random.default_rng(seed)
    for several in _several(rows, resamples):
        yield rng.integers(0, rows, (several, rows))


def _several(rows: int, resamples: int) -> Iterator[int]:
    """Yield how many resamples are worked on at a time, until there are enough."""
    left = min(resamples, max(_FEWEST, _MOST_DRAWN // rows))
    while left:
        yield (several := min(left, max(1, _AT_ONCE // rows)))
        left -= several


def _mean_of(loss: Callable[[Labels, Floats], Floats]) -> Callable[[Labels, Floats], OfDraws]:
    """Return how the mean of a loss by row is computed for draws."""

    def prepared(y: Labels, probability: Floats) -> OfDraws:
        losses = loss(y, probability)
        return lambda drawn: np.asarray(losses[drawn].mean(axis=1))

    return prepared


def _ranked(metric: Callable[[Floats, Floats], Floats]) -> Callable[[Labels, Floats], OfDraws]:
    """Return how a metric of the order of rows is computed for draws, from the positives and negatives of each level.

    Levels are the different probabilities, from the highest to the lowest.
    """

    def prepared(y: Labels, probability: Floats) -> OfDraws:
        levels, level = np.unique(-probability, return_inverse=True)
        code = 2 * level + y

        def of(drawn: Drawn) -> Floats:
            several, size = len(drawn), 2 * len(levels)
            cells = (code[drawn] + size * np.arange(several)[:, None]).ravel()
            counts = np.bincount(cells, minlength=several * size).reshape(several, len(levels), 2).astype(np.float64)
            return metric(counts[:, :, 1], counts[:, :, 0])

        return of

    return prepared


def _roc_auc(positives: Floats, negatives: Floats) -> Floats:
    """Return the share of pairs in which the positive row is ranked higher; ties count half."""
    above = np.cumsum(positives, axis=1) - positives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return _share((above * negatives).sum(axis=1), pairs)


def _average_precision(positives: Floats, negatives: Floats) -> Floats:
    """Return precision at each level, weighed by the positives that it adds."""
    hits = np.cumsum(positives, axis=1)
    precision = hits / np.maximum(hits + np.cumsum(negatives, axis=1), 1)
    return _share((precision * positives).sum(axis=1), hits[:, -1])


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)


def log_losses(y: Labels, probability: Floats) -> Floats:
    """Return the log loss of each row, shape (n,)."""
    right = np.where(y == 1, probability, 1 - probability)
    return np.asarray(-np.log(np.maximum(right, _LEAST)))


_OF_PROBABILITY: Mapping[str, Callable[[Labels, Floats], Floats]] = {
    "log_loss": log_losses,
    "brier": lambda y, probability: np.asarray((probability - y) ** 2),
}
LOSSES: Mapping[str, Callable[[Labels, Floats], Floats]] = {  # by row, of metrics that are their mean or its root
    **_OF_PROBABILITY,
    "mae": lambda y, amount: np.asarray(np.abs(amount - y)),
    "rmse": lambda y, amount: np.asarray((amount - y) ** 2),
}
OF_PROBABILITIES: Mapping[str, Callable[[Labels, Floats], OfDraws]] = {
    "roc_auc": _ranked(_roc_auc),
    "average_precision": _ranked(_average_precision),
    **{metric: _mean_of(loss) for metric, loss in _OF_PROBABILITY.items()},
}


def _percentage_errors(y: Labels, amount: Floats) -> OfDraws:
    """Return how the mean of |error| / |y| is computed for draws, over the rows where y is not nought."""
    there = (y != 0).astype(np.float64)
    losses = np.divide(np.abs(amount - y), np.abs(y), out=np.zeros_like(amount), where=there > 0)
    return lambda drawn: _share(losses[drawn].sum(axis=1), there[drawn].sum(axis=1))


def _root_mean_square(y: Labels, amount: Floats) -> OfDraws:
    squares = LOSSES["rmse"](y, amount)
    return lambda drawn: np.asarray(np.sqrt(squares[drawn].mean(axis=1)))


def _explained(y: Labels, amount: Floats) -> OfDraws:
    """Return how R² is computed for draws: against the mean of each draw."""
    squares, about = (amount - y) ** 2, y - y.mean()

    def of(drawn: Drawn) -> Floats:
        spread = about[drawn]
        total = ((spread - spread.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
        return 1 - _share(squares[drawn].sum(axis=1), total)

    return of


OF_AMOUNTS: Mapping[str, Callable[[Labels, Floats], OfDraws]] = {
    "mae": _mean_of(LOSSES["mae"]),
    "mape": _percentage_errors,
    "rmse": _root_mean_square,
    "r2": _explained,
}
_OF_ROWS = {**OF_PROBABILITIES, **OF_AMOUNTS}

"""Metrics of benchmarks/quality.py for many drawings of customers at once, so that differences get intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_LEAST = 1e-15  # what log_loss of scikit-learn cuts off, too


@dataclass(frozen=True)
class Answers:
    """A model's answers for the tested rows of one split: probabilities, and the threshold from training rows."""

    probability: Floats
    threshold: float


@dataclass(frozen=True)
class Tested:
    """The tested rows of one split: labels, and customers by number."""

    y: Ints
    customers: Ints


def weights(customers: int, draws: int, seed: int) -> npt.NDArray[np.float32]:
    """Return how often each customer is drawn, shape (1 + draws, customers); at first, once each."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(customers, np.full(customers, 1 / customers), size=draws)
    return np.concatenate([np.ones((1, customers)), drawn]).astype(np.float32)


def roc_auc(tested: Sequence[Tested], answers: Sequence[Answers], drawn: npt.NDArray[np.float32]) -> Floats:
    """Return the mean over the splits of the area under the curve, shape (1 + draws,)."""
    areas = [_area(t.y, a.probability, drawn[:, t.customers]) for t, a in zip(tested, answers, strict=True)]
    return np.mean(areas, axis=0)


def _area(y: Ints, probability: Floats, weight: npt.NDArray[np.float32]) -> Floats:
    """Return the share of pairs in the right order, ties as half a pair."""
    order = np.argsort(probability, kind="stable")
    firsts = np.flatnonzero(np.diff(probability[order], prepend=-1.0))
    positive = np.add.reduceat((weight * y)[:, order], firsts, axis=1, dtype=np.float64)
    negative = np.add.reduceat((weight * (1 - y))[:, order], firsts, axis=1, dtype=np.float64)
    below = np.cumsum(negative, axis=1) - negative / 2
    return np.asarray((positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1)))


def f1(tested: Sequence[Tested], answers: Sequence[Answers], drawn: npt.NDArray[np.float32]) -> Floats:
    """Return F1 from the counts of all splits: the mean of their F1 would flatter or punish small ones."""
    hits, others = np.zeros(len(drawn)), np.zeros(len(drawn))
    for t, a in zip(tested, answers, strict=True):
        weight, decided = drawn[:, t.customers], a.probability >= a.threshold
        hits += weight @ (decided & (t.y == 1)).astype(np.float64)
        others += weight @ (decided != (t.y == 1)).astype(np.float64)
    return np.asarray(2 * hits / (2 * hits + others))


def log_loss(tested: Sequence[Tested], answers: Sequence[Answers], drawn: npt.NDArray[np.float32]) -> Floats:
    """Return the mean over all rows."""
    losses, rows = np.zeros(len(drawn)), np.zeros(len(drawn))
    for t, a in zip(tested, answers, strict=True):
        p = np.clip(np.where(t.y == 1, a.probability, 1 - a.probability), _LEAST, 1)
        losses -= drawn[:, t.customers] @ np.log(p)
        rows += drawn[:, t.customers].sum(axis=1)
    return losses / rows


@dataclass(frozen=True)
class Metric:
    """A metric, and whether more of it is better."""

    name: str
    of: Callable[[Sequence[Tested], Sequence[Answers], npt.NDArray[np.float32]], Floats]
    sign: int


METRICS = (Metric("ROC AUC", roc_auc, 1), Metric("F1", f1, 1), Metric("log loss", log_loss, -1))

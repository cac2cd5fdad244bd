"""Histories of which the truth is known: customers month after month, models learned from them, how good these are.

A customer has columns x, standard normal, and leaves with probability 1 / (1 + exp(-(b + w·x))); about a quarter do.
Each month brings 500 customers, of whom 30 % are promised to the holdout; its window is the newest five months. A
candidate is the linear score that least squares finds on the other rows of the newest six months (for normal columns
that lies in the direction of w, whatever the link; Brillinger, 1983), cut where F1 on these rows is best. So candidates
differ by what they learned from, as real ones do, and champion and candidate agree on most customers.

Since score and truth are jointly normal, a model's F1 among all customers there could ever be is an integral, not an
estimate: what a rule promotes, reports and releases can be held against the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from churnwatch.pipeline.replay import History, Places, Turn
from churnwatch.pipeline.thresholds import best_threshold

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
RUNS = 50  # after the first
MONTH, HOLDOUT, WINDOW, LEARNED = 500, 0.3, 5, 6  # rows of a month; share; months that judge; months learned from
FIXED = MONTH * HOLDOUT * WINDOW  # rows of a test set that is drawn once: as many as judge otherwise
_COLUMNS, _SIGNAL, _INTERCEPT = 30, 1.8, -1.55
_FAR = 6.0  # standard deviations; nobody is beyond
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_REST, _REST_WEIGHTS = np.polynomial.hermite_e.hermegauss(12)
_BEFORE = LEARNED - 1  # months before the first run, so that its candidate has as much to learn from as later ones
MONTHS = range(_BEFORE, _BEFORE + 1 + RUNS)  # that have a run


@dataclass(frozen=True)
class World:
    """What is true, and how candidates are made.

    Attributes:
        name: of the world.
        turn: by how many degrees w turns each month.
        shock: by how many it turns at once, every ten months.
        jitter: noise in a candidate's weights, as a share of their length.
        understood: how many columns the first candidate learns from; one more every tenth of the history.
    """

    name: str
    turn: float = 0.0
    shock: float = 0.0
    jitter: float = 0.0
    understood: int = _COLUMNS


WORLDS = (
    World("nothing changes"),
    World("jitter", jitter=0.25),
    World("improvement", understood=_COLUMNS - 10),
    World("drift", turn=2.0),
    World("fast drift", turn=4.0),
    World("shocks", shock=40.0),
)


@dataclass(frozen=True)
class Simulated:
    """A history with its truth.

    Attributes:
        history: as `replay` takes it; version v is the candidate of month v, probabilities are scores.
        fixed: the rows of a test set that was drawn in the first month.
        f1: by version, (months + 1,) true F1 among the customers of each month.
    """

    history: History
    fixed: Places
    f1: Mapping[int, Floats]


def simulate(world: World, seed: int) -> Simulated:
    """Return one history."""
    rng = np.random.default_rng(seed)
    truths = _truths(world, rng)
    months = np.repeat(np.arange(MONTHS.stop), MONTH)
    of_row = np.append(months, np.full(int(FIXED), _BEFORE))
    x = rng.standard_normal((len(of_row), _COLUMNS))
    y = (rng.random(len(x)) < expit(_INTERCEPT + np.sum(x * truths[of_row], axis=1))).astype(np.int64)
    promised = rng.random(len(months)) < HOLDOUT
    weights, thresholds = {}, {}
    for month in MONTHS:
        rows = np.flatnonzero(_newest(months, month, LEARNED) & ~promised)
        weights[month] = _learned(world, month, x[rows], y[rows], rng)
        thresholds[month] = best_threshold(y[rows], x[rows] @ weights[month])[0]
    turns = [
        Turn(m, np.flatnonzero(months == m), np.flatnonzero(_newest(months, m, WINDOW) & promised), m) for m in MONTHS
    ]
    scores = {version: x @ found for version, found in weights.items()}
    f1 = {version: _true_f1(found, thresholds[version], truths) for version, found in weights.items()}
    return Simulated(History(turns, y, scores, thresholds), np.arange(len(months), len(x)), f1)


def _newest(months: Places, month: int, several: int) -> Flags:
    return (months <= month) & (months > month - several)


def _truths(world: World, rng: np.random.Generator) -> Floats:
    """Return w of each month and of the one after, shape (months + 1, columns): it turns in a plane drawn at random."""
    first, second = np.linalg.qr(rng.standard_normal((_COLUMNS, 2)))[0].T
    month = np.arange(MONTHS.stop + 1)
    angle = np.deg2rad(world.turn * month + world.shock * (month // 10))
    return _SIGNAL * (np.outer(np.cos(angle), first) + np.outer(np.sin(angle), second))


def _learned(world: World, month: int, x: Floats, y: Places, rng: np.random.Generator) -> Floats:
    """Return the weights of a month's candidate."""
    columns = min(_COLUMNS, world.understood + 10 * (month - _BEFORE) // len(MONTHS))
    weights = np.zeros(_COLUMNS)
    centred = x[:, :columns] - x[:, :columns].mean(axis=0)
    weights[:columns] = np.linalg.lstsq(centred, y - y.mean())[0]
    noise = rng.standard_normal(_COLUMNS) * np.linalg.norm(weights) / np.sqrt(_COLUMNS)
    return np.asarray(weights + world.jitter * noise)


def _true_f1(weights: Floats, threshold: float, truths: Floats) -> Floats:
    """Return the F1 of a model among all customers of each month, shape (months,).

    The score is normal, and given the score so is b + w·x: both are integrated over by Gauss's rules.
    """
    length = np.linalg.norm(weights)
    along = truths @ weights / length
    across = np.sqrt(np.maximum((truths**2).sum(axis=1) - along**2, 0.0))
    found = [_shares(low, along, across) for low in (threshold / length, -_FAR)]
    (hits, decided), (positives, _) = found
    return 2 * hits / (decided + positives)


def _shares(low: float, along: Floats, across: Floats) -> tuple[Floats, float]:
    """Return the share of customers with a score above `low` (in standard deviations) who leave, and that of all."""
    scores = low + (_POINTS + 1) / 2 * (_FAR - low)
    density = _WEIGHTS * (_FAR - low) / 2 * np.exp(-(scores**2) / 2) / np.sqrt(2 * np.pi)
    log_odds = _INTERCEPT + along[:, None, None] * scores[:, None] + across[:, None, None] * _REST
    leaving = expit(log_odds) @ (_REST_WEIGHTS / _REST_WEIGHTS.sum())
    return leaving @ density, float(density.sum())

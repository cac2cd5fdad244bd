"""Outcomes of customers treated by lot, and of those left alone → by how much an offer makes each less likely to leave.

Two models, one of the treated and one of the control; the effect on a customer is the difference of what they say
(Künzel, Sekhon, Bickel and Yu, Metalearners for estimating heterogeneous treatment effects using machine learning, PNAS
116, 2019: the T-learner). Whether that tells customers apart is judged on customers who were held out:

- each of them has a pseudo-outcome, whose mean over any customers is the effect on these, since the lot was drawn with
  known shares (Robins and Rotnitzky, Semiparametric efficiency in multivariate regression models with missing data,
  Journal of the American Statistical Association 90, 1995);
- the Qini coefficient is the area between the curve of what is saved, the most likely to be saved first, and the line
  of the same by lot (Radcliffe, Using control groups to target on predicted lift, 2007), here as the mean of
  pseudo-outcomes weighed by ranks (Yadlowsky, Fleming, Shah, Brunskill and Wager, Evaluating treatment prioritization
  rules via rank-weighted average treatment effects, Journal of the American Statistical Association 120, 2025);
- the differences are stretched to what came of them: mean effect + slope · (difference − mean difference), by least
  squares (Chernozhukov, Demirer, Duflo and Fernández-Val, Fisher-Schultz lecture: Generic machine learning inference on
  heterogeneous treatment effects in randomized experiments, Econometrica 93, 2025).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata
from sklearn.pipeline import Pipeline

from churnwatch.pipeline import row_bootstrap
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.fitting import Table, fit, resources
from churnwatch.pipeline.folds import Folds, folds
from churnwatch.pipeline.proportions import LEVEL, Interval
from churnwatch.pipeline.settings import Training

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
LEAST = (
    50  # on either side so many who left and as many who stayed: five folds then leave 40 to learn from and 10 to judge
)
_FOLDS = 5
_RESAMPLES = 2000
_ESTIMATOR = "logistic"


@dataclass(frozen=True)
class Trial:
    """What came of customers of whom the lot decided who is treated.

    Attributes:
        rows: n customers as they were on the day of the action; `y` is 1 where the customer left afterwards.
        treated: (n,) whether they were to be treated.
        share: (n,) of the customers of their campaign, the share that was to be treated: above 0, below 1.
    """

    rows: Rows
    treated: Mask
    share: Floats

    def side(self, *, treated: bool) -> tuple[int, int]:
        """Return how many customers of one side there are, and how many of them left."""
        own = self.treated == treated
        return int(own.sum()), int(self.rows.y[own].sum())


@dataclass(frozen=True)
class Uplift:
    """By how much an offer lowers the probability of leaving, customer by customer.

    Attributes:
        effect: on average, as a share of the customers; positive where fewer leave.
        qini: how many more customers are saved when those who are treated are chosen by the models than when they are
            drawn by lot, on average over how many are treated; as a share of all customers.
        slope: what a difference of one between what both models say came to on held-out customers.
        centre: the mean of that difference over these.
        control: of leaving untreated.
        treated: of leaving when treated.
    """

    effect: Interval
    qini: Interval
    slope: float
    centre: float
    control: _Side
    treated: _Side

    @property
    def tells_apart(self) -> bool:
        """Whether the models tell beyond doubt who is saved by the offer from who is not."""
        return self.qini.low > 0 and self.slope > 0

    def effects(self, X: pd.DataFrame, probability: Floats) -> Floats:
        """Return by how much the offer lowers the probability of leaving, shape (n,).

        At most all who would leave are kept, and at most all who would stay are driven away.

        Args:
            X: (n, features) the customers as they are now.
            probability: (n,) of leaving untreated.
        """
        told = self.control.probabilities(X) - self.treated.probabilities(X)
        found = self.effect.value + self.slope * (told - self.centre)
        return np.asarray(np.clip(found, probability - 1, probability))


@dataclass(frozen=True)
class _Side:
    """A model of one side, and the columns that it learned from."""

    model: Pipeline
    columns: tuple[str, ...]

    def probabilities(self, X: pd.DataFrame) -> Floats:
        return np.asarray(self.model.predict_proba(X[list(self.columns)])[:, 1], dtype=np.float64)


def too_few(trial: Trial) -> str | None:
    """Return what there is too little of to learn from; None where there is enough."""
    for treated in (True, False):
        customers, left = trial.side(treated=treated)
        if min(left, customers - left) < LEAST:
            side = "treated" if treated else "control"
            return f"of the {side} {left:,} left and {customers - left:,} stayed, and it takes {LEAST} of each"
    return None


def learn(trial: Trial, training: Training, *, numeric: tuple[str, ...], categorical: tuple[str, ...]) -> Uplift:
    """Learn from customers of whom enough left and stayed on both sides.

    Args:
        trial: what came of them.
        training: the settings: seed, threads, and parameters of `logistic`.
        numeric: columns of numbers.
        categorical: columns of texts.

    Raises:
        DataError: the models cannot be fitted to these rows.
    """
    plain = msgspec.structs.replace(training, class_weight="none", resampling="none", cluster=None)
    with resources(plain, len(trial.rows)):
        found = _strata(trial, plain.seed)
        said = _held_out(trial, found, plain, numeric, categorical)
        sides = [_side(trial, np.ones(len(trial.rows), dtype=np.bool_), treated, plain, numeric, categorical)
                 for treated in (False, True)]  # fmt: skip
    told, outcome = said[0] - said[1], _pseudo_outcomes(trial, said)
    gap = told - _by_fold(told, found)
    spread = float(gap @ gap)
    slope = max(0.0, float(gap @ outcome) / spread) if spread > 0 else 0.0
    return Uplift(
        _interval(outcome, trial.rows, plain.seed),
        _qini(told, outcome, found, trial.rows, plain.seed),
        slope,
        float(told.mean()),
        *sides,
    )


def _strata(trial: Trial, seed: int) -> Folds:
    """Return folds with as many of those who left and stayed, treated and not, in each."""
    cell = trial.rows.y + 2 * trial.treated
    found = folds(Rows(trial.rows.X, cell, trial.rows.ids), _FOLDS, seed=seed)
    assert found is not None  # noqa: S101 - there are enough of each
    return found


def _held_out(
    trial: Trial, found: Folds, training: Training, numeric: tuple[str, ...], categorical: tuple[str, ...]
) -> Floats:
    """Return what the models of control and treated say of customers who are held out from both, shape (2, n)."""
    said = np.empty((2, len(trial.rows)))
    for others, own in found:
        kept = np.zeros(len(trial.rows), dtype=np.bool_)
        kept[others] = True
        for index, treated in enumerate((False, True)):
            side = _side(trial, kept, treated, training, numeric, categorical)
            said[index, own] = side.probabilities(trial.rows.X.iloc[own])
    return said


def _side(
    trial: Trial, kept: Mask, treated: bool, training: Training, numeric: tuple[str, ...], categorical: tuple[str, ...]
) -> _Side:
    table = Table.of(trial.rows.where(kept & (trial.treated == treated)), numeric, categorical)
    pipeline = table.pipeline(_ESTIMATOR, training, training.parameters.get(_ESTIMATOR, {}))
    return _Side(fit(pipeline, table), table.columns)


def _pseudo_outcomes(trial: Trial, said: Floats) -> Floats:
    """Return for each held-out customer what has the effect on such customers as its mean, shape (n,)."""
    untreated, treated = said
    y, t, share = trial.rows.y, trial.treated, trial.share
    return np.asarray(untreated - treated + ~t * (y - untreated) / (1 - share) - t * (y - treated) / share)


def _by_fold(values: Floats, found: Folds) -> Floats:
    """Return for each row the mean over its fold, shape (n,)."""
    means = np.empty_like(values)
    for _, own in found:
        means[own] = values[own].mean()
    return means


def _qini(told: Floats, outcome: Floats, found: Folds, rows: Rows, seed: int) -> Interval:
    """Return the Qini coefficient over the folds, each ranked by itself: another one's models know its customers.

    For the same reason what the folds say is not independent, and the interval is widened as Nadeau and Bengio have it
    (Inference for the generalization error, Machine Learning 52, 2003).
    """
    place = np.empty_like(told)
    for _, own in found:
        place[own] = (rankdata(told[own]) - 0.5) / len(own) - 0.5
    widened = math.sqrt(1 + len(found) / (len(found) - 1))
    return _interval(place * (outcome - _by_fold(outcome, found)), rows, seed, times=widened)


def _interval(values: Floats, rows: Rows, seed: int, *, times: float = 1.0) -> Interval:
    """Return the mean with its interval of 95 % by drawing customers anew, `times` as wide."""
    codes = np.arange(len(rows)) if rows.ids is None else pd.factorize(rows.ids)[0]
    sums = np.bincount(codes, weights=values).astype(np.float64)
    mean = float(values.mean())
    drawn = row_bootstrap.means(sums * (len(sums) / len(values)), resamples=_RESAMPLES, seed=seed)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, mean - times * (mean - float(low)), mean + times * (float(high) - mean))

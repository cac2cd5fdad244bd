"""Estimators → what cross-validation on the training rows says of them, and which one to take.

Every row's margin comes from a model that did not learn from its customer; thresholds, calibration, ensembles and the
choice are all made of these margins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.base import ClassifierMixin
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline

from churnwatch.pipeline import ensembles
from churnwatch.pipeline.calibration import Calibrator, calibrated, calibrator
from churnwatch.pipeline.fitting import Table, fit, held_out, margin_method
from churnwatch.pipeline.folds import Folds, folds
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.thresholds import METRICS, steady_threshold

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """One estimator by cross-validation on the training rows; without any, its values are None."""

    estimator: str
    threshold: float
    value: float | None
    standard_error: float | None
    log_loss: float | None


@dataclass(frozen=True)
class HeldOut:
    """What an estimator says of the training rows, each while it was held out.

    Attributes:
        margins: (n,)
        probability: (n,) of the positive label.
        losses: log loss of each fold, of which a difference can be told before one of decisions can.
    """

    margins: Floats
    probability: Floats
    losses: Floats


@dataclass(frozen=True)
class Validated:
    """One estimator, not trained yet on all rows.

    Attributes:
        parameters: those of the estimator.
        comparison: what cross-validation says of it.
        held_out: what that was made of; None without folds.
        calibration: `sigmoid`, `isotonic` or `none`.
        pipeline: as it is trained; None of an ensemble.
        trained: trains it on all rows.
    """

    parameters: Mapping[str, Any]
    comparison: Comparison
    held_out: HeldOut | None
    calibration: str
    pipeline: Pipeline | None
    trained: Callable[[], ClassifierMixin]

    @property
    def known(self) -> HeldOut:
        """What is said of held-out rows, where there are folds."""
        assert self.held_out is not None  # noqa: S101 - ensembles are made only where there are
        return self.held_out


def validate(names: Sequence[str], table: Table, training: Training) -> dict[str, Validated]:
    """Cross-validate estimators; ensembles are made of the others that are listed in `training`.

    Raises:
        SettingsError: an estimator or a parameter that does not exist, or an estimator that takes no weights.
        DataError: an estimator cannot be fitted to these rows.
    """
    wanted = [name for name in names if name in ensembles.ENSEMBLES]
    parts = folds(table.rows, training.folds, seed=training.seed)
    alone = names if not wanted else dict.fromkeys([*names, *ensembles.parts(training.estimators)])
    found = {name: _one(name, table, parts, training) for name in alone if name not in wanted}
    if parts is None:
        return found  # and no ensemble, since nothing tells how much each counts
    for name in wanted:
        of = {part: found[part] for part in ensembles.parts(training.estimators)}
        found[name] = _ensemble(name, of, table, parts, training)
    return {name: found[name] for name in names}


def choose(validated: Mapping[str, Validated]) -> Validated:
    """Take the least log loss of held-out rows, or an earlier listed (simpler) one within one standard error of it.

    The error is that of the difference, fold by fold: what makes a fold hard is hard for both.

    Source: Breiman et al., Classification and Regression Trees (1984), the one-standard-error rule.
    """
    listed = list(validated.values())
    if any(each.held_out is None for each in listed):
        return listed[0]
    best = min((each.known.losses for each in listed), key=np.mean)
    return next(each for each in listed if np.mean(each.known.losses - best) <= _error(each.known.losses - best))


def metric(table: Table, name: str, decided: npt.NDArray[np.bool_], rows: Any = slice(None)) -> float:
    """Return a metric of decisions, shape (n,), about some of the rows."""
    weights = None if table.weights is None else table.weights[rows]
    return float(METRICS[name](table.rows.y[rows], decided[rows], sample_weight=weights))


def _error(values: Floats) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _one(name: str, table: Table, parts: Folds | None, training: Training) -> Validated:
    parameters = training.parameters.get(name, {})
    pipeline = table.pipeline(name, training, parameters)
    if parts is None:
        none = Comparison(name, 0.5, None, None, None)
        return Validated(parameters, none, None, "none", pipeline, lambda: fit(pipeline, table))
    margins = held_out(pipeline, table, parts, margin_method(pipeline))
    found = _calibrator(margins, table, training)
    if found is None:
        method = "predict_proba"
        probability = margins if margin_method(pipeline) == method else held_out(pipeline, table, parts, method)
    else:
        probability = found.predict(margins)

    def trained() -> ClassifierMixin:
        fitted = fit(pipeline, table)
        return fitted if found is None else calibrated(fitted, found)

    known = _held_out(margins, probability, table, parts)
    calibration = "none" if found is None else training.calibration
    return Validated(parameters, _compared(name, known, table, parts, training), known, calibration, pipeline, trained)


def _ensemble(name: str, of: Mapping[str, Validated], table: Table, parts: Folds, training: Training) -> Validated:
    blend, (y, weights) = ensembles.ENSEMBLES[name], (table.rows.y, table.weights)
    margins = np.column_stack([each.known.margins for each in of.values()])
    blended = blend(margins, y, weights)

    def trained() -> ClassifierMixin:
        fitted = {part: fit(each.pipeline, table) for part, each in of.items()}
        return ensembles.stacked(fitted, blended, table.rows.X, y)

    log_odds = ensembles.held_out_log_odds(blend, margins, y, weights, parts)
    known = _held_out(log_odds, expit(log_odds), table, parts)
    return Validated({}, _compared(name, known, table, parts, training), known, "sigmoid", None, trained)


def _calibrator(margins: Floats, table: Table, training: Training) -> Calibrator | None:
    if training.calibration == "none":
        return None
    return calibrator(training.calibration, margins, table.rows.y, table.weights)


def _held_out(margins: Floats, probability: Floats, table: Table, parts: Folds) -> HeldOut:
    y, weights = table.rows.y, np.ones(len(margins)) if table.weights is None else table.weights
    losses = [log_loss(y[t], probability[t], sample_weight=weights[t], labels=[0, 1]) for _, t in parts]
    return HeldOut(margins, probability, np.array(losses))


def _compared(name: str, known: HeldOut, table: Table, parts: Folds, training: Training) -> Comparison:
    threshold, value = steady_threshold(table.rows.y, known.probability, training.metric, table.weights, parts)
    by_fold = [metric(table, training.metric, known.probability >= threshold, test) for _, test in parts]
    return Comparison(name, threshold, value, _error(np.array(by_fold)), float(known.losses.mean()))

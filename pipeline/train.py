"""Labelled rows → a candidate: the best of the estimators, with the threshold that suits the metric.

Everything is decided on the training rows: how far back to learn from forward in time, the rest by cross-validation
that keeps a customer's rows together. The holdout is not seen here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from churnwatch.pipeline import windows
from churnwatch.pipeline.calibration import Calibrator, calibrated, calibrator
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.fitting import Table, fit, held_out, margin_method, resources
from churnwatch.pipeline.folds import Folds, folds
from churnwatch.pipeline.search import Found, search
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.thresholds import METRICS, best_threshold
from churnwatch.pipeline.windows import ComparedWindow, Window

Floats = npt.NDArray[np.float64]
Columns = tuple[str, ...]


@dataclass(frozen=True)
class Untrainable:
    """Why there is nothing to train on."""

    reason: str


@dataclass(frozen=True)
class Comparison:
    """One estimator by cross-validation on the training rows."""

    estimator: str
    threshold: float
    value: float | None
    standard_error: float | None


@dataclass(frozen=True)
class Candidate:
    """A trained model. Its `predict` already knows the threshold.

    Attributes:
        model: scikit-learn's own classes only.
        estimator: the one that was chosen.
        parameters: those that were given or found.
        threshold: from which probability on the decision is positive.
        columns: what it learned from.
        comparisons: each estimator by cross-validation.
        baseline: what the metric is of the dummy that says the same of everybody; None without cross-validation.
        calibration: `sigmoid`, `isotonic`, or `none` where held-out rows could not tell.
        window: which rows it learned from.
        windows: what was compared to choose it; none unless that was asked for.
        searches: what was looked for, and found; none unless that was asked for.
        rows: how many it learned from.
        positives: how many of them are positive.
    """

    model: FixedThresholdClassifier
    estimator: str
    parameters: dict[str, Any]
    threshold: float
    columns: Columns
    comparisons: tuple[Comparison, ...]
    baseline: float | None
    calibration: str
    window: Window
    windows: tuple[ComparedWindow, ...]
    searches: tuple[Found, ...]
    rows: int
    positives: int

    def probabilities(self, rows: Rows) -> Floats:
        """Return the probability of the positive label for each row, shape (n,)."""
        return probabilities(self.model, rows)


def probabilities(model: FixedThresholdClassifier, rows: Rows) -> Floats:
    """Return a model's probability of the positive label for each row, shape (n,)."""
    if not len(rows):
        return np.empty(0)
    return np.asarray(model.predict_proba(rows.X[list(model.feature_names_in_)])[:, 1], dtype=np.float64)


def train(rows: Rows, training: Training, *, numeric: Columns, categorical: Columns) -> Candidate | Untrainable:
    """Train the listed estimators (`compare`, `search`) or the first of them (`refit`) and return the best.

    Args:
        rows: all training rows; which of them are learned from, `training.window` says.
        training: the settings.
        numeric: columns of numbers.
        categorical: columns of texts.

    Raises:
        SettingsError: an estimator or a parameter that does not exist, or an estimator that takes no weights.
        DataError: an estimator cannot be fitted to these rows, or the cluster is not there.
    """
    with resources(training, len(rows)):
        window, compared = _window(rows, training, numeric, categorical)
        known = window.within(rows)
        table = Table.of(known, numeric, categorical, window.weights(known))
        reason = _untrainable(table, window)
        return Untrainable(reason) if reason else _best(table, training, window, compared)


def _untrainable(table: Table, window: Window) -> str | None:
    rows = table.rows
    of_window = "" if window.name == windows.ALL else f" in the window ({window.name})"
    if not len(rows):
        return ("no labelled row is left to train on: all are in the holdout, or the target is missing"
                + of_window.replace(" in", ", or none is in"))  # fmt: skip
    if rows.positives in (0, len(rows)):
        only = "positive" if rows.positives else "negative"
        return (f"the target has one class only: all {len(rows):,} training rows{of_window} are {only}."
                " Check `target` and `positive` in settings.yaml")  # fmt: skip
    return None if table.columns else f"every column to learn from is constant in the training rows{of_window}"


def _window(
    rows: Rows, training: Training, numeric: Columns, categorical: Columns
) -> tuple[Window, tuple[ComparedWindow, ...]]:
    """Return the window that is asked for, or the one that would have predicted the newest batches best."""
    if training.window != "compare":
        return Window.given(training), ()
    compared = windows.compare(rows, training, _learner(training, numeric, categorical))
    return windows.choose(compared), compared


def _learner(training: Training, numeric: Columns, categorical: Columns) -> windows.Learn:
    """Return what trains the first of the estimators. Without class weights, since its log loss is looked at."""
    plain, estimator = msgspec.structs.replace(training, class_weight="none"), training.estimators[0]

    def learn(rows: Rows, weights: Floats | None) -> Callable[[Rows], Floats]:
        table = Table.of(rows, numeric, categorical, weights)
        fitted = fit(table.pipeline(estimator, plain, training.parameters.get(estimator, {})), table)
        return lambda asked: fitted.predict_proba(asked.X[list(table.columns)])[:, 1]

    return learn


@dataclass(frozen=True)
class _Validated:
    """One estimator, not trained yet on all rows, with what cross-validation said of it."""

    pipeline: Pipeline
    parameters: Mapping[str, Any]
    calibrator: Calibrator | None
    comparison: Comparison


def _best(table: Table, training: Training, window: Window, compared: tuple[ComparedWindow, ...]) -> Candidate:
    searches = _searches(table, training)
    parameters = {**training.parameters, **{each.estimator: each.parameters for each in searches}}
    names = training.estimators[:1] if training.mode == "refit" else training.estimators
    validated = {name: _validate(name, parameters.get(name, {}), table, training) for name in names}
    comparisons = tuple(each.comparison for each in validated.values())
    chosen = validated[_choose(comparisons).estimator]
    return Candidate(
        model=_model(chosen, table),
        estimator=chosen.comparison.estimator,
        parameters=dict(chosen.parameters),
        threshold=chosen.comparison.threshold,
        columns=table.columns,
        comparisons=comparisons,
        baseline=None if chosen.comparison.value is None else _baseline(table, training.metric),
        calibration="none" if chosen.calibrator is None else training.calibration,
        window=window,
        windows=compared,
        searches=searches,
        rows=len(table.rows),
        positives=table.rows.positives,
    )


def _searches(table: Table, training: Training) -> tuple[Found, ...]:
    """Search for parameters of each estimator; what one leaves of its share of the time is the next one's."""
    if training.mode != "search":
        return ()
    begun, share = time.monotonic(), training.search_s / len(training.estimators)
    return tuple(
        search(name, table, training, until=begun + share * number)
        for number, name in enumerate(training.estimators, start=1)
    )


def _model(chosen: _Validated, table: Table) -> FixedThresholdClassifier:
    fitted: Pipeline | CalibratedClassifierCV = fit(chosen.pipeline, table)
    if chosen.calibrator is not None:
        fitted = calibrated(fitted, chosen.calibrator)
    model = FixedThresholdClassifier(
        FrozenEstimator(fitted), threshold=chosen.comparison.threshold, response_method="predict_proba"
    )
    return model.fit(table.rows.X, table.rows.y)


def _choose(comparisons: tuple[Comparison, ...]) -> Comparison:
    """Take the best, or an earlier listed (simpler) one that is within one standard error of it.

    Source: Breiman et al., Classification and Regression Trees (1984), the one-standard-error rule.
    """
    if any(found.value is None for found in comparisons):
        return comparisons[0]
    best = max(comparisons, key=lambda found: found.value or 0.0)
    floor = (best.value or 0.0) - (best.standard_error or 0.0)
    return next(found for found in comparisons if (found.value or 0.0) >= floor)


def _validate(estimator: str, parameters: Mapping[str, Any], table: Table, training: Training) -> _Validated:
    """Cross-validate one estimator: its best threshold, the metric there, and that metric's error over the folds."""
    pipeline = table.pipeline(estimator, training, parameters)
    parts = folds(table.rows, training.folds, seed=training.seed)
    if parts is None:
        return _Validated(pipeline, parameters, None, Comparison(estimator, 0.5, None, None))
    fitted, probability = _held_out_probability(pipeline, table, parts, training)
    threshold, value = best_threshold(table.rows.y, probability, training.metric, table.weights)
    by_fold = [_metric(table, training.metric, probability >= threshold, test) for _, test in parts]
    error = float(np.std(by_fold, ddof=1) / np.sqrt(len(by_fold)))
    return _Validated(pipeline, parameters, fitted, Comparison(estimator, threshold, value, error))


def _held_out_probability(
    pipeline: Pipeline, table: Table, parts: Folds, training: Training
) -> tuple[Calibrator | None, Floats]:
    """Return the calibrator, None for none, and what it makes of each row when that is held out, shape (n,)."""
    if training.calibration != "none":
        margins = held_out(pipeline, table, parts, margin_method(pipeline))
        fitted = calibrator(training.calibration, margins, table.rows.y, table.weights)
        if fitted is not None:
            return fitted, fitted.predict(margins)
    return None, held_out(pipeline, table, parts, "predict_proba")


def _metric(table: Table, metric: str, decided: npt.NDArray[np.bool_], rows: Any = slice(None)) -> float:
    weights = None if table.weights is None else table.weights[rows]
    return float(METRICS[metric](table.rows.y[rows], decided[rows], sample_weight=weights))


def _baseline(table: Table, metric: str) -> float:
    """Return the metric of the better of the two dummies: that all leave, that all stay."""
    return max(_metric(table, metric, np.full(len(table.rows), said)) for said in (True, False))

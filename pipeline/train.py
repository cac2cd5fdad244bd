"""Labelled rows → a candidate: the best of the estimators, with the threshold that suits the metric.

Everything is decided on the training rows: how far back to learn from forward in time, the rest by cross-validation
that keeps a customer's rows together. The holdout is not seen here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier

from churnwatch.pipeline import ensembles, windows
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.fitting import Table, fit, resources
from churnwatch.pipeline.search import SPACES, Found, search
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.validation import Comparison, Validated, choose, metric, validate
from churnwatch.pipeline.windows import ComparedWindow, Window

Floats = npt.NDArray[np.float64]
Columns = tuple[str, ...]


@dataclass(frozen=True)
class Untrainable:
    """Why there is nothing to train on."""

    reason: str


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
    weighed = _take_weights(Table.of(rows, numeric, categorical, np.ones(len(rows))), training)
    compared = windows.compare(rows, training, _learner(training, numeric, categorical), weighed=weighed)
    return windows.choose(compared), compared


def _take_weights(table: Table, training: Training) -> bool:
    """Tell whether all estimators that will be trained on the window take weights.

    Raises:
        SettingsError: one does not, and a half-life is asked for.
    """
    try:
        for name in dict.fromkeys(ensembles.parts(_names(training))):
            table.pipeline(name, training, training.parameters.get(name, {}))
    except SettingsError:
        if training.half_life is not None:
            raise
        return False
    return True


def _names(training: Training) -> tuple[str, ...]:
    """Return the estimators that are compared."""
    return training.estimators[:1] if training.mode == "refit" else training.estimators


def _learner(training: Training, numeric: Columns, categorical: Columns) -> windows.Learn:
    """Return what trains the first of the estimators. Without class weights, since its log loss is looked at."""
    plain = msgspec.structs.replace(training, class_weight="none", resampling="none")
    estimator = ensembles.parts(training.estimators)[0]

    def learn(rows: Rows, weights: Floats | None) -> Callable[[Rows], Floats]:
        table = Table.of(rows, numeric, categorical, weights)
        fitted = fit(table.pipeline(estimator, plain, training.parameters.get(estimator, {})), table)
        return lambda asked: fitted.predict_proba(asked.X[list(table.columns)])[:, 1]

    return learn


def _best(table: Table, training: Training, window: Window, compared: tuple[ComparedWindow, ...]) -> Candidate:
    searches = _searches(table, training)
    parameters = {**training.parameters, **{each.estimator: each.parameters for each in searches}}
    validated = validate(_names(training), table, msgspec.structs.replace(training, parameters=parameters))
    chosen = choose(validated)
    return Candidate(
        model=_model(chosen, table),
        estimator=chosen.comparison.estimator,
        parameters=dict(chosen.parameters),
        threshold=chosen.comparison.threshold,
        columns=table.columns,
        comparisons=tuple(each.comparison for each in validated.values()),
        baseline=None if chosen.comparison.value is None else _baseline(table, training.metric),
        calibration=chosen.calibration,
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
    names = [name for name in ensembles.parts(training.estimators) if name in SPACES]
    begun = time.monotonic()
    return tuple(
        search(name, table, training, until=begun + training.search_s * number / len(names))
        for number, name in enumerate(names, start=1)
    )


def _model(chosen: Validated, table: Table) -> FixedThresholdClassifier:
    model = FixedThresholdClassifier(
        FrozenEstimator(chosen.trained()), threshold=chosen.comparison.threshold, response_method="predict_proba"
    )
    return model.fit(table.rows.X, table.rows.y)


def _baseline(table: Table, name: str) -> float:
    """Return the metric of the better of the two dummies: that all leave, that all stay."""
    return max(metric(table, name, np.full(len(table.rows), said)) for said in (True, False))

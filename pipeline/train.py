"""Labelled rows → a candidate: the best of the estimators, with the threshold that suits the metric.

Everything is decided on the training rows, by cross-validation that keeps a customer's rows together; the holdout
is not seen here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import parallel_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    PredefinedSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from churnwatch.pipeline.errors import DataError, SettingsError
from churnwatch.pipeline.estimators import build
from churnwatch.pipeline.features import Rows, usable
from churnwatch.pipeline.settings import Training

Floats = npt.NDArray[np.float64]
Folds = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]
_METRICS = {"f1": f1_score, "accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score}
_THRESHOLDS = 200
_CONNECT_S = 10
_MANY_CUSTOMERS = 20_000  # from so many on, dealing them out is as even as weighing each
_WORTH_THREADS = 50_000  # rows; with fewer, threads mostly wait for each other, the more so on a busy box


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
    """A trained model. Its `predict` already knows the threshold."""

    model: FixedThresholdClassifier
    estimator: str
    parameters: dict[str, Any]
    threshold: float
    columns: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
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


def train(
    rows: Rows, training: Training, *, numeric: tuple[str, ...], categorical: tuple[str, ...]
) -> Candidate | Untrainable:
    """Train the listed estimators (`compare`) or the first of them (`refit`) and return the best.

    Raises:
        SettingsError: an estimator or a parameter that does not exist.
        DataError: an estimator cannot be fitted to these rows, or the cluster is not there.
    """
    if not len(rows):
        return Untrainable("no labelled row is left to train on: all are in the holdout, or the target is missing")
    if rows.positives in (0, len(rows)):
        only = "positive" if rows.positives else "negative"
        return Untrainable(f"the target has one class only: all {len(rows):,} training rows are {only}."
                           " Check `target` and `positive` in settings.yaml")  # fmt: skip
    columns = usable(rows)
    if not columns:
        return Untrainable("every column to learn from is constant in the training rows")
    names = training.estimators if training.mode == "compare" else training.estimators[:1]
    made = {
        estimator: build(
            estimator,
            numeric=[column for column in numeric if column in columns],
            categorical=[column for column in categorical if column in columns],
            parameters=training.parameters.get(estimator, {}),
            class_weight=training.class_weight,
            seed=training.seed,
        )
        for estimator in names
    }
    used = Rows(rows.X[columns], rows.y, rows.ids)
    with _spread(training.cluster), threadpool_limits(limits=training.threads if len(rows) > _WORTH_THREADS else 1):
        return _best(used, made, training)


@contextmanager
def _spread(cluster: str | None) -> Iterator[None]:
    """Have scikit-learn's parallel loops, over the folds, run on a Dask cluster where there is one."""
    if cluster is None:
        yield
        return
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("settings.yaml: training.cluster: needs Dask: pip install 'churnwatch[dask]'.") from None
    try:
        client: Any = Client(cluster, timeout=_CONNECT_S)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{cluster}: no Dask scheduler answers there ({type(error).__name__}). See that it runs, or take"
            " `training.cluster` out."
        ) from error
    with client, parallel_config("dask"):
        yield


def _best(rows: Rows, made: Mapping[str, Pipeline], training: Training) -> Candidate:
    comparisons = tuple(_compare(name, pipeline, rows, training) for name, pipeline in made.items())
    chosen = _choose(comparisons)
    fitted = _fit(made[chosen.estimator], rows)
    model = FixedThresholdClassifier(
        FrozenEstimator(fitted), threshold=chosen.threshold, response_method="predict_proba"
    )
    model.fit(rows.X, rows.y)
    return Candidate(
        model=model,
        estimator=chosen.estimator,
        parameters=dict(training.parameters.get(chosen.estimator, {})),
        threshold=chosen.threshold,
        columns=tuple(rows.X.columns),
        comparisons=comparisons,
        rows=len(rows),
        positives=rows.positives,
    )


def _choose(comparisons: tuple[Comparison, ...]) -> Comparison:
    """Take the best, or an earlier listed (simpler) one that is within one standard error of it.

    Source: Breiman et al., Classification and Regression Trees (1984), the one-standard-error rule.
    """
    if any(found.value is None for found in comparisons):
        return comparisons[0]
    best = max(comparisons, key=lambda found: found.value or 0.0)
    floor = (best.value or 0.0) - (best.standard_error or 0.0)
    return next(found for found in comparisons if (found.value or 0.0) >= floor)


def _compare(estimator: str, pipeline: Pipeline, rows: Rows, training: Training) -> Comparison:
    """Cross-validate one estimator: its best threshold, the metric there, and that metric's error over the folds."""
    folds = _folds(rows, training)
    if folds is None:
        return Comparison(estimator, 0.5, None, None)
    held_out = _quietly(cross_val_predict, pipeline, rows.X, rows.y, cv=folds, method="predict_proba")[:, 1]
    metric = _METRICS[training.metric]
    threshold, value = best_threshold(rows.y, held_out, training.metric)
    by_fold = [metric(rows.y[test], held_out[test] >= threshold) for _, test in folds]
    return Comparison(estimator, threshold, value, float(np.std(by_fold, ddof=1) / np.sqrt(len(by_fold))))


def _folds(rows: Rows, training: Training) -> Folds | None:
    """Return each fold's training and test rows, None where a class has too few rows or customers for any."""
    groups = _groups(rows) if _grouped(rows) else None
    fewest = min(rows.positives, len(rows) - rows.positives)
    folds = min(training.folds, fewest, len(rows) if groups is None else len(np.unique(groups)))
    if folds < 2:  # noqa: PLR2004 - one fold is no cross-validation
        return None
    if groups is None:
        return list(StratifiedKFold(folds, shuffle=True, random_state=training.seed).split(rows.X, rows.y))
    if groups.max() < _MANY_CUSTOMERS:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=training.seed)
        found = list(splitter.split(rows.X, rows.y, groups))
    else:
        found = list(PredefinedSplit(_dealt(rows.y, groups, folds, training.seed)).split())
    return found if all(len(np.unique(rows.y[others])) > 1 for others, _ in found) else None


def _dealt(y: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each row: customers are dealt out like cards, those with most positive rows first.

    As even as scikit-learn's StratifiedGroupKFold where customers are many, which takes 0.1 ms for each of them.
    """
    positives, sizes = np.bincount(groups, weights=y), np.bincount(groups)
    chance = np.random.default_rng(seed).random(len(sizes))
    ranked = np.lexsort((chance, -sizes, -positives))
    fold_of = np.empty(len(sizes), dtype=np.int64)
    fold_of[ranked] = np.arange(len(sizes)) % folds
    return fold_of[groups]


def _grouped(rows: Rows) -> bool:
    """Tell whether a customer has several rows, which must then be together in one fold."""
    return rows.ids is not None and not rows.ids.dropna().is_unique


def _groups(rows: Rows) -> npt.NDArray[np.int64]:
    """Number the customers; each row without an id is a customer of its own."""
    assert rows.ids is not None  # noqa: S101 - asked only where `_grouped`
    codes = np.asarray(rows.ids.astype("category").cat.codes, dtype=np.int64)
    nameless = codes < 0
    codes[nameless] = codes.max(initial=0) + 1 + np.arange(nameless.sum())
    return codes


def best_threshold(y: npt.NDArray[np.int64], probability: Floats, metric: str = "f1") -> tuple[float, float]:
    """Return the threshold with the best value of a metric, and that value.

    Thresholds lie halfway between probabilities, so that a rounding error decides nothing.
    """
    levels = np.unique(np.quantile(probability, np.linspace(0, 1, _THRESHOLDS)))
    between = (levels[1:] + levels[:-1]) / 2 if len(levels) > 1 else np.array([0.5])
    values = _at_thresholds(y, probability, between, metric)
    best = int(np.argmax(values))
    return float(between[best]), float(values[best])


def _at_thresholds(y: npt.NDArray[np.int64], probability: Floats, thresholds: Floats, metric: str) -> Floats:
    """Return a metric at each threshold, shape (k,), from counts; scikit-learn k times took a third of a run."""
    positives, negatives = np.sort(probability[y == 1]), np.sort(probability[y == 0])
    missed = np.searchsorted(positives, thresholds)
    spared = np.searchsorted(negatives, thresholds)
    hits, alarms = len(positives) - missed, len(negatives) - spared
    if metric == "f1":
        return np.asarray(2 * hits / np.maximum(2 * hits + alarms + missed, 1))
    if metric == "accuracy":
        return np.asarray((hits + spared) / len(y))
    return np.asarray((hits / max(len(positives), 1) + spared / max(len(negatives), 1)) / 2)


def _fit(pipeline: Pipeline, rows: Rows) -> Pipeline:
    return _quietly(pipeline.fit, rows.X, rows.y)


def _quietly(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call scikit-learn; a model that did not converge is a worse model, which the gate will tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise DataError(f"the estimator cannot be trained on these rows: {error}") from error

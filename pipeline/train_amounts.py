"""Labelled rows → a candidate that expects an amount: the best of the estimators.

Everything is decided on the training rows, by cross-validation that keeps a customer's rows together; the holdout
is not seen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from churnwatch.pipeline import row_bootstrap
from churnwatch.pipeline.evaluate_amounts import baseline_amounts
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.fitting import Table, fit, held_out, resources
from churnwatch.pipeline.folds import Folds, folds_of_amounts
from churnwatch.pipeline.metrics import METRICS
from churnwatch.pipeline.regressors import build
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.train import Candidate, Untrainable
from churnwatch.pipeline.validation import Comparison
from churnwatch.pipeline.windows import Window

Floats = npt.NDArray[np.float64]
Columns = tuple[str, ...]


def amounts(model: Pipeline, rows: Rows) -> Floats:
    """Return the amount that a model expects of each row, shape (n,)."""
    if not len(rows):
        return np.empty(0)
    return np.asarray(model.predict(rows.X[list(model.feature_names_in_)]), dtype=np.float64)


def train_amounts(
    rows: Rows, training: Training, *, metric: str, numeric: Columns, categorical: Columns
) -> Candidate | Untrainable:
    """Train the listed estimators (`compare`) or the first of them (`refit`) and return the best.

    Args:
        rows: labelled by amounts; those that are in the window.
        training: what to train and how; where it asks for a search, estimators are compared.
        metric: by which they are, one of `row_bootstrap.OF_AMOUNTS`.
        numeric: columns of numbers.
        categorical: columns of texts.

    Raises:
        SettingsError: an estimator or a parameter that does not exist.
        DataError: an estimator cannot be fitted to these rows, or the cluster is not there.
    """
    table = Table.of(rows, numeric, categorical)
    reason = _untrainable(table)
    if reason is not None:
        return Untrainable(reason)
    with resources(training, len(rows)):
        return _best(table, training, metric)


def _untrainable(table: Table) -> str | None:
    rows = table.rows
    if not len(rows):
        return "no labelled row is left to train on: all are in the holdout, or the target is missing"
    if np.ptp(rows.y) == 0:
        return f"the target is the same in all {len(rows):,} training rows. Check `target` in settings.yaml"
    return None if table.columns else "every column to learn from is constant in the training rows"


@dataclass(frozen=True)
class _Validated:
    """One estimator, not trained yet on all rows, and what the metric says of it in each fold; none without folds."""

    comparison: Comparison
    pipeline: Pipeline
    by_fold: Floats


def _best(table: Table, training: Training, metric: str) -> Candidate:
    parts = folds_of_amounts(table.rows, training.folds, seed=training.seed)
    names = training.estimators[:1] if training.mode == "refit" else training.estimators
    validated = [_validated(name, table, parts, training, metric) for name in names]
    chosen = _choose(validated, METRICS[metric].sign)
    estimator = chosen.comparison.estimator
    return Candidate(
        model=fit(chosen.pipeline, table),
        estimator=estimator,
        parameters=dict(training.parameters.get(estimator, {})),
        threshold=0.0,
        columns=table.columns,
        comparisons=tuple(each.comparison for each in validated),
        baseline=None if chosen.comparison.value is None else baseline_amounts(table.rows.y).get(metric),
        calibration="none",
        window=Window.given(training),
        windows=(),
        searches=(),
        rows=len(table.rows),
        positives=table.rows.positives,
    )


def _choose(validated: Sequence[_Validated], sign: int) -> _Validated:
    """Take the best, or an earlier listed (simpler) one within one standard error of it, paired over the folds.

    Source: Breiman et al., Classification and Regression Trees (1984), the one-standard-error rule.
    """
    if any(each.comparison.value is None for each in validated):
        return validated[0]
    best = max((sign * each.by_fold for each in validated), key=np.mean)
    return next(each for each in validated if np.mean(best - sign * each.by_fold) <= _error(best - sign * each.by_fold))


def _validated(name: str, table: Table, parts: Folds | None, training: Training, metric: str) -> _Validated:
    """Cross-validate one estimator: the metric over all rows, and fold by fold."""
    pipeline = build(name, numeric=table.numeric, categorical=table.categorical,
                     parameters=training.parameters.get(name, {}), seed=training.seed)  # fmt: skip
    unknown = _Validated(Comparison(name, 0.0, None, None, None), pipeline, np.empty(0))
    if parts is None:
        return unknown
    y, expected = table.rows.y, held_out(pipeline, table, parts, "predict")
    by_fold = np.array([row_bootstrap.value(metric, y[test], expected[test]) for _, test in parts])
    if not np.isfinite(by_fold).all():
        return unknown
    value = row_bootstrap.value(metric, y, expected)
    return _Validated(Comparison(name, 0.0, value, _error(by_fold), None), pipeline, by_fold)


def _error(values: Floats) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))

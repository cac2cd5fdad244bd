"""Parameters of an estimator by successive halving: many are tried on few rows, the best third on three times as many.

What is found depends on the rows and the seed only, as long as the budget of time lasts: it is a stop, not a plan, so
that a slow machine finds what a fast one does.

Source: Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization (2016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import loguniform, randint
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import ParameterSampler
from sklearn.utils import resample

from churnwatch.pipeline.fitting import Table, side_by_side
from churnwatch.pipeline.folds import folds
from churnwatch.pipeline.settings import Training

Parameters = dict[str, Any]
Floats = npt.NDArray[np.float64]

_TREES = {
    "learning_rate": loguniform(0.02, 0.2),
    "max_iter": randint(100, 400),
    "min_samples_leaf": randint(5, 100),
    "l2_regularization": loguniform(1e-2, 1e2),
    "max_features": loguniform(0.15, 1.0),
}
# What is tried of each estimator; one that is not here is trained as it is.
SPACES: dict[str, dict[str, Any]] = {
    "logistic": {"C": loguniform(1e-3, 1e2)},
    "boosting": _TREES | {"max_leaf_nodes": randint(3, 32)},
    "deep_boosting": _TREES | {"max_depth": randint(3, 8)},
    "catboost": {
        "learning_rate": loguniform(0.02, 0.2),
        "iterations": randint(150, 600),
        "depth": randint(3, 8),
        "l2_leaf_reg": loguniform(1, 30),
    },
    "lightgbm": {
        "learning_rate": loguniform(0.01, 0.2),
        "n_estimators": randint(100, 500),
        "num_leaves": randint(3, 32),
        "min_child_samples": randint(5, 100),
        "reg_lambda": loguniform(1e-2, 1e2),
        "colsample_bytree": loguniform(0.3, 1.0),
    },
    "xgboost": {
        "learning_rate": loguniform(0.01, 0.2),
        "n_estimators": randint(100, 500),
        "max_depth": randint(2, 8),
        "min_child_weight": loguniform(0.5, 20),
        "reg_lambda": loguniform(1e-1, 1e2),
        "colsample_bytree": loguniform(0.3, 1.0),
    },
}
_KEPT = 3  # one of so many goes on, to so many times as many rows
_FEWEST_ROWS = 500  # on fewer, chance ranks


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        estimator: whose parameters these are.
        parameters: the best, or those given where nothing is better by one standard error.
        tried: how many sets of parameters, the given ones among them.
        stopped: whether the budget of time ended it.
    """

    estimator: str
    parameters: Parameters
    tried: int
    stopped: bool


@dataclass(frozen=True)
class _Tried:
    parameters: Parameters
    by_fold: Floats  # ROC AUC


def search(estimator: str, table: Table, training: Training, *, until: float) -> Found:
    """Look for parameters that rank held-out customers better than those given.

    Args:
        estimator: its name.
        table: the training rows.
        training: what is given is kept; a parameter that it names is not searched for.
        until: when to stop, by `time.monotonic`.
    """
    given = dict(training.parameters.get(estimator, {}))
    left = [given, *_drawn(estimator, given, training)]
    best, tried = given, 0
    for size in _sizes(len(table.rows)) if len(left) > 1 else ():
        found = _evaluated(estimator, left, _part(table, size, training.seed), training, until)
        if not found:
            break
        best, tried = _best(found) if len(found) > 1 else best, max(tried, len(found))
        if len(found) < len(left):
            return Found(estimator, best, tried, stopped=True)
        left = _survivors(found)
    return Found(estimator, best, tried, stopped=False)


def _drawn(estimator: str, given: Mapping[str, Any], training: Training) -> list[Parameters]:
    space = {name: values for name, values in SPACES.get(estimator, {}).items() if name not in given}
    if not space:
        return []
    sampler = ParameterSampler(space, training.search_candidates, random_state=training.seed)
    return [{**given, **{name: _short(value) for name, value in drawn.items()}} for drawn in sampler]


def _short(value: float) -> int | float:
    """Return a number that can be read and typed again; the third digit of a parameter means nothing."""
    return int(value) if isinstance(value, int | np.integer) else float(f"{value:.2g}")


def _sizes(rows: int) -> list[int]:
    """Return how many rows each round has: a ninth, a third, all; rounds of too few are left out."""
    return [*(rows // part for part in (_KEPT**2, _KEPT) if rows // part >= _FEWEST_ROWS), rows]


def _part(table: Table, size: int, seed: int) -> Table:
    if size == len(table.rows):
        return table
    drawn = resample(
        np.arange(len(table.rows)), replace=False, n_samples=size, stratify=table.rows.y, random_state=seed
    )
    return table.where(np.isin(np.arange(len(table.rows)), drawn))


def _evaluated(
    estimator: str, tried: Sequence[Parameters], table: Table, training: Training, until: float
) -> list[_Tried]:
    """Return each set of parameters with its ROC AUC by fold, those that time allows.

    None where there are no folds, or fewer than two with both classes, as where all who left are of one customer.
    """
    parts = folds(table.rows, training.folds, seed=training.seed)
    both = [test for _, test in parts or () if len(np.unique(table.rows.y[test])) > 1]  # else nobody to rank
    if parts is None or len(both) < 2:  # noqa: PLR2004 - one value has no spread
        return []
    pipelines = [table.pipeline(estimator, training, parameters) for parameters in tried]
    done = side_by_side(pipelines, table, parts, until=until)
    return [
        _Tried(parameters, np.array([_auc(table, margins, test) for test in both]))
        for parameters, margins in zip(tried, done, strict=False)
    ]


def _auc(table: Table, margins: Floats, test: npt.NDArray[np.int64]) -> float:
    weights = None if table.weights is None else table.weights[test]
    return float(roc_auc_score(table.rows.y[test], margins[test], sample_weight=weights))


def _best(found: Sequence[_Tried]) -> Parameters:
    """Return the best, or what was given where that is within one standard error of it, paired over the folds."""
    best = max(found, key=lambda each: each.by_fold.mean())
    gains = best.by_fold - found[0].by_fold
    error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    return best.parameters if gains.mean() > error else found[0].parameters


def _survivors(found: Sequence[_Tried]) -> list[Parameters]:
    """Return what was given, and the best third of the others, the best first."""
    ranked = sorted(found[1:], key=lambda each: -each.by_fold.mean())
    return [found[0].parameters, *(each.parameters for each in ranked[: -(-len(ranked) // _KEPT)])]

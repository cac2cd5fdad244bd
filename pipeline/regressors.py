"""The estimators of amounts, as scikit-learn pipelines from raw columns to an expected amount.

Only scikit-learn's own classes are in them, so that any program with scikit-learn can load a released model.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.base import BaseEstimator, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.estimators import BOOSTING, check_values, one_hot


def build(
    estimator: str, *, numeric: Sequence[str], categorical: Sequence[str], parameters: Mapping[str, Any], seed: int
) -> Pipeline:
    """Return an untrained pipeline.

    Args:
        estimator: `linear`, `boosting`, or the import path of a scikit-learn regressor.
        numeric: columns of numbers.
        categorical: columns of texts.
        parameters: of the regressor.
        seed: fixes everything random in it.

    Raises:
        SettingsError: no such regressor, or it does not take these parameters.
    """
    given = {"random_state": seed, **parameters}
    if estimator == "boosting":
        regressor = _regressor(estimator, HistGradientBoostingRegressor, {**BOOSTING, **given}, parameters)
        numbers: Any = "passthrough"
    else:
        cls = Ridge if estimator == "linear" else _imported(estimator)
        regressor = _regressor(estimator, cls, given, parameters)
        numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    columns = ColumnTransformer([("number", numbers, list(numeric)), ("text", one_hot(), list(categorical))])
    pipeline = Pipeline([("columns", columns), ("regressor", regressor)])
    pipeline.set_output(transform="pandas")
    return pipeline


def _regressor(name: str, cls: Any, wanted: Mapping[str, Any], parameters: Mapping[str, Any]) -> BaseEstimator:
    try:
        known = set(inspect.signature(cls).parameters)
        made = cls(**{key: value for key, value in wanted.items() if key in known})
        fits = is_regressor(made)
    except (AttributeError, TypeError, ValueError):
        fits = False
    if not fits:
        raise SettingsError(f"settings.yaml: training.estimators: `{name}` is no regressor.")
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise SettingsError(f"settings.yaml: training.parameters: {cls.__name__} takes no `{unknown[0]}`;"
                            f" it takes {', '.join(sorted(known))}.")  # fmt: skip
    check_values(name, made)
    return made


def _imported(path: str) -> Any:
    """Return a class by its import path, such as `sklearn.ensemble.RandomForestRegressor`."""
    module, _, cls = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), cls)
    except (ImportError, AttributeError, TypeError, ValueError):
        raise SettingsError(f"settings.yaml: training.estimators: no `{path}`. Use linear, boosting, or the import"
                            " path of a scikit-learn regressor that is installed here.") from None  # fmt: skip

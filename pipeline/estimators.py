"""The estimators, as scikit-learn pipelines from raw columns to probabilities.

Only scikit-learn's own classes are in them, so that any program with scikit-learn can load a released model.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.base import BaseEstimator, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from churnwatch.pipeline.errors import SettingsError

_RARE_ROWS = 10  # a category of fewer training rows is "rare"; an unknown one is treated as if it were
_MOST_CATEGORIES = 40


def build(
    estimator: str,
    *,
    numeric: Sequence[str],
    categorical: Sequence[str],
    parameters: Mapping[str, Any],
    class_weight: str,
    seed: int,
) -> Pipeline:
    """Return an untrained pipeline.

    Args:
        estimator: `logistic`, `boosting`, or the import path of a scikit-learn classifier.
        numeric: columns of numbers.
        categorical: columns of texts.
        parameters: of the classifier.
        class_weight: `none` or `balanced`; ignored by a classifier that knows no class weights.
        seed: fixes everything random in it.

    Raises:
        SettingsError: no such classifier, or it does not take these parameters.
    """
    given = {"class_weight": None if class_weight == "none" else class_weight, "random_state": seed}
    if estimator == "boosting":
        classifier = _classifier(HistGradientBoostingClassifier, {**_BOOSTING, **given, **parameters}, parameters)
        columns = ColumnTransformer([("number", "passthrough", list(numeric)), ("text", _one_hot(), list(categorical))])
    else:
        if estimator == "logistic":
            classifier = _classifier(LogisticRegression, {"max_iter": 1000, **given, **parameters}, parameters)
        else:
            classifier = _imported(estimator, {**given, **parameters}, parameters)
        filled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
        columns = ColumnTransformer([("number", filled, list(numeric)), ("text", _one_hot(), list(categorical))])
    pipeline = Pipeline([("columns", columns), ("classifier", classifier)])
    pipeline.set_output(transform="pandas")
    return pipeline


_BOOSTING = {
    "learning_rate": 0.04,
    "max_iter": 250,
    "max_leaf_nodes": 8,
    "max_features": 0.5,
    "min_samples_leaf": 10,
    "l2_regularization": 1.0,
    "early_stopping": False,
}


def _one_hot() -> OneHotEncoder:
    return OneHotEncoder(
        min_frequency=_RARE_ROWS,
        max_categories=_MOST_CATEGORIES,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
    )


def _classifier(cls: type, wanted: Mapping[str, Any], parameters: Mapping[str, Any]) -> BaseEstimator:
    known = set(inspect.signature(cls).parameters)
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise SettingsError(f"settings.yaml: training.parameters: {cls.__name__} takes no `{unknown[0]}`;"
                            f" it takes {', '.join(sorted(known))}.")  # fmt: skip
    return cls(**{key: value for key, value in wanted.items() if key in known})


def _imported(path: str, wanted: Mapping[str, Any], parameters: Mapping[str, Any]) -> BaseEstimator:
    """Make a classifier by its import path, such as `sklearn.ensemble.RandomForestClassifier`."""
    module, _, cls = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), cls)
    except (ImportError, AttributeError, TypeError, ValueError):
        raise SettingsError(f"settings.yaml: training.estimators: no `{path}`. Use logistic, boosting, or the import"
                            " path of a scikit-learn classifier that is installed here.") from None  # fmt: skip
    try:
        classifier = _classifier(found, wanted, parameters)
        fits = is_classifier(classifier) and hasattr(classifier, "predict_proba")  # SVC has it only when asked for
    except (AttributeError, TypeError, ValueError):
        fits = False
    if not fits:
        raise SettingsError(f"settings.yaml: training.estimators: `{path}` is no classifier with probabilities.")
    return classifier

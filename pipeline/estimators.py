"""The estimators, as scikit-learn pipelines from raw columns to probabilities.

Only scikit-learn's own classes are in them, and those of a library that is named, so that any program that has these
can load a released model.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.utils._param_validation import InvalidParameterError

from churnwatch.pipeline.errors import SettingsError

_MANY_CATEGORIES = 12  # a text with more is told by them in one column, not in one for each
_TELLING_ROWS = 50  # of each class, for that
_MOST_CATEGORIES = 40
_RARE_ROWS = 10  # a category of fewer training rows is "rare"; an unknown one is treated as if it were
_RESAMPLING = "resampling"
_REFUSED = re.compile(r"The '(\w+)' parameter of \w+ must (.*)\. Got (.*) instead", re.DOTALL)


@dataclass(frozen=True)
class _Known:
    """A classifier that is made by import path or by a name of its own.

    Attributes:
        path: where it is imported from.
        usual: its parameters, unless others are given.
        extra: of churnwatch, which brings it.
        trees: whether it is made of trees that take numbers on any scale, and none at all.
        texts: whether it takes texts as they are.
    """

    path: str
    usual: Mapping[str, Any]
    extra: str | None = None
    trees: bool = True
    texts: bool = False


BOOSTING = {
    "learning_rate": 0.04,
    "max_iter": 250,
    "max_leaf_nodes": 8,
    "max_features": 0.5,
    "min_samples_leaf": 10,
    "l2_regularization": 1.0,
    "early_stopping": False,
}
_BY_NAME = {
    "logistic": _Known("sklearn.linear_model.LogisticRegression", {"max_iter": 1000}, trees=False),
    "boosting": _Known(
        "sklearn.ensemble.HistGradientBoostingClassifier",
        {**BOOSTING, "max_iter": 200, "max_leaf_nodes": 4},  # what takes more is found by `deep_boosting`
    ),
    "deep_boosting": _Known(
        "sklearn.ensemble.HistGradientBoostingClassifier",
        {"learning_rate": 0.04, "max_iter": 150, "max_depth": 6, "max_features": 0.5, "min_samples_leaf": 5,
         "l2_regularization": 1.0, "early_stopping": False},
    ),
    "catboost": _Known(
        "catboost.CatBoostClassifier",
        {"iterations": 400, "learning_rate": 0.05, "depth": 5, "thread_count": 1, "verbose": 0,
         "allow_writing_files": False},
        extra="catboost", texts=True,
    ),
    "lightgbm": _Known(
        "lightgbm.LGBMClassifier",
        {"n_estimators": 300, "learning_rate": 0.03, "num_leaves": 8, "colsample_bytree": 0.7, "n_jobs": 1,
         "verbose": -1},
        extra="lightgbm",
    ),
    "xgboost": _Known(
        "xgboost.XGBClassifier",
        {"n_estimators": 300, "learning_rate": 0.03, "max_depth": 4, "colsample_bytree": 0.7, "n_jobs": 1},
        extra="xgboost",
    ),
}  # fmt: skip


def build(
    estimator: str,
    *,
    numeric: Sequence[str],
    categorical: Sequence[str],
    parameters: Mapping[str, Any],
    class_weight: str,
    seed: int,
    many: Sequence[str] = (),
    resampling: str = "none",
) -> Pipeline:
    """Return an untrained pipeline.

    Args:
        estimator: a name, such as `logistic` or `boosting`, or the import path of a scikit-learn classifier.
        numeric: columns of numbers.
        categorical: columns of texts.
        parameters: of the classifier.
        class_weight: `none` or `balanced`; ignored by a classifier that knows no class weights.
        seed: fixes everything random in it.
        many: the columns of texts with many categories.
        resampling: `none`, `smote`, `oversample` or `undersample`: what is done to training rows, after encoding.

    Raises:
        SettingsError: no such classifier, it does not take these parameters, or its library is not installed.
    """
    known = _BY_NAME.get(estimator, _Known(estimator, {}, trees=False))
    given = {"class_weight": None if class_weight == "none" else class_weight, "random_state": seed}
    wanted = {**known.usual, **given, **parameters}
    filled = resampling != "none" or not known.trees  # new rows are made between old ones, so no number may be missing
    if known.texts and not filled:
        texts = [("text", SimpleImputer(strategy="constant", fill_value=""), list(categorical))]
        places = tuple(range(len(numeric), len(numeric) + len(categorical)))  # a CatBoost with a list cannot be cloned
        wanted = {"cat_features": places, **wanted}
    else:
        few = [column for column in categorical if column not in many]
        texts = [("text", one_hot(), few), ("many", _by_target(seed), list(many))]
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    columns = ColumnTransformer([("number", numbers if filled else "passthrough", list(numeric)), *texts])
    if known.extra is None or known.texts:
        columns.set_output(transform="pandas")  # other libraries refuse columns by names such as `a[b]`
    return _pipeline(columns, _classifier(estimator, known, wanted, parameters), resampling, seed)


def with_many_categories(X: pd.DataFrame, y: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """Return the columns of texts that are better told by their categories' share of the positive label.

    Args:
        X: (n, features) rows to learn from.
        y: (n,) their labels, 0 or 1.

    None where a class has too few rows to tell shares.
    """
    if np.bincount(y, minlength=2).min() < _TELLING_ROWS:
        return ()
    return tuple(str(column) for column in X if X[column].dtype == "str" and X[column].nunique() > _MANY_CATEGORIES)


def check_values(estimator: str, made: BaseEstimator) -> None:
    """Ask scikit-learn whether an estimator of its own takes its parameters' values, before anything is trained.

    Raises:
        SettingsError: it takes other values.
    """
    if not hasattr(made, "_parameter_constraints"):
        return
    try:
        made._validate_params()  # noqa: SLF001 - public only as a part of fitting
    except InvalidParameterError as error:
        found = _REFUSED.match(str(error))
        told = "{}: it must {}, not {}".format(*found.groups()) if found else str(error)
        raise SettingsError(f"settings.yaml: training.parameters: {estimator}.{told}.") from None


def fitted_parts(pipeline: Pipeline) -> Pipeline:
    """Return a trained pipeline without what made its training rows: only what predicts is kept."""
    return Pipeline([step for step in pipeline.steps if step[0] != _RESAMPLING])


def one_hot() -> OneHotEncoder:
    """Return what makes columns of texts to columns of numbers, one for each category that is not rare."""
    return OneHotEncoder(
        min_frequency=_RARE_ROWS,
        max_categories=_MOST_CATEGORIES,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
    )


def _by_target(seed: int) -> Pipeline:
    """Return what puts the share of the positive label in place of a category, shrunk to the mean where rows are few.

    Training rows get shares that others have told.

    Source: Micci-Barreca, A preprocessing scheme for high-cardinality categorical attributes (2001).
    """
    others = StratifiedKFold(shuffle=True, random_state=seed)
    return make_pipeline(TargetEncoder(target_type="binary", cv=others), StandardScaler())


def _pipeline(columns: ColumnTransformer, classifier: BaseEstimator, resampling: str, seed: int) -> Pipeline:
    if resampling == "none":
        return Pipeline([("columns", columns), ("classifier", classifier)])
    try:
        from imblearn import over_sampling, pipeline, under_sampling  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("settings.yaml: training.resampling: needs imbalanced-learn:"
                            " pip install 'churnwatch[imbalanced]'.") from None  # fmt: skip
    samplers = {
        "smote": over_sampling.SMOTE,
        "oversample": over_sampling.RandomOverSampler,
        "undersample": under_sampling.RandomUnderSampler,
    }
    sampler = samplers[resampling](random_state=seed)
    return pipeline.Pipeline([("columns", columns), (_RESAMPLING, sampler), ("classifier", classifier)])


def _classifier(
    estimator: str, known: _Known, wanted: Mapping[str, Any], parameters: Mapping[str, Any]
) -> BaseEstimator:
    cls = _imported(estimator, known)
    try:
        names = {*inspect.signature(cls).parameters, *_named_elsewhere(cls), *known.usual} - {"kwargs"}
        unknown = sorted(set(parameters) - names)
        if unknown:
            raise SettingsError(f"settings.yaml: training.parameters: {cls.__name__} takes no `{unknown[0]}`;"
                                f" it takes {', '.join(sorted(names))}.")  # fmt: skip
        classifier = cls(**{key: value for key, value in wanted.items() if key in names})
        fits = is_classifier(classifier) and hasattr(classifier, "predict_proba")  # SVC has it only when asked for
    except (AttributeError, TypeError, ValueError):
        fits = False
    if not fits:
        raise SettingsError(f"settings.yaml: training.estimators: `{estimator}` is no classifier with probabilities.")
    check_values(estimator, classifier)
    return classifier


def _named_elsewhere(cls: type) -> list[str]:
    """Return the parameters that a classifier takes as `**kwargs` and knows by name all the same, as XGBoost does."""
    return list(cls().get_params()) if "kwargs" in inspect.signature(cls).parameters else []


def _imported(estimator: str, known: _Known) -> Any:
    """Return a class by its import path, such as `sklearn.ensemble.RandomForestClassifier`."""
    module, _, cls = known.path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), cls)
    except (ImportError, AttributeError, TypeError, ValueError):
        if known.extra is not None:
            raise SettingsError(f"settings.yaml: training.estimators: `{estimator}` needs its library:"
                                f" pip install 'churnwatch[{known.extra}]'.") from None  # fmt: skip
        raise SettingsError(f"settings.yaml: training.estimators: no `{estimator}`. Use {', '.join(_BY_NAME)}, voting,"
                            " stacking, or the import path of a scikit-learn classifier that is installed"
                            " here.") from None  # fmt: skip

"""Small models as training makes them, of every kind, and strange rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from churnwatch.pipeline import ensembles, estimators
from churnwatch.pipeline.calibration import calibrated, calibrator
from churnwatch.pipeline.fitting import margin_method

NUMERIC, CATEGORICAL = ["n[1]", "m"], ["t", "town"]
SMALL = {"boosting": {"max_iter": 12}, "deep_boosting": {"max_iter": 8}, "lightgbm": {"n_estimators": 10},
         "xgboost": {"n_estimators": 10}, "catboost": {"iterations": 10},
         "sklearn.ensemble.RandomForestClassifier": {"n_estimators": 3}}  # fmt: skip


def _rows(n: int = 400) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(0)
    town, n1, m = rng.integers(20, size=n), rng.normal(size=n), rng.integers(70, size=n).astype(float)
    X = pd.DataFrame({
        "n[1]": np.where(rng.random(n) < 0.1, np.nan, n1),
        "m": m,
        "t": pd.Series(rng.choice(["a", "b", "rare"], n, p=[0.5, 0.49, 0.01]), dtype="str").mask(rng.random(n) < 0.1),
        "town": pd.Series([f"t{each}" for each in town], dtype="str"),
    })  # fmt: skip
    return X, ((town >= 10) + n1 + (m < 20) + rng.normal(size=n) > 1).astype(np.int64)


X, Y = _rows()
STRANGE = pd.DataFrame({
    "n[1]": [np.nan, 4.0, -4.0, 0.0],
    "m": [np.nan, 60.0, -3.5, 0.0],
    "t": pd.Series([None, "new", "rare", ""], dtype="str"),
    "town": pd.Series([None, "elsewhere", "t1", ""], dtype="str"),
})  # fmt: skip


def pipeline(estimator: str, columns: list[str], many: tuple[str, ...] = ("town",), **more: Any) -> Pipeline:
    """Return a fitted pipeline of these columns."""
    numeric, texts = ([each for each in of if each in columns] for of in (NUMERIC, CATEGORICAL))
    made = estimators.build(estimator, numeric=numeric, categorical=texts, parameters=SMALL.get(estimator, {}),
                            class_weight="none", seed=1, many=[each for each in many if each in columns],
                            **more)  # fmt: skip
    return estimators.fitted_parts(made.fit(X[columns], Y))


def margins(pipeline: Pipeline, frame: pd.DataFrame) -> Any:
    """Return what a pipeline says of rows before that is calibrated, shape (n,)."""
    found = getattr(pipeline, margin_method(pipeline))(frame)
    return found[:, 1] if found.ndim > 1 else found


def model(kind: str, columns: list[str], calibration: str = "sigmoid", **more: Any) -> FixedThresholdClassifier:
    """Return a model as training makes it, but for the folds."""
    frame = X[columns]
    if kind in ensembles.ENSEMBLES:
        parts = {name: pipeline(name, columns, **more) for name in ("logistic", "boosting", "deep_boosting")}
        said = np.column_stack([margins(each, frame) for each in parts.values()])
        inner: Any = ensembles.stacked(parts, ensembles.ENSEMBLES[kind](said, Y, None), frame, Y)
    else:
        inner = pipeline(kind, columns, **more)
        if calibration != "none":
            fitted = calibrator(calibration, margins(inner, frame), Y)
            assert fitted is not None
            inner = calibrated(inner, fitted)
    threshold = FixedThresholdClassifier(FrozenEstimator(inner), threshold=0.3, response_method="predict_proba")
    return threshold.fit(frame, Y)

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline

from churnwatch.pipeline.calibration import calibrated, calibrator


def _world(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    n_ = rng.normal(size=n)
    return pd.DataFrame({"n": n_}), (rng.random(n) < 1 / (1 + np.exp(2 - 1.5 * n_))).astype(np.int64)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize(
    "classifier",
    [LogisticRegression(class_weight="balanced"), RandomForestClassifier(5, min_samples_leaf=20, random_state=0)],
)
def test_what_is_filled_is_what_scikit_learn_would_have_fitted(method: str, classifier: object) -> None:
    X, y = _world(300, seed=0)
    pipeline = Pipeline([("classifier", classifier)])
    folds = StratifiedKFold(3)
    expected = CalibratedClassifierCV(pipeline, method=method, cv=folds, ensemble=False).fit(X, y)
    margin = "decision_function" if hasattr(pipeline, "decision_function") else "predict_proba"
    margins = cross_val_predict(pipeline, X, y, cv=folds, method=margin)
    fitted = calibrator(method, margins if margins.ndim == 1 else margins[:, 1], y)
    assert fitted is not None
    made = calibrated(pipeline.fit(X, y), fitted)
    assert made.predict_proba(X) == pytest.approx(expected.predict_proba(X))
    known = {name for name in vars(expected) if name.endswith("_")}
    assert {name for name in vars(made) if name.endswith("_")} == known


def test_probabilities_mean_what_they_say_though_classes_were_balanced() -> None:
    X, y = _world(4000, seed=1)
    asked, truth = _world(4000, seed=2)
    pipeline = Pipeline([("classifier", LogisticRegression(class_weight="balanced"))])
    margins = cross_val_predict(pipeline, X, y, cv=StratifiedKFold(3), method="decision_function")
    fitted = calibrator("sigmoid", margins, y)
    assert fitted is not None
    before, after = (model.predict_proba(asked)[:, 1] for model in (pipeline.fit(X, y), calibrated(pipeline, fitted)))
    assert log_loss(truth, after) < log_loss(truth, before) - 0.05
    assert after.mean() == pytest.approx(truth.mean(), abs=0.02)


def test_a_row_of_weight_two_counts_like_two_rows() -> None:
    margins, y = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0]), np.array([0, 0, 1, 0, 1, 1])
    times = np.array([1, 2, 3, 1, 2, 1])
    weighted, repeated = (
        calibrator("sigmoid", margins, y, times * 1.0),
        calibrator("sigmoid", margins.repeat(times), y.repeat(times)),
    )
    assert weighted is not None
    assert repeated is not None
    assert weighted.predict(margins) == pytest.approx(repeated.predict(margins), abs=1e-4)


def test_margins_that_fall_where_customers_leave_calibrate_nothing() -> None:
    margins, y = np.linspace(-1, 1, 40), np.repeat([1, 0], 20)
    assert calibrator("sigmoid", margins, y) is None

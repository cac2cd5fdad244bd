"""Margins of held-out rows → probabilities that mean what they say.

A margin is what a classifier's `decision_function` says, which of `logistic` and `boosting` are log-odds; of one that
has none, the probability. With `sigmoid`, the calibrated log-odds are a · margin + b, so that whatever adds up to the
margin adds up to them. The calibrated model is scikit-learn's own `CalibratedClassifierCV`, as `ensemble=False` leaves
it, but filled with the margins of the cross-validation that there is anyway: fitting it would do that once more.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.calibration import CalibratedClassifierCV, _CalibratedClassifier, _SigmoidCalibration
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import Pipeline

Floats = npt.NDArray[np.float64]
Calibrator: TypeAlias = _SigmoidCalibration | IsotonicRegression


def calibrator(
    method: Literal["sigmoid", "isotonic"], margins: Floats, y: npt.NDArray[np.int64], weights: Floats | None = None
) -> Calibrator | None:
    """Fit what turns a margin into a probability; None where a higher margin does not mean a higher probability.

    Args:
        method: `sigmoid` or `isotonic`.
        margins: (n,) of rows that were held out.
        y: (n,) their labels, 0 or 1.
        weights: (n,) how much each row counts; None: all alike.

    Sources: Platt, Probabilistic outputs for support vector machines (1999); Zadrozny and Elkan, Transforming
    classifier scores into accurate multiclass probability estimates (2002).
    """
    if method == "isotonic":
        return IsotonicRegression(out_of_bounds="clip").fit(margins, y, weights)
    fitted = _SigmoidCalibration().fit(margins, y, weights)
    return fitted if fitted.a_ < 0 else None  # scikit-learn's sign: the log-odds are -(a_ · margin + b_)


def calibrated(pipeline: Pipeline, fitted: Calibrator) -> CalibratedClassifierCV:
    """Return a trained pipeline with its calibrator as one classifier."""
    method = "isotonic" if isinstance(fitted, IsotonicRegression) else "sigmoid"
    made = CalibratedClassifierCV(FrozenEstimator(pipeline), method=method, ensemble=False)
    made.classes_, made.n_features_in_ = pipeline.classes_, pipeline.n_features_in_
    made.feature_names_in_ = pipeline.feature_names_in_
    made.calibrated_classifiers_ = [
        _CalibratedClassifier(made.estimator, [fitted], classes=pipeline.classes_, method=method)
    ]
    return made

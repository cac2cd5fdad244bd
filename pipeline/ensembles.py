"""Ensembles of estimators that were cross-validated and trained already.

Nothing is trained anew for them: how much each part counts is fitted to the margins that the parts gave to rows that
were held out, in folds that keep a customer's rows together. The log-odds of an ensemble are a weighted sum of its
parts' margins, so that whatever adds up to these adds up to them as well. The models are scikit-learn's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from churnwatch.pipeline.fitting import margin_method
from churnwatch.pipeline.folds import Folds

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Blend = Callable[[Floats, Labels, Floats | None], LogisticRegression]
_USUAL = ("logistic", "boosting", "deep_boosting")


def parts(listed: Sequence[str]) -> tuple[str, ...]:
    """Return the estimators that are no ensembles; the usual ones where an ensemble would have fewer than two parts."""
    others = tuple(name for name in listed if name not in ENSEMBLES)
    return others if len(others) == len(listed) or len(others) > 1 else _USUAL


def stacking(margins: Floats, y: Labels, weights: Floats | None = None) -> LogisticRegression:
    """Fit how much each part counts.

    Args:
        margins: (n, parts) of rows that were held out.
        y: (n,) labels, 0 or 1.
        weights: (n,) how much each row counts; None: all alike.

    Source: Wolpert, Stacked generalization (1992).
    """
    return LogisticRegression().fit(margins, y, sample_weight=weights)


def voting(margins: Floats, y: Labels, weights: Floats | None = None) -> LogisticRegression:
    """Have all parts count alike: the mean of their calibrated log-odds, calibrated in its turn.

    Args and shapes as of `stacking`.
    """
    alone = [stacking(margins[:, [part]], y, weights) for part in range(margins.shape[1])]
    scales, shifts = (np.array([getattr(each, name).item() for each in alone]) for name in ("coef_", "intercept_"))
    mean = stacking((margins * scales + shifts).mean(axis=1, keepdims=True), y, weights)
    slope = mean.coef_.item()
    mean.coef_, mean.n_features_in_ = slope * scales[None, :] / len(scales), len(scales)
    mean.intercept_ = mean.intercept_ + slope * shifts.mean()
    return mean


ENSEMBLES: Mapping[str, Blend] = {"voting": voting, "stacking": stacking}


def held_out_log_odds(blend: Blend, margins: Floats, y: Labels, weights: Floats | None, folds: Folds) -> Floats:
    """Return what an ensemble says of each row whose label no part and no weight of a part knew, shape (n,).

    Args as of `stacking`, and the folds in which the parts' margins were made.
    """
    said = np.empty(len(y))
    for others, rows in folds:
        some = None if weights is None else weights[others]
        said[rows] = blend(margins[others], y[others], some).decision_function(margins[rows])
    return said


def stacked(
    fitted: Mapping[str, Pipeline], blended: LogisticRegression, X: pd.DataFrame, y: Labels
) -> StackingClassifier:
    """Return trained pipelines, and how much each counts, as one classifier.

    Args:
        fitted: the parts by name.
        blended: how much each counts.
        X: (n, features) rows that they were trained on.
        y: (n,) labels.
    """
    made = StackingClassifier(list(fitted.items()), final_estimator=FrozenEstimator(blended), cv="prefit")
    made.fit(*_one_of_each(X, y))
    made.stack_method_ = [margin_method(part) for part in fitted.values()]  # it asks all parts for the same otherwise
    return made


def _one_of_each(X: pd.DataFrame, y: Labels) -> tuple[pd.DataFrame, Labels]:
    """Return a row of each class: enough to put together what was trained."""
    places = np.unique(y, return_index=True)[1]
    return X.iloc[places], y[places]

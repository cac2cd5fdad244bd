"""Ensembles of estimators that were cross-validated and trained already.

Nothing is trained anew for them: what a row's weights are fitted on are the margins that the parts gave it when it was
held out, in folds that keep a customer's rows together. The models are scikit-learn's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from churnwatch.pipeline.fitting import margin_method

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
ENSEMBLES = ("voting", "stacking")
_USUAL = ("logistic", "boosting")


def parts(listed: Sequence[str]) -> tuple[str, ...]:
    """Return the estimators that are no ensembles; the usual ones where an ensemble would have fewer than two parts."""
    others = tuple(name for name in listed if name not in ENSEMBLES)
    return others if len(others) == len(listed) or len(others) > 1 else _USUAL


def blend(margins: Floats, y: Labels, weights: Floats | None = None) -> LogisticRegression:
    """Fit how much each part counts: the log-odds are a weighted sum of the parts' margins.

    Args:
        margins: (n, parts) of rows that were held out.
        y: (n,) labels, 0 or 1.
        weights: (n,) how much each row counts; None: all alike.

    Source: Wolpert, Stacked generalization (1992).
    """
    return LogisticRegression().fit(margins, y, sample_weight=weights)


def stacked(
    fitted: Mapping[str, Pipeline], blended: LogisticRegression, X: pd.DataFrame, y: Labels
) -> StackingClassifier:
    """Return trained pipelines, and how much each counts, as one classifier.

    Args:
        fitted: the parts by name.
        blended: what `blend` made of their margins.
        X: (n, features) rows that they were trained on.
        y: (n,) labels.
    """
    made = StackingClassifier(list(fitted.items()), final_estimator=FrozenEstimator(blended), cv="prefit")
    made.fit(*_one_of_each(X, y))
    made.stack_method_ = [margin_method(part) for part in fitted.values()]  # it asks all parts for the same otherwise
    return made


def voting(fitted: Mapping[str, ClassifierMixin], X: pd.DataFrame, y: Labels) -> VotingClassifier:
    """Return trained classifiers as one, whose probability is the mean of theirs.

    Args:
        fitted: the parts by name.
        X: (n, features) rows that they were trained on.
        y: (n,) labels.
    """
    frozen = [(name, FrozenEstimator(part)) for name, part in fitted.items()]
    return VotingClassifier(frozen, voting="soft").fit(*_one_of_each(X, y))


def _one_of_each(X: pd.DataFrame, y: Labels) -> tuple[pd.DataFrame, Labels]:
    """Return a row of each class: enough to put together what was trained."""
    places = np.unique(y, return_index=True)[1]
    return X.iloc[places], y[places]

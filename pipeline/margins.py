"""A fitted estimator → what it says of encoded rows, and what each encoded column adds to that, a few rows at a time.

Linear models are a product, trees are laid out in arrays (`forest`); anything else is asked by its own method.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline

from churnwatch.pipeline import contributions, forest
from churnwatch.pipeline.contributions import UnexplainableError
from churnwatch.pipeline.forest import Forest

Floats = npt.NDArray[np.float64]
Said = Callable[[Floats], Floats]
LOG_ODDS = (LogisticRegression, HistGradientBoostingClassifier)  # whose margins are those of their probabilities
_FEW = 256  # rows; of more, trees are gone through one by one, each for all rows


@dataclass(frozen=True)
class Margin:
    """What a fitted estimator makes of encoded rows, of shape (n, encoded columns).

    Attributes:
        says: its margins, shape (n,).
        adds: what each encoded column adds to them, shape (n, encoded columns); None where nothing is explained.
    """

    says: Said
    adds: Said | None


def of(pipeline: Pipeline, method: str, explained: contributions.Margin | None) -> Margin:
    """Return what the last step of a pipeline makes of encoded rows.

    Args:
        pipeline: encoder and estimator, fitted.
        method: of the estimator, which says the margin.
        explained: what explains that; None where nothing does.
    """
    fitted = pipeline[-1]
    adds = None if explained is None else explained.contributions
    if isinstance(fitted, LogisticRegression | Ridge) and method != "predict_proba":
        return Margin(partial(_linear, np.ravel(fitted.coef_), float(np.ravel(fitted.intercept_)[0])), adds)
    says = partial(_asked, getattr(fitted, method), getattr(fitted, "feature_names_in_", None))
    found = _forest(fitted, method, explained)
    if found is None:
        return Margin(says, adds)
    return Margin(_by_size(found.margins, says), adds and _by_size(found.contributions, adds))


def _linear(coefficients: Floats, intercept: float, Z: Floats) -> Floats:
    return np.asarray(Z @ coefficients + intercept)


def _asked(method: Callable[[Any], Any], names: npt.NDArray[Any] | None, Z: Floats) -> Floats:
    """Ask an estimator itself, by the names that it learned from where it knows any."""
    rows: Any = Z if names is None else pd.DataFrame(Z, columns=names)
    found = np.asarray(method(rows), dtype=np.float64)
    return found[:, 1] if found.ndim > 1 else found


def _forest(fitted: BaseEstimator, method: str, explained: contributions.Margin | None) -> Forest | None:
    if isinstance(explained, contributions.Trees):
        return forest.laid_out(explained.trees, explained.start)
    if isinstance(fitted, HistGradientBoostingClassifier) and method == "decision_function":
        with suppress(UnexplainableError):
            read = contributions.trees(fitted)
            return forest.laid_out(read.trees, read.start)
    return None


def _by_size(few: Said, many: Said) -> Said:
    return lambda Z: few(Z) if len(Z) <= _FEW else many(Z)

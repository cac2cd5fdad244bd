"""How well each column alone tells one class from the other: the first question to put to a column."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import TargetEncoder

LEAK = 0.95  # so good that it is hardly known beforehand
STRONG = 0.75  # good enough to ask
_FOLDS = 5
_FEW = 20  # with fewer rows of a class, a column can be perfect by chance

Labels = npt.NDArray[np.int64]


def aucs(X: pd.DataFrame, y: Labels) -> dict[str, float]:
    """Return each column's ROC AUC, from .5 (tells nothing) to 1; nothing where a class has too few rows.

    Args:
        X: (n, columns) numbers, dates or texts; a missing value is looked at as a value of its own.
        y: (n,) labels, 0 or 1.
    """
    if min(y.sum(), len(y) - y.sum()) < _FOLDS:
        return {}
    return {str(column): _auc(X[column], y) for column in X.columns}


def tells_of_leaks(y: Labels) -> bool:
    """Tell whether there are rows enough to call a column too good to be true."""
    return min(int(y.sum()), len(y) - int(y.sum())) >= _FEW


def _auc(values: pd.Series, y: Labels) -> float:
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        there = values.notna().to_numpy()
        return max(_either_way(values[there], y[there]), _either_way(there, y))
    return _of_categories(values, y)


def _either_way(values: pd.Series | npt.NDArray[np.bool_], y: Labels) -> float:
    if not 0 < y.sum() < len(y):
        return 0.5
    # Ranks say the same as the numbers, and cannot overflow.
    auc = float(roc_auc_score(y, pd.Series(np.asarray(values)).rank()))
    return max(auc, 1 - auc)


def _of_categories(values: pd.Series, y: Labels) -> float:
    """Rank categories by the rate that other rows of theirs show, else rare ones would look like prophets."""
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    encoder = TargetEncoder(target_type="binary", cv=folds)
    # A missing cell is never an empty text, so that the empty text is free to stand for it.
    texts = values.astype(object).where(values.notna(), "").astype(str).to_frame()
    return max(0.5, float(roc_auc_score(y, encoder.fit_transform(texts, y)[:, 0])))

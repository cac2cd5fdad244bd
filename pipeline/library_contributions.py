"""Boosting of other libraries → contributions, by what each of them ships: its own exact TreeSHAP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Library:
    """A fitted classifier of a library that explains itself; see `contributions`."""

    fitted: Any
    explain: Callable[[Any, Any], Any]
    base: float

    def contributions(self, Z: Any) -> Floats:
        """Return what each column adds to the log-odds; rows and result are of shape (n, columns)."""
        return np.asarray(self.explain(self.fitted, Z), dtype=np.float64)[:, :-1]


def of(fitted: Any, row: Callable[[], Any]) -> Library | None:
    """Return what explains a fitted classifier; None where its library has no exact way.

    Args:
        fitted: the classifier.
        row: makes any one encoded row: the base, which is the same for all, is told with contributions only.
    """
    explain = _KNOWN.get(type(fitted).__name__) if type(fitted).__module__.startswith(_LIBRARIES) else None
    return None if explain is None else Library(fitted, explain, float(np.asarray(explain(fitted, row()))[0, -1]))


def _lightgbm(fitted: Any, Z: Any) -> Any:
    return fitted.predict(Z, pred_contrib=True)


def _xgboost(fitted: Any, Z: Any) -> Any:
    from xgboost import DMatrix  # noqa: PLC0415 - an extra

    return fitted.get_booster().predict(DMatrix(Z), pred_contribs=True)


def _catboost(fitted: Any, Z: Any) -> Any:
    from catboost import Pool  # noqa: PLC0415 - an extra

    return fitted.get_feature_importance(Pool(Z, cat_features=fitted.get_cat_feature_indices()), type="ShapValues")


_LIBRARIES = ("lightgbm.", "xgboost.", "catboost.")
_KNOWN = {"LGBMClassifier": _lightgbm, "XGBClassifier": _xgboost, "CatBoostClassifier": _catboost}

"""Training rows → the folds of cross-validation, which keep a customer's rows together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold, KFold, PredefinedSplit, StratifiedGroupKFold, StratifiedKFold

from churnwatch.pipeline.features import Rows

Folds = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]
_MANY_CUSTOMERS = 20_000  # from so many on, dealing them out is as even as weighing each


def folds(rows: Rows, most: int, *, seed: int) -> Folds | None:
    """Return each fold's training and test rows, None where a class has too few rows or customers for any.

    Args:
        rows: the training rows.
        most: how many folds, or fewer where a class has fewer rows.
        seed: decides who is in which fold.
    """
    groups = _groups(rows) if _grouped(rows) else None
    fewest = min(rows.positives, len(rows) - rows.positives)
    number = min(most, fewest, len(rows) if groups is None else len(np.unique(groups)))
    if number < 2:  # noqa: PLR2004 - one fold is no cross-validation
        return None
    if groups is None:
        return list(StratifiedKFold(number, shuffle=True, random_state=seed).split(rows.X, rows.y))
    if groups.max() < _MANY_CUSTOMERS:
        splitter = StratifiedGroupKFold(number, shuffle=True, random_state=seed)
        found = list(splitter.split(rows.X, rows.y, groups))
    else:
        found = list(PredefinedSplit(_dealt(rows.y, groups, number, seed)).split())
    return found if all(len(np.unique(rows.y[others])) > 1 for others, _ in found) else None


def folds_of_amounts(rows: Rows, most: int, *, seed: int) -> Folds | None:
    """Return each fold's training and test rows where labels are amounts, None where there are too few for any.

    Args:
        rows: the training rows.
        most: how many folds, or fewer where there are fewer rows or customers.
        seed: decides who is in which fold.
    """
    groups = _groups(rows) if _grouped(rows) else None
    number = min(most, len(rows) if groups is None else len(np.unique(groups)))
    if number < 2:  # noqa: PLR2004 - one fold is no cross-validation
        return None
    splitter = (KFold if groups is None else GroupKFold)(number, shuffle=True, random_state=seed)
    return list(splitter.split(rows.X, rows.y, groups))


def _dealt(y: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], number: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each row: customers are dealt out like cards, those with most positive rows first.

    As even as scikit-learn's StratifiedGroupKFold where customers are many, which takes 0.1 ms for each of them.
    """
    positives, sizes = np.bincount(groups, weights=y), np.bincount(groups)
    chance = np.random.default_rng(seed).random(len(sizes))
    ranked = np.lexsort((chance, -sizes, -positives))
    fold_of = np.empty(len(sizes), dtype=np.int64)
    fold_of[ranked] = np.arange(len(sizes)) % number
    return fold_of[groups]


def _grouped(rows: Rows) -> bool:
    """Tell whether a customer has several rows, which must then be together in one fold."""
    return rows.ids is not None and not rows.ids.dropna().is_unique


def _groups(rows: Rows) -> npt.NDArray[np.int64]:
    """Number the customers; each row without an id is a customer of its own."""
    assert rows.ids is not None  # noqa: S101 - asked only where `_grouped`
    codes = np.asarray(rows.ids.astype("category").cat.codes, dtype=np.int64)
    nameless = codes < 0
    codes[nameless] = codes.max(initial=0) + 1 + np.arange(nameless.sum())
    return codes

"""The peers of benchmarks/quality.py: LightGBM, CatBoost and XGBoost, tuned by random search within training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier, early_stopping
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from xgboost import XGBClassifier

from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.thresholds import best_threshold

Floats = npt.NDArray[np.float64]
_TRIES = 8  # the same for each peer; the first is what is usually recommended
_FOLDS = 3
_MOST_TREES = 800
_PATIENCE = 50  # trees without a lower log loss
_SEARCH_ROWS = 8_000  # at most so many are searched on; the model is then trained on all
_THREADS = 1  # on a busy machine more wait for each other
_NO_TEXT, _OTHER = "(none)", "(other)"


@dataclass(frozen=True)
class Peer:
    """A library: how a classifier is made, fitted with early stopping, and where its parameters are searched."""

    name: str
    usual: Mapping[str, Any]
    drawn: Callable[[np.random.Generator], dict[str, Any]]
    made: Callable[[Mapping[str, Any], int, list[str]], Any]
    stopped: Callable[[Any, tuple[Any, Any], tuple[Any, Any]], int]


@dataclass(frozen=True)
class Tuned:
    """What the search found: parameters, the number of trees, and the threshold with the best F1."""

    parameters: dict[str, Any]
    trees: int
    threshold: float


def prepared(X: pd.DataFrame, categorical: list[str], like: pd.DataFrame) -> pd.DataFrame:
    """Return rows as all three take them: texts as categories, those of the training rows and one for all others."""
    made = {}
    for column in categorical:
        texts = X[column].astype(object).where(X[column].notna(), _NO_TEXT)
        known = sorted({*like[column].dropna(), _NO_TEXT, _OTHER})
        made[column] = pd.Categorical(texts.where(texts.isin(known), _OTHER), categories=known)
    return X.assign(**made)


def tune(peer: Peer, rows: Rows, categorical: list[str], seed: int) -> Tuned:
    """Search parameters by cross-validation that keeps customers together, with early stopping, by log loss."""
    rng = np.random.default_rng(seed)
    customers = np.arange(len(rows)) if rows.ids is None else rows.ids.to_numpy()
    few = rng.permutation(len(rows))[:_SEARCH_ROWS]
    X, y, groups = rows.X.iloc[few], rows.y[few], customers[few]
    folds = list(StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed).split(X, y, groups))
    tries = [dict(peer.usual), *(peer.drawn(rng) for _ in range(_TRIES - 1))]
    found = [_cross_validated(peer, parameters, X, y, folds, categorical) for parameters in tries]
    best = int(np.argmin([log_loss(y, p) for p, _ in found]))
    p, trees = found[best]
    return Tuned(tries[best], trees, best_threshold(y, p)[0])


def _cross_validated(
    peer: Peer, parameters: dict[str, Any], X: pd.DataFrame, y: Any, folds: list[Any], categorical: list[str]
) -> tuple[Floats, int]:
    p, trees = np.empty(len(y)), []
    for train, test in folds:
        Xs = [prepared(X.iloc[places], categorical, X.iloc[train]) for places in (train, test)]
        model = peer.made(parameters, _MOST_TREES, categorical)
        trees.append(peer.stopped(model, (Xs[0], y[train]), (Xs[1], y[test])))
        p[test] = model.predict_proba(Xs[1])[:, 1]
    return p, max(1, round(float(np.mean(trees))))


def predicted(peer: Peer, tuned: Tuned, train: Rows, test: pd.DataFrame, categorical: list[str]) -> Floats:
    """Train on all training rows and return the probability of each test row, shape (n,)."""
    model = peer.made(tuned.parameters, tuned.trees, categorical)
    model.fit(prepared(train.X, categorical, train.X), train.y)
    return np.asarray(model.predict_proba(prepared(test, categorical, train.X))[:, 1], dtype=np.float64)


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _lightgbm(parameters: Mapping[str, Any], trees: int, _: list[str]) -> Any:
    return LGBMClassifier(**parameters, n_estimators=trees, subsample_freq=1, n_jobs=_THREADS, random_state=0,
                          verbose=-1)  # fmt: skip


def _lightgbm_stopped(model: Any, train: tuple[Any, Any], test: tuple[Any, Any]) -> int:
    model.fit(*train, eval_X=test[0], eval_y=test[1], callbacks=[early_stopping(_PATIENCE, verbose=False)])
    return int(model.best_iteration_)


def _xgboost(parameters: Mapping[str, Any], trees: int, _: list[str]) -> Any:
    return XGBClassifier(**parameters, n_estimators=trees, enable_categorical=True, n_jobs=_THREADS, random_state=0)


def _xgboost_stopped(model: Any, train: tuple[Any, Any], test: tuple[Any, Any]) -> int:
    model.set_params(early_stopping_rounds=_PATIENCE).fit(*train, eval_set=[test], verbose=False)
    return int(model.best_iteration) + 1


def _catboost(parameters: Mapping[str, Any], trees: int, categorical: list[str]) -> Any:
    return CatBoostClassifier(**parameters, iterations=trees, cat_features=categorical, thread_count=_THREADS,
                              random_seed=0, verbose=0, allow_writing_files=False)  # fmt: skip


def _catboost_stopped(model: Any, train: tuple[Any, Any], test: tuple[Any, Any]) -> int:
    model.fit(*train, eval_set=test, early_stopping_rounds=_PATIENCE)
    return int(model.tree_count_)


PEERS = (
    Peer("LightGBM", {"learning_rate": 0.05, "num_leaves": 31},
         lambda rng: {"learning_rate": _log(rng, 0.01, 0.1), "num_leaves": round(_log(rng, 4, 64)),
                      "min_child_samples": round(_log(rng, 5, 100)), "colsample_bytree": rng.uniform(0.4, 1),
                      "subsample": rng.uniform(0.5, 1), "reg_lambda": _log(rng, 0.001, 10)},
         _lightgbm, _lightgbm_stopped),
    Peer("CatBoost", {"learning_rate": 0.05, "depth": 5},
         lambda rng: {"learning_rate": _log(rng, 0.02, 0.1), "depth": int(rng.integers(3, 8)),
                      "l2_leaf_reg": _log(rng, 1, 20), "random_strength": _log(rng, 0.3, 5),
                      "one_hot_max_size": int(rng.choice([2, 10]))},
         _catboost, _catboost_stopped),
    Peer("XGBoost", {"learning_rate": 0.05, "max_depth": 6},
         lambda rng: {"learning_rate": _log(rng, 0.01, 0.1), "max_depth": int(rng.integers(2, 9)),
                      "min_child_weight": _log(rng, 1, 20), "colsample_bytree": rng.uniform(0.4, 1),
                      "subsample": rng.uniform(0.5, 1), "reg_lambda": _log(rng, 0.1, 10)},
         _xgboost, _xgboost_stopped),
)  # fmt: skip

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor
from subsets import of_tree

from churnwatch.pipeline.tree_contributions import contributions, read


def _trees(seed: int, columns: int = 4, **parameters: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((300, columns)) < 0.15, np.nan, rng.normal(size=(300, columns)).round(1))
    y = np.nan_to_num(X[:, 0]) * np.nan_to_num(X[:, 1]) + np.isnan(X[:, 2]) + rng.normal(size=300) / 4
    fitted = HistGradientBoostingRegressor(min_samples_leaf=2, random_state=seed, **parameters).fit(X, y)
    return [predictor.nodes for [predictor] in fitted._predictors], X


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), leaves=st.integers(2, 12))
def test_contributions_are_those_of_all_subsets(seed: int, leaves: int) -> None:
    nodes, X = _trees(seed, max_iter=1, max_leaf_nodes=leaves)
    rows = np.vstack([X[:4], np.full((1, 4), np.nan), [[-1e300, 1e300, 0.0, np.nan]]])
    found = contributions([read(nodes[0])], rows)
    np.testing.assert_allclose(found, [of_tree(nodes[0], row) for row in rows], atol=1e-12)


def test_a_path_with_more_columns_than_have_all_their_patterns_listed_is_as_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes, X = _trees(1, columns=5, max_iter=2, max_leaf_nodes=12)
    trees = [read(each) for each in nodes]
    listed = contributions(trees, X)
    monkeypatch.setattr("churnwatch.pipeline.tree_contributions._MOST_LISTED", 1)
    np.testing.assert_allclose(contributions(trees, X), listed, atol=1e-12)


def test_contributions_do_not_depend_on_how_rows_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, X = _trees(2, max_iter=5, max_leaf_nodes=8)
    trees = [read(each) for each in nodes]
    whole = contributions(trees, X)
    monkeypatch.setattr("churnwatch.pipeline.tree_contributions._AT_ONCE", 7)
    np.testing.assert_array_equal(contributions(trees, X), whole)
    np.testing.assert_array_equal(np.vstack([contributions(trees, row[None]) for row in X[:3]]), whole[:3])


def test_a_tree_that_splits_nothing_contributes_nothing() -> None:
    X = np.zeros((30, 2))
    nodes = HistGradientBoostingRegressor(max_iter=1).fit(X, np.arange(30.0))._predictors[0][0].nodes
    tree = read(nodes)
    assert contributions([tree], X).tolist() == np.zeros(X.shape).tolist()
    assert tree.base == float(nodes[0]["value"])

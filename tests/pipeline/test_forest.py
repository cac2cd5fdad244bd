from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from churnwatch.pipeline import contributions, forest, tree_contributions
from churnwatch.pipeline.forest import Forest

RNG = np.random.default_rng(0)
Z = np.where(RNG.random((600, 12)) < 0.1, np.nan, RNG.normal(size=(600, 12)))
Y = (np.nansum(Z, axis=1) + RNG.normal(size=600) > 0).astype(int)


def _trees(**parameters: int | None) -> contributions.Trees:
    made = HistGradientBoostingClassifier(max_iter=4, random_state=0, min_samples_leaf=2, **parameters)
    return contributions.trees(made.fit(Z, Y))


@pytest.mark.parametrize("leaves", [2, 8, 31])
def test_laid_out_trees_say_and_add_what_trees_do(leaves: int) -> None:
    trees = _trees(max_leaf_nodes=leaves, max_depth=8)
    found = forest.laid_out(trees.trees, trees.start)
    assert isinstance(found, Forest)
    expected = tree_contributions.contributions(trees.trees, Z)
    np.testing.assert_allclose(found.contributions(Z), expected, atol=1e-12)
    np.testing.assert_allclose(found.margins(Z), trees.base + expected.sum(axis=1), atol=1e-12)


def test_a_tree_without_a_split_says_the_same_of_all() -> None:
    trees = _trees(max_leaf_nodes=4)
    alone = contributions.trees(HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=500).fit(Z, Y))
    assert [len(tree.leaves) for tree in alone.trees] == [1]
    assert forest.laid_out(alone.trees, alone.start) is None
    found, both = (forest.laid_out(each, 0.5) for each in (trees.trees, (*trees.trees, *alone.trees)))
    assert found is not None
    assert both is not None
    np.testing.assert_allclose(both.margins(Z), found.margins(Z) + alone.trees[0].leaves[0].value)


def test_paths_of_more_columns_than_a_byte_has_bits_are_not_laid_out() -> None:
    trees = _trees(max_leaf_nodes=None, max_depth=20)
    assert max(len(leaf.columns) for tree in trees.trees for leaf in tree.leaves) > 8
    assert forest.laid_out(trees.trees, trees.start) is None

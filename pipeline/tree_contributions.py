"""Trees → what each column adds to their sum, exactly: SHAP values by the paths to the leaves (TreeSHAP).

A tree that knows only some of a row's columns goes both ways at the others, each in proportion to the training rows
that went there; a column's contribution is the mean of what it adds over all orders in which columns become known.

For one leaf, let z be the share of training rows that a column's conditions on the path let through, and o whether a
row satisfies them all, 1 or 0. What the column adds is the leaf's value times (o - z) times the integral over u from 0
to 1 of the product, over the path's other columns, of z · (1 - u) + o · u. That is a polynomial in u, so that a Gauss
quadrature with half as many nodes as there are columns has its exact value; and it depends on nothing but which of the
conditions are satisfied, so that it is computed once for each such pattern and looked up for each row.

Sources: Lundberg, Erion and Lee, Consistent individualized feature attribution for tree ensembles (2018); Yang, Fast
TreeSHAP (2021), for the patterns; Yu et al., Linear TreeShap (2022), for the polynomial.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_FIELDS = ("value", "count", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right", "is_leaf")
_MOST_LISTED = 8  # columns on a path of which all patterns are computed; of more, only those that there are
_AT_ONCE = 8192  # rows: what is made of them stays near the processor


@dataclass(frozen=True)
class Leaf:
    """A leaf with the conditions on its path, by the columns that they are about.

    Attributes:
        value: what the leaf says.
        columns: (d,) the columns' places, each once.
        shares: (d,) the share of training rows that each column's conditions let through.
        splits: for each column, the nodes that split by it and whether the path goes left there.
    """

    value: float
    columns: tuple[int, ...]
    shares: Floats
    splits: tuple[tuple[tuple[int, bool], ...], ...]


@dataclass(frozen=True)
class Tree:
    """A tree of conditions `column <= threshold`.

    Attributes:
        nodes: the splits' places among the nodes, with column, threshold, and whether a missing value goes left.
        leaves: all of them.
    """

    nodes: tuple[tuple[int, int, float, bool], ...]
    leaves: tuple[Leaf, ...]

    @property
    def base(self) -> float:
        """What the tree says where no column is known."""
        return float(sum(leaf.value * math.prod(leaf.shares) for leaf in self.leaves))


def read(nodes: npt.NDArray[Any]) -> Tree:
    """Read one tree of a scikit-learn histogram boosting; splits by categories are none that can be read.

    Args:
        nodes: the records of its `TreePredictor`, the root first.
    """
    plain = [dict(zip(_FIELDS, node, strict=True)) for node in nodes[list(_FIELDS)].tolist()]
    splits = tuple(
        (place, node["feature_idx"], node["num_threshold"], bool(node["missing_go_to_left"]))
        for place, node in enumerate(plain)
        if not node["is_leaf"]
    )
    return Tree(splits, tuple(_leaves(plain, 0, ())))


def _leaves(
    nodes: Sequence[Mapping[str, Any]], place: int, path: tuple[tuple[int, int, bool, float], ...]
) -> Iterator[Leaf]:
    """Yield the leaves below a node; a path has node, column, whether it goes left, and the share that goes there."""
    node = nodes[place]
    if node["is_leaf"]:
        yield _leaf(node["value"], path)
        return
    for side, left in (("left", True), ("right", False)):
        share = nodes[node[side]]["count"] / node["count"]
        yield from _leaves(nodes, node[side], (*path, (place, node["feature_idx"], left, share)))


def _leaf(value: float, path: Sequence[tuple[int, int, bool, float]]) -> Leaf:
    columns = tuple(dict.fromkeys(column for _, column, _, _ in path))
    by_column = [[each for each in path if each[1] == column] for column in columns]
    shares = np.array([math.prod(share for *_, share in each) for each in by_column])
    return Leaf(value, columns, shares, tuple(tuple((node, left) for node, _, left, _ in each) for each in by_column))


def contributions(trees: Sequence[Tree], X: Floats) -> Floats:
    """Return what each column adds to the sum of the trees over their bases.

    Args:
        trees: as `read` gives them.
        X: (n, columns) rows, NaN where there is no value.

    Returns contributions of shape (n, columns).
    """
    tables = [[_table(leaf) for leaf in tree.leaves] for tree in trees]
    found = np.zeros(X.shape[::-1])
    for start in range(0, len(X), _AT_ONCE):
        rows = np.ascontiguousarray(X[start : start + _AT_ONCE].T)
        missing = np.isnan(rows)
        for tree, known in zip(trees, tables, strict=True):
            _add(tree, known, rows, missing, found[:, start : start + _AT_ONCE])
    return found.T


def _table(leaf: Leaf) -> Floats | None:
    """Return what each column of a leaf's path adds by pattern, shape (d, 2^d); None where there are too many."""
    return by_pattern(leaf) if len(leaf.columns) <= _MOST_LISTED else None


def by_pattern(leaf: Leaf) -> Floats:
    """Return what each column of a leaf's path adds by pattern, shape (d, 2^d); bit k is whether the k-th holds."""
    return _shapley(leaf, np.arange(2 ** len(leaf.columns)))


def _shapley(leaf: Leaf, patterns: npt.NDArray[np.int64]) -> Floats:
    """Return what each column of a leaf's path adds, shape (d, patterns); bit k is whether the k-th is satisfied."""
    d = len(leaf.columns)
    u, weights = _quadrature(d // 2 + 1)  # exact up to degree d + 1 at least, and d - 1 is needed
    one = (patterns >> np.arange(d)[:, None]) & 1
    z = leaf.shares[:, None]
    factors = z[..., None] * (1 - u) + one[..., None] * u
    others = np.prod(factors, axis=0) / factors @ weights
    return np.asarray(leaf.value * (one - z) * others)


@cache
def _quadrature(nodes: int) -> tuple[Floats, Floats]:
    """Return places and weights between 0 and 1."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    return (places + 1) / 2, weights / 2


def _add(
    tree: Tree, tables: Sequence[Floats | None], rows: Floats, missing: npt.NDArray[np.bool_], found: Floats
) -> None:
    """Add what a tree's columns contribute to `found`; rows are of shape (columns, n), and so is it."""
    left = {
        node: (rows[column] <= threshold) | missing[column] if missing_left else rows[column] <= threshold
        for node, column, threshold, missing_left in tree.nodes
    }
    right = {node: ~goes for node, goes in left.items()}
    for leaf, table in zip(tree.leaves, tables, strict=True):
        pattern: npt.NDArray[Any] = np.zeros(rows.shape[1], dtype=np.int64 if table is None else np.uint8)
        for bit, splits in enumerate(leaf.splits):
            satisfied = reduce(np.logical_and, [left[node] if goes else right[node] for node, goes in splits])
            pattern |= satisfied.astype(pattern.dtype) << bit
        if table is None:
            there, pattern = np.unique(pattern, return_inverse=True)
            table = _shapley(leaf, there)  # noqa: PLW2901 - the one that is not kept
        for column, added in zip(leaf.columns, table.take(pattern, axis=1), strict=True):
            found[column] += added

"""Trees laid out in flat arrays: what they say of a few rows, and what each column adds, without a loop over trees.

The conditions of a path about one column are an interval. All intervals of all paths are looked at for a row at once,
and those of a path are put together as the bits of one byte. That is more work than going down from each root, but
numpy does it in ten calls where a loop would make a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline.tree_contributions import Leaf, Tree, by_pattern

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
_BITS = 8  # columns on a path at most
_MOST_LISTED = 8_000_000  # numbers in all lists of what columns add: 64 MB
_NEVER = (0, np.inf, -np.inf, False)  # an interval without a number in it


@dataclass(frozen=True)
class Forest:
    """Trees with the conditions of their paths as intervals, eight to a path, of which some are empty.

    Attributes:
        start: what is said before the first tree.
        columns: (8 · paths,) the encoded column's place.
        above: (8 · paths,) the interval's end that does not belong to it.
        most: (8 · paths,) the one that does.
        missing: (8 · paths,) whether a row without a value satisfies it.
        full: (paths,) the byte of a row that satisfies all.
        values: (paths,) what the leaf says.
        added: what each column of each path adds, by byte; one list after the other.
        of_paths: (lists,) the path of each, by column,
        of_added: (lists,) and where it begins in `added`.
        known: the columns that are on a path, ascending.
        ends: where the lists of each begin.
    """

    start: float
    columns: Places
    above: Floats
    most: Floats
    missing: npt.NDArray[np.bool_]
    full: npt.NDArray[np.uint8]
    values: Floats
    added: Floats
    of_paths: Places
    of_added: Places
    known: Places
    ends: Places

    def margins(self, Z: Floats) -> Floats:
        """Return what the trees say of encoded rows, shape (n,)."""
        return np.asarray(self.start + (self._patterns(Z) == self.full) @ self.values)

    def contributions(self, Z: Floats) -> Floats:
        """Return what each encoded column adds; rows and result are of shape (n, encoded columns)."""
        listed = self._patterns(Z).take(self.of_paths, axis=1) + self.of_added
        found = np.zeros(Z.shape)
        found[:, self.known] = np.add.reduceat(self.added.take(listed), self.ends, axis=1)
        return found

    def _patterns(self, Z: Floats) -> npt.NDArray[np.uint8]:
        """Return for each row and path which intervals the row is in, one bit for each."""
        X = Z.take(self.columns, axis=1)
        inside = (self.above < X) & (self.most >= X)
        missing = np.isnan(Z)
        if missing.any():
            inside |= missing.take(self.columns, axis=1) & self.missing
        return np.packbits(inside.reshape(len(Z), -1, _BITS), axis=2, bitorder="little")[:, :, 0]


def laid_out(trees: Sequence[Tree], start: float) -> Forest | None:
    """Lay trees out; None where they have no conditions, or so many that lists by pattern would be too large."""
    leaves = [leaf for tree in trees for leaf in tree.leaves if leaf.columns]
    depths = np.array([len(leaf.columns) for leaf in leaves], dtype=np.int64)
    if not leaves or depths.max() > _BITS or (depths << depths).sum() > _MOST_LISTED:
        return None
    intervals = [interval for tree in trees for leaf in tree.leaves if leaf.columns for interval in _of(tree, leaf)]
    columns, above, most, missing = (np.array(each) for each in zip(*intervals, strict=True))
    of_lists = np.concatenate([leaf.columns for leaf in leaves])
    order = np.argsort(of_lists, kind="stable")
    known, ends = np.unique(of_lists[order], return_index=True)
    lengths = np.repeat(1 << depths, depths)
    return Forest(
        start=start + sum(leaf.value for tree in trees for leaf in tree.leaves if not leaf.columns),
        columns=columns,
        above=above,
        most=most,
        missing=missing,
        full=((1 << depths) - 1).astype(np.uint8),
        values=np.array([leaf.value for leaf in leaves]),
        added=np.concatenate([by_pattern(leaf).ravel() for leaf in leaves]),
        of_paths=np.repeat(np.arange(len(leaves)), depths)[order],
        of_added=(np.cumsum(lengths) - lengths)[order],
        known=known,
        ends=ends,
    )


def _of(tree: Tree, leaf: Leaf) -> Iterator[tuple[int, float, float, bool]]:
    """Yield a path's intervals, and so many empty ones that there are eight."""
    conditions = {node: (threshold, left) for node, _, threshold, left in tree.nodes}
    for column, splits in zip(leaf.columns, leaf.splits, strict=True):
        sides = [(*conditions[node], side) for node, side in splits]
        above = max((threshold for threshold, _, side in sides if not side), default=-np.inf)
        most = min((threshold for threshold, _, side in sides if side), default=np.inf)
        yield column, above, most, all(left == side for _, left, side in sides)
    yield from [_NEVER] * (_BITS - len(leaf.columns))

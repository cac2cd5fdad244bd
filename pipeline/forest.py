"""Trees laid out in flat arrays: what they say of a few rows, and what each column adds, without a loop over trees.

The conditions of a path about one column are an interval. All intervals of all paths are looked at for a row at once,
and those of a path are put together as the bits of one byte. That is more work than going down from each root, but
numpy does it in ten calls where a loop would make a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline.tree_contributions import Leaf, Tree, by_pattern

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Interval: TypeAlias = tuple[int, float, float, bool]
_BITS = 8  # columns on a path at most
_MOST_LISTED = 8_000_000  # numbers in all lists of what columns add: 64 MB
_NEVER: Interval = (0, np.inf, -np.inf, False)  # an interval without a number in it


@dataclass(frozen=True)
class Forest:
    """Trees with the conditions of their paths as intervals, eight to a path, of which some are empty.

    A path is that to a leaf; a pair is a path and a column on it.

    Attributes:
        start: what is said before the first tree.
        columns: (intervals,) the encoded column's place.
        above: (intervals,) the end that does not belong to it.
        most: (intervals,) the one that does.
        missing: (intervals,) whether a row without a value is in it.
        intervals: (8 · paths,) which one it is.
        full: (paths,) the byte of a row that is in all of them.
        values: (paths,) what the leaf says.
        added: what the columns of a path add, a row for each byte; one path after the other.
        begins: (paths,) where each begins.
        depths: (paths,) how many columns are on each.
        of_paths: (pairs,) the path.
        bits: (pairs,) the column's place on it.
        by_column: (pairs,) the pairs, by column.
        known: the columns that are on a path, ascending.
        ends: where the pairs of each begin.
    """

    start: float
    columns: Places
    above: Floats
    most: Floats
    missing: npt.NDArray[np.bool_]
    intervals: Places
    full: npt.NDArray[np.uint8]
    values: Floats
    added: Floats
    begins: Places
    depths: Places
    of_paths: Places
    bits: Places
    by_column: Places
    known: Places
    ends: Places

    def margins(self, Z: Floats) -> Floats:
        """Return what the trees say of encoded rows, shape (n,)."""
        return np.asarray(self.start + (self._patterns(Z) == self.full) @ self.values)

    def contributions(self, Z: Floats) -> Floats:
        """Return what each encoded column adds; rows and result are of shape (n, encoded columns)."""
        rows = self._patterns(Z) * self.depths + self.begins
        added = self.added.take(rows.take(self.of_paths, axis=1) + self.bits)  # what is near each other is read at once
        found = np.zeros(Z.shape)
        found[:, self.known] = np.add.reduceat(added.take(self.by_column, axis=1), self.ends, axis=1)
        return found

    def _patterns(self, Z: Floats) -> npt.NDArray[np.uint8]:
        """Return for each row and path which intervals the row is in, one bit for each."""
        X = Z.take(self.columns, axis=1)
        inside = (self.above < X) & (self.most >= X)
        missing = np.isnan(Z)
        if missing.any():
            inside |= missing.take(self.columns, axis=1) & self.missing
        bits = inside.take(self.intervals, axis=1).reshape(len(Z), -1, _BITS)
        return np.packbits(bits, axis=2, bitorder="little")[:, :, 0]


def laid_out(trees: Sequence[Tree], start: float) -> Forest | None:
    """Lay trees out; None where they have no conditions, or so many that lists by byte would be too large."""
    paths = [(tree, leaf) for tree in trees for leaf in tree.leaves if leaf.columns]
    leaves = [leaf for _, leaf in paths]
    depths = np.array([len(leaf.columns) for leaf in leaves], dtype=np.int64)
    if not leaves or depths.max() > _BITS or (depths << depths).sum() > _MOST_LISTED:
        return None
    places: dict[Interval, int] = {}
    intervals = [places.setdefault(each, len(places)) for tree, leaf in paths for each in _of(tree, leaf)]
    columns, above, most, missing = (np.array(each) for each in zip(*places, strict=True))
    of_pairs = np.concatenate([leaf.columns for leaf in leaves])
    by_column = np.argsort(of_pairs, kind="stable")
    known, ends = np.unique(of_pairs[by_column], return_index=True)
    return Forest(
        start=start + sum(leaf.value for tree in trees for leaf in tree.leaves if not leaf.columns),
        columns=columns,
        above=above,
        most=most,
        missing=missing,
        intervals=np.array(intervals),
        full=((1 << depths) - 1).astype(np.uint8),
        values=np.array([leaf.value for leaf in leaves]),
        added=np.concatenate([by_pattern(leaf).T.ravel() for leaf in leaves]),
        begins=_begins(depths << depths),
        depths=depths,
        of_paths=np.repeat(np.arange(len(leaves)), depths),
        bits=np.arange(len(of_pairs)) - np.repeat(_begins(depths), depths),
        by_column=by_column,
        known=known,
        ends=ends,
    )


def _begins(lengths: Places) -> Places:
    return np.cumsum(lengths) - lengths


def _of(tree: Tree, leaf: Leaf) -> Iterator[Interval]:
    """Yield a path's intervals, and so many empty ones that there are eight."""
    conditions = {node: (threshold, left) for node, _, threshold, left in tree.nodes}
    for column, splits in zip(leaf.columns, leaf.splits, strict=True):
        sides = [(*conditions[node], side) for node, side in splits]
        above = max((threshold for threshold, _, side in sides if not side), default=-np.inf)
        most = min((threshold for threshold, _, side in sides if side), default=np.inf)
        yield column, above, most, all(left == side for _, left, side in sides)
    yield from [_NEVER] * (_BITS - len(leaf.columns))

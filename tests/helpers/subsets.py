"""Contributions by their definition: over all subsets of the columns."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb
from typing import Any

import numpy as np


def by_subsets(said: Callable[[frozenset[int]], float], columns: int) -> Any:
    """Return each column's Shapley value, shape (columns,); `said` is what is said where some columns are known."""
    found = np.zeros(columns)
    for column in range(columns):
        others = [each for each in range(columns) if each != column]
        for size in range(columns):
            weight = 1 / (columns * comb(columns - 1, size))
            for known in map(frozenset, combinations(others, size)):
                found[column] += weight * (said(known | {column}) - said(known))
    return found


def of_tree(nodes: Any, row: Any) -> Any:
    """Return the contributions of one row, shape (columns,), to one tree, by its training rows on either way."""

    def said(known: frozenset[int], place: int = 0) -> float:
        node = nodes[place]
        if node["is_leaf"]:
            return float(node["value"])
        left, right, column = int(node["left"]), int(node["right"]), int(node["feature_idx"])
        if column in known:
            value = row[column]
            goes_left = bool(node["missing_go_to_left"]) if np.isnan(value) else value <= node["num_threshold"]
            return said(known, left if goes_left else right)
        shares = [float(nodes[side]["count"]) / float(node["count"]) for side in (left, right)]
        return shares[0] * said(known, left) + shares[1] * said(known, right)

    return by_subsets(said, len(row))

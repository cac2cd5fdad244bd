"""Counts → shares with their intervals."""

from __future__ import annotations

import math
from statistics import NormalDist

LEVEL = 0.9  # of an interval, unless another is asked for


def wilson(hits: int, rows: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of a share, both ends within 0 and 1 and never beyond the share itself.

    In closed form, since a report asks for thousands of them; a test holds it against scipy's.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927); of intervals for shares, the one that Brown, Cai and DasGupta,
    Stat. Sci. 16 (2001), advise.

    Args:
        hits: in how many rows it was so.
        rows: of how many; at least one.
        level: how much lies inside.
    """
    normal = NormalDist().inv_cdf((1 + level) / 2)
    share, square = hits / rows, normal**2
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = normal * math.sqrt(share * (1 - share) / rows + square / (4 * rows**2)) / (1 + square / rows)
    # At 0 and 1, rounding would leave the share out.
    return min(max(0.0, middle - half), share), max(min(1.0, middle + half), share)


def f1_interval(hits: int, named_or_left: int) -> tuple[float, float]:
    """Return the 90 % interval of F1; it is 2J / (1 + J), where J is the share of hits among the rows of either kind.

    Args:
        hits: rows that are positive and decided to be.
        named_or_left: rows that are positive or decided to be; at least one.
    """
    low, high = (2 * end / (1 + end) for end in wilson(hits, named_or_left))
    return low, high

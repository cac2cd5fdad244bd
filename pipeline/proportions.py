"""Shares of customers, and differences between two of them, with intervals that hold for few customers, too.

Sources: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927); Newcombe,
Interval estimation for the difference between independent proportions, Statistics in Medicine 17 (1998), method 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from churnwatch.pipeline.shares import wilson

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value with its interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """Return all three, multiplied by a positive factor."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)


def share(hits: int, of: int, *, level: float = LEVEL) -> Interval:
    """Return the share of hits with Wilson's interval; `of` is at least one."""
    return Interval(hits / of, *wilson(hits, of, level=level))


def difference(first: tuple[int, int], second: tuple[int, int], *, level: float = LEVEL) -> Interval:
    """Return the first share less the second with Newcombe's interval; each is given as hits, and of how many."""
    a, b = share(*first, level=level), share(*second, level=level)
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Interval(value, low, high)

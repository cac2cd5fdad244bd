from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from churnwatch.pipeline.proportions import difference, share


# Newcombe 1998, table II, method 10: hits and totals of two groups, and the interval of the difference
@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_differences_are_those_of_the_paper(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    found = difference(first, second)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("hits", [0, 1, 3, 7])
def test_the_interval_of_a_share_is_that_of_another_library(hits: int, level: float) -> None:
    found, known = share(hits, 7, level=level), binomtest(hits, 7).proportion_ci(level, method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((hits / 7, known.low, known.high), abs=1e-12)


def test_a_share_stays_within_its_bounds() -> None:
    assert share(0, 5).low == 0.0
    assert share(5, 5).high == 1.0


def test_an_interval_covers_a_known_difference_at_its_rate() -> None:
    rng = np.random.default_rng(0)
    draws = zip(rng.binomial(300, 0.25, 300), rng.binomial(250, 0.18, 300), strict=True)
    found = [difference((int(a), 300), (int(b), 250)) for a, b in draws]
    covered = np.mean([each.low <= 0.07 <= each.high for each in found])
    assert 0.92 <= covered <= 0.98

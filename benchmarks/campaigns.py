"""How often what is said of campaigns and of the goal is true, where the truth is known.

    python benchmarks/campaigns.py [--draws N]

Campaigns: so many customers on each side, who leave at known rates; the share of the intervals of 95 % that hold the
true difference, how often an effect is claimed that is there, and how often one that is not. Goal: monthly rates that
fall by a known number of points, or by none; how often it is said to be met and not to be met.
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import cache

import numpy as np

from churnwatch.pipeline import churn_rate, proportions
from churnwatch.pipeline.campaigns import Arm, Campaign
from churnwatch.pipeline.churn_rate import MonthCount
from churnwatch.pipeline.effects import effect
from churnwatch.pipeline.settings_campaigns import Goal

CUSTOMERS = ((50, 50), (200, 200), (1000, 100), (1000, 1000), (5000, 5000))
RATES = ((0.25, 0.25), (0.25, 0.20), (0.05, 0.05), (0.05, 0.03), (0.01, 0.005))
ACTIVE = (500, 2000, 10_000, 50_000)
LESS = (0.0, 0.01, 0.02, 0.03)


def campaign(rng: np.random.Generator, sizes: tuple[int, int], rates: tuple[float, float], draws: int) -> list[float]:
    """Return the share of intervals that hold the truth, that are above nought, and that are below it."""
    control, treated = (rng.binomial(size, rate, draws) for size, rate in zip(sizes[::-1], rates, strict=True))
    held = above = below = 0
    for a, b in zip(control, treated, strict=True):
        sides = Arm(sizes[0], sizes[0], int(b)), Arm(sizes[1], sizes[1], int(a))
        found = effect(Campaign("call", "2026-03", *sides, 0, is_over=True)).less_churn
        assert found is not None
        held += found.low <= rates[0] - rates[1] <= found.high
        above += found.low > 0
        below += found.high < 0
    return [held / draws, above / draws, below / draws]


def goal(rng: np.random.Generator, active: int, less: float, draws: int) -> Counter[str]:
    """Return how often a goal of two points in three months stands how, after a year at 10 % and three months less."""
    rates = [0.10] * 12 + [0.10 - less] * 3
    found: Counter[str] = Counter()
    for _ in range(draws):
        months = [MonthCount(number, active, int(rng.binomial(active, rate))) for number, rate in enumerate(rates)]
        found[churn_rate.goal(Goal(less_churn=0.02, months=3), months).state] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10_000)
    draws = parser.parse_args().draws
    proportions.share = cache(proportions.share)  # the same counts come again and again
    rng = np.random.default_rng(0)
    print("| treated, control | leave of control, of treated | held the truth | said to work | said to harm |")
    print("|---|---|---|---|---|")
    for sizes in CUSTOMERS:
        for rates in RATES:
            held, above, below = campaign(rng, sizes, rates, draws)
            print(f"| {sizes[0]:,}, {sizes[1]:,} | {rates[0]:.1%}, {rates[1]:.1%} | {held:.1%} | {above:.1%}"
                  f" | {below:.1%} |")  # fmt: skip
    print("\n| active a month | truly less | met | not met | no evidence |\n|---|---|---|---|---|")
    for active in ACTIVE:
        for less in LESS:
            found = goal(rng, active, less, draws // 10)
            shares = " | ".join(f"{found[state] / (draws // 10):.1%}" for state in ("met", "not met", "no evidence"))
            print(f"| {active:,} | {less:.0%} | {shares} |")


if __name__ == "__main__":
    main()

"""What offers are expected to earn against what they earn: by the rule of profit, by fixed buckets, for all.

    python benchmarks/profit.py [--worlds 100] [--customers 10000]

In each world a customer leaves with a probability q that hangs on what the model sees and on what it does not see. The
model says p: the mean of q given what it sees, or something that is off by a known kind. An offer keeps a customer who
would leave with the offer's save rate, by a draw; profits are against doing nothing, in thousands, mean over the worlds
with its standard error. A further argument `--speed` times the step's arithmetic at 100,000 customers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit

from churnwatch.pipeline import buckets, profit
from churnwatch.pipeline.buckets import Customers
from churnwatch.pipeline.offers import Floats, Offer
from churnwatch.pipeline.settings_offers import By
from churnwatch.pipeline.thresholds import best_threshold

CALL = Offer("call", 0.10, is_relative=True, cost=12.0, save_rate=0.3, take_up=1.0, call=True)
LETTER = Offer("letter", 0.05, is_relative=True, cost=2.0, save_rate=0.1, take_up=0.8, call=False)
OFFERS = (CALL, LETTER)
CAPACITY = 0.05  # of the customers
LIKELY, FENCE = 0.6, 0.3  # of fixed thresholds
OFF: dict[str, Callable[[Floats], Floats]] = {
    "calibrated": lambda p: p,
    "too high (log-odds + 0.7)": lambda p: expit(logit(p) + 0.7),
    "too low (log-odds − 0.7)": lambda p: expit(logit(p) - 0.7),
    "over-confident (log-odds × 2)": lambda p: expit(2 * logit(p)),
    "under-confident (log-odds × 0.5)": lambda p: expit(0.5 * logit(p)),
}


@dataclass(frozen=True)
class World:
    """Customers: the true probability of leaving, what the model can know of it, what each is worth, and draws."""

    q: Floats
    p: Floats
    value: Floats
    leaves: Floats
    stays_for: Floats  # a draw from 0 to 1: the customer stays for an offer with a higher save rate
    takes: Floats


def world(rng: np.random.Generator, n: int) -> World:
    """Draw customers of whom about a quarter leaves; the model cannot see a third of what drives them."""
    seen, unseen = rng.normal(-1.4, 1.3, n), rng.normal(0, 0.65, n)
    q = expit(seen + unseen)
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    p = expit(seen[:, None] + 0.65 * nodes) @ (weights / weights.sum())
    value = 12 * rng.lognormal(4.0, 0.5, n)
    return World(q, p, value, (rng.random(n) < q) * 1.0, rng.random(n), rng.random(n))


def realised(made: dict[Offer, np.ndarray], w: World, save: float = 1.0) -> float:
    """Return what offers came to, against doing nothing; `save` is how much of the assumed save rates is true."""
    total = 0.0
    for offer, who in made.items():
        discount = offer.discounts(w.value[who])
        saved = w.leaves[who] * (w.stays_for[who] < offer.save_rate * save)
        wasted = (1 - w.leaves[who]) * (w.takes[who] < offer.take_up)
        total += float(np.sum(saved * (w.value[who] - discount) - wasted * discount - offer.cost))
    return total


def by_profit(p: Floats, w: World, capacity: int) -> tuple[dict[Offer, np.ndarray], profit.Chosen]:
    chosen = profit.choose(OFFERS, p, w.value, capacity=capacity)
    return {offer: np.flatnonzero(chosen.offer == index) for index, offer in enumerate(OFFERS)}, chosen


def by_thresholds(p: Floats, capacity: int) -> dict[Offer, np.ndarray]:
    order = np.argsort(-p)
    called = order[:capacity][p[order[:capacity]] >= LIKELY]
    return {CALL: called, LETTER: np.setdiff1d(np.flatnonzero(p >= FENCE), called)}


def by_capacity(p: Floats, w: World, capacity: int) -> dict[Offer, np.ndarray]:
    threshold, _ = best_threshold(w.leaves.astype(np.int64), p)
    found = buckets.sort(Customers(p, None, p >= threshold, threshold), By.CAPACITY, [], capacity=capacity)
    return {CALL: np.flatnonzero(found.bucket == buckets.A), LETTER: np.flatnonzero(found.bucket == buckets.B)}


def for_all(p: Floats, capacity: int) -> dict[Offer, np.ndarray]:
    order = np.argsort(-p)
    return {CALL: order[:capacity], LETTER: order[capacity:]}


def shown(values: Sequence[float]) -> str:
    each = np.array(values) / 1000
    return f"{each.mean():.1f} ± {each.std(ddof=1) / np.sqrt(len(each)):.1f}"


def probabilities(worlds: Sequence[World], capacity: int) -> None:
    """Print what each practice comes to, by how far the probabilities are off."""
    print("| probabilities | foretold by the rule | came by the rule | came by fixed thresholds |\n|---|---|---|---|")
    for name, off in OFF.items():
        foretold, rule, fixed = [], [], []
        for w in worlds:
            made, chosen = by_profit(off(w.p), w, capacity)
            foretold.append(float(chosen.profit.sum()))
            rule.append(realised(made, w))
            fixed.append(realised(by_thresholds(off(w.p), capacity), w))
        print(f"| {name} | {' | '.join(map(shown, (foretold, rule, fixed)))} |", flush=True)
    print("\nwhat looks at the order of the probabilities alone, or at none:")
    for name, practice in (
        ("by capacity", lambda w: by_capacity(w.p, w, capacity)),
        ("offers for all", lambda w: for_all(w.p, capacity)),
        ("the rule, had it known q", lambda w: by_profit(w.q, w, capacity)[0]),
    ):
        print(f"{name}: {shown([realised(practice(w), w) for w in worlds])}", flush=True)


def save_rates(worlds: Sequence[World], capacity: int) -> None:
    """Print what was foretold at half and at one and a half times the save rates, where these are the true ones."""
    print("\n| true save rates, as a multiple of the assumed ones | foretold at that multiple | came | had they been"
          " known |\n|---|---|---|---|")  # fmt: skip
    for times in (0.5, 1.0, 1.5):
        foretold, came, known = [], [], []
        for w in worlds:
            made, chosen = by_profit(w.p, w, capacity)
            foretold.append(float(profit.total(OFFERS, chosen, w.p, w.value, times=times).sum()))
            came.append(realised(made, w, times))
            true = [replace(offer, save_rate=offer.save_rate * times) for offer in OFFERS]
            best = profit.choose(true, w.p, w.value, capacity=capacity)
            known.append(realised({o: np.flatnonzero(best.offer == i) for i, o in enumerate(true)}, w))
        print(f"| {times:g} | {shown(foretold)} | {shown(came)} | {shown(known)} |")


def speed() -> None:
    """Print how long it takes to sort 100,000 customers."""
    w = world(np.random.default_rng(0), 100_000)
    customers, times = Customers(w.p, w.value, w.p >= 0.5, 0.5), []
    for _ in range(20):
        begun = time.process_time()
        buckets.sort(customers, By.PROFIT, OFFERS, capacity=2000)
        times.append(time.process_time() - begun)
    print(f"\nsorting 100,000 customers with two offers: median {1000 * np.median(times):.0f} ms of CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--speed", action="store_true")
    asked = parser.parse_args()
    if asked.speed:
        speed()
        return
    rng = np.random.default_rng(0)
    worlds = [world(rng, asked.customers) for _ in range(asked.worlds)]
    capacity = int(CAPACITY * asked.customers)
    print(
        f"{asked.worlds} worlds of {asked.customers:,} customers, {np.mean([w.q.mean() for w in worlds]):.1%} leave\n"
    )
    probabilities(worlds, capacity)
    save_rates(worlds, capacity)


if __name__ == "__main__":
    main()

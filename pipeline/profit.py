"""Probabilities, values and offers → what each offer is expected to earn, whom to make which, from where on it pays.

A customer who would leave with probability p brings the value V if they stay. An offer with the discount D that reaches
them for the cost c keeps a share s of those who would leave, and is taken by a share a of those who stay anyway.
Against doing nothing it is expected to earn

    p·s·(V − D) − (1 − p)·a·D − c

Where it was measured by how much an offer lowers this customer's probability of leaving, that effect τ (see `uplift`)
stands in the place of p·s. It may be below nought: then it drives customers away who would have stayed, with their
value less the discount that they would have taken,

    τ·(V − a·D) − (1 − p)·a·D − c

The first term is what is saved and then discounted, the second are discounts that nobody needed, the third is spent
whatever happens. With a = 1 it is the profit of a contacted customer in Verbraken, Verbeke and Baesens, *A novel profit
maximizing metric for measuring classification performance of customer churn prediction models*, IEEE Transactions on
Knowledge and Data Engineering 25 (2013), there written with γ = s, δ = D/V and φ = c/V. It is linear in s, so of an
uncertain save rate only the mean matters for the decision about one customer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline.offers import Floats, Offer

NONE = -1  # the index of no offer
Effects = Mapping[
    str, Floats
]  # by offer, where that was measured: (n,) by how much it lowers the probability of leaving
UNMEASURED: Effects = MappingProxyType({})


@dataclass(frozen=True)
class Chosen:
    """Who is made which offer.

    Attributes:
        offer: (n,) index of the offer, `NONE` where none is made.
        profit: (n,) what it is expected to earn; 0 where none is made.
        called: (n,) whether the customer gets one of the calls.
        waits: (n,) whether only an offer by call pays, and no call was left for it.
    """

    offer: npt.NDArray[np.int64]
    profit: Floats
    called: npt.NDArray[np.bool_]
    waits: npt.NDArray[np.bool_]


def expected_profit(
    offer: Offer, probability: Floats, value: Floats, *, times: float = 1.0, effect: Floats | None = None
) -> Floats:
    """Return what making an offer is expected to earn against doing nothing, shape (n,), in the value's unit.

    Args:
        offer: what is offered.
        probability: (n,) of leaving.
        value: (n,) what the customer brings if they stay; not a number where nobody knows, and then so is the profit.
        times: what the save rate, or the effect, is multiplied by (no more are saved than would leave), to see what it
            hangs on.
        effect: (n,) by how much the offer lowers the probability of leaving; None: by the save rate.
    """
    discount = offer.discounts(value)
    kept = probability * offer.save_rate if effect is None else effect
    kept = np.minimum(kept * times, probability)
    saved = kept * (value - np.where(kept < 0, offer.take_up, 1.0) * discount)
    return np.asarray(saved - (1 - probability) * offer.take_up * discount - offer.cost)


def threshold(offer: Offer, value: Floats) -> Floats:
    """Return the probability above which an offer pays for customers of this value, shape as `value`.

    The expected profit is linear in p and not above 0 at p = 0, so it is positive exactly beyond its root

        p > (a·D + c) / (s·(V − D) + a·D)

    Not a number where it never pays: where the root is 1 or more, or the line does not rise.
    """
    wasted = offer.take_up * offer.discounts(value)
    rise = offer.save_rate * (value - offer.discounts(value)) + wasted
    with np.errstate(over="ignore"):  # a value next to nought: the root is beyond all probabilities
        root = np.divide(wasted + offer.cost, rise, out=np.full_like(rise, np.nan), where=rise > 0)
    return np.where(root < 1, root, np.nan)


def choose(
    offers: Sequence[Offer], probability: Floats, value: Floats, *, capacity: int, effects: Effects = UNMEASURED
) -> Chosen:
    """Make each customer the offer that earns most, or none; at most `capacity` of them get a call.

    The calls go to those whom a call earns most over the best that could be done without one, which no other choice of
    so many customers outdoes in total. Where no offer is marked as made by call, any may be, at no further cost. Equal
    gains go by the customers' order.

    Args:
        offers: at least one.
        probability: (n,) of leaving.
        value: (n,) what the customer brings; where it is not a number, no offer is made.
        capacity: how many can be called.
        effects: of offers of which they were measured; the others save by their rate.
    """
    profits = _profits(offers, probability, value, effects)
    profits = np.where(np.isnan(profits), -np.inf, profits)
    by_call = np.array([offer.call for offer in offers])
    every = np.ones_like(by_call)
    with_call, profit_with = _best(profits, by_call if by_call.any() else every)
    without, profit_without = _best(profits, ~by_call)
    instead = np.maximum(profit_without, 0) if by_call.any() else np.zeros(len(probability))
    called = _highest(profit_with - instead, capacity)
    paid = profit_without > 0
    offer = np.where(called, with_call, np.where(paid, without, NONE))
    profit = np.where(called, profit_with, np.where(paid, profit_without, 0.0))
    return Chosen(offer, profit, called, ~called & ~paid & (profit_with > 0))


def best_within(
    offers: Sequence[Offer], probability: Floats, value: Floats, *, called: npt.NDArray[np.bool_],
    reached: npt.NDArray[np.bool_], effects: Effects = UNMEASURED,
) -> Chosen:  # fmt: skip
    """Make the best offer, where one pays, to customers of whom something else decided who is called or reached at all.

    Args:
        offers: at least one.
        probability: (n,) of leaving.
        value: (n,) what the customer brings.
        called: (n,) who gets a call, and may be made any offer.
        reached: (n,) who may be made an offer without a call.
        effects: of offers of which they were measured.
    """
    profits = _profits(offers, probability, value, effects)
    by_call = np.array([offer.call for offer in offers])
    allowed = called | (reached & ~by_call[:, None])
    profits = np.where(np.isnan(profits) | ~allowed, -np.inf, profits)
    offer, profit = _best(profits, np.ones_like(by_call))
    pays = profit > 0
    nobody = np.zeros(len(probability), dtype=bool)
    return Chosen(np.where(pays, offer, NONE), np.where(pays, profit, 0.0), called & pays, nobody)


def total(
    offers: Sequence[Offer], chosen: Chosen, probability: Floats, value: Floats, *, times: float,
    effects: Effects = UNMEASURED,
) -> Floats:  # fmt: skip
    """Return what the offers that are made earn if each saves so many times what is expected, shape (n,)."""
    found = np.zeros(len(probability))
    for index, offer in enumerate(offers):
        made = chosen.offer == index
        earned = expected_profit(offer, probability, value, times=times, effect=effects.get(offer.name))
        found[made] = earned[made]
    return found


def _profits(offers: Sequence[Offer], probability: Floats, value: Floats, effects: Effects) -> Floats:
    """Return what each offer is expected to earn, shape (offers, n)."""
    found = (expected_profit(offer, probability, value, effect=effects.get(offer.name)) for offer in offers)
    return np.stack(list(found))


def _best(profits: Floats, among: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the best of some offers for each customer, and what it earns; minus infinity where there are none."""
    allowed = np.where(among[:, None], profits, -np.inf)
    index = np.argmax(allowed, axis=0)
    return index, allowed[index, np.arange(profits.shape[1])]


def _highest(gain: Floats, most: int) -> npt.NDArray[np.bool_]:
    """Mark the highest gains that are above 0, at most so many."""
    marked = np.zeros(len(gain), dtype=bool)
    order = np.argsort(-gain, kind="stable")[:most]
    marked[order] = gain[order] > 0
    return marked

"""Probabilities (or amounts), values and offers → the buckets A (call), B (offer), C (thank), and whom to call first.

By profit, A is whom a call earns most, as far as calls go; B for whom an offer pays all the same; C for whom none does.
By capacity, A is the likeliest of those decided to leave, as many as can be called; B the rest of them; C who stays. By
thresholds, the two numbers are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from churnwatch.pipeline import profit
from churnwatch.pipeline.offers import Floats, Offer
from churnwatch.pipeline.profit import Chosen, Effects
from churnwatch.pipeline.settings_offers import By

BUCKETS = ("A", "B", "C")
A, B, C = range(3)


@dataclass(frozen=True)
class Customers:
    """What is known of the current customers, in one order.

    Attributes:
        risk: (n,) probability of leaving, or expected amount.
        value: (n,) what each brings, not a number where nobody knows; None where the settings do not say.
        decided: (n,) whether the model decides that the customer leaves; of amounts, whether it is above the mean.
        threshold: the least risk of those who are decided to leave, as the model has it.
        amounts: whether `risk` is an amount.
        effects: (n,) by how much an offer lowers the risk, by its name, where an uplift model decides.
    """

    risk: Floats
    value: Floats | None
    decided: npt.NDArray[np.bool_]
    threshold: float
    amounts: bool = False
    effects: Effects = field(default_factory=dict)

    @property
    def loss(self) -> Floats | None:
        """(n,) p·V, or the amount itself; None where nobody says what a customer is worth."""
        if self.amounts:
            return self.risk
        return None if self.value is None else self.risk * self.value


@dataclass(frozen=True)
class Sorted:
    """The customers in their buckets.

    Attributes:
        bucket: (n,) 0, 1 or 2, as in `BUCKETS`.
        thresholds: the risk from which on customers are in A and in B; None where that differs by customer, or where
            nobody is in A.
        chosen: who is made which offer; None where no profit can be claimed of any.
        left_alone: (n,) who of B is held back, to learn from what offers do.
        order: (n,) indices of the customers, whom to call first: by bucket, then by what is at stake.
    """

    bucket: npt.NDArray[np.int64]
    thresholds: tuple[float | None, float | None]
    chosen: Chosen | None
    left_alone: npt.NDArray[np.bool_]
    order: npt.NDArray[np.int64]


def sort(
    customers: Customers,
    by: By,
    offers: Sequence[Offer],
    *,
    capacity: int,
    held_back: npt.NDArray[np.bool_] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Sorted:
    """Sort customers into buckets.

    Args:
        customers: in the order that decides between equals.
        by: what decides.
        offers: those with a save rate, or with an effect that was measured; by profit at least one.
        capacity: how many can be called.
        held_back: (n,) who is made no offer by lot, should they come into B; None: nobody.
        bounds: of `thresholds`: from which risk on customers are in A, and in B.
    """
    if by is By.PROFIT:
        assert customers.value is not None  # noqa: S101 - settings with offers say what a customer is worth
        chosen = profit.choose(offers, customers.risk, customers.value, capacity=capacity, effects=customers.effects)
        bucket = _by_profit(customers, chosen)
        return _sorted(customers, bucket, (None, None), chosen, held_back)
    bucket, thresholds = _by_bounds(customers, bounds) if bounds else _by_capacity(customers, capacity)
    made = None
    if offers and customers.value is not None:
        called, reached = bucket == A, bucket == B
        made = profit.best_within(offers, customers.risk, customers.value, called=called, reached=reached,
                                  effects=customers.effects)  # fmt: skip
    return _sorted(customers, bucket, thresholds, made, held_back)


def _sorted(
    customers: Customers,
    bucket: npt.NDArray[np.int64],
    thresholds: tuple[float | None, float | None],
    chosen: Chosen | None,
    held_back: npt.NDArray[np.bool_] | None,
) -> Sorted:
    """Take their offers from those of B who are held back; they stay in B, behind all others."""
    alone = np.zeros(len(bucket), dtype=np.bool_) if held_back is None else held_back & (bucket == B)
    if chosen is not None:
        chosen = replace(
            chosen,
            offer=np.where(alone, profit.NONE, chosen.offer),
            profit=np.where(alone, 0.0, chosen.profit),
            waits=chosen.waits & ~alone,
        )
    return Sorted(bucket, thresholds, chosen, alone, _order(customers, bucket, alone, chosen))


def _by_profit(customers: Customers, chosen: Chosen) -> npt.NDArray[np.int64]:
    """Sort by what pays; of whom nobody knows the value, whoever is decided to leave is on the fence."""
    assert customers.value is not None  # noqa: S101 - see above
    unknown = np.isnan(customers.value) & customers.decided
    pays = (chosen.offer != profit.NONE) | chosen.waits | unknown
    return np.where(chosen.called, A, np.where(pays, B, C))


def _by_bounds(
    customers: Customers, bounds: tuple[float, float]
) -> tuple[npt.NDArray[np.int64], tuple[float | None, float | None]]:
    likely, fence = bounds
    return np.where(customers.risk >= likely, A, np.where(customers.risk >= fence, B, C)), bounds


def _by_capacity(
    customers: Customers, capacity: int
) -> tuple[npt.NDArray[np.int64], tuple[float | None, float | None]]:
    bucket = np.where(customers.decided, B, C)
    first = np.argsort(-customers.risk, kind="stable")[:capacity]
    called = first[customers.decided[first]]
    bucket[called] = A
    least = float(customers.risk[called].min()) if len(called) else None
    return bucket, (least, customers.threshold)


def _order(
    customers: Customers, bucket: npt.NDArray[np.int64], alone: npt.NDArray[np.bool_], chosen: Chosen | None
) -> npt.NDArray[np.int64]:
    """Order by bucket, then by what the offer earns, then by the expected loss, then by risk; else as before."""
    loss = customers.risk if customers.loss is None else np.nan_to_num(customers.loss)
    earned = np.zeros(len(bucket)) if chosen is None else chosen.profit
    return np.lexsort((-customers.risk, -loss, -earned, alone, bucket))


def former(ids: pa.Array, before: pa.Table | None) -> pa.Array:
    """Return in which bucket each customer was, shape (n,), missing where there was no such customer.

    Args:
        ids: (n,) texts.
        before: the columns `id` and `bucket` of the former run; None: there was none.
    """
    if before is None:
        return pa.nulls(len(ids), pa.string())
    return before["bucket"].combine_chunks().take(pc.index_in(ids, value_set=before["id"].combine_chunks()))


def moves(was: pa.Array, bucket: pa.Array, before: pa.Table) -> dict[tuple[str | None, str | None], int]:
    """Return how many customers went from which bucket to which; None: there was no such customer, or is none now.

    Args:
        was: (n,) in which bucket each customer was, as `former` has it.
        bucket: (n,) in which each is.
        before: the columns `id` and `bucket` of the former run; no id stands twice, in it or now.
    """
    met = pa.table({"from": was, "to": bucket}).group_by(["from", "to"]).aggregate([([], "count_all")]).to_pylist()
    found: dict[tuple[str | None, str | None], int] = {(row["from"], row["to"]): row["count_all"] for row in met}
    for row in pc.value_counts(before["bucket"].combine_chunks()).to_pylist():
        gone = row["counts"] - sum(number for (letter, _), number in found.items() if letter == row["values"])
        if gone:
            found[row["values"], None] = gone
    return found

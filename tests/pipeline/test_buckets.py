from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from churnwatch.pipeline import buckets, profit
from churnwatch.pipeline.buckets import BUCKETS, Customers, Sorted
from churnwatch.pipeline.offers import Offer
from churnwatch.pipeline.settings_offers import By

CALL = Offer("call", 0.1, is_relative=True, cost=12.0, save_rate=0.3, take_up=1.0, call=True)
LETTER = Offer("letter", 0.05, is_relative=True, cost=1.0, save_rate=0.1, take_up=1.0, call=False)


def _customers(risk: list[float], value: list[float] | None = None, threshold: float = 0.5) -> Customers:
    p = np.array(risk)
    return Customers(p, None if value is None else np.array(value), p >= threshold, threshold)


def _letters(found: Sorted) -> str:
    return "".join(BUCKETS[each] for each in found.bucket)


# -- into which bucket -----------------------------------------------------------------------------------------


def test_by_capacity_the_likeliest_leavers_are_called_and_the_others_made_an_offer() -> None:
    found = buckets.sort(_customers([0.6, 0.9, 0.1, 0.7, 0.4]), By.CAPACITY, [], capacity=2)
    assert _letters(found) == "BACAC"
    assert found.thresholds == (0.7, 0.5)
    assert found.order.tolist() == [1, 3, 0, 4, 2]


def test_by_capacity_nobody_is_called_who_is_expected_to_stay() -> None:
    found = buckets.sort(_customers([0.1, 0.2]), By.CAPACITY, [], capacity=2)
    assert _letters(found) == "CC"
    assert found.thresholds == (None, 0.5)


def test_by_thresholds_the_settings_decide() -> None:
    found = buckets.sort(_customers([0.2, 0.3, 0.8, 0.9]), By.THRESHOLDS, [], capacity=1, bounds=(0.8, 0.3))
    assert _letters(found) == "CBAA"
    assert found.thresholds == (0.8, 0.3)


def test_by_profit_what_pays_decides_and_not_how_likely_somebody_leaves() -> None:
    customers = _customers([0.95, 0.6, 0.6, 0.05, 0.9], [10, 2000, 900, 2000, 900])
    found = buckets.sort(customers, By.PROFIT, [CALL, LETTER], capacity=1)
    assert _letters(found) == "CABCB"
    assert found.chosen is not None
    assert found.chosen.offer.tolist() == [-1, 0, 1, -1, 1]
    assert found.order.tolist()[:3] == [1, 4, 2]


def test_by_profit_who_waits_for_a_call_is_on_the_fence() -> None:
    found = buckets.sort(_customers([0.9, 0.8], [900, 900]), By.PROFIT, [CALL], capacity=1)
    assert _letters(found) == "AB"
    assert found.chosen is not None
    assert found.chosen.profit[1] == 0


def test_by_profit_a_likely_leaver_of_unknown_value_is_on_the_fence_and_made_no_offer() -> None:
    found = buckets.sort(_customers([0.9, 0.2], [np.nan, np.nan]), By.PROFIT, [CALL], capacity=5)
    assert _letters(found) == "BC"
    assert found.chosen is not None
    assert found.chosen.offer.tolist() == [-1, -1]


def test_offers_are_made_within_buckets_that_something_else_decided() -> None:
    customers = _customers([0.9, 0.7, 0.2], [900, 900, 900])
    found = buckets.sort(customers, By.CAPACITY, [CALL, LETTER], capacity=1)
    assert _letters(found) == "ABC"
    assert found.chosen is not None
    assert found.chosen.offer.tolist() == [0, 1, -1]


def test_amounts_are_sorted_by_themselves_and_are_the_loss() -> None:
    amount = np.array([5.0, 80.0, 30.0, 1.0])
    customers = Customers(amount, None, amount > amount.mean(), float(amount.mean()), amounts=True)
    found = buckets.sort(customers, By.CAPACITY, [], capacity=1)
    assert _letters(found) == "CABC"
    assert found.order.tolist() == [1, 2, 0, 3]
    assert customers.loss is amount


def test_within_a_bucket_who_stands_for_most_comes_first() -> None:
    found = buckets.sort(_customers([0.9, 0.8, 0.7], [100, np.nan, 900]), By.CAPACITY, [], capacity=9)
    assert found.order.tolist() == [2, 0, 1]


def test_nobody_is_sorted_into_nothing() -> None:
    for by, offers in ((By.CAPACITY, []), (By.PROFIT, [CALL])):
        assert buckets.sort(_customers([], []), by, offers, capacity=3).bucket.tolist() == []


# -- who moved -------------------------------------------------------------------------------------------------


def _table(places: dict[str, str]) -> pa.Table:
    return pa.table({"id": pa.array(list(places), pa.string()), "bucket": pa.array(list(places.values()), pa.string())})


def test_who_moved_who_came_and_who_is_gone_is_counted() -> None:
    before, now = _table({"1": "A", "2": "A", "3": "B", "4": "C"}), {"2": "A", "3": "A", "4": "C", "5": "B"}
    ids, letters = pa.array(list(now)), pa.array(list(now.values()))
    was = buckets.former(ids, before)
    assert was.to_pylist() == ["A", "B", "C", None]
    assert buckets.moves(was, letters, before) == {
        ("A", "A"): 1, ("B", "A"): 1, ("C", "C"): 1, (None, "B"): 1, ("A", None): 1}  # fmt: skip


def test_before_the_first_list_nobody_was_anywhere() -> None:
    assert buckets.former(pa.array(["1", "2"]), None).to_pylist() == [None, None]


PLACES = st.dictionaries(st.text(max_size=3), st.sampled_from(BUCKETS), max_size=8)


@given(before=PLACES, now=PLACES)
def test_moves_add_up_to_everybody_before_and_now(before: dict[str, str], now: dict[str, str]) -> None:
    ids, letters = pa.array(list(now), pa.string()), pa.array(list(now.values()), pa.string())
    found = buckets.moves(buckets.former(ids, _table(before)), letters, _table(before))
    for letter in BUCKETS:
        assert sum(n for (old, _), n in found.items() if old == letter) == list(before.values()).count(letter)
        assert sum(n for (_, new), n in found.items() if new == letter) == list(now.values()).count(letter)


def test_who_is_held_back_stays_in_b_without_an_offer_behind_all_others_of_it() -> None:
    customers = _customers([0.9, 0.8, 0.7, 0.01], [900, 900, 900, 900])
    everybody = np.ones(4, dtype=np.bool_)
    found = buckets.sort(customers, By.PROFIT, [CALL, LETTER], capacity=1, held_back=everybody)
    assert found.bucket.tolist() == [0, 1, 1, 2]  # who is called, and for whom nothing pays, is no matter of the lot
    assert found.left_alone.tolist() == [False, True, True, False]
    assert found.chosen is not None
    assert found.chosen.offer[1:3].tolist() == [profit.NONE, profit.NONE]
    one = buckets.sort(
        customers, By.PROFIT, [CALL, LETTER], capacity=1, held_back=np.array([False, True, False, False])
    )
    assert one.order.tolist() == [0, 2, 1, 3]

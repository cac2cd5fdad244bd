from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnwatch.pipeline import profit, settings_offers
from churnwatch.pipeline.offers import Offer, priced
from churnwatch.pipeline.profit import NONE

CALL = Offer("call", 0.1, is_relative=True, cost=12.0, save_rate=0.3, take_up=1.0, call=True)
LETTER = Offer("letter", 20.0, is_relative=False, cost=2.0, save_rate=0.1, take_up=0.5, call=False)
SHARES = st.floats(0, 1)
OFFERS = st.builds(
    Offer,
    name=st.just("offer"),
    discount=st.floats(0, 1.5),
    is_relative=st.booleans(),
    cost=st.floats(0, 3),
    save_rate=SHARES,
    take_up=SHARES,
    call=st.booleans(),
)
CUSTOMERS = st.lists(st.tuples(SHARES, st.floats(-1, 50)), min_size=1, max_size=5).map(np.array)


def _p(*values: float) -> profit.Floats:
    return np.array(values, dtype=np.float64)


# -- what an offer earns ---------------------------------------------------------------------------------------


def test_an_offer_earns_what_is_saved_less_what_it_costs() -> None:
    assert profit.expected_profit(CALL, _p(0.4), _p(1000)) == pytest.approx([0.4 * 0.3 * 900 - 0.6 * 100 - 12])
    assert profit.expected_profit(LETTER, _p(0.4), _p(1000)) == pytest.approx([0.4 * 0.1 * 980 - 0.6 * 0.5 * 20 - 2])


def test_without_a_known_value_nothing_is_known_to_be_earned() -> None:
    assert np.isnan(profit.expected_profit(CALL, _p(0.4), _p(np.nan))).all()


def test_nobody_is_saved_twice() -> None:
    sure = replace(CALL, save_rate=0.8)
    assert profit.expected_profit(sure, _p(0.5), _p(100), times=1.5) == pytest.approx(
        profit.expected_profit(replace(CALL, save_rate=1.0), _p(0.5), _p(100))
    )


def test_what_many_customers_do_is_on_average_what_was_expected() -> None:
    rng, n, p, v = np.random.default_rng(0), 400_000, 0.4, 1000.0
    leaves = rng.random(n) < p
    saved, takes = leaves & (rng.random(n) < LETTER.save_rate), ~leaves & (rng.random(n) < LETTER.take_up)
    earned = saved * (v - 20.0) - takes * 20.0 - LETTER.cost
    error = earned.std() / np.sqrt(n)
    assert profit.expected_profit(LETTER, _p(p), _p(v))[0] == pytest.approx(earned.mean(), abs=4 * error)


@given(offer=OFFERS, value=st.floats(-1, 50), probability=SHARES)
def test_an_offer_pays_exactly_beyond_its_threshold(offer: Offer, value: float, probability: float) -> None:
    earned = profit.expected_profit(offer, _p(probability), _p(value))[0]
    bound = profit.threshold(offer, _p(value))[0]
    if abs(earned) < 1e-9:
        return  # at the threshold itself, a rounding error decides
    assert (earned > 0) == (probability > bound)  # false where it never pays, and the bound is no number


def test_an_offer_that_costs_nothing_pays_from_the_first_risk_on_and_one_that_saves_nobody_never() -> None:
    free = Offer("free", 0.0, is_relative=False, cost=0.0, save_rate=0.2, take_up=1.0, call=False)
    assert profit.threshold(free, _p(100)) == [0.0]
    assert np.isnan(profit.threshold(replace(CALL, save_rate=0.0), _p(100)))


# -- who is made which -----------------------------------------------------------------------------------------


@given(offers=st.lists(OFFERS, min_size=1, max_size=3), customers=CUSTOMERS, capacity=st.integers(0, 4))
def test_no_other_choice_earns_more(offers: list[Offer], customers: profit.Floats, capacity: int) -> None:
    p, v = customers[:, 0], customers[:, 1]
    chosen = profit.choose(offers, p, v, capacity=capacity)
    earned = np.stack([*(profit.expected_profit(offer, p, v) for offer in offers), np.zeros(len(p))])
    calls = np.array([*(offer.call for offer in offers), False])
    best = max(
        earned[list(made), range(len(p))].sum()
        for made in itertools.product(range(len(earned)), repeat=len(p))
        if calls[list(made)].sum() <= capacity
    )
    assert chosen.profit.sum() == pytest.approx(best)
    assert chosen.called.sum() <= capacity
    assert (chosen.profit[chosen.offer != NONE] > 0).all()
    assert not (chosen.waits & (chosen.offer != NONE)).any()


def test_calls_go_to_whom_they_earn_most_beyond_what_a_letter_would() -> None:
    letter = replace(CALL, name="letter", save_rate=0.2, cost=1.0, call=False)
    chosen = profit.choose([CALL, letter], _p(0.9, 0.6, 0.2), _p(1000, 3000, 1000), capacity=1)
    assert chosen.called.tolist() == [False, True, False]
    assert chosen.offer.tolist() == [1, 0, NONE]


def test_for_whom_only_a_call_pays_and_none_is_left_waits() -> None:
    chosen = profit.choose([CALL], _p(0.9, 0.8, 0.1), _p(1000, 1000, 1000), capacity=1)
    assert chosen.offer.tolist() == [0, NONE, NONE]
    assert chosen.waits.tolist() == [False, True, False]


def test_where_no_offer_is_by_call_any_may_be_made_in_one() -> None:
    chosen = profit.choose([LETTER], _p(0.5, 0.9, 0.7), _p(1000, 1000, np.nan), capacity=1)
    assert chosen.called.tolist() == [False, True, False]
    assert chosen.offer.tolist() == [0, 0, NONE]


def test_where_something_else_decides_who_is_called_the_best_offer_that_pays_is_made() -> None:
    called, reached = np.array([True, False, False, True]), np.array([False, True, False, False])
    chosen = profit.best_within(
        [CALL, LETTER], _p(0.9, 0.9, 0.9, 0.01), _p(1000, 1000, 1000, 1000), called=called, reached=reached
    )
    assert chosen.offer.tolist() == [0, 1, NONE, NONE]


def test_what_offers_earn_at_other_save_rates_is_of_the_same_offers() -> None:
    p, v = _p(0.9, 0.5, 0.1), _p(1000, 1000, 1000)
    chosen = profit.choose([CALL, LETTER], p, v, capacity=1)
    assert profit.total([CALL, LETTER], chosen, p, v, times=1.0) == pytest.approx(chosen.profit)
    halved = profit.total([CALL, LETTER], chosen, p, v, times=0.5)
    assert halved[0] == pytest.approx(profit.expected_profit(replace(CALL, save_rate=0.15), p[:1], v[:1])[0])
    assert halved[2] == 0


# -- settings --------------------------------------------------------------------------------------------------


def test_offers_without_a_save_rate_are_not_chosen_from() -> None:
    given_ = {
        "a": settings_offers.Offer(discount="10%", cost=3),
        "b": settings_offers.Offer(discount="12.5%", save_rate=0.2),
        "c": settings_offers.Offer(discount="30", save_rate=0.1, call=True),
    }
    percent, amount = priced(given_)
    assert (percent.name, percent.discounts(_p(200, 400)).tolist()) == ("b", [25.0, 50.0])
    assert (amount.name, amount.call, amount.discounts(_p(200, 400)).tolist()) == ("c", True, [30.0, 30.0])


# -- where it was measured what an offer does ------------------------------------------------------------------


@pytest.mark.parametrize("effect", [0.15, -0.15])
def test_what_came_is_on_average_what_an_effect_foretells(effect: float) -> None:
    """Below nought, it drives customers away, who then take no discount either."""
    rng, n, p, v = np.random.default_rng(0), 400_000, 0.4, 1000.0
    fate, takes = rng.random(n), rng.random(n) < LETTER.take_up
    without, treated = fate < p, fate < p - effect
    discounts = 20.0 * (~treated & (without | takes))
    earned = (without * 1.0 - treated) * v - discounts - LETTER.cost
    error = earned.std() / np.sqrt(n)
    told = profit.expected_profit(LETTER, _p(p), _p(v), effect=_p(effect))[0]
    assert told == pytest.approx(earned.mean(), abs=4 * error)


@given(offer=OFFERS, customer=st.tuples(SHARES, st.floats(-1, 50)), times=st.sampled_from([0.5, 1.0, 1.5]))
def test_an_effect_of_p_times_s_is_the_save_rate(offer: Offer, customer: tuple[float, float], times: float) -> None:
    p, v = (_p(each) for each in customer)
    by_rate = profit.expected_profit(offer, p, v, times=times)
    by_effect = profit.expected_profit(offer, p, v, times=times, effect=p * offer.save_rate)
    assert by_effect == pytest.approx(by_rate, abs=1e-9)


def test_who_is_saved_gets_the_offer_and_not_who_is_only_likely_to_leave() -> None:
    p, v = _p(0.9, 0.3), _p(1000, 1000)
    effects = {"call": _p(0.0, 0.25)}
    chosen = profit.choose([CALL, LETTER], p, v, capacity=1, effects=effects)
    assert list(chosen.offer) == [1, 0]
    assert list(chosen.called) == [False, True]
    assert profit.total([CALL, LETTER], chosen, p, v, times=1.0, effects=effects) == pytest.approx(chosen.profit)
    within = profit.best_within([CALL], p, v, called=p > 0, reached=p > 1, effects=effects)
    assert list(within.offer) == [NONE, 0]


def test_an_offer_without_a_save_rate_has_a_profit_only_where_it_was_measured() -> None:
    given = {"gift": settings_offers.Offer(discount="20"), "call": settings_offers.Offer(save_rate=0.3)}
    assert [each.name for each in priced(given)] == ["call"]
    assert [each.name for each in priced(given, {"gift"})] == ["gift", "call"]

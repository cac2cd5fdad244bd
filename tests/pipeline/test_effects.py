from __future__ import annotations

from dataclasses import replace

import pytest

from churnwatch.pipeline.alike import Alike
from churnwatch.pipeline.campaigns import Arm, Campaign
from churnwatch.pipeline.effects import effect, why_not_by_customer

DONE = Campaign("call", "2026-03", Arm(500, 500, 60), Arm(500, 500, 100), 0, is_over=True)


def test_an_effect_is_in_customers_and_money() -> None:
    found = effect(DONE, value=240)
    assert found.less_churn is not None
    assert found.saved is not None
    assert found.money is not None
    assert found.less_churn.value == pytest.approx(0.08)
    assert found.less_churn.low > 0.03
    assert found.saved.value == pytest.approx(40)
    assert found.money.high == pytest.approx(found.saved.high * 240)
    assert found.note is None


def test_without_a_value_no_money_is_claimed() -> None:
    assert effect(DONE).money is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (
            {"control": Arm()},
            "no control: nothing can be said about the effect; nobody is said to have been left alone",
        ),
        ({"treated": Arm()}, "nobody was treated"),
        ({"control": Arm(500)}, "no outcome of the control is known yet"),
        ({"treated": Arm(500)}, "no outcome of the treated is known yet"),
    ],
)
def test_where_nothing_can_be_said_nothing_is(changed: dict[str, Arm], why: str) -> None:
    found = effect(replace(DONE, **changed), value=240)  # type: ignore[arg-type]
    assert (found.less_churn, found.saved, found.money) == (None, None, None)
    assert why in str(found.note)


def test_of_sides_that_were_not_alike_before_no_effect_is_claimed() -> None:
    refused = effect(DONE, value=240, before=Alike(0.6, 0.3, 1.2, 0.001))
    assert (refused.less_churn, refused.saved, refused.money) == (None, None, None)
    assert refused.note == (
        "treated and control were not alike before: leaving was predicted at 60.0% and 30.0% (1.20 standard deviations,"
        " p = 0.001), so `treated` was hardly drawn by lot: nothing can be said about the effect"
    )
    assert effect(DONE, value=240, before=Alike(0.31, 0.3, 0.1, 0.4)) == effect(DONE, value=240)


def test_what_to_mind_is_said() -> None:
    found = effect(replace(DONE, control=Arm(500, 300, 60), contradicting=3, is_over=False))
    assert found.note == (
        "so far: the window is not over; outcomes are known of 100% of the treated and 60% of the control; who is"
        " missing may have left; 3 customers are said to be both and count as neither"
    )


@pytest.mark.parametrize(
    ("changed", "before", "why"),
    [
        ({}, None, None),
        ({}, Alike(0.31, 0.3, 0.1, 0.4), None),
        ({}, Alike(0.6, 0.3, 1.2, 0.001), "treated and control were not alike before"),
        ({"control": Arm()}, None, "no control"),
        ({"is_over": False}, None, "the window is not over"),
        ({"control": Arm(500, 300, 60)}, None, "outcomes are known of 100% of the treated and 60% of the control"),
    ],
)
def test_single_customers_effects_are_learned_only_where_the_lot_decided_and_all_is_known(
    changed: dict[str, Arm | bool], before: Alike | None, why: str | None
) -> None:
    found = why_not_by_customer(replace(DONE, **changed), before)  # type: ignore[arg-type]
    assert found is None if why is None else str(found).startswith(why)

"""What became of a campaign's customers → whether it worked: churn of treated against control, in customers and money.

All who were to be treated count as treated, whether they were reached or not: only so are the two sides alike but for
the lot that was drawn (intention to treat). Who has no known outcome counts on neither side.
"""

from __future__ import annotations

from dataclasses import dataclass

from churnwatch.pipeline.alike import Alike
from churnwatch.pipeline.campaigns import Arm, Campaign
from churnwatch.pipeline.proportions import Interval, difference

NO_CONTROL = "no control: nothing can be said about the effect"


@dataclass(frozen=True)
class Effect:
    """What a campaign did.

    Attributes:
        less_churn: churn of the control less that of the treated, as a share; None where nothing can be said.
        saved: of the treated with a known outcome, how many stayed because of it.
        money: what these are worth, where a value was given.
        note: why nothing can be said, or what to mind.
    """

    less_churn: Interval | None
    saved: Interval | None
    money: Interval | None
    note: str | None


def effect(campaign: Campaign, *, value: float | None = None, before: Alike | None = None) -> Effect:
    """Return what a campaign did.

    Args:
        campaign: what became of its customers.
        value: what a customer who stays is worth.
        before: how alike both sides were; None: nobody knows.
    """
    treated, control = campaign.treated, campaign.control
    why_not = _why_not(treated, control, before)
    if why_not is not None:
        return Effect(None, None, None, why_not)
    less = difference((control.churned, control.known), (treated.churned, treated.known))
    saved = less.times(treated.known)
    return Effect(less, saved, saved.times(value) if value else None, _mind(campaign))


def _why_not(treated: Arm, control: Arm, before: Alike | None) -> str | None:
    if not control.customers:
        return f"{NO_CONTROL}; nobody is said to have been left alone (`treated` 0)"
    if not treated.customers:
        return "nobody was treated: nothing can be said about the effect"
    if before is not None and before.why_not is not None:
        return f"{before.why_not}: nothing can be said about the effect"
    if not treated.known or not control.known:
        side = "treated" if not treated.known else "control"
        return f"no outcome of the {side} is known yet"
    return None


def why_not_by_customer(campaign: Campaign, before: Alike | None) -> str | None:
    """Return why nothing is to be learned from a campaign about single customers; None where there may be.

    Args:
        campaign: what became of its customers.
        before: how alike both sides were; None: nobody knows.
    """
    why = _why_not(campaign.treated, campaign.control, before)
    if why is not None:
        return why
    return _lost(campaign.treated, campaign.control) if campaign.is_over else "the window is not over"


def _mind(campaign: Campaign) -> str | None:
    told = []
    if not campaign.is_over:
        told.append("so far: the window is not over")
    treated, control = campaign.treated, campaign.control
    lost = _lost(treated, control)
    if lost is not None:
        told.append(lost)
    if campaign.contradicting:
        told.append(f"{campaign.contradicting:,} customers are said to be both and count as neither")
    return "; ".join(told) or None


def _lost(treated: Arm, control: Arm) -> str | None:
    lost = difference((treated.known, treated.customers), (control.known, control.customers))
    if lost.low <= 0 <= lost.high:
        return None
    return (
        f"outcomes are known of {treated.known / treated.customers:.0%} of the treated and"
        f" {control.known / control.customers:.0%} of the control; who is missing may have left"
    )

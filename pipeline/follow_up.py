"""The steps that look at what came of customers: the monthly rate and the goal, and whether campaigns worked.

Only what is other than the ledger's newest is recorded, so a step that is done again does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from churnwatch.pipeline import campaigning, campaigns, churn_rate
from churnwatch.pipeline.alike import Alike
from churnwatch.pipeline.campaigning import Counted
from churnwatch.pipeline.campaigns import Campaign
from churnwatch.pipeline.churn_rate import month_name
from churnwatch.pipeline.effects import effect
from churnwatch.pipeline.ledger import follow_up as known
from churnwatch.pipeline.proportions import Interval
from churnwatch.pipeline.records import CampaignEffect, CohortMonth, GoalProgress, MonthlyChurn
from churnwatch.pipeline.schema import NUMBERS
from churnwatch.pipeline.workspace import Workspace

_DECIMALS = 6  # of means: a sum in another order is no news


def count_churn(at: Workspace) -> None:
    """Record the monthly rate, the cohorts and how the goal stands, where that can be told and something is new."""
    customers = campaigning.customers(at)
    if customers is None or None in (at.schema.id, at.schema.date) or at.schema.predicts_amounts:
        return
    cohorts = churn_rate.count(at.schema, at.engine, customers)
    if not cohorts:
        return
    months = churn_rate.by_month(cohorts)
    with at.ledger.transaction():
        before = {each.month: each for each in known.monthly_churn(at.ledger)}
        at.ledger.add_all(each for each in _months(at.run, months) if _is_new(each, before.get(each.month)))
        told = {(each.cohort, each.month): each for each in known.cohorts(at.ledger)}
        rows = [
            CohortMonth(at.run, month_name(each.cohort), month_name(each.month), each.active, each.churned)
            for each in cohorts
        ]
        at.ledger.add_all(each for each in rows if _is_new(each, told.get((each.cohort, each.month))))
        _record_goal(at, months)


def _is_new(
    record: MonthlyChurn | CohortMonth | CampaignEffect | GoalProgress,
    before: MonthlyChurn | CohortMonth | CampaignEffect | GoalProgress | None,
) -> bool:
    return before is None or replace(record, run=before.run) != before


def _months(run: int, months: list[churn_rate.MonthCount]) -> Iterator[MonthlyChurn]:
    for each in months:
        rate = each.rate
        yield MonthlyChurn(run, month_name(each.month), each.active, each.churned, rate.value, rate.low, rate.high)


def _record_goal(at: Workspace, months: list[churn_rate.MonthCount]) -> None:
    wanted = at.home.settings.goal
    if wanted is None:
        return
    found = churn_rate.goal(wanted, months)
    record = GoalProgress(at.run, month_name(months[-1].month), wanted.less_churn, wanted.months, found.state.value,
                          found.before, found.why)  # fmt: skip
    if _is_new(record, known.goal(at.ledger)):
        at.ledger.add(record)


def measure_campaigns(at: Workspace) -> None:
    """Record what became of the customers of each campaign, where something is new."""
    found = campaigning.count(at)
    if found is None:
        return
    before = {(each.action, each.month): each for each in known.campaign_effects(at.ledger)}
    worth, alike = _values(at, found), found.alike
    records = [
        _record(at.run, each, worth.get((each.action, each.month)), alike.get((each.action, each.month)))
        for each in found.campaigns
    ]
    at.ledger.add_all(each for each in records if _is_new(each, before.get((each.action, each.month))))


def _values(at: Workspace, found: Counted) -> dict[tuple[str, str], float]:
    """Return by action and month what a treated customer is worth; nothing where the customers' rows do not say."""
    value = at.home.settings.valued
    if value is None:
        return {}
    if value.column is None:
        return {(each.action, each.month): (value.amount or 0.0) * value.factor for each in found.campaigns}
    column = at.schema.columns.get(value.column)
    if column is None or column.type not in NUMBERS:
        return {}  # a feature made of sources; that there is no such column at all is said where customers are sorted
    means = campaigns.values(at.schema, at.engine, found.timed, value.column)
    return {each: round(mean * value.factor, _DECIMALS) for each, mean in means.items()}


def _record(run: int, found: Campaign, value: float | None, before: Alike | None) -> CampaignEffect:
    told, treated, control = effect(found, value=value, before=before), found.treated, found.control
    return CampaignEffect(
        run, found.action, found.month, treated.customers, control.customers, treated.known, control.known,
        treated.churned, control.churned, found.contradicting, int(found.is_over),
        *_parts(told.less_churn), *_parts(told.saved), told.note, value, *_parts(told.money),
    )  # fmt: skip


def _parts(found: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if found is None else (found.value, found.low, found.high)

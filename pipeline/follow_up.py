"""The steps that look at what came of customers: the monthly rate and the goal, and whether campaigns worked.

Only what is other than the ledger's newest is recorded, so a step that is done again does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from churnwatch.pipeline import campaigns, churn_rate, datasets, features
from churnwatch.pipeline.alike import Alike, Floats, compare
from churnwatch.pipeline.campaigns import CAMPAIGNS, Campaign
from churnwatch.pipeline.churn_rate import month_name
from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.effects import effect
from churnwatch.pipeline.engine import name, timestamp
from churnwatch.pipeline.holdout import dated_ahead
from churnwatch.pipeline.ledger import customers as customers_of
from churnwatch.pipeline.ledger import follow_up as known
from churnwatch.pipeline.proportions import Interval
from churnwatch.pipeline.records import CampaignEffect, CohortMonth, GoalProgress, MonthlyChurn
from churnwatch.pipeline.schema import NUMBERS
from churnwatch.pipeline.workspace import Workspace

_DECIMALS = 6  # of means: a sum in another order is no news


def count_churn(at: Workspace) -> None:
    """Record the monthly rate, the cohorts and how the goal stands, where that can be told and something is new."""
    customers = _customers(at)
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


def _customers(at: Workspace) -> str | None:
    """Return what stands after FROM to read the customers' rows without features; None before there are any.

    Rows that are dated ahead are left out: one mistyped year would else be the newest month.
    """
    parts = datasets.paths(at.home, at.ledger)
    if not parts:
        return None
    found = features.dataset(at.schema, at.engine, parts, key=at.home.settings.latest_key)
    if at.schema.date is None:
        return found
    date = name(at.schema.date)
    return f"(SELECT * FROM {found} d WHERE {date} IS NULL OR {date} < {timestamp(dated_ahead(at.began))})"


def measure_campaigns(at: Workspace) -> None:
    """Record what became of the customers of each campaign, where something is new."""
    given, parts, customers = (
        at.home.settings.campaigning,
        datasets.paths(at.home, at.ledger, CAMPAIGNS),
        _customers(at),
    )
    if given is None or not parts or customers is None:
        return
    timed = _timed(at, customers)
    found = campaigns.outcomes(at.schema, at.engine, parts, timed, given)
    before = {(each.action, each.month): each for each in known.campaign_effects(at.ledger)}
    worth, alike = _values(at, timed, found), _alike(at, found)
    records = [
        _record(at.run, each, worth.get((each.action, each.month)), alike.get((each.action, each.month)))
        for each in found
    ]
    at.ledger.add_all(each for each in records if _is_new(each, before.get((each.action, each.month))))


def _values(at: Workspace, timed: str, found: list[Campaign]) -> dict[tuple[str, str], float]:
    """Return by action and month what a treated customer is worth; nothing where the customers' rows do not say."""
    value = at.home.settings.valued
    if value is None:
        return {}
    if value.column is None:
        return {(each.action, each.month): (value.amount or 0.0) * value.factor for each in found}
    column = at.schema.columns.get(value.column)
    if column is None or column.type not in NUMBERS:
        return {}  # a feature made of sources; that there is no such column at all is said where customers are sorted
    means = campaigns.values(at.schema, at.engine, timed, value.column)
    return {each: round(mean * value.factor, _DECIMALS) for each, mean in means.items()}


def _alike(at: Workspace, found: list[Campaign]) -> dict[tuple[str, str], Alike | None]:
    """Return by action and month how alike both sides were, by the last predictions before each customer's action."""
    if not any(each.treated.customers and each.control.customers for each in found):
        return {}
    rows = campaigns.members(at.schema, at.engine).to_pandas()
    rows["probability"] = _probabilities(at, rows["id"].astype(str), rows["since"].to_numpy())
    rows = rows.dropna(subset="probability").sort_values("probability")  # sums in one order only
    return {
        (str(action), str(month)): compare(*(own.loc[own["treated"] == side, "probability"].to_numpy()
                                             for side in (True, False)))
        for (action, month), own in rows.groupby(["action", "month"])
    }  # fmt: skip


def _probabilities(at: Workspace, ids: pd.Series, since: npt.NDArray[np.datetime64]) -> Floats:
    """Return the probability of leaving as last predicted before a time, shape (n,); nan where it was not."""
    made = customers_of.predictions(at.ledger)
    times = np.array([from_iso(row["at"]).replace(tzinfo=None) for row in made], dtype="datetime64[us]")
    last = np.searchsorted(times, since, side="left") - 1
    found = np.full(len(ids), np.nan)
    for index in np.unique(last[last >= 0]):
        own = last == index
        found[own] = _predicted(at.home.predictions / made[index]["path"], ids[own])
    return found


def _predicted(path: Path, ids: pd.Series) -> Floats:
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowInvalid):
        return np.full(len(ids), np.nan)  # what is gone tells nothing
    places = pc.index_in(pa.array(ids), value_set=table.column(0).combine_chunks().cast(pa.string()))
    return np.asarray(table["probability"].combine_chunks().take(places).to_numpy(zero_copy_only=False))


def _timed(at: Workspace, customers: str) -> str:
    """Return what stands after FROM to read the customers' rows with their time: the date, or when their run began."""
    if at.schema.date is not None:
        return f"(SELECT r.*, r.{name(at.schema.date)} AS {campaigns.TIME} FROM {customers} r)"
    arrivals = {batch: from_iso(when).replace(tzinfo=None) for batch, when in known.arrivals(at.ledger)}
    at.engine.table("arrivals", pa.table({
        "_batch": pa.array(list(arrivals), pa.int64()),
        "_cw_at": pa.array(list(arrivals.values()), pa.timestamp("us")),
    }))  # fmt: skip
    return f"(SELECT r.*, a._cw_at AS {campaigns.TIME} FROM {customers} r JOIN arrivals a ON a._batch = r._batch)"


def _record(run: int, found: Campaign, value: float | None, before: Alike | None) -> CampaignEffect:
    told, treated, control = effect(found, value=value, before=before), found.treated, found.control
    return CampaignEffect(
        run, found.action, found.month, treated.customers, control.customers, treated.known, control.known,
        treated.churned, control.churned, found.contradicting, int(found.is_over),
        *_parts(told.less_churn), *_parts(told.saved), told.note, value, *_parts(told.money),
    )  # fmt: skip


def _parts(found: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if found is None else (found.value, found.low, found.high)

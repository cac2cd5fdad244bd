"""Customers' rows → who left in which month: the monthly rate, the retention of cohorts, and what a rate comes to.

The monthly rate is those who left in a month by those who were active in it: who has a labelled row of that month. A
cohort is all who were first seen in a month. Where customers are seen no more without having left, nothing is known of
them from then on, so retention is estimated month by month from those who are there.
Source: Kaplan and Meier, Nonparametric estimation from incomplete observations, JASA 53 (1958).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from churnwatch.pipeline import cells
from churnwatch.pipeline.engine import Engine, name
from churnwatch.pipeline.proportions import Interval, difference, share
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings_campaigns import Goal

YEAR = 12
_FEWEST_BEFORE = 2  # months, of which the first of all does not count
_DOUBT = 0.05  # that one of the months of a goal is told wrongly


@dataclass(frozen=True, order=True)
class CohortCount:
    """The customers of one cohort in one month; both are counted from year 0."""

    cohort: int
    month: int
    active: int
    churned: int


@dataclass(frozen=True)
class MonthCount:
    """All customers of one month."""

    month: int
    active: int
    churned: int

    @property
    def rate(self) -> Interval:
        """The share who left."""
        return share(self.churned, self.active)


class GoalState(StrEnum):
    """How a goal stands."""

    MET = "met"
    NOT_MET = "not met"
    NO_EVIDENCE = "no evidence"


def month_name(month: int) -> str:
    """Return a month as people write it: 2026-03."""
    return f"{month // YEAR:04d}-{month % YEAR + 1:02d}"


def month_number(month: str) -> int:
    """Return the number of a month as people write it."""
    year, _, number = month.partition("-")
    return int(year) * YEAR + int(number) - 1


def count(main: Schema, engine: Engine, customers: str) -> list[CohortCount]:
    """Count active customers and those who left, by the month of their first row and the month of the row.

    Who is said to have left in several months one after the other left in the first of them, and was not active later.

    Args:
        main: the columns of the customers' rows, with id and date.
        engine: where the rows are.
        customers: what stands after FROM to read them.
    """
    key, date = name(main.id or ""), name(main.date or "")
    month = f"CAST(EXTRACT(YEAR FROM {date}) * {YEAR} + EXTRACT(MONTH FROM {date}) - 1 AS BIGINT)"
    over = f"OVER (PARTITION BY {key} ORDER BY _cw_month)"
    by_customer = (
        f"SELECT {key}, _cw_month, _y, min(_cw_month) {over} AS _cw_cohort, lag(_y) {over} AS _cw_before,"
        f" lag(_cw_month) {over} AS _cw_last FROM (SELECT {key}, _cw_month, max(_y) AS _y FROM"
        f" (SELECT {key}, {month} AS _cw_month, {cells.label(main)} AS _y FROM {customers} r"
        f" WHERE {key} IS NOT NULL AND {date} IS NOT NULL) l WHERE _y IS NOT NULL GROUP BY {key}, _cw_month) m"
    )
    again = "_y = 1 AND _cw_before = 1 AND _cw_last = _cw_month - 1"
    found = engine.rows(
        f"SELECT _cw_cohort, _cw_month, count(*), CAST(sum(_y) AS BIGINT) FROM ({by_customer}) c"
        f" WHERE NOT coalesce({again}, false) GROUP BY _cw_cohort, _cw_month ORDER BY _cw_cohort, _cw_month"
    )
    return [CohortCount(*row) for row in found]


def by_month(cohorts: Iterable[CohortCount]) -> list[MonthCount]:
    """Add the cohorts up, the first month first."""
    active: dict[int, int] = defaultdict(int)
    churned: dict[int, int] = defaultdict(int)
    for each in cohorts:
        active[each.month] += each.active
        churned[each.month] += each.churned
    return [MonthCount(month, active[month], churned[month]) for month in sorted(active)]


def retention(cohort: Iterable[CohortCount]) -> list[tuple[int, float]]:
    """Return which share of one cohort is left after each month, given by its number of months from the first."""
    left, curve = 1.0, []
    for each in sorted(cohort):
        left *= 1 - each.churned / each.active
        curve.append((each.month - each.cohort + 1, left))
    return curve


def recent(months: Sequence[MonthCount]) -> MonthCount:
    """Return the last year of months added up, under the name of the newest; the months begin with the first of all.

    That one is left out where there are others: whoever was gone before it may count in it, too.
    """
    months = months[1:] or months
    last = [each for each in months if each.month > months[-1].month - YEAR]
    return MonthCount(last[-1].month, sum(each.active for each in last), sum(each.churned for each in last))


def in_a_year(customers: int, rate: float, changes: Sequence[float]) -> dict[float, int]:
    """Return how many of today's customers are left in a year where the monthly rate changes by so much."""
    return {change: round(customers * (1 - min(max(rate + change, 0.0), 1.0)) ** YEAR) for change in changes}


@dataclass(frozen=True)
class GoalFound:
    """How a goal stands in the newest months.

    Attributes:
        state: whether it is met.
        before: the rate that it is held against; None where there are no months before.
        less: by how much less customers left, by month.
        why: in words.
    """

    state: GoalState
    before: float | None
    less: Mapping[int, Interval]
    why: str


def goal(wanted: Goal, months: Sequence[MonthCount]) -> GoalFound:
    """Hold the newest months against those of the year before them, without the first of all (see `recent`).

    It is met where each of the months is beyond doubt so much below, not met where one of them is beyond doubt not, and
    else there is no evidence. All intervals hold together in 95 % of the cases (Bonferroni).
    """
    newest, former = months[-wanted.months :], months[: -wanted.months]
    if len(former) < _FEWEST_BEFORE:
        return GoalFound(GoalState.NO_EVIDENCE, None, {}, f"it takes {wanted.months} month(s) and two before them")
    if newest[-1].month - newest[0].month != wanted.months - 1:
        return GoalFound(GoalState.NO_EVIDENCE, None, {}, "the newest months do not follow each other")
    before, level = recent(former), 1 - _DOUBT / wanted.months
    less = {
        each.month: difference((before.churned, before.active), (each.churned, each.active), level=level)
        for each in newest
    }
    return _told(wanted, before.churned / before.active, less)


def _told(wanted: Goal, before: float, less: Mapping[int, Interval]) -> GoalFound:
    points = 100 * wanted.less_churn
    missed = [month for month, found in less.items() if found.high < wanted.less_churn]
    if missed:
        why = f"in {month_name(missed[0])} the rate was beyond doubt less than {points:g} points below"
        return GoalFound(GoalState.NOT_MET, before, less, why)
    if all(found.low >= wanted.less_churn for found in less.values()):
        why = f"in each of {len(less)} months the rate was beyond doubt {points:g} points below or more"
        return GoalFound(GoalState.MET, before, less, why)
    return GoalFound(GoalState.NO_EVIDENCE, before, less, "the customers are too few to tell it from chance")

"""`churn`: the monthly rate, cohorts, what the rate comes to in a year, and the goal, as values and in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from churnwatch.daemon.listings import table
from churnwatch.pipeline import churn_rate
from churnwatch.pipeline.churn_rate import CohortCount, MonthCount, month_number
from churnwatch.pipeline.ledger import follow_up
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.metrics import minus
from churnwatch.pipeline.records import CohortMonth

CHANGES = (-0.03, -0.02, -0.01, 0.0, 0.01)
_AGES = (1, 2, 3, 6, 12, 24)  # months for which the table has a column


def gather(ledger: Reader) -> dict[str, Any]:
    """Return the monthly rate, the cohorts with what is left of them, the year to come, and the goal."""
    months = follow_up.monthly_churn(ledger)
    goal = follow_up.goal(ledger)
    counts = [MonthCount(month_number(each.month), each.active, each.churned) for each in months]
    return {
        "months": [asdict(each) for each in months],
        "year": _year(counts) if counts else None,
        "goal": None if goal is None else asdict(goal),
        "cohorts": _cohorts(follow_up.cohorts(ledger)),
    }


def _year(months: list[MonthCount]) -> dict[str, Any]:
    last, now = churn_rate.recent(months), months[-1].active - months[-1].churned
    rate = last.churned / last.active
    left = churn_rate.in_a_year(now, rate, CHANGES)
    return {"customers": now, "rate": rate, "left": [{"change": each, "customers": left[each]} for each in CHANGES]}


def _cohorts(rows: list[CohortMonth]) -> list[dict[str, Any]]:
    found: dict[str, list[CohortCount]] = {}
    for each in rows:
        count = CohortCount(month_number(each.cohort), month_number(each.month), each.active, each.churned)
        found.setdefault(each.cohort, []).append(count)
    return [
        {
            "cohort": cohort,
            "customers": counts[0].active,
            "left": [{"months": age, "share": share} for age, share in churn_rate.retention(counts)],
        }
        for cohort, counts in found.items()
    ]


def in_words(found: dict[str, Any]) -> str:
    """Return all of it as tables."""
    if not found["months"]:
        return "No monthly churn yet: it takes labelled rows with `id` and `date` (see docs/churn.md)."
    left = f"What is left of those who were first seen in a month\n{_left(found['cohorts'])}"
    goal = [] if found["goal"] is None else [_goal(found["goal"])]
    return "\n\n".join([_months(found["months"]), left, _in_a_year(found["year"]), *goal])


def _in_a_year(year: dict[str, Any]) -> str:
    rows = ((minus(f"{100 * each['change']:+g} points"), f"{each['customers']:,}") for each in year["left"])
    return (
        f"Of today's {year['customers']:,} customers in a year, at {year['rate']:.1%} a month or another rate, without"
        f" newcomers\n{table(rows, ('change of the rate', 'customers'), numbers=False)}"
    )


def _goal(goal: dict[str, Any]) -> str:
    before = "" if goal["rate_before"] is None else f" than the {goal['rate_before']:.1%} before"
    wanted = f"{100 * goal['less_churn']:g} points less{before} in {goal['months']} successive months"
    return f"Goal, {wanted}, as of {goal['month']}: {goal['state']}; {goal['why']}."


def _months(rows: list[dict[str, Any]]) -> str:
    cells = (
        (
            each["month"],
            f"{each['active']:,}",
            f"{each['churned']:,}",
            *(f"{each[n]:.1%}" for n in ("rate", "low", "high")),
        )
        for each in rows
    )
    return table(cells, ("month", "active", "left", "rate", "from", "to (95 %)"), numbers=False)


def _left(cohorts: list[dict[str, Any]]) -> str:
    ages = [age for age in _AGES if any(each["months"] == age for row in cohorts for each in row["left"])]
    cells = []
    for row in cohorts:
        share = {each["months"]: f"{each['share']:.0%}" for each in row["left"]}
        cells.append((row["cohort"], f"{row['customers']:,}", *(share.get(age) for age in ages)))
    return table(cells, ("first seen", "customers", *(f"{age} mo" for age in ages)), numbers=False)

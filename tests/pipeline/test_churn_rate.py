from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnwatch.pipeline import churn_rate
from churnwatch.pipeline.churn_rate import CohortCount, GoalState, MonthCount, goal, month_name, month_number
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings_campaigns import Goal

MARCH = month_number("2026-03")


def test_months_are_named_and_numbered() -> None:
    assert month_name(month_number("2025-12") + 1) == "2026-01"


def test_customers_are_counted_once_a_month_by_the_month_in_which_they_were_first_seen(
    engine: DuckDB, make_schema: Callable[..., Schema]
) -> None:
    schema = make_schema({"id": "text", "day": "date", "n": "number", "left": "text"}, id="id", date="day")
    rows = [
        ("a", "2026-01-03", "no"), ("a", "2026-01-31", "yes"),
        ("b", "2026-01-03", "no"), ("b", "2026-03-01", "yes"),
        ("c", "2026-03-31", "no"), ("c", "2026-02-01", None),
        (None, "2026-03-01", "yes"), ("d", None, "yes"), ("a", "2026-02-01", "yes"),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["id", "day", "left"])
    table = pa.table({
        "id": pa.array([row[0] for row in rows], pa.string()),
        "day": pa.array(pd.to_datetime(frame["day"]), pa.timestamp("us")),
        "n": pa.array([1.0] * len(rows)),
        "left": pa.array([row[2] for row in rows], pa.string()),
    })  # fmt: skip
    engine.table("rows_there", table)
    assert churn_rate.count(schema, engine, "rows_there") == [
        CohortCount(MARCH - 2, MARCH - 2, 2, 1),
        CohortCount(MARCH - 2, MARCH, 1, 1),
        CohortCount(MARCH, MARCH, 1, 0),
    ]


@pytest.mark.parametrize(
    ("left", "counted"),
    [("110", [(2, 1), (1, 0), (2, 0)]), ("011", [(2, 0), (2, 1), (1, 0)]), ("1 1", [(2, 1), (1, 0), (2, 1)])],
)
def test_who_leaves_in_several_months_on_end_left_once(
    left: str, counted: list[tuple[int, int]], engine: DuckDB, make_schema: Callable[..., Schema]
) -> None:
    schema = make_schema({"id": "text", "day": "date", "n": "number", "left": "text"}, id="id", date="day")
    rows = [("a", number, "no") for number in (1, 2, 3)]
    rows += [("b", number, "yes" if said == "1" else "no") for number, said in enumerate(left, start=1) if said != " "]
    values = ", ".join(f"('{who}', TIMESTAMP '2026-0{month}-01', 1.0, '{said}')" for who, month, said in rows)
    engine.table("rows_there", f'SELECT * FROM (VALUES {values}) v (id, day, n, "left")')
    found = churn_rate.by_month(churn_rate.count(schema, engine, "rows_there"))
    assert [(each.active, each.churned) for each in found] == counted


COUNTS = [CohortCount(1, 1, 100, 10), CohortCount(1, 2, 80, 20), CohortCount(2, 2, 50, 0), CohortCount(1, 4, 40, 10)]


def test_months_add_their_cohorts_up() -> None:
    assert churn_rate.by_month(COUNTS) == [MonthCount(1, 100, 10), MonthCount(2, 130, 20), MonthCount(4, 40, 10)]


def test_retention_counts_those_who_are_seen_no_more_as_long_as_they_are_there() -> None:
    found = churn_rate.retention([each for each in COUNTS if each.cohort == 1])
    assert found == [(1, pytest.approx(0.9)), (2, pytest.approx(0.9 * 0.75)), (4, pytest.approx(0.9 * 0.75 * 0.75))]


def test_a_lower_rate_keeps_more_customers_in_a_year() -> None:
    assert churn_rate.in_a_year(1000, 0.05, [-0.1, -0.02, 0.0]) == {-0.1: 1000, -0.02: 694, 0.0: 540}


def _months(*rates: float, active: int = 20_000) -> list[MonthCount]:
    return [MonthCount(number, active, round(active * rate)) for number, rate in enumerate(rates, start=MARCH)]


WANTED = Goal(less_churn=0.02, months=3)


@pytest.mark.parametrize(
    ("rates", "state"),
    [
        ((0.26, 0.26, 0.22, 0.22, 0.22), GoalState.MET),
        ((0.26, 0.26, 0.22, 0.22, 0.255), GoalState.NOT_MET),
        ((0.26, 0.26, 0.22, 0.22, 0.24), GoalState.NO_EVIDENCE),
        ((0.22, 0.22, 0.22), GoalState.NO_EVIDENCE),
    ],
)
def test_a_goal_is_met_not_met_or_cannot_be_told(rates: tuple[float, ...], state: GoalState) -> None:
    assert goal(WANTED, _months(*rates)).state is state


def test_of_few_customers_nothing_can_be_told() -> None:
    found = goal(WANTED, _months(0.26, 0.26, 0.2, 0.2, 0.2, active=300))
    assert (found.state, found.why) == (GoalState.NO_EVIDENCE, "the customers are too few to tell it from chance")


def test_months_with_a_gap_are_not_successive() -> None:
    months = _months(0.26, 0.26, 0.22, 0.22, 0.22, 0.22)
    found = goal(WANTED, [*months[:4], months[5]])
    assert (found.state, found.why) == (GoalState.NO_EVIDENCE, "the newest months do not follow each other")


def test_the_months_are_held_against_the_year_before_them_only() -> None:
    long_ago, lately = _months(*[0.5] * 12), _months(*[0.26] * 15)
    months = [*long_ago, *(MonthCount(each.month + 12, each.active, each.churned) for each in lately)]
    assert goal(WANTED, months).before == pytest.approx(0.26)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1)), min_size=1, max_size=20), st.integers(1, 5))
def test_a_goal_always_stands_somehow(counts: list[tuple[int, float]], wanted: int) -> None:
    months = [MonthCount(number, active, round(active * rate)) for number, (active, rate) in enumerate(counts)]
    found = goal(Goal(less_churn=0.02, months=wanted), months)
    assert (found.state is GoalState.MET) <= all(each.low >= 0.02 for each in found.less.values())

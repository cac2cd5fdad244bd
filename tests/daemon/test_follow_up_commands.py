from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import CampaignEffect, GoalProgress
from churnwatch.pipeline.settings import Home

Churnwatch = Callable[..., Any]
TOLD = (0.08, 0.03, 0.13)
SAVED = (40.0, 15.0, 65.0)
NOTHING = (None, None, None)
CAMPAIGNS = (
    CampaignEffect(1, "call", "2026-03", 510, 500, 500, 500, 60, 100, 0, 0, *NOTHING, *NOTHING, "so far"),
    CampaignEffect(
        2, "call", "2026-03", 510, 500, 500, 500, 60, 100, 0, 1, *TOLD, *SAVED, None, 100.0, 4000.0, 1500.0, 6500.0
    ),
    CampaignEffect(2, "letter", "2026-02", 90, 0, 0, 0, 0, 0, 0, 1, *NOTHING, *NOTHING, "no control: nothing"),
)


@pytest.fixture
def followed(own: Home) -> Home:
    with Ledger.open(own.ledger) as ledger:
        ledger.add(*CAMPAIGNS)
        ledger.add(GoalProgress(2, "2026-03", 0.02, 3, "no evidence", 0.26, "the customers are too few"))
    return own


def _cells(line: str) -> list[str]:
    return [cell for cell in line.split("  ") if cell]


def test_campaigns_are_shown_as_they_are_known_now(churnwatch: Churnwatch, followed: Home) -> None:
    lines = churnwatch("campaigns", home=followed).out.splitlines()
    assert [cell.strip() for cell in _cells(lines[2])] == ["2026-02", "letter", "90", "0", "no control: nothing"]
    assert [cell.strip() for cell in _cells(lines[3])] == [
        "2026-03", "call", "510", "12.0%", "500", "20.0%", "8.0 (3.0 to 13.0)", "40 (15 to 65)",
        "4,000 (1,500 to 6,500)",
    ]  # fmt: skip
    assert lines[4:] == ["Money: a customer who stays counts 100."]


def test_a_value_that_is_given_goes_before_that_of_the_settings(churnwatch: Churnwatch, followed: Home) -> None:
    plain = json.loads(churnwatch("campaigns", "--json", home=followed).out)
    worth = json.loads(churnwatch("campaigns", "--json", "--value", "10", home=followed).out)
    assert [row["action"] for row in plain] == ["letter", "call"]
    assert [row["money"] for row in plain] == [None, 4000.0]
    assert [row["money"] for row in worth] == [None, 400.0]
    assert "counts 240.\n" in churnwatch("campaigns", "--value", "240", home=followed).out


def test_a_value_of_nothing_is_refused(churnwatch: Churnwatch, followed: Home) -> None:
    assert churnwatch("campaigns", "--value", "0", home=followed).code == 2


def test_a_home_without_campaigns_says_how_to_name_them(churnwatch: Churnwatch, worked: Home) -> None:
    assert churnwatch("campaigns", home=worked).out.startswith("No campaigns yet: name their files with `campaigns`")


def test_churn_is_shown_by_month_and_cohort_with_the_year_and_the_goal(churnwatch: Churnwatch, followed: Home) -> None:
    out = churnwatch("churn", home=followed).out
    found = json.loads(churnwatch("churn", "--json", home=followed).out)
    assert [(row["month"], row["active"]) for row in found["months"]] == [("2026-01", 300), ("2026-03", 300)]
    for row in found["months"]:
        assert row["rate"] == pytest.approx(row["churned"] / row["active"])
        assert f"{row['rate']:.1%}" in out
    first = found["cohorts"][0]
    assert (first["cohort"], first["left"][0]["months"]) == ("2026-01", 1)
    assert first["left"][0]["share"] == pytest.approx(1 - found["months"][0]["rate"])
    year = found["year"]
    assert year["customers"] == 300 - found["months"][-1]["churned"]
    left = [each["customers"] for each in year["left"]]
    assert left == sorted(left, reverse=True)
    assert out.splitlines()[-1] == (
        "Goal, 2 points less than the 26.0% before in 3 successive months, as of 2026-03: no evidence;"
        " the customers are too few."
    )

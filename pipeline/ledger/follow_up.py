"""Questions to the ledger about what came of customers: the monthly rate, cohorts, the goal, campaigns.

Of each month, cohort and campaign the newest row counts; the older ones say what was known before.
"""

from __future__ import annotations

from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import CampaignEffect, CohortMonth, GoalProgress, MonthlyChurn


def monthly_churn(ledger: Reader) -> list[MonthlyChurn]:
    """Return the rate of each month, the first one first."""
    return [MonthlyChurn(**row) for row in ledger.rows("SELECT * FROM churn_by_month ORDER BY month")]


def cohorts(ledger: Reader) -> list[CohortMonth]:
    """Return the customers of each cohort in each month, in their order."""
    return [CohortMonth(**row) for row in ledger.rows("SELECT * FROM cohorts_by_month ORDER BY cohort, month")]


def goal(ledger: Reader) -> GoalProgress | None:
    """Return how the goal stood last; None before it was ever looked at."""
    found = goals(ledger)
    return found[-1] if found else None


def goals(ledger: Reader) -> list[GoalProgress]:
    """Return how the goal stood whenever that changed, oldest first."""
    return [GoalProgress(**row) for row in ledger.rows("SELECT * FROM goal_progress ORDER BY run")]


def campaign_effects(ledger: Reader) -> list[CampaignEffect]:
    """Return what came of each campaign, the oldest first."""
    found = ledger.rows("SELECT * FROM campaign_results ORDER BY month, action")
    return [CampaignEffect(**row) for row in found]


def arrivals(ledger: Reader) -> list[tuple[int, str]]:
    """Return by batch when the run began that brought it."""
    found = ledger.rows("SELECT b.batch, r.created_at FROM batches b JOIN runs r USING (run) ORDER BY b.batch")
    return [(row["batch"], row["created_at"]) for row in found]

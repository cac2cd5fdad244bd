"""The frozen values that a report has of customers: buckets, whom to call, what counts, what came of it all."""

from __future__ import annotations

from dataclasses import dataclass

from churnwatch.pipeline.records import (
    Bucket,
    Bucketing,
    BucketMove,
    Call,
    CampaignEffect,
    CohortMonth,
    Explanation,
    GoalProgress,
    MonthlyChurn,
    OfferMade,
    UpliftModel,
)
from churnwatch.pipeline.uplift_words import decided_by
from churnwatch.reports.listed import Listed


@dataclass(frozen=True, slots=True)
class Sorted:
    """How the newest run sorted the customers, who moved, what they are offered, whom to call first."""

    by: Bucketing
    buckets: tuple[Bucket, ...]
    moves: tuple[BucketMove, ...]
    offers: tuple[OfferMade, ...]
    uplift: tuple[UpliftModel, ...]  # what campaigns say of them
    calls: Listed[Call]
    why_moved: str  # into A and out of it, in words; empty where nobody knows

    @property
    def measured(self) -> set[str]:
        """The offers of which uplift models decide to whom they are made."""
        return {each.offer for each in self.uplift if each.decides}

    @property
    def deciding(self) -> list[str]:
        """What decides to whom each offer is made that campaigns say something of, a sentence each."""
        rates = {each.offer: each.save_rate for each in self.offers}
        return [decided_by(each, has_save_rate=rates[each.offer] is not None) for each in self.uplift]

    @property
    def urgent(self) -> Bucket | None:
        """Bucket A."""
        return next((each for each in self.buckets if each.bucket == "A"), None)

    def moved(self, came_from: str | None, to: str | None) -> int:
        """Return how many customers went from one bucket to another; None: were not there, or are gone."""
        return sum(each.customers for each in self.moves if (each.from_bucket, each.to_bucket) == (came_from, to))


@dataclass(frozen=True, slots=True)
class ImportanceRow:
    """How much a column counts in the model in use, and in the champion before it."""

    column: str
    mean_absolute: float | None
    permutation: float | None
    low: float | None
    high: float | None
    former: float | None


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why the model says what it says."""

    explanation: Explanation
    rows: Listed[ImportanceRow]
    former_version: int | None


@dataclass(frozen=True, slots=True)
class Earning:
    """What an offer would have earned on the holdout by threshold, at the median customer's value."""

    offer: str
    value: float
    profits: tuple[float, ...]  # of each cut of the curves, per thousand customers


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of customers: by month, by cohort, against the goal, and of campaigns."""

    months: tuple[MonthlyChurn, ...]
    cohorts: tuple[CohortMonth, ...]
    goal: GoalProgress | None
    campaigns: tuple[CampaignEffect, ...]

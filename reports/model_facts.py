"""The frozen values that a report has of models: who serves, how good it is, which versions there were."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from churnwatch.pipeline.coverage import Coverage, Expected
from churnwatch.pipeline.records import Champion, Curve
from churnwatch.reports.listed import Listed


@dataclass(frozen=True, slots=True)
class Serving:
    """The champion and how it came to serve."""

    champion: Champion
    how: str
    actor: str
    pinned_why: str | None


@dataclass(frozen=True, slots=True)
class Point:
    """What one run says about the headline metric."""

    run: int
    at: str
    in_use: float | None  # the champion on the run's new batches, before anything learned from them
    in_use_low: float | None  # of its 90 % interval; None of amounts
    in_use_high: float | None
    in_use_rows: int
    in_use_baseline: float | None  # what the dummy that looks at nothing has on the same rows
    in_use_version: int | None
    holdout: float | None  # the candidate
    baseline: float | None
    candidate: int | None
    decision: str | None
    promotes: bool


@dataclass(frozen=True, slots=True)
class Matrix:
    """A model's decisions against what happened."""

    version: int
    run: int
    true_negatives: int
    false_positives: int
    false_negatives: int
    true_positives: int

    @property
    def rows(self) -> int:
        """All of them."""
        return self.true_negatives + self.false_positives + self.left

    @property
    def left(self) -> int:
        """Those who left."""
        return self.false_negatives + self.true_positives

    @property
    def named(self) -> int:
        """Those of whom the model said that they leave."""
        return self.false_positives + self.true_positives


@dataclass(frozen=True, slots=True)
class Gap:
    """By how much a metric is better on the rows that were learned from than on the holdout, with a 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TenthRow:
    """A tenth of the holdout by expected amount, the highest first."""

    tenth: int
    rows: int
    expected: float
    real: float


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric of the champion, with what to hold it against."""

    key: str
    name: str
    meaning: str
    holdout: float | None
    train: float | None
    baseline: float | None
    gap: Gap | None


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the champion is."""

    metrics: tuple[MetricRow, ...]
    matrix: Matrix | None
    history: Listed[Point]  # oldest first, thinned out to the newest
    groups: Listed[GroupRow]
    tenths: tuple[TenthRow, ...] = ()  # where amounts are predicted
    curves: Curves | None = None  # where classes are

    def holdout(self, key: str) -> float | None:
        """Return a metric of the champion on the holdout."""
        return next((row.holdout for row in self.metrics if row.key == key), None)

    @property
    def newest_in_use(self) -> Point | None:
        """The newest run whose new batches were predicted before anything learned from them."""
        return next((point for point in reversed(self.history.shown) if point.in_use is not None), None)


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """What is expected of the model on one request, whose labels nobody knew."""

    f1: Expected
    roc_auc: Expected | None  # None where one kind of customer only was to be expected


@dataclass(frozen=True, slots=True)
class Estimates:
    """What is expected of requests, and how often such estimates held the truth."""

    requests: Listed[EstimateRow]
    f1: Coverage
    roc_auc: Coverage


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One model version."""

    version: int
    run: int
    estimator: str
    created_at: str
    train_rows: int
    threshold: float
    holdout: float | None
    decision: str | None


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """One stretch of time in which a version served."""

    version: int
    estimator: str
    from_at: str
    until_at: str | None
    how: str
    actor: str
    why: str | None


_FIRM = 10  # rows


@dataclass(frozen=True, slots=True)
class Bin:
    """A group of holdout rows by probability: what was expected of it and what came, with a 90 % interval."""

    rows: int
    expected: float
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curves:
    """What the curves of a model are drawn from: the holdout rows above some thresholds, the highest first."""

    version: int
    run: int
    threshold: float
    cuts: tuple[Curve, ...]
    bins: tuple[Bin, ...]

    @property
    def rows(self) -> int:
        """All of them."""
        return self.cuts[-1].rows

    @property
    def leavers(self) -> int:
        """Those who left."""
        return self.cuts[-1].leavers

    @property
    def prevalence(self) -> float:
        """The share who left."""
        return self.leavers / self.rows

    @property
    def place(self) -> int:
        """The cut that stands for the threshold in use: the last one at or above it."""
        return max(0, sum(cut.threshold >= self.threshold for cut in self.cuts) - 1)

    @property
    def firm(self) -> slice:
        """The cuts with so many rows that their precision says something."""
        return slice(next((place for place, cut in enumerate(self.cuts) if cut.rows >= _FIRM), 0), None)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Of the cuts."""
        return tuple(cut.threshold for cut in self.cuts)

    @property
    def called(self) -> tuple[float, ...]:
        """Shares of the rows above each threshold; the first is nobody."""
        return (0.0, *(cut.rows / self.rows for cut in self.cuts))

    @property
    def recalls(self) -> tuple[float, ...]:
        """Shares of the leavers above each threshold; the first is nobody."""
        return (0.0, *(cut.leavers / self.leavers for cut in self.cuts))

    @property
    def false_positive_rates(self) -> tuple[float, ...]:
        """Shares of those who stayed above each threshold; the first is nobody."""
        return (0.0, *((cut.rows - cut.leavers) / (self.rows - self.leavers) for cut in self.cuts))

    @property
    def precisions(self) -> tuple[float, ...]:
        """Of those above each threshold the share who left."""
        return tuple(cut.leavers / cut.rows for cut in self.cuts)

    @property
    def f1(self) -> tuple[float, ...]:
        """F1 of each threshold."""
        return tuple(2 * cut.leavers / (cut.rows + self.leavers) for cut in self.cuts)

    def reached(self, share: float) -> float:
        """Return what share of the leavers is reached by calling this share of the rows, the likeliest first."""
        place = bisect.bisect_left(self.called, share)
        (x, far), (y, reached) = self.called[place - 1 : place + 1], self.recalls[place - 1 : place + 1]
        return y + (reached - y) * (share - x) / (far - x)


@dataclass(frozen=True, slots=True)
class GroupRow:
    """What the model says of customers with one value of a column, with 90 % intervals."""

    column: str
    value: str
    rows: int
    left: float  # the share who left
    named: float  # the share of whom the model said so
    f1: float | None  # None where nobody left and nobody was named
    low: float | None
    high: float | None

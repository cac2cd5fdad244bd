"""All that was measured of an experiment, and the records that the ledger keeps of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from churnwatch.pipeline import overfitting
from churnwatch.pipeline.learning_curve import Point
from churnwatch.pipeline.overfitting import Estimate
from churnwatch.pipeline.records import ExperimentMetric
from churnwatch.pipeline.train import Candidate


@dataclass(frozen=True)
class Split:
    """Metrics on one set of rows; some have an interval."""

    rows: int
    values: Mapping[str, float]
    intervals: Mapping[str, Estimate] = field(default_factory=dict)

    @classmethod
    def of_intervals(cls, rows: int, found: Mapping[str, Estimate]) -> Split:
        """Return metrics that all have an interval."""
        return cls(rows, {metric: each.value for metric, each in found.items()}, found)


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        train: on the rows that were learned from.
        holdout: on those that judge.
        sentence: how it compares with the champion.
        champion: its metrics on the holdout.
        difference: by how much the experiment is better there.
        points: of the learning curve.
    """

    train: Split
    holdout: Split
    sentence: str
    champion: Split
    difference: Split
    points: tuple[Point, ...] = ()

    @property
    def gap(self) -> Split:
        """By how much it is better on the rows that it learned from."""
        return Split.of_intervals(self.holdout.rows, overfitting.gaps(self.train.intervals, self.holdout.intervals))

    def warning(self, estimator: str, most: float) -> str | None:
        """Say that it has learned its rows by heart, where the gap is more than `most` beyond doubt."""
        gap = self.gap.intervals.get("f1")
        if gap is None:
            return None
        on_train, on_holdout = self.train.values["f1"], self.holdout.values["f1"]
        return overfitting.warning("the model", estimator, on_train, on_holdout, gap, most)


def records(number: int, found: Measured, candidate: Candidate, tuned_for: str) -> Iterator[ExperimentMetric]:
    """Yield what the ledger keeps; `tuned_for` is the metric of the cross-validation."""
    yield from _of(number, "candidate", "train", found.train)
    yield from _of(number, "candidate", "holdout", found.holdout)
    yield from _of(number, "candidate", "gap", found.gap)
    yield from _of(number, "champion", "holdout", found.champion)
    yield from _of(number, "difference", "holdout", found.difference)
    for each in candidate.comparisons:
        yield ExperimentMetric(number, each.estimator, "cross_validation", None, tuned_for, each.value, None, None,
                               each.standard_error, candidate.rows)  # fmt: skip
    for point in found.points:
        for name, measured, rows in (
            ("train", point.train, point.rows),
            ("holdout", point.holdout, found.holdout.rows),
        ):
            yield from _of(number, "candidate", name, Split.of_intervals(rows, measured), trained_on=point.rows)


def _of(
    number: int, subject: str, name: str, found: Split, trained_on: int | None = None
) -> Iterator[ExperimentMetric]:
    for metric, value in found.values.items():
        around = found.intervals.get(metric)
        low, high = (around.low, around.high) if around is not None else (None, None)
        yield ExperimentMetric(number, subject, name, trained_on, metric, value, low, high, None, found.rows)

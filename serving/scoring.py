"""`GET /scoring`: how good the release in use is, metric by metric, on which rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter

from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.metrics import HEADLINES
from churnwatch.pipeline.settings import Home, Task
from churnwatch.pipeline.shares import f1_interval
from churnwatch.serving import problems
from churnwatch.serving.predicting import in_use
from churnwatch.serving.release import Current, Release

_SPLITS = ("prequential", "realised", "holdout", "estimated", "gap", "train")
_COUNTS = ("true_positives", "false_positives", "false_negatives")


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric, and its 90 % interval where there is one."""

    name: str
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Split:
    """The metrics on one set of rows.

    Attributes:
        split: prequential: new rows, before anything learned from them; realised: a request, once its labels came;
            holdout: rows that were never learned from; estimated: new rows, without a look at their labels; gap: by how
            much it is better on the rows it learned from than on the holdout; train: the rows that it learned from;
            window: batches that came later, by a model of as long a history, where `training.window` compares.
        run: which run computed them.
        batch: which batch the rows are, where they are one.
        file: which request they are, where they are one.
        rows: how many.
    """

    split: str
    run: int
    batch: int | None
    file: int | None
    rows: int
    metrics: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Scoring:
    """How good the release in use is.

    Attributes:
        model: the version.
        estimator: what it is.
        threshold: the probability from which on it decides that somebody leaves.
        metric: the metric that people know it by: f1, or mae of amounts.
        value: of that metric, on the first of the splits.
        low: lower end of its 90 % interval.
        high: upper end of it.
        splits: the newest of every kind, prequential first.
    """

    model: str
    estimator: str
    threshold: float
    metric: str
    value: float | None
    low: float | None
    high: float | None
    splits: tuple[Split, ...]


def router(home: Home, current: Current) -> APIRouter:
    """Return the route."""
    made = APIRouter(tags=["model"])

    @made.get("/scoring", responses=problems.documented(HTTPStatus.SERVICE_UNAVAILABLE))
    def scoring() -> Scoring:
        """Say how good the release in use is."""
        release = in_use(current)
        with Reader.open(home.ledger) as ledger:
            return of_release(release, ledger)

    return made


def of_release(release: Release, ledger: Reader) -> Scoring:
    """Return what the ledger knows of how good a release is."""
    splits = _splits(ledger.newest_metrics(release.model.version))
    metric = HEADLINES[Task.REGRESSION if release.amounts else Task.CLASSIFICATION]
    found = (each for split in splits for each in split.metrics if each.name == metric)
    first = next(found, Measured(metric, None, None, None))
    return Scoring(release.name, release.model.estimator, release.threshold, metric, first.value, first.low,
                   first.high, splits)  # fmt: skip


def _splits(rows: Sequence[Row]) -> tuple[Split, ...]:
    """Return metrics split by split, the newest batch first."""
    found: dict[tuple[str, int, int | None, int | None], list[Row]] = defaultdict(list)
    for row in reversed(rows):
        found[row["split"], row["run"], row["batch"], row["file"]].insert(0, row)
    order = dict.fromkeys((*_SPLITS, *(split for split, *_ in found)))
    known = [key for split in order for key in found if key[0] == split]
    return tuple(Split(*key, found[key][0]["rows"], _measured(found[key])) for key in known)


def _measured(rows: Sequence[Row]) -> tuple[Measured, ...]:
    values = {row["name"]: row["value"] for row in rows}
    return tuple(Measured(row["name"], row["value"], *_interval(row, values)) for row in rows)


def _interval(row: Row, values: dict[str, float | None]) -> tuple[float | None, float | None]:
    """Return the interval that was recorded; that of F1 follows from counts."""
    hits, *misses = (round(values.get(name) or 0) for name in _COUNTS)
    if row["name"] == "f1" and row["low"] is None and hits + sum(misses):
        return f1_interval(hits, hits + sum(misses))
    return row["low"], row["high"]

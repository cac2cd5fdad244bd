"""The ledger → what the report says of models: who serves, how good it is, which versions there were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from churnwatch.pipeline.coverage import coverage, expected
from churnwatch.pipeline.errors import NotFoundError
from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.records import Champion, Decision
from churnwatch.pipeline.shares import f1_interval
from churnwatch.reports import curves_part
from churnwatch.reports.listed import Listed
from churnwatch.reports.model_facts import (
    EstimateRow,
    Estimates,
    Gap,
    Matrix,
    MetricRow,
    Point,
    Quality,
    ReleaseRow,
    Serving,
    TenthRow,
    VersionRow,
)

MOST_RUNS = 60
MOST_VERSIONS = 60
MOST_REQUESTS = 12

_HOW = {
    "first": "released as the first model",
    "promoted": "promoted by the gate",
    "refreshed": "refreshed on newer data",
    "manual": "released by hand",
    "rollback": "rolled back to",
}
_CELLS = ("true_negatives", "false_positives", "false_negatives", "true_positives")
METRIC_WORDS = {
    "f1": ("F1", "precision and recall in one number; 1 is perfect"),
    "precision": ("Precision", "of those it names, the share who leave"),
    "recall": ("Recall", "of those who leave, the share it names"),
    "accuracy": ("Accuracy", "the share of right answers; high wherever few leave"),
    "roc_auc": ("ROC AUC", "how well it ranks; 0.5 is a coin, 1 is perfect"),
    "average_precision": ("Average precision", "precision over all thresholds"),
    "precision_at_capacity": ("Precision at capacity", "of as many as can be called, the share who leave"),
    "lift_at_capacity": ("Lift at capacity", "how many times better than calling at random"),
    "log_loss": ("Log loss", "how wrong the probabilities are; lower is better"),
    "brier": ("Brier score", "mean squared error of the probabilities; lower is better"),
    "mae": ("Mean absolute error", "by how much it is off on average, either way; lower is better"),
    "mape": ("Mean absolute percentage error", "the same as a share of the amount, where that is not 0"),
    "rmse": ("Root mean squared error", "the same where large errors count more; lower is better"),
    "r2": ("R²", "the share of the differences between customers that it knows; 0 is none, 1 is all"),
    "share_at_capacity": ("Share at capacity", "of the whole amount, what stands with as many as can be called"),
}

Values = Mapping[str, float]


def serving(reader: Reader) -> Serving | None:
    """Return the champion and how it came to serve."""
    champion = reader.champion()
    if champion is None:
        return None
    release, pin = reader.releases()[-1], reader.pin()
    return Serving(champion, how(champion.kind), release["actor"], pin["why"] if pin else None)


def how(kind: str) -> str:
    """Say in words what kind of release it was."""
    return _HOW.get(kind, kind)


def quality(reader: Reader, champion: Champion | None, metric: str) -> Quality:
    """Return how good the champion is, and the headline metric of the newest runs."""
    found = reader.over_time(metric)
    history = _history(reader, found, metric)
    if champion is None:
        return Quality((), None, history, Listed((), 0))
    version = champion.model.version
    judged = _newest_run(found, version, "holdout")
    holdout = values(reader, judged, "holdout", version)
    trained = _newest_run(found, version, "train")
    train = values(reader, trained, "train", version)
    baseline = values(reader, judged, "holdout", None)  # the only metrics on the holdout that belong to no version
    rows = tuple(_metric_rows(holdout, train, baseline, _gaps(reader, trained, version)))
    return Quality(
        rows, matrix(holdout, version, judged), history, curves_part.groups(reader, version, judged),
        _tenths(reader, judged, version), curves_part.curves(reader, champion.model, judged),
    )  # fmt: skip


def _tenths(reader: Reader, run: int | None, version: int) -> tuple[TenthRow, ...]:
    rows = reader.amount_tenths(run, version) if run is not None else []
    return tuple(TenthRow(row["tenth"], row["rows"], row["expected_mean"], row["real_mean"]) for row in rows)


def _newest_run(found: Sequence[Row], version: int, split: str) -> int | None:
    return max((row["run"] for row in found if row["version"] == version and row["split"] == split), default=None)


def values(reader: Reader, run: int | None, split: str, version: int | None) -> Values:
    """Return a version's metrics on the rows of a split that a run had; nothing without a run."""
    rows = reader.metrics(run=run, split=split) if run is not None else []
    return {row["name"]: row["value"] for row in rows if row["version"] == version and row["value"] is not None}


def _gaps(reader: Reader, run: int | None, version: int) -> Mapping[str, Gap]:
    rows = reader.metrics(run=run, split="gap", version=version) if run is not None else []
    return {row["name"]: Gap(row["value"], row["low"], row["high"]) for row in rows}


def _metric_rows(holdout: Values, train: Values, baseline: Values, gaps: Mapping[str, Gap]) -> Iterator[MetricRow]:
    for key, (name, meaning) in METRIC_WORDS.items():
        if key in holdout or key in train:
            yield MetricRow(key, name, meaning, holdout.get(key), train.get(key), baseline.get(key), gaps.get(key))


def matrix(values: Values, version: int, run: int | None) -> Matrix | None:
    """Return the confusion matrix among a run's metrics; None where it is not there."""
    if run is None or any(cell not in values for cell in _CELLS):
        return None
    return Matrix(version, run, *(round(values[cell]) for cell in _CELLS))


def _history(reader: Reader, found: Sequence[Row], metric: str) -> Listed[Point]:
    """Return a point for each of the newest runs that say anything about the metric, oldest first."""
    by_run: dict[int, list[Row]] = defaultdict(list)
    for row in found:
        if row["split"] in ("holdout", "prequential"):
            by_run[row["run"]].append(row)
    newest = sorted(by_run)[-MOST_RUNS:]
    return Listed(tuple(_point(reader, run, by_run[run], metric) for run in newest), len(by_run))


def point_of(reader: Reader, run: int, metric: str) -> Point | None:
    """Return what one run says about a metric, None where it says nothing."""
    rows = [row for row in reader.metrics(run=run) if row["name"] == metric]
    found = [row for row in rows if row["split"] in ("holdout", "prequential")]
    at = reader.run(run)["created_at"]
    return _point(reader, run, [{**row, "created_at": at} for row in found], metric) if found else None


def _point(reader: Reader, run: int, found: Sequence[Row], metric: str) -> Point:
    verdict = reader.verdict(run)
    of = {(row["subject"], row["split"]): row for row in found}
    candidate, baseline = of.get(("candidate", "holdout")), of.get(("baseline", "holdout"))
    in_use = of.get(("champion", "prequential"))
    pooled = _pooled if metric == "f1" else _pooled_mae
    found_in_use = pooled(reader, run) if in_use else _Pooled(None, 0, None)
    return Point(
        run=run,
        at=found[0]["created_at"],
        in_use=found_in_use.value,
        in_use_low=found_in_use.low,
        in_use_high=found_in_use.high,
        in_use_rows=found_in_use.rows,
        in_use_baseline=found_in_use.dummy,
        in_use_version=in_use["version"] if in_use else None,
        holdout=candidate["value"] if candidate else None,
        baseline=baseline["value"] if baseline else None,
        candidate=candidate["version"] if candidate else None,
        decision=verdict.decision.value if verdict else None,
        promotes=verdict.decision.promotes if verdict else False,
    )


@dataclass(frozen=True, slots=True)
class _Pooled:
    """A metric over all new rows of a run, on how many, what the dummy has, and the metric's 90 % interval."""

    value: float | None
    rows: int
    dummy: float | None
    low: float | None = None
    high: float | None = None


def _pooled_mae(reader: Reader, run: int) -> _Pooled:
    """Return the mean absolute error over all new rows of a run, and that of the dummy."""
    sums: dict[str, float] = defaultdict(float)
    rows = 0
    for row in reader.metrics(run=run, split="prequential"):
        if row["name"] == "mae":
            sums[row["subject"]] += row["rows"] * row["value"]
            rows += row["rows"] if row["subject"] == "champion" else 0
    return _Pooled(sums["champion"] / rows, rows, sums["baseline"] / rows)


def _pooled(reader: Reader, run: int) -> _Pooled:
    """Return the F1 over all new rows of a run, and the F1 of saying of everybody that they leave.

    A burst has many batches, some of a few rows: the mean of their F1 would say little, so the counts are added.
    """
    sums: dict[str, float] = defaultdict(float)
    rows = 0
    for row in reader.metrics(run=run, split="prequential"):
        sums[row["name"]] += row["value"] or 0.0
        rows += row["rows"] if row["name"] == "f1" else 0
    hits = 2 * sums["true_positives"]
    size = hits + sums["false_positives"] + sums["false_negatives"]
    left = sums["true_positives"] + sums["false_negatives"]
    if not size:
        return _Pooled(None, rows, 2 * left / (rows + left) if rows else None)
    ends = f1_interval(round(hits / 2), round(size - hits / 2))
    return _Pooled(hits / size, rows, 2 * left / (rows + left), *ends)


def estimates(reader: Reader) -> Estimates:
    """Return what is expected of the newest requests, newest first."""
    f1, ranking = (expected(reader, name) for name in ("f1", "roc_auc"))
    by_request = {(each.run, each.path): each for each in ranking}
    shown = (EstimateRow(each, by_request.get((each.run, each.path))) for each in f1[:MOST_REQUESTS])
    held, ranked = (coverage(reader.compared_estimates(name)) for name in ("f1", "roc_auc"))
    return Estimates(Listed(tuple(shown), len(f1)), held, ranked)


def versions(reader: Reader, quality_history: Sequence[Point]) -> Listed[VersionRow]:
    """Return the newest model versions, newest first."""
    points = {point.candidate: point for point in quality_history}
    last = reader.next_version() - 1
    found = []
    for version in range(last, max(0, last - MOST_VERSIONS), -1):
        try:
            model = reader.model(version)
        except NotFoundError:
            continue
        point = points.get(version)
        found.append(
            VersionRow(version, model.run, model.estimator, model.created_at, model.train_rows, model.threshold,
                       point.holdout if point else None, _decision(reader, model.run))
        )  # fmt: skip
    return Listed(tuple(found), last)


def _decision(reader: Reader, run: int) -> Decision | None:
    verdict = reader.verdict(run)
    return verdict.decision if verdict else None


def releases(reader: Reader) -> Listed[ReleaseRow]:
    """Return what served when, newest first."""
    rows = reader.releases()
    shown = (
        ReleaseRow(row["version"], row["estimator"], row["from_at"], row["until_at"], how(row["kind"]), row["actor"],
                   row["why"])
        for row in reversed(rows[-MOST_VERSIONS:])
    )  # fmt: skip
    return Listed(tuple(shown), len(rows))

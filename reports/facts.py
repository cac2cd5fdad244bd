"""The frozen values that make up a report. Times are the ledger's texts; words are found by the templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from churnwatch.pipeline.coverage import Coverage, Expected
from churnwatch.pipeline.records import Champion, Drift, FileState, Status, Verdict

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Headline:
    """What there is to say first: the title, then what qualifies it."""

    title: str
    standfirst: str


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """The first of many values, and how many there are in all."""

    shown: tuple[T, ...]
    total: int

    @property
    def left_out(self) -> int:
        """How many are not shown."""
        return self.total - len(self.shown)


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
    tenths: tuple[TenthRow, ...] = ()  # where amounts are predicted

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
class RunRow:
    """One run."""

    run: int
    started_at: str
    reason: str
    status: Status
    decision: str | None
    sentence: str
    warnings: tuple[str, ...]
    wall_s: float | None


@dataclass(frozen=True, slots=True)
class StepRow:
    """Time and memory of one step over the runs shown."""

    step: str
    newest_s: float | None
    median_s: float
    longest_s: float
    median_cpu_s: float
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went."""

    steps: tuple[StepRow, ...]
    runs: tuple[tuple[int, Mapping[str, float]], ...]  # run, wall time by step; oldest first


@dataclass(frozen=True, slots=True)
class MissingRow:
    """Missing values of one column, run by run."""

    column: str
    shares: tuple[float | None, ...]  # one for each run of `Missing.runs`; None where the column was not there
    newest: int | None
    rows: int | None

    @property
    def highest(self) -> float:
        """The highest share of all runs shown."""
        return max((share for share in self.shares if share is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Missing:
    """Columns with any missing value, the worst first."""

    runs: tuple[int, ...]
    columns: Listed[MissingRow]
    complete: int  # columns that never missed a value in these runs


@dataclass(frozen=True, slots=True)
class DriftRow:
    """Deviations of one column, or of what is no column, run by run."""

    name: str
    newest: Drift | None  # None where the newest run did not measure it
    history: tuple[Drift | None, ...]  # one for each run of `Drifting.runs`

    @property
    def highest(self) -> float:
        """The highest deviation of all runs shown, in percent."""
        return max((each.deviation_percent for each in self.history if each is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Drifting:
    """How far new rows deviate from what the model in use knows; the largest deviation first."""

    runs: tuple[int, ...]
    rows: Listed[DriftRow]
    steady: int  # that never deviated in these runs
    summary: str | None  # of the newest run; None: nothing was measured yet


@dataclass(frozen=True, slots=True)
class FileRow:
    """A source file and what became of it."""

    path: str
    state: FileState
    at: str
    read: int | None
    accepted: int | None
    duplicate: int | None
    quarantined: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class CheckRow:
    """Rows that broke one check, with the newest example."""

    check: str
    column: str | None
    rows: int
    files: int
    reason: str
    path: str
    first_line: int


@dataclass(frozen=True, slots=True)
class Inputs:
    """What came in."""

    files: Listed[FileRow]
    counts: Mapping[str, int]
    totals: Mapping[str, int]
    quarantined: Listed[CheckRow]


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """One file of predictions, as CSV."""

    csv: str  # path, as the home has it
    link: str  # from the report to it
    source: str | None  # the request to score; None: all current customers
    version: int
    rows: int
    positives: int
    at: str
    amount: float | None = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """Where the predictions lie."""

    customers: PredictionRow | None
    requests: Listed[PredictionRow]


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


@dataclass(frozen=True, slots=True)
class PackageFinding:
    """One package of which something is to be said."""

    kind: str
    package: str
    installed: str
    detail: str


@dataclass(frozen=True, slots=True)
class PackageReport:
    """One check of the installed packages. None is not zero: it is not known."""

    checked_at: str
    packages: int
    outdated: int | None
    vulnerable: int | None
    unknown: int
    error: str | None
    findings: Listed[PackageFinding]

    @property
    def state(self) -> Literal["vulnerable", "unknown", "outdated", "ok"]:
        """The worst there is to say; what is not known is never OK."""
        if self.vulnerable:
            return "vulnerable"
        if self.unknown or self.vulnerable is None or self.outdated is None or self.error:
            return "unknown"
        return "outdated" if self.outdated else "ok"


@dataclass(frozen=True, slots=True)
class Packages:
    """The newest check, and where that failed, the newest that did not."""

    newest: PackageReport | None
    last_complete: PackageReport | None
    wanted: bool  # by the settings


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting in force."""

    name: str
    value: str
    group: Literal["chosen", "columns", "default"]


@dataclass(frozen=True, slots=True)
class Report:
    """All that the report says."""

    home: str
    target: str
    metric: str  # by which people know how good the model is: f1 or mae
    made_at: str
    source_folder: str
    headline: Headline
    attention: tuple[str, ...]
    serving: Serving | None
    verdict: Verdict | None
    quality: Quality
    estimates: Estimates
    predictions: Predictions
    inputs: Inputs
    missing: Missing
    drift: Drifting
    runs: Listed[RunRow]
    timings: Timings
    versions: Listed[VersionRow]
    releases: Listed[ReleaseRow]
    packages: Packages
    settings: Listed[SettingRow]

"""The frozen values that steps hand on; those that the ledger keeps have one table each, field for column.

Times are UTC, ISO 8601. A field called `run`, `file`, `batch` or `version` is that row's number in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MOST_BREAKDOWNS = 3  # of one run, by a bug or a kill; then it is left until somebody looks


class FileState(StrEnum):
    """What became of a source file; the newest event of a file is its state."""

    INGESTED = "ingested"
    SAME_CONTENT = "same_content"  # the same bytes were read before; no rows were read
    QUARANTINED = "quarantined"  # the file as a whole could not be read; its rows are unknown
    WAITING = "waiting"  # a request to score, and there is no model yet
    PREDICTED = "predicted"
    FAILED = "failed"  # its run broke down too often; taken up again by `retry`
    RETRY = "retry"  # somebody asked for it to be read again, or the disk could not be read just then


DIALECT = "dialect"  # the kind of finding that says how the cells of a file, and of the next ones, are told apart
CLOCK = "clock"  # the reason of a run that no file set off
UNREADABLE = "unreadable"  # stands where the hash would, of a file whose bytes could not be read


class Decision(StrEnum):
    """What the gate says of a candidate."""

    FIRST = "first"
    PROMOTED = "promoted"
    REFRESHED = "refreshed"
    STAGED = "staged"
    KEPT = "kept"
    REFUSED = "refused"
    UNDECIDABLE = "undecidable"

    @property
    def promotes(self) -> bool:
        """Whether the candidate becomes the champion."""
        return self in (Decision.FIRST, Decision.PROMOTED, Decision.REFRESHED)


class DriftKind(StrEnum):
    """What is held against the reference."""

    COLUMN = "column"
    TARGET = "target"  # the share of those who leave among the labelled rows
    PREDICTION = "prediction"  # the probabilities of the model in use
    CONCEPT = "concept"  # its log loss before it learned from the rows


class Band(StrEnum):
    """What a deviation calls for."""

    NOTHING = "nothing"
    UNRESOLVED = "unresolved"  # too few rows: chance alone reaches the band in which a model is trained anew
    WATCH = "watch"
    RETRAIN = "retrain"
    SEARCH = "search"  # back to experimentation

    @property
    def retrains(self) -> bool:
        """Whether a new model is called for."""
        return self in (Band.RETRAIN, Band.SEARCH)


class Status(StrEnum):
    """How an attempt of a run ended; `running` stands in no row, it is the lack of one."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # by something expected, such as a full disk
    BROKEN = "broken"  # by a bug
    INTERRUPTED = "interrupted"  # the process was killed


@dataclass(frozen=True, slots=True)
class Signature:
    """What tells two observations of one path apart without reading it."""

    path: str  # relative to the source folder
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A source file as it was seen once: a path with one signature and one content."""

    file: int
    path: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    sha256: str
    seen_at: str


@dataclass(frozen=True, slots=True)
class FileEvent:
    """What happened to a source file. `read = accepted + duplicate + quarantined`, where rows are known."""

    file: int
    run: int | None
    at: str
    state: FileState
    rows_read: int | None = None
    accepted: int | None = None
    duplicate: int | None = None
    quarantined: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class FileFinding:
    """Something that was guessed or left out when a file was read."""

    run: int
    file: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Rows of one file that broke one check, counted; each row with its text stands in the quarantine's Parquet."""

    run: int
    file: int
    check_name: str
    column_name: str | None
    reason: str
    rows: int
    first_line: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The accepted rows of one file."""

    batch: int
    run: int
    file: int
    accepted: int
    labelled: int
    positives: int  # of amounts, those above nought
    holdout: int  # labelled rows promised to the holdout
    holdout_positives: int
    first_date: str | None
    last_date: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """One immutable Parquet file of a data set."""

    part: str  # relative to ingested_folder
    run: int
    sha256: str
    rows: int
    size_bytes: int
    created_at: str
    dataset: str = ""  # the name of a source, or of what is kept of one (`logs/sums`); "" is the main data set
    definition: str | None = None  # what partial aggregates were made by; None for rows


@dataclass(frozen=True, slots=True)
class Aggregated:
    """A part of a source whose rows stand in partial aggregates of one data set and definition."""

    dataset: str
    definition: str
    part: str
    run: int


@dataclass(frozen=True, slots=True)
class PartReplacement:
    """A part whose rows stand in a larger one now, or whose aggregates are of a definition that is gone (None)."""

    part: str
    replaced_by: str | None
    run: int
    at: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Summary statistics of one column over the rows that a run accepted; of text columns only the counts."""

    run: int
    column_name: str
    rows: int
    missing: int
    missing_share: float
    distinct_values: int
    mean: float | None
    median: float | None
    std: float | None
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class Model:
    """A model version; its folder is complete on disk before this row exists."""

    version: int
    run: int
    estimator: str
    parameters: str  # JSON
    threshold: float
    folder: str  # relative to models_folder
    sha256: str  # of the model's file: trainedmodel.pkl, or .skops where there is no pickle
    manifest_sha256: str
    train_rows: int
    train_positives: int
    created_at: str

    @property
    def name(self) -> str:
        """The version as people say it: v7."""
        return f"v{self.version}"


@dataclass(frozen=True, slots=True)
class Metric:
    """One number about a model (or the baseline) on one set of rows."""

    run: int
    version: int | None
    subject: str  # champion, candidate, baseline; an estimator in cross-validation, a window among windows
    split: str  # train, holdout, gap (how much better it is on train), prequential, cross_validation, window; of labels
    # that come later: estimated, realised
    name: str
    value: float | None
    rows: int
    batch: int | None = None
    low: float | None = None
    high: float | None = None
    file: int | None = None  # a request to score


@dataclass(frozen=True, slots=True)
class Drift:
    """How far new rows deviate from the reference, in one column or as a whole (table `drifts`).

    Of kind `concept` the deviation is by how much the log loss rose. `file` is a request to score; None: new rows.
    """

    run: int
    version: int  # whose reference it is
    reference: str  # in words
    kind: DriftKind
    column_name: str
    rows: int
    reference_rows: int
    deviation_percent: float
    floor_percent: float
    band: Band
    cause: str | None = None
    file: int | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """A model that was trained to learn something from it, and is never released; its folder is complete before."""

    experiment: int
    experiment_id: str  # hash of data, settings, code version and champion; the same gives the same figures
    at: str
    note: str | None
    changed: str  # JSON: the settings of training that were other than the home's
    settings_sha256: str
    code_version: str
    data_sha256: str  # experiments with the same one, and the same holdout, were judged on the same rows
    holdout: str  # in words: which rows judged
    champion: int | None
    estimator: str
    parameters: str  # JSON
    threshold: float
    train_rows: int
    train_positives: int
    folder: str  # relative to models_folder
    sha256: str
    manifest_sha256: str
    sentence: str  # how it compares with the champion
    learning_curve: str | None  # what the curve says, in a sentence
    warning: str | None

    @property
    def name(self) -> str:
        """The experiment as people say it: e7."""
        return f"e{self.experiment}"


@dataclass(frozen=True, slots=True)
class ExperimentMetric:
    """One number about an experiment on one set of rows; intervals are of 90 %."""

    experiment: int
    subject: str  # candidate, champion, difference; of a cross-validation the estimator
    split: str  # train, holdout, gap, cross_validation
    trained_on: int | None  # rows, at a point of the learning curve; None: all
    name: str
    value: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    rows: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision on a candidate with its evidence (table `decisions`)."""

    run: int
    decided_at: str
    decision: Decision
    policy: str
    metric: str
    candidate: int
    champion: int | None
    rows: int
    positives: int
    candidate_value: float | None
    champion_value: float | None
    delta: float | None
    low: float | None
    high: float | None
    p_value: float | None
    cells: str | None  # JSON: counts by target, champion's and candidate's decision
    sentence: str
    warning: str | None
    rows_needed: int | None = None  # so many holdout rows would tell, where these were too few
    holdout_first_batch: int | None = None  # of the window that judged; None: the test folder
    holdout_last_batch: int | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """What somebody said of a candidate that waited for it."""

    version: int
    at: str
    approved: bool
    actor: str
    why: str


@dataclass(frozen=True, slots=True)
class AcceptanceCase:
    """What a candidate said of a sample customer, and what was expected."""

    run: int
    version: int
    line: int
    customer: str | None
    expected: str
    probability: float
    met: bool


@dataclass(frozen=True, slots=True)
class Prediction:
    """One file of predictions. `file` is the request to score; None: all current customers."""

    run: int
    file: int | None
    version: int
    path: str  # of the Parquet, relative to predictions_folder
    sha256: str
    rows: int
    positives: int  # decided to leave; of amounts, those of whom more than nought is expected
    at: str
    amount: float | None = None  # expected of all rows together


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a run explained its predictions of the current customers, or why it could not."""

    run: int
    version: int
    explains: str  # exact, or none
    path: str | None  # of the Parquet with the contributions, relative to predictions_folder
    sha256: str | None
    rows: int
    base: float | None  # what the model says of a customer of whom it knows nothing, in log-odds or as an amount
    why: str | None  # there is none
    at: str


@dataclass(frozen=True, slots=True)
class Importance:
    """How much one column counts in a model (table `importances`); the interval is of the permutation, 90 %."""

    run: int
    version: int
    column_name: str
    mean_absolute: float | None  # contribution over the current customers, in log-odds or as an amount
    permutation: float | None  # by how much log loss or absolute error on the holdout rises when it is shuffled
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class AmountTenth:
    """A tenth of the holdout by expected amount, the highest first: what was expected of it, and what came."""

    run: int
    version: int
    tenth: int
    rows: int
    expected_mean: float
    real_mean: float


@dataclass(frozen=True, slots=True)
class RunWarning:
    """What somebody should look at in a run; known together with the result of the step that found it."""

    run: int
    text: str


@dataclass(frozen=True, slots=True)
class CompiledForm:
    """How far the compiled form of a version is from the version itself, on rows of the holdout and of training.

    Of amounts above one, the difference is relative. `why_not` says why the form is not served, None where it is.
    """

    version: int
    compared_at: str
    rows: int
    largest_difference: float | None
    why_not: str | None


@dataclass(frozen=True, slots=True)
class Curve:
    """One point of a version's curves: the holdout rows from a probability on; the last point has all of them."""

    run: int
    version: int
    place: int
    threshold: float
    rows: int
    leavers: int
    expected_leavers: float


@dataclass(frozen=True, slots=True)
class GroupCount:
    """What a version said of the holdout rows with one value of a column, and what became of them."""

    run: int
    version: int
    column_name: str
    value: str
    rows: int
    leavers: int
    named: int  # of whom the model says that they leave
    hits: int  # named, and left


@dataclass(frozen=True, slots=True)
class MonthlyChurn:
    """Who left in a month, of those who were active in it; recorded wherever that changed (table `monthly_churn`)."""

    run: int
    month: str  # 2026-03
    active: int
    churned: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CohortMonth:
    """Customers first seen in one month, as they were in another one (table `cohorts`)."""

    run: int
    cohort: str  # the month in which they were first seen
    month: str
    active: int
    churned: int


@dataclass(frozen=True, slots=True)
class GoalProgress:
    """How the goal of less churn stood as of a month; recorded wherever that changed (table `goal_progress`)."""

    run: int
    month: str
    less_churn: float  # in points of the monthly rate, as a share
    months: int
    state: str  # met, not met, no evidence
    rate_before: float | None  # that the months are held against
    why: str


@dataclass(frozen=True, slots=True)
class CampaignEffect:
    """What came of a campaign; recorded wherever that changed (table `campaign_effects`). Intervals are of 95 %."""

    run: int
    action: str
    month: str
    treated: int
    control: int
    treated_known: int  # with an outcome
    control_known: int
    treated_churned: int
    control_churned: int
    contradicting: int  # said to be both
    is_over: int  # whether the window has passed
    less_churn: float | None  # share of the control who left less that of the treated; None: nothing can be said
    less_churn_low: float | None
    less_churn_high: float | None
    saved: float | None  # customers
    saved_low: float | None
    saved_high: float | None
    note: str | None
    customer_value: float | None = None  # of a treated one, on average; None: the settings do not say
    money: float | None = None  # what the saved are worth
    money_low: float | None = None
    money_high: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request to score whose rows are kept, so that labels which arrive later can be joined to them."""

    file: int
    run: int
    batch: int  # the number of its rows in their data set
    rows: int  # those that no request before it had


@dataclass(frozen=True, slots=True)
class Bucketing:
    """How a run sorted the current customers into A, B and C, and the file that says who is where."""

    run: int
    version: int
    at: str
    path: str  # of the Parquet, relative to predictions_folder; in the order in which to call
    sha256: str
    customers: int
    decided_by: str  # thresholds, capacity, profit
    value: str | None  # what a customer is worth, in words; None: nobody says
    value_months: int | None  # of how many months expected losses and profits are
    unvalued: int  # customers of whom the value is missing
    former_run: int | None  # against which it is counted who moved
    left_alone: int = 0  # customers of B who are held back, to learn from what offers do


@dataclass(frozen=True, slots=True)
class Bucket:
    """The customers of one bucket, added up (table `buckets`)."""

    run: int
    bucket: str
    customers: int
    threshold: (
        float | None
    )  # probability or amount from which on; None: of C, and by profit, where it hangs on the value
    expected_leavers: float | None  # sum of the probabilities; None: of amounts
    expected_loss: float | None
    expected_profit: float | None  # of the offers that are made; None: no profit can be claimed
    profit_at_half: float | None  # if save rates are half of what was assumed
    profit_at_one_and_a_half: float | None
    value: float | None = None  # what they are worth together, over the months of the bucketing


@dataclass(frozen=True, slots=True)
class BucketMove:
    """How many customers went from one bucket to another since the former run; None: were not there, or are gone."""

    run: int
    from_bucket: str | None
    to_bucket: str | None
    customers: int


@dataclass(frozen=True, slots=True)
class MoveReason:
    """What one column did for those who came into bucket A since the former run, or left it (table `move_reasons`)."""

    run: int
    direction: str  # into, out of
    column_name: str
    customers: int  # who moved that way and were explained both times
    mean_change: float  # of the column's contribution, over them; in log-odds or as an amount


@dataclass(frozen=True, slots=True)
class OfferMade:
    """An offer with what it was assumed to do, to how many it is made, and from which probability on it pays."""

    run: int
    offer: str
    discount: str
    cost: float
    save_rate: float | None
    take_up: float
    call: int
    customers: int = 0
    waiting: int = 0  # more for whom only this offer by call pays, and no call is left
    expected_profit: float | None = None
    profit_at_half: float | None = None
    profit_at_one_and_a_half: float | None = None
    low_value: float | None = None  # a tenth of the customers are worth no more, half, nine tenths
    median_value: float | None = None
    high_value: float | None = None
    threshold_at_low: float | None = None  # None: it never pays for them
    threshold_at_median: float | None = None
    threshold_at_high: float | None = None


@dataclass(frozen=True, slots=True)
class UpliftModel:
    """What campaigns of an offer's name say of what it does, and whether that decides to whom it is made.

    Table `uplift_models`. Shares of customers; effects are positive where fewer leave.
    """

    run: int
    offer: str
    decides: int
    why: str | None  # it does not
    campaigns: int = 0  # from which was learned
    treated: int = 0
    control: int = 0
    treated_churned: int = 0
    control_churned: int = 0
    effect: float | None = None  # on average; None where nothing was learned
    effect_low: float | None = None
    effect_high: float | None = None
    qini: float | None = None
    qini_low: float | None = None
    qini_high: float | None = None
    slope: float | None = None  # what a difference of one between both models came to


@dataclass(frozen=True, slots=True)
class Call:
    """One of the customers to call first (table `call_list`)."""

    run: int
    place: int
    id: str
    bucket: str
    former_bucket: str | None
    probability: float | None  # None: an amount is predicted, which is the expected loss
    expected_loss: float | None
    offer: str | None
    expected_profit: float | None
    raises: str | None
    lowers: str | None
    effect: float | None = None  # by how much the offer lowers the probability; None where no uplift model decides


@dataclass(frozen=True, slots=True)
class Step:
    """Time and memory of one step."""

    run: int
    attempt: int
    step: str
    started_at: str
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Champion:
    """The model that serves, since when, and by whose doing."""

    model: Model
    since: str
    kind: str
    why: str | None
    pinned: bool
    metric: str  # f1, or mae of a model of amounts
    value: float | None  # of that metric on the holdout, when it was decided
    holdout_rows: int | None

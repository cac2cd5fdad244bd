"""settings.yaml → frozen, checked values.

Every setting stands here once: name, type, bounds and default on one line. Scalars are read as the text that
stands in the file and converted by the type wanted, so that `positive: Yes` stays "Yes" and an id of 00123
keeps its zeros (YAML alone would make a boolean and a number of them).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import hashlib
import math
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
import yaml
from msgspec import Meta, Struct

from churnwatch.pipeline import settings_campaigns, settings_notices, settings_offers, settings_serve
from churnwatch.pipeline import settings_forms as forms
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings_campaigns import Campaigns, ChurnRule, Goal
from churnwatch.pipeline.settings_notices import Alerts, Mail, Smtp
from churnwatch.pipeline.settings_offers import Buckets, By, Offer, Value
from churnwatch.pipeline.settings_serve import Serve

FILE_NAME = "settings.yaml"
STATE_FOLDER = ".churnwatch"
SERVED_FOLDER = "served"  # below the source folder: batches of what was served

Share = Annotated[float, Meta(ge=0, le=1)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(min_length=1)]
Days = Annotated[str, Meta(pattern=forms.DAYS)]
Window = Annotated[str, Meta(pattern=forms.WINDOW)]

# Addresses of databases. A password with one of /@?# in it, which would end up in another part, fits none of them.
ADDRESS_ELSEWHERE = re.compile(r"(env|credential):([A-Za-z0-9_.-]*[A-Za-z0-9_-])")
SQLITE = re.compile(r"sqlite://(/.+)")
_HOST = r"(?:[^/@:?#\[\]]*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
POSTGRESQL = re.compile(
    r"postgresql://(?:[^/@:?#]*(?::(?P<password>[^/@?#]*))?@)?"
    rf"(?P<place>{_HOST}(?:/[^/@?#]*)?)(?:\?(?P<options>[^@#]*))?"
)


class ColumnType(StrEnum):
    """How the text of a cell is understood."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DATE = "date"


class Task(StrEnum):
    """What is predicted: whether a customer leaves, or an amount."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class Policy(StrEnum):
    """How the gate compares a candidate with the champion."""

    ALWAYS = "always"
    BETTER = "better"
    PROVEN = "proven"
    STRICT = "strict"


class _Checked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Column(_Checked, frozen=True):
    """What one column must look like; a row that breaks it is quarantined."""

    type: ColumnType
    min: float | None = None
    max: float | None = None
    allowed: tuple[str, ...] = ()
    required: bool = False
    unique: bool = False
    format: str | None = None  # of dates, as strptime has it; ISO 8601 when not given


class Csv(_Checked, frozen=True):
    """How the source's CSVs are written, and how large they may be."""

    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] | None = None  # None: the one that fits the header
    decimal: Literal[".", ","] = "."
    missing: tuple[str, ...] = ()  # texts that mean "no value", besides an empty or blank cell
    max_columns: Count = 10_000
    max_line_mb: Count = 16
    max_gb: Count = 100  # of a file, unpacked
    max_ratio: Count = 500  # of its size unpacked to packed; a bomb has a thousand


class Pull(_Checked, frozen=True):
    """Where the rows of a source are fetched from, when they do not come as files by themselves."""

    database: Name | None = None  # an address, or env:NAME or credential:NAME, where the address stands
    table: Name | None = None
    cursor: Name | None = None  # a column that grows; without it the whole table is pulled each time
    url: Name | None = None  # a glob of objects, as fsspec has it


class SourceTable(_Checked, frozen=True):
    """A table beside the customers' rows: what is known of them from elsewhere, joined by a key."""

    files: Name  # a glob of file names, below a folder of the source folder if it names one
    key: Name  # the column that holds the customer's id
    columns: dict[str, Column | ColumnType]
    time: Name | None = None  # when a row happened; without it the newest row of a customer counts
    computed: dict[str, Name] = {}  # further columns of numbers, as SQL over the row's own
    features: dict[str, tuple[Name, ...]] = {}  # column, or * for the row itself -> aggregates
    windows: tuple[Window, ...] = ("30d", "all")
    pull: Pull | None = None  # how `churnwatch pull` fetches what is new

    @property
    def declared(self) -> dict[str, Column]:
        """The columns in full, also where only a type was named."""
        return _in_full(self.columns)


class Training(_Checked, frozen=True):
    """How candidates are trained."""

    mode: Literal["refit", "compare", "search"] = "compare"
    estimators: Annotated[tuple[Name, ...], Meta(min_length=1)] = (
        "logistic",
        "boosting",
        "deep_boosting",
        "stacking",
    )
    parameters: dict[str, dict[str, bool | int | float | str]] = {}
    class_weight: Literal["none", "balanced"] = "none"
    resampling: Literal["none", "smote", "oversample", "undersample"] = "none"  # of the rows that are learned from
    metric: Literal["f1", "balanced_accuracy", "accuracy"] = "f1"  # what the threshold is tuned for
    folds: Annotated[int, Meta(ge=2, le=20)] = 5
    seed: Annotated[int, Meta(ge=0)] = 0
    threads: Count = 2
    max_rows: Count = 2_000_000  # of more, a stratified sample is learned from
    cluster: Annotated[str, Meta(pattern=forms.CLUSTER)] | None = None  # of Dask, for the folds
    window: Annotated[str, Meta(pattern=forms.HISTORY)] = "all"  # of the rows that are learned from
    half_life: Positive | None = None  # a batch that is so many batches older counts half as much
    calibration: Literal["sigmoid", "isotonic", "none"] = "sigmoid"
    search_candidates: Count = 12  # sets of parameters that a search tries of each estimator
    search_s: Positive = 60.0  # after which a search stops, wherever it is
    max_gap: Share = 0.1  # F1 on the training rows less F1 on the holdout; beyond doubt above it, the report warns


_OfClasses = Literal[
    "f1", "precision", "recall", "accuracy", "balanced_accuracy", "roc_auc", "average_precision", "log_loss", "brier"
]
_OfAmounts = Literal["mae", "mape", "rmse", "r2"]
Compared = _OfClasses | _OfAmounts
_BY_TASK = {Task.CLASSIFICATION: get_args(_OfClasses), Task.REGRESSION: get_args(_OfAmounts)}


class Gate(_Checked, frozen=True):
    """When a candidate may replace the champion."""

    policy: Policy = Policy.PROVEN
    metric: Compared = "f1"
    min_delta: Share = 0.005  # of errors of amounts, as a share of the champion's
    alpha: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    resamples: Count = 2000
    threshold: Annotated[float, Meta(gt=1)] = 20.0  # of `strict`: how many times its stake a bet must come to
    guards: dict[Compared, Share] = {}  # by how much these may get worse at most in a candidate that is promoted
    max_age_runs: Count | None = None  # from this age on, a champion is replaced by what is not worse
    not_worse: Share = 0.02  # by how much a candidate may be worse at the 5th percentile to count as "not worse"
    min_positives: Annotated[int, Meta(ge=0)] = 30  # and as many negatives; below it, the gate is undecidable


class Drifting(_Checked, frozen=True):
    """What deviations call for, in percent of the rows."""

    watch: Percent = 2.0
    retrain: Percent = 5.0
    search: Percent = 10.0
    alpha: Annotated[float, Meta(gt=0, lt=1)] = (
        0.05  # in what share of runs without drift some column is over its floor
    )
    reference: Literal["champion", "last_year"] = "champion"


class Retrain(_Checked, frozen=True):
    """When a new model is trained."""

    when: Literal["drop", "drift"] = "drop"
    every: Annotated[str, Meta(pattern=forms.EVERY)] | None = None  # at least so often, where rows are there

    @property
    def every_days(self) -> int | None:
        """After how many days a model is trained whatever the drift; None: not by the clock."""
        return None if self.every is None else int(self.every.removesuffix("d"))


class Packages(_Checked, frozen=True):
    """The check of outdated and vulnerable packages."""

    check: Literal["daily", "never"] = "daily"
    timeout_s: Positive = 60.0


class ModelFormat(StrEnum):
    """Which files hold a model."""

    PICKLE = "pickle"
    BOTH = "both"
    SKOPS = "skops"

    @property
    def unpickles(self) -> bool:
        """Whether a pickle may be read."""
        return self is not ModelFormat.SKOPS


class Settings(_Checked, frozen=True):
    """All settings of a home."""

    target: Name
    task: Task = Task.CLASSIFICATION
    positive: Name | None = None  # of a classification, which needs it
    id: Name | None = None
    date: Name | None = None
    exclude: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    columns: dict[str, Column | ColumnType] = {}
    names: dict[str, Name] = {}  # what columns are called where people read of them

    sources: dict[str, SourceTable] = {}
    labels: Name | None = None  # a glob: these files hold outcomes; without `sources`, of rows that were requests
    snapshot: Annotated[str, Meta(pattern=forms.SNAPSHOT)] = "date"
    horizon: Days = "0d"
    expressions: dict[str, Name] = {}  # further features, as SQL over the others

    churn: ChurnRule | None = None  # who left is told by a source's rows, not by labels
    campaigns: Campaigns | Name | None = None  # files that say what was done for whom
    holdback: Share = 0.0  # of the customers who would be made an offer, left alone to learn what offers do
    goal: Goal | None = None

    engine: Annotated[str, Meta(pattern=forms.ENGINE)] = "duckdb"
    memory_gb: Annotated[float, Meta(ge=0.25)] | None = None  # of the embedded engine; beyond it, it spills to disk

    source_folder: Name = "sourcedata"
    ingested_folder: Name = "ingesteddata"
    test_folder: Name = "testdata"
    models_folder: Name = "models"
    deployment_folder: Name = "production_deployment"
    predictions_folder: Name = "predictions"
    model_format: ModelFormat = ModelFormat.PICKLE
    ledger: Name = "churnwatch.db"
    report: Name = "report.html"

    csv: Csv = Csv()
    dedup: Literal["on", "off"] = "on"
    key: tuple[str, ...] = ()
    on_conflict: Literal["keep_all", "latest"] = "keep_all"

    stability_s: Annotated[float, Meta(ge=0.1, le=3600)] = 1.0
    scan_interval_s: Annotated[float, Meta(ge=0.5, le=86400)] = 60.0
    run_timeout_s: Annotated[float, Meta(gt=0, le=30 * 86400)] = 3600.0

    holdout_batches: Count = 5
    holdout_days: Annotated[int, Meta(ge=1, le=36_500)] | None = (
        None  # judge by the newest days only, and learn from what is before them
    )
    approval: Literal["automatic", "manual"] = "automatic"
    acceptance: Name | None = None  # a CSV of sample customers, and what must be said of them
    call_capacity: Count = 200
    value: Value | Name | None = None  # what a customer brings: short for a column, or for an amount
    offers: dict[Name, Offer] = {}
    buckets: Buckets = Buckets()
    training: Training = Training()
    gate: Gate | Policy = Gate()
    drift: Drifting = Drifting()
    retrain: Retrain = Retrain()
    packages: Packages = Packages()

    mail: Mail = Mail()
    alerts: Alerts = Alerts()
    serve: Serve = Serve()
    metrics_file: Name | None = None  # for Prometheus, as node_exporter's textfile collector reads them

    @property
    def gating(self) -> Gate:
        """The gate in full, also where only its policy was named (`gate: better`)."""
        return self.gate if isinstance(self.gate, Gate) else Gate(policy=self.gate)

    @property
    def valued(self) -> Value | None:
        """What a customer is worth, in full, also where only a column or an amount was named."""
        return settings_offers.valued(self.value)

    @property
    def bucketed_by(self) -> By:
        """What sorts the customers into A, B and C."""
        return settings_offers.decided_by(self.buckets, self.offers)

    @property
    def declared(self) -> dict[str, Column]:
        """The declared columns in full, also where only a type was named."""
        if self.churn is not None:
            made = ((self.id, ColumnType.TEXT), (self.date, ColumnType.DATE), (self.target, ColumnType.INTEGER))
            return {column: Column(type=kind, required=True) for column, kind in made if column is not None}
        return _in_full(self.columns)

    @property
    def campaigning(self) -> Campaigns | None:
        """The campaigns in full, also where only their glob was named; None: there are none."""
        return Campaigns(files=self.campaigns) if isinstance(self.campaigns, str) else self.campaigns

    @property
    def latest_key(self) -> tuple[str, ...]:
        """The columns of whose equal values only the newest row counts; none: all rows do."""
        return self.key if self.on_conflict == "latest" else ()

    @property
    def late_labels(self) -> str | None:
        """The glob of files that say what became of requests; None: labelled files bring all that is learned from."""
        return None if self.sources else self.labels

    @property
    def horizon_days(self) -> int:
        """How many days before its label's date a prediction is made."""
        return int(self.horizon.removesuffix("d"))

    @property
    def sha256(self) -> str:
        """The hash of all values, defaults included: two runs with the same hash had the same settings."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    def canonical(self) -> str:
        """All values, defaults included, as JSON with sorted keys: what the ledger keeps."""
        return msgspec.json.encode(self, order="sorted").decode()


def _in_full(columns: dict[str, Column | ColumnType]) -> dict[str, Column]:
    return {name: kind if isinstance(kind, Column) else Column(type=kind) for name, kind in columns.items()}


class Home(Struct, frozen=True):
    """A home: a folder with a settings.yaml. Relative paths in settings are relative to it."""

    path: Path
    settings: Settings

    @property
    def source(self) -> Path:
        """Where CSVs land; read only for us."""
        return self.path / self.settings.source_folder

    @property
    def ingested(self) -> Path:
        """The data set's Parquet parts."""
        return self.path / self.settings.ingested_folder

    @property
    def tests(self) -> Path:
        """The optional fixed holdout."""
        return self.path / self.settings.test_folder

    @property
    def models(self) -> Path:
        """One immutable folder per model version."""
        return self.path / self.settings.models_folder

    @property
    def deployment(self) -> Path:
        """The release."""
        return self.path / self.settings.deployment_folder

    @property
    def predictions(self) -> Path:
        """Predictions, one set of files per run."""
        return self.path / self.settings.predictions_folder

    @property
    def ledger(self) -> Path:
        """The one file of history."""
        return self.path / self.settings.ledger

    @property
    def serving_log(self) -> Path:
        """What was served, and what came of it."""
        return self.path / self.settings.serve.log

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / self.settings.report

    @property
    def metrics_file(self) -> Path | None:
        """Where Prometheus finds how things stand."""
        return None if self.settings.metrics_file is None else self.path / self.settings.metrics_file

    @property
    def state(self) -> Path:
        """Locks, logs and caches; nothing in it is needed to continue."""
        return self.path / STATE_FOLDER

    @property
    def subfolders(self) -> tuple[str, ...]:
        """Folders below the source folder in which files of `sources`, late labels or campaigns land."""
        globs = [self.settings.late_labels or "", *(source.files for source in self.settings.sources.values())]
        globs += [self.settings.campaigning.files] if self.settings.campaigning else []
        return tuple(sorted({glob.split("/")[0] for glob in globs if "/" in glob}))

    @property
    def looked_into(self) -> tuple[str, ...]:
        """All folders below the source folder that are looked into: with that of batches of what was served."""
        return (*self.subfolders, SERVED_FOLDER)

    def folders(self) -> tuple[Path, ...]:
        """Every folder that a home needs."""
        return (self.source, self.ingested, self.models, self.deployment, self.predictions, self.state)


def load(home: Path) -> Home:
    """Read and check a home's settings.yaml.

    Raises:
        SettingsError: there is none, or something in it is wrong; the message names file, line and setting.
    """
    file = home / FILE_NAME
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise SettingsError(f"{home} is no home: it has no {FILE_NAME}. Make one: churnwatch init {home}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: cannot be read ({error}). Mend its rights or its encoding (UTF-8).") from None
    return Home(home.resolve(), parse(text, str(file)))


def parse(text: str, where: str = FILE_NAME) -> Settings:
    """Check the text of a settings.yaml; `where` names it in messages.

    Raises:
        SettingsError: naming line and setting.
    """
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        values = _plain(node) or {}
    except RecursionError:
        raise SettingsError(f"{where}: not valid YAML: something in it contains itself.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', error)}.") from None
    try:
        settings = msgspec.convert(_with_defaults_of_task(values), Settings, strict=False)
        _check_together(settings)
    except msgspec.ValidationError as error:
        raise SettingsError(_explain(_spelt_out(str(error), values), node, where)) from None
    return settings


_OF_REGRESSION: dict[str, dict[str, Any]] = {
    "training": {"estimators": ["linear", "boosting"]},
    "gate": {"metric": "mae"},
}


def _with_defaults_of_task(values: Any) -> Any:
    """Return the values with those that a regression has where others are not given."""
    if not isinstance(values, dict) or values.get("task") != Task.REGRESSION:
        return values
    values = {**values}
    for name, own in _OF_REGRESSION.items():
        given = values.get(name, {})
        if isinstance(given, dict):
            values[name] = {**own, **given}
        elif name == "gate":
            values[name] = {**own, "policy": given}
    return values


def _spelt_out(message: str, values: Any, of: str = "$") -> str:
    """Name the source or column where msgspec says `$.sources[...]`: the one that is wrong by itself."""
    for key, kind in (("sources", SourceTable), ("columns", Column | ColumnType), ("offers", Offer)):
        asked = f"{of}.{key}[...]"
        for name, value in values[key].items() if asked in message else ():
            try:
                msgspec.convert(value, kind, strict=False)
            except msgspec.ValidationError:
                return _spelt_out(message.replace(asked, f"{of}.{key}.{name}"), value, f"{of}.{key}.{name}")
    return message


def _plain(node: yaml.Node | None, *, typed: bool = False) -> Any:
    """Build values from nodes; an empty value counts as not given.

    Below `parameters` no type is known beforehand, so that a scalar there is what it looks like.
    """
    if isinstance(node, yaml.MappingNode):
        pairs = ((key, _plain(value, typed=typed or key == "parameters")) for key, value in _named(node))
        return {key: value for key, value in pairs if value is not None}
    if isinstance(node, yaml.SequenceNode):
        return ["" if (value := _plain(item, typed=typed)) is None else value for item in node.value]
    if isinstance(node, yaml.ScalarNode):
        if node.style is None and (node.value == "" or typed):
            return looks_like(node.value)
        return node.value
    return None


def _named(node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a name must be a word", problem_mark=key.start_mark)
        if key.value in seen:
            raise yaml.MarkedYAMLError(problem=f"`{key.value}` stands twice", problem_mark=key.start_mark)
        seen.add(key.value)
        yield key.value, value


def looks_like(text: str) -> bool | int | float | str | None:
    """Return what a scalar looks like, such as a parameter, whose type nobody knows beforehand; None: nothing."""
    if text in ("true", "false", ""):
        return text == "true" if text else None
    for kind in (int, float):
        if re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", text):
            with contextlib.suppress(ValueError):
                return kind(text)
    return text


_BET_ON = ("f1", "precision", "recall", "accuracy", "brier")


def _check_together(settings: Settings) -> None:
    """Refuse settings that are each right but do not fit together."""
    known = settings.columns
    if known:
        for name, columns in (
            ("target", (settings.target,)),
            ("id", (settings.id,)),
            ("date", (settings.date,)),
            ("key", settings.key),
        ):
            for column in columns:
                if column is not None and column not in known:
                    raise msgspec.ValidationError(f"`{column}` is not one of `columns` - at `$.{name}`")
    for column, kind in settings.declared.items():
        if not all(math.isfinite(bound) for bound in (kind.min, kind.max) if bound is not None):
            raise msgspec.ValidationError(f"a bound that is no number - at `$.columns.{column}`")
    if settings.on_conflict == "latest" and not settings.key:
        raise msgspec.ValidationError("`latest` needs a `key` to tell which rows are the same - at `$.on_conflict`")
    _check_sources(settings)
    _check_task(settings)
    _check_deciding(settings)
    _check_window(settings)
    _check_drift(settings)
    _check_offers(settings)
    if settings.campaigning is not None:
        _check_glob("at `$.campaigns`", settings.campaigning.files)
    settings_campaigns.check(settings)
    settings_notices.check(settings.mail, settings.alerts)
    _check_log(settings)
    settings_serve.check(settings.serve)
    if settings.target in settings.exclude + settings.forbidden:
        raise msgspec.ValidationError("the target cannot be excluded - at `$.target`")


def _check_log(settings: Settings) -> None:
    if settings.serve.log == settings.ledger:
        raise msgspec.ValidationError("is the ledger; what is served has a file of its own - at `$.serve.log`")


def _check_task(settings: Settings) -> None:
    """Refuse what the task does not know: amounts have neither a positive value nor anything that classes have."""
    if settings.task is Task.CLASSIFICATION:
        if settings.positive is None:
            raise msgspec.ValidationError("Object missing required field `positive`")
    else:
        _check_amounts(settings)
    known, gating = _BY_TASK[settings.task], settings.gating
    for where, metrics in (("metric", (gating.metric,)), ("guards", gating.guards)):
        for metric in metrics:
            if metric not in known:
                raise msgspec.ValidationError(
                    f"a {settings.task} has no `{metric}`; it has {', '.join(known)} - at `$.gate.{where}`"
                )


def _check_amounts(settings: Settings) -> None:
    if settings.positive is not None:
        raise msgspec.ValidationError("a regression predicts an amount, no value of its own - at `$.positive`")
    if settings.acceptance is not None:
        raise msgspec.ValidationError(
            "holds decisions and probabilities, which a regression has not - at `$.acceptance`"
        )
    if settings.gating.policy is Policy.STRICT:
        raise msgspec.ValidationError(
            "`strict` bets on decisions; a regression has `proven`, `better` and `always` - at `$.gate.policy`"
        )
    for setting in ("class_weight", "metric", "calibration", "resampling"):
        if getattr(settings.training, setting) != getattr(Training(), setting):
            raise msgspec.ValidationError(f"is of classes; a regression has none - at `$.training.{setting}`")
    training = settings.training
    for setting, asked in (
        ("mode", training.mode == "search"),
        ("window", training.window == "compare"),
        ("half_life", training.half_life is not None),
    ):
        if asked:
            raise msgspec.ValidationError(f"only where classes are predicted - at `$.training.{setting}`")


def _check_deciding(settings: Settings) -> None:
    if settings.holdout_days is not None and settings.date is None:
        raise msgspec.ValidationError("needs a `date` to tell which rows are the newest - at `$.holdout_days`")
    if settings.gating.policy is Policy.STRICT and settings.gating.metric not in _BET_ON:
        raise msgspec.ValidationError(
            f"policy `strict` bets on a row at a time, so on {', '.join(_BET_ON)} - at `$.gate.metric`"
        )


def _check_drift(settings: Settings) -> None:
    if not settings.drift.watch <= settings.drift.retrain <= settings.drift.search:
        raise msgspec.ValidationError("`watch`, `retrain` and `search` must not fall - at `$.drift`")
    if settings.drift.reference == "last_year" and settings.date is None:
        raise msgspec.ValidationError("`last_year` is told by the rows' `date`; name it - at `$.drift.reference`")


def _check_offers(settings: Settings) -> None:
    value = settings.valued
    settings_offers.check(value, settings.offers, settings.buckets, amounts=settings.task is Task.REGRESSION)
    if value is None or value.column is None or settings.sources or not settings.columns:
        return  # whether there is such a column is known once there are rows
    if value.column not in settings.columns:
        raise msgspec.ValidationError(f"`{value.column}` is not one of `columns` - at `$.value`")


def _check_sources(settings: Settings) -> None:
    """Refuse sources that cannot be joined to customers at a moment."""
    if not settings.sources:
        if settings.expressions:
            raise msgspec.ValidationError("there are no `sources` that it could go with - at `$.expressions`")
        if settings.labels is not None:
            _check_late_labels(settings, settings.labels)
        return
    if settings.id is None:
        raise msgspec.ValidationError("`sources` are joined by the customer's `id`; name it - at `$.sources`")
    if settings.date is None and settings.snapshot in ("date", "monthly"):
        raise msgspec.ValidationError(
            "`date` is needed to tell when a prediction was made; or name one day for all - at `$.snapshot`"
        )
    if settings.snapshot not in ("date", "monthly"):
        _day(settings.snapshot, "snapshot")
    for name, source in settings.sources.items():
        _check_source(name, source)
        if source.pull is not None:
            _check_pull(f"at `$.sources.{name}", source, source.pull)
            if source.pull.database is not None and settings.dedup == "off":
                raise msgspec.ValidationError(
                    f"a table is pulled with rows that came before; that needs `dedup: on` - at `$.sources.{name}.pull`"
                )


def _check_late_labels(settings: Settings, labels: str) -> None:
    """Refuse labels that cannot be joined to the requests that came before them."""
    if settings.id is None:
        raise msgspec.ValidationError("they are joined to requests by the customer's `id`; name it - at `$.labels`")
    _check_glob("at `$.labels`", labels)


def _check_glob(where: str, glob: str) -> None:
    if set("*?[") & set(glob.rpartition("/")[0]):
        raise msgspec.ValidationError(f"its folder must be one folder, not a glob - {where}")
    if glob.startswith("/") or ".." in glob or glob.count("/") > 1:
        raise msgspec.ValidationError(f"a glob of file names, below one folder of the source folder at most - {where}")


def _check_source(name: str, source: SourceTable) -> None:
    where = f"at `$.sources.{name}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise msgspec.ValidationError(f"a source's name is made of a-z, 0-9 and _ - {where}`")
    if name in ("exchange", "quarantine"):  # folders beside those of the sources
        raise msgspec.ValidationError(f"a name that churnwatch itself uses; rename the source - {where}`")
    _check_glob(f"{where}.files`", source.files)
    for role, column in (("key", source.key), ("time", source.time)):
        if column is not None and column not in source.columns:
            raise msgspec.ValidationError(f"`{column}` is not one of its `columns` - {where}.{role}`")
    if source.time is not None and source.declared[source.time].type is not ColumnType.DATE:
        raise msgspec.ValidationError(f"column `{source.time}` must be of type date - {where}.time`")
    twice = sorted(set(source.computed) & set(source.columns))
    if twice:
        raise msgspec.ValidationError(f"`{twice[0]}` is one of its `columns` already - {where}.computed`")


def _check_pull(where: str, source: SourceTable, pull: Pull) -> None:
    """Refuse what can be pulled from nowhere; no message has an address in it, since a password may be there."""
    if (pull.database is None) == (pull.url is None) or (pull.database is None) != (pull.table is None):
        raise msgspec.ValidationError(f"either `database` and `table`, or `url` - {where}.pull`")
    if pull.url is not None:
        _check_url(where, pull, pull.url)
        return
    if ADDRESS_ELSEWHERE.fullmatch(pull.database or "") is None:
        _check_address(where, pull.database or "")
    if not all((pull.table or "").split(".")):
        raise msgspec.ValidationError(f"a table, or one of a schema: `schema.table` - {where}.pull.table`")
    if not re.fullmatch(r"([^*?\[\]/]+/)?[^*?\[\]/]*\*[^*?\[\]/]*\.parquet", source.files):
        raise msgspec.ValidationError(
            f"a table is pulled into files such as `payments-*.parquet`: one `*`, and .parquet - {where}.files`"
        )
    if pull.cursor is not None:
        _check_cursor(where, source, pull.cursor)


def _check_url(where: str, pull: Pull, url: str) -> None:
    if pull.cursor is not None:
        raise msgspec.ValidationError(f"goes with a `table` only - {where}.pull.cursor`")
    if not re.match(r"[a-z][a-z0-9+.:-]*://.", url):
        raise msgspec.ValidationError(f"an address such as `s3://bucket/logs/*.csv.gz` - {where}.pull.url`")
    if re.search(r"://[^/]*:[^/]*@", url):
        raise msgspec.ValidationError(
            f"a password must not stand here; put it into fsspec's own configuration - {where}.pull.url`"
        )


def _check_address(where: str, address: str) -> None:
    if SQLITE.fullmatch(address):
        return
    found = POSTGRESQL.fullmatch(address)
    if found is None:
        raise msgspec.ValidationError(
            "`sqlite:///path`, `postgresql://user@host/database`, or `env:NAME` or `credential:NAME`, where such an"
            f" address stands - {where}.pull.database`"
        )
    if found["password"] is not None or "password" in (found["options"] or "").lower():
        raise msgspec.ValidationError(
            "a password must not stand here; put the whole address into an environment variable (`env:NAME`) or a"
            f" systemd credential (`credential:NAME`) - {where}.pull.database`"
        )


def _check_cursor(where: str, source: SourceTable, cursor: str) -> None:
    """Refuse a cursor that the database may order otherwise than the data set does, as it may texts."""
    if cursor not in source.columns:
        raise msgspec.ValidationError(f"`{cursor}` is not one of its `columns` - {where}.pull.cursor`")
    column = source.declared[cursor]
    if column.type is ColumnType.TEXT or column.format is not None:
        raise msgspec.ValidationError(
            f"column `{cursor}` must be of type integer, number or date, without a `format` - {where}.pull.cursor`"
        )


def _check_window(settings: Settings) -> None:
    """Refuse a window of training rows by their date where they have none, and weights of rows that are made."""
    weighs = settings.training.half_life is not None or settings.training.window == "compare"
    if settings.training.resampling != "none" and weighs:
        raise msgspec.ValidationError(
            "rows are resampled or weighed by age, not both; see `training.half_life` and `training.window`"
            " - at `$.training.resampling`"
        )
    kind, _, day = settings.training.window.partition(" ")
    if kind != "since":
        return
    _day(day, "training.window")
    if settings.date is None:
        raise msgspec.ValidationError("`since` needs `date`, the column with the rows' dates - at `$.training.window`")


def _day(text: str, where: str) -> None:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        raise msgspec.ValidationError(f"there is no day `{text}` - at `$.{where}`") from None


def _explain(message: str, node: yaml.Node | None, where: str) -> str:
    """Turn `Object contains unknown field `gat` - at `$.x`` into a line with file, line and the nearest name."""
    text, _, path = message.replace("at `key` in `", "at `").partition(" - at `")
    text = forms.in_words(text)
    keys = [key for key in re.split(r"[.\[\]]+", path.strip("`$")) if key]
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", text)
    if unknown:
        keys.append(unknown[1])
        near = difflib.get_close_matches(unknown[1], list(_names()), n=1)
        text = "no such setting" + (f"; did you mean `{near[0]}`?" if near else "; see docs/settings.md")
    line = _line_of(node, keys)
    return f"{where}{f', line {line}' if line else ''}: {'.'.join(keys) or 'settings'}: {text}."


def _line_of(node: yaml.Node | None, keys: list[str]) -> int | None:
    line = None
    for key in keys:
        children: Iterator[tuple[str, yaml.Node, yaml.Node]]
        if isinstance(node, yaml.MappingNode):
            children = ((k.value, k, v) for k, v in node.value)
        elif isinstance(node, yaml.SequenceNode):
            children = ((str(i), v, v) for i, v in enumerate(node.value))
        else:
            break
        found = next((child for child in children if child[0] == key), None)
        if found is None:
            break
        line, node = found[1].start_mark.line + 1, found[2]
    return line


def _names() -> Iterator[str]:
    for struct in (Settings, Column, SourceTable, Pull, Csv, Training, Gate, Drifting, Retrain, Packages, Value, Offer,
                   Buckets, Campaigns, Goal, ChurnRule, Serve):  # fmt: skip
        yield from struct.__struct_fields__
    for notice in (Mail, Alerts, Smtp):
        yield from notice.__struct_encode_fields__

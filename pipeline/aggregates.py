"""What a source's features are, and the SQL that makes them of mergeable parts.

    rows --partial--> one row per customer and snapshot --merge--> the same over all parts --final--> features

A partial aggregate can be merged with that of other rows, so that a new file is added without reading the old ones.
Only rows before the snapshot are ever joined to it. Sums are kept as decimals of nine places: they are the same in
whatever order rows come, and on every engine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from churnwatch.pipeline.engine import constant, literal, name
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings import Column, ColumnType, SourceTable

ID, SNAPSHOT = "_cw_id", "_cw_snapshot"
ROW = "*"  # stands for the row itself where a column is asked for
TREND_DAYS = 30
_VERSION = 1  # of the SQL below: a change of it makes all partial aggregates anew
_NUMBERS = (ColumnType.INTEGER, ColumnType.NUMBER)
_WINDOWED = ("count", "sum", "mean", "min", "max", "std", "distinct", "share")
_OF_NUMBERS = ("sum", "mean", "min", "max", "std", "trend")
_OF_ROWS = ("count", "days_since_last", "trend")
_ALL = (*_WINDOWED[:-1], "last", "days_since_last", "trend", "share:VALUE")
_DECIMAL = "DECIMAL(38, 9)"


@dataclass(frozen=True)
class Feature:
    """One feature of one source."""

    name: str
    column: str
    function: str
    window: str | None = None
    value: str | None = None  # of which the share is taken
    type: ColumnType = ColumnType.NUMBER

    @property
    def days(self) -> int | None:
        """How many days before the snapshot its window begins; None: there is no such bound."""
        return None if self.window in (None, "all") else int(str(self.window).removesuffix("d"))

    @property
    def says(self) -> str:
        """What it is, in words."""
        what = "rows" if self.column == ROW else f"`{self.column}`"
        of = {
            "count": f"number of {what}" if self.column == ROW else f"number of values of {what}",
            "days_since_last": "days since the last row",
            "last": f"{what} in the last row",
            "age_days": f"days from {what} in the last row to the snapshot",
            "share": f"share of `{self.value}` in {what}",
            "distinct": f"number of distinct values of {what}",
            "trend": f"{'number of ' if self.column == ROW else ''}{what} of the last {TREND_DAYS} days against the"
            f" {TREND_DAYS} before, from -1 to 1",
        }.get(self.function, f"{self.function} of {what}")
        when = {None: "", "all": " ever"}.get(self.window, f" in the last {self.window}")
        return of + when


@dataclass(frozen=True)
class Kept:
    """One column of the partial sums: an aggregate of the rows `r` of some days before the snapshot of a pair `p`."""

    name: str
    function: str  # count, sum, min or max
    argument: str
    newest_days: int = 0  # rows at least so many days before the snapshot
    oldest_days: int | None = None  # and at most so many; None: all

    @property
    def of_rows(self) -> str:
        """The SQL of it over rows, whenever they were."""
        return f"{self.function}({self.argument})"

    @property
    def partial(self) -> str:
        """The SQL of it over rows joined to their pairs."""
        within = []
        if self.oldest_days is not None:
            within.append(f"r._cw_t >= p.{SNAPSHOT} - INTERVAL '{self.oldest_days}' DAY")
        if self.newest_days:
            within.append(f"r._cw_t < p.{SNAPSHOT} - INTERVAL '{self.newest_days}' DAY")
        return self.of_rows + (f" FILTER (WHERE {' AND '.join(within)})" if within else "")

    def merged(self, value: str, where: str = "") -> str:
        """Return the SQL that merges values of it, where a condition holds."""
        if self.function == "count":  # a sum of counts is 128 bits wide, which Parquet has not
            return f"CAST(coalesce(sum({value}){where}, 0) AS BIGINT)"
        return f"{self.function}({value}){where}"


@dataclass(frozen=True)
class Plan:
    """All features of a source."""

    source: str
    key: str
    time: str | None
    columns: dict[str, Column]
    computed: dict[str, str]
    features: tuple[Feature, ...]

    @cached_property
    def definition(self) -> str:
        """Return the hash of everything that partial aggregates depend on."""
        features = sorted((f.column, f.function, f.window or "", f.value or "") for f in self.features)
        text = json.dumps([_VERSION, self.key, self.time, self.computed, features])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def kept(self) -> tuple[Kept, ...]:
        """Return the columns of the partial sums, each once."""
        found = {"n": Kept("n", "count", f"r.{name(self.key)}"), "t": Kept("t", "max", "r._cw_t")}
        for feature in self.features:
            found |= {kept.name: kept for kept in self._kept_for(feature)}
        return tuple(found.values())

    @property
    def last_columns(self) -> tuple[str, ...]:
        """Return the columns of which the last row's value is wanted."""
        return tuple(dict.fromkeys(f.column for f in self.features if f.function in ("last", "age_days")))

    @property
    def distinct_columns(self) -> tuple[str, ...]:
        """Return the columns of which distinct values are counted."""
        return tuple(dict.fromkeys(f.column for f in self.features if f.function == "distinct"))

    # -- partial sums ------------------------------------------------------------------------------------------

    def _kept_for(self, feature: Feature) -> list[Kept]:
        if feature.function in ("last", "age_days", "days_since_last", "distinct"):
            return []
        if feature.function == "trend":
            value = _exact("1" if feature.column == ROW else self._value(feature))
            now, before = (self._slot(feature, "s", window) for window in ("now", "before"))
            return [Kept(now, "sum", value, 0, TREND_DAYS), Kept(before, "sum", value, TREND_DAYS, 2 * TREND_DAYS)]
        window, value, days = feature.window or "all", self._value(feature), feature.days
        made = [Kept(self._slot(feature, "n", window), "count", value, 0, days)]
        if feature.function in ("sum", "mean", "std"):
            made.append(Kept(self._slot(feature, "s", window), "sum", _exact(value), 0, days))
        if feature.function == "std":
            square = _exact(f"CAST({value} AS DOUBLE) * CAST({value} AS DOUBLE)")
            made.append(Kept(self._slot(feature, "q", window), "sum", square, 0, days))
        if feature.function in ("min", "max"):
            made.append(Kept(self._slot(feature, feature.function, window), feature.function, value, 0, days))
        if feature.function == "share":
            equal = f"CASE WHEN {value} = {self._literal(feature)} THEN 1 END"
            made.append(Kept(self._share_slot(feature), "count", equal, 0, days))
        return made

    def _value(self, feature: Feature) -> str:
        return f"r.{name(self.key if feature.column == ROW else feature.column)}"

    def _literal(self, feature: Feature) -> str:
        if self.type_of(feature.column) in _NUMBERS:
            return f"CAST({literal(feature.value or '')} AS DOUBLE)"
        return constant(feature.value or "")

    def _slot(self, feature: Feature, kind: str, window: str) -> str:
        return f"{kind}_{window}_{self.number(feature.column)}"

    def _share_slot(self, feature: Feature) -> str:
        values = sorted({f.value or "" for f in self.features if f.column == feature.column and f.value is not None})
        return f"{self._slot(feature, 'e', feature.window or 'all')}_{values.index(feature.value or '')}"

    def number(self, column: str) -> int:
        """Return by what number a column is known in what is kept; the order in the settings does not count."""
        return [ROW, *sorted([*self.columns, *self.computed])].index(column)

    def type_of(self, column: str) -> ColumnType:
        """Return the type of a column, declared or computed."""
        return self.columns[column].type if column in self.columns else ColumnType.NUMBER

    # -- final -------------------------------------------------------------------------------------------------

    def final(self, feature: Feature, number: int) -> str:
        """Return the SQL of a feature of source `number`.

        Over the rows `b` that get features, merged sums `m…`, last rows `l…` and counts of distinct values `d…`.
        """
        m, last = f"m{number}", f"l{number}"
        if feature.function == "last":
            value = f"{last}.{name(feature.column)}"
            return value if feature.type is ColumnType.TEXT else f"CAST({value} AS DOUBLE)"
        if feature.function == "age_days":
            return _days_between(f"{last}.{name(feature.column)}", f"b.{SNAPSHOT}")
        if feature.function == "days_since_last":
            return _days_between(f"{m}.t", f"b.{SNAPSHOT}")
        if feature.function == "distinct":
            return f"CASE WHEN {m}.n IS NOT NULL THEN coalesce(d{number}.{name(feature.name)}, 0.0) END"
        if feature.function == "trend":
            return self._trend(feature, m)
        return self._windowed(feature, m)

    def _windowed(self, feature: Feature, m: str) -> str:
        window = feature.window or "all"
        count, total, square = (f"{m}.{name(self._slot(feature, kind, window))}" for kind in ("n", "s", "q"))
        n, s = f"CAST({count} AS DOUBLE)", f"CAST({total} AS DOUBLE)"
        if feature.function == "count":
            return n
        if feature.function == "sum":
            return f"CASE WHEN {count} IS NOT NULL THEN coalesce({s}, 0.0) END"
        if feature.function == "mean":
            return f"CASE WHEN {count} > 0 THEN {s} / {n} END"
        if feature.function == "std":
            spread = f"(CAST({square} AS DOUBLE) - {s} * {s} / {n}) / ({n} - 1)"
            return f"CASE WHEN {count} > 1 THEN sqrt(greatest({spread}, 0.0)) END"
        if feature.function == "share":
            return f"CASE WHEN {count} > 0 THEN CAST({m}.{name(self._share_slot(feature))} AS DOUBLE) / {n} END"
        return f"CAST({m}.{name(self._slot(feature, feature.function, window))} AS DOUBLE)"

    def _trend(self, feature: Feature, m: str) -> str:
        now, before = (
            f"coalesce(CAST({m}.{name(self._slot(feature, 's', window))} AS DOUBLE), 0.0)"
            for window in ("now", "before")
        )
        total = f"(abs({now}) + abs({before}))"
        return f"CASE WHEN {total} > 0 THEN ({now} - {before}) / {total} END"


def _exact(value: str) -> str:
    return f"TRY_CAST({value} AS {_DECIMAL})"


def _days_between(earlier: str, later: str) -> str:
    """Return the SQL of whole calendar days between two times, by their Julian day numbers.

    By arithmetic, since engines differ in what a difference of dates is. Source: Fliegel and van Flandern, A machine
    algorithm for processing calendar dates, Communications of the ACM 11 (1968).
    """
    return f"CAST({_julian_day(later)} - {_julian_day(earlier)} AS DOUBLE)"


def _julian_day(time: str) -> str:
    year, month, day = (f"CAST(EXTRACT({part} FROM {time}) AS DOUBLE)" for part in ("YEAR", "MONTH", "DAY"))
    early = f"floor((14.0 - {month}) / 12.0)"
    y, m = f"({year} + 4800.0 - {early})", f"({month} + 12.0 * {early} - 3.0)"
    leaps = f"floor({y} / 4.0) - floor({y} / 100.0) + floor({y} / 400.0)"
    return f"({day} + floor((153.0 * {m} + 2.0) / 5.0) + 365.0 * {y} + {leaps} - 32045.0)"


# -- settings → plan ---------------------------------------------------------------------------------------------


def plan(source: str, settings: SourceTable) -> Plan:
    """Return a source's features.

    Raises:
        SettingsError: an aggregate that does not exist, or does not fit its column.
    """
    columns = settings.declared
    columns[settings.key] = Column(type=ColumnType.TEXT)
    types = {column: kind.type for column, kind in columns.items()} | dict.fromkeys(
        settings.computed, ColumnType.NUMBER
    )
    wanted = settings.features or _usual(settings, types)
    features: list[Feature] = []
    for column, functions in wanted.items():
        if column != ROW and column not in types:
            raise SettingsError(f"settings.yaml: sources.{source}.features: it has no column `{column}`;"
                                f" it has {', '.join(types)}.")  # fmt: skip
        for function in functions:
            _check(source, settings, column, function, types)
            features += _made(source, column, function, settings.windows, types)
    return Plan(source, settings.key, settings.time, columns, dict(settings.computed), tuple(features))


def _usual(settings: SourceTable, types: dict[str, ColumnType]) -> dict[str, tuple[str, ...]]:
    """Return the features that a source gets without being asked."""
    others = [column for column in types if column not in (settings.key, settings.time)]
    if settings.time is None:
        return dict.fromkeys(others, ("last",))
    numbers = {column: ("sum", "mean") for column in others if types[column] in _NUMBERS}
    texts = {column: ("last",) for column in others if types[column] is ColumnType.TEXT}
    return {ROW: ("count", "days_since_last", "trend"), **numbers, **texts}


def _check(source: str, settings: SourceTable, column: str, function: str, types: dict[str, ColumnType]) -> None:
    where = f"settings.yaml: sources.{source}.features.{column}: `{function}`"
    kind, _, value = function.partition(":")
    if function not in _ALL and not (kind == "share" and value):
        raise SettingsError(f"{where} is none of {', '.join(_ALL)}.")
    if settings.time is None and function != "last":
        raise SettingsError(f"{where} needs the source's `time`; without it there is only `last`.")
    if column == ROW:
        if function not in _OF_ROWS:
            raise SettingsError(f"{where} needs a column; of rows there are {', '.join(_OF_ROWS)}.")
    elif function == "days_since_last":
        raise SettingsError(f'{where} is asked of the rows: "*": [days_since_last].')
    elif function in _OF_NUMBERS and types[column] not in _NUMBERS:
        raise SettingsError(f"{where} needs numbers, and the column is of type {types[column]}.")
    elif function == "distinct" and types[column] is ColumnType.NUMBER:
        raise SettingsError(f"{where} needs texts, whole numbers or dates, and the column is of type number.")
    elif kind == "share" and not _is_of(types[column], value):
        raise SettingsError(f"{where} asks for a value that a column of type {types[column]} cannot have.")


def _is_of(kind: ColumnType, value: str) -> bool:
    if kind is ColumnType.TEXT:
        return True
    try:
        float(value)
    except ValueError:
        return False
    return kind in _NUMBERS


def _made(
    source: str, column: str, function: str, windows: Sequence[str], types: dict[str, ColumnType]
) -> Iterable[Feature]:
    kind, _, value = function.partition(":")
    stem = source if column == ROW else f"{source}_{column}"
    if kind == "last":
        if types[column] is ColumnType.DATE:
            return [Feature(f"{stem}_age_days", column, "age_days")]
        text = types[column] is ColumnType.TEXT
        return [Feature(f"{stem}_last", column, "last", type=ColumnType.TEXT if text else ColumnType.NUMBER)]
    if kind not in _WINDOWED:
        return [Feature(f"{stem}_{kind}", column, kind)]
    label = f"{kind}_{value}" if value else kind
    return [Feature(f"{stem}_{label}_{window}", column, kind, window, value or None) for window in windows]

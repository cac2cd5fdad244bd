"""Which columns are accepted, and as what.

A schema is names and types; checks (min, allowed, …) may change from run to run without touching what is stored.
Its canonical text decides the row key, so it is kept in the ledger with a key version.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings import Column, ColumnType, Settings, SourceTable, Task

# What the types are called in SQL, by names that every engine knows.
SQL_TYPES = {
    ColumnType.TEXT: "STRING",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.NUMBER: "DOUBLE",
    ColumnType.DATE: "TIMESTAMP",
}
NUMBERS = (ColumnType.INTEGER, ColumnType.NUMBER)
LARGEST = 1e30  # number, either way; beyond it what is computed with one may no longer be one
# What the data set adds to the user's columns.
ROW_COLUMNS = ("_h", "_h2", "_batch", "_line", "_holdout")
_OUR_NAMES = re.compile(
    r"_(h|h2|batch|line|holdout|file|bad|key|nth|y|raw_[0-9]+|cw_.*)"
)  # with those of passing tables


@dataclass(frozen=True)
class Schema:
    """Columns by name, in the order of the settings, and the parts that some of them play."""

    columns: dict[str, Column]
    target: str | None  # a source beside the customers' rows has none
    positive: str | None = ""  # None: the target is an amount
    id: str | None = None
    date: str | None = None
    left_out: tuple[str, ...] = ()  # excluded or forbidden: stored, never learned from

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All columns."""
        return tuple(self.columns)

    @property
    def keeps_newest(self) -> bool:
        """Whether of the rows of one id only the newest counts: a source that tells no times."""
        return self.target is None and self.date is None

    @property
    def amount(self) -> str | None:
        """The target where it is an amount, and does not say whether a customer left."""
        return self.target if self.positive is None else None

    @property
    def predicts_amounts(self) -> bool:
        """Whether the target is an amount."""
        return self.amount is not None

    @cached_property
    def canonical(self) -> str:
        """Names and types, sorted by name: equal texts mean equal row keys."""
        return json.dumps({name: self.columns[name].type.value for name in sorted(self.columns)}, ensure_ascii=False)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Columns that a model may learn from. Dates are not among them: a model of the past knows no later one."""
        parts = {self.target, self.id, self.date, *self.left_out}
        return tuple(n for n, c in self.columns.items() if n not in parts and c.type is not ColumnType.DATE)

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        """Features that are numbers."""
        return tuple(n for n in self.features if self.columns[n].type in NUMBERS)

    @cached_property
    def categorical(self) -> tuple[str, ...]:
        """Features that are texts."""
        return tuple(n for n in self.features if self.columns[n].type is ColumnType.TEXT)


def from_settings(settings: Settings, columns: dict[str, Column]) -> Schema:
    """Make the schema that settings ask for over these columns.

    Raises:
        SettingsError: a name cannot be used, or no column is left to learn from.
    """
    check_names(tuple(columns))
    for role, column in (("target", settings.target), ("id", settings.id), ("date", settings.date)):
        if column is not None and column not in columns:
            raise SettingsError(f"settings.yaml: {role}: the data has no column `{column}`; it has {_listed(columns)}.")
    if not settings.sources:  # whose features may have names, too: these are checked with them
        check_mentioned(settings, columns)
    columns = dict(columns)
    if settings.id is not None:
        columns[settings.id] = _as_text(columns[settings.id])
    if settings.date is not None and columns[settings.date].type is not ColumnType.DATE:
        raise SettingsError(f"settings.yaml: date: column `{settings.date}` is of type"
                            f" {columns[settings.date].type}; declare it as `date`.")  # fmt: skip
    if settings.task is Task.REGRESSION and columns[settings.target].type not in NUMBERS:
        kind = columns[settings.target].type
        raise SettingsError(
            f"settings.yaml: target: column `{settings.target}` is of type {kind}; a regression needs `number`."
        )
    schema = Schema(
        columns=columns,
        target=settings.target,
        positive=settings.positive,
        id=settings.id,
        date=settings.date,
        left_out=settings.exclude + settings.forbidden,
    )
    if not schema.features and not settings.sources:
        raise SettingsError("settings.yaml: columns: none is left to learn from; see `exclude` and `forbidden`.")
    return schema


def from_source(where: str, source: SourceTable) -> Schema:
    """Make the schema of a source; `where` names it in messages.

    Raises:
        SettingsError: a name cannot be used.
    """
    check_names(tuple(source.columns), where)
    columns = source.declared
    columns[source.key] = _as_text(columns[source.key])
    return Schema(columns=columns, target=None, id=source.key, date=source.time)


def _as_text(column: Column) -> Column:
    """Return the column of an id: a name, not an amount, since 00123 and 123 are two customers."""
    if column.type is ColumnType.TEXT:
        return column
    return Column(type=ColumnType.TEXT, required=column.required, unique=column.unique)


def check_names(names: Sequence[str], where: str = "columns") -> None:
    """Refuse names that stand twice, are empty, or are ours.

    Raises:
        SettingsError: naming the setting, `where`, and the column.
    """
    seen: dict[str, str] = {}
    for column in names:
        folded = column.lower()
        if not column.strip():
            raise SettingsError(f"settings.yaml: {where}: a column has no name; give it one in the file's first line,"
                                " or declare the `columns` without it.")  # fmt: skip
        if _OUR_NAMES.fullmatch(folded):
            raise SettingsError(f"settings.yaml: {where}: `{column}` is a name that churnwatch itself uses; rename it.")
        if seen.get(folded) == column:
            raise SettingsError(f"settings.yaml: {where}: `{column}` stands twice.")
        if folded in seen:
            raise SettingsError(f"settings.yaml: {where}: `{column}` and `{seen[folded]}` differ in case only.")
        seen[folded] = column


def check_mentioned(settings: Settings, columns: Mapping[str, Column]) -> None:
    """Refuse words for a column that is not there, and such a column to be left out: the one that is meant is not.

    Raises:
        SettingsError: naming the setting, the column, and the nearest that there is.
    """
    for where in ("names", "exclude", "forbidden"):
        for column in getattr(settings, where):
            if column not in columns:
                near = difflib.get_close_matches(column, list(columns), n=1)
                known = f"did you mean `{near[0]}`?" if near else f"it has {_listed(dict(columns))}."
                raise SettingsError(f"settings.yaml: {where}: the data has no column `{column}`; {known}")


def _listed(columns: dict[str, Column]) -> str:
    shown = list(columns)[:12]
    return ", ".join(shown) + (", …" if len(columns) > len(shown) else "")

"""Which columns are accepted, and as what.

A schema is names and types; checks (min, allowed, …) may change from run to run without touching what is stored.
Its canonical text decides the row key, so it is kept in the ledger with a key version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings import Column, ColumnType, Settings

# What the data set adds to the user's columns.
ROW_COLUMNS = ("_h", "_h2", "_batch", "_line", "_holdout")
_OUR_NAMES = re.compile(r"_(h|h2|batch|line|holdout|file|bad|key|nth|y|raw_[0-9]+)")  # with those of passing tables


@dataclass(frozen=True)
class Schema:
    """Columns by name, in the order of the settings, and the parts that some of them play."""

    columns: dict[str, Column]
    target: str
    positive: str
    id: str | None = None
    date: str | None = None
    left_out: tuple[str, ...] = ()  # excluded or forbidden: stored, never learned from

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All columns."""
        return tuple(self.columns)

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
        return tuple(n for n in self.features if self.columns[n].type in (ColumnType.INTEGER, ColumnType.NUMBER))

    @cached_property
    def categorical(self) -> tuple[str, ...]:
        """Features that are texts."""
        return tuple(n for n in self.features if self.columns[n].type is ColumnType.TEXT)


def from_settings(settings: Settings, columns: dict[str, Column]) -> Schema:
    """Make the schema that settings ask for over these columns.

    Raises:
        SettingsError: a name cannot be used, or no column is left to learn from.
    """
    _check_names(tuple(columns))
    for role, column in (("target", settings.target), ("id", settings.id), ("date", settings.date)):
        if column is not None and column not in columns:
            raise SettingsError(f"settings.yaml: {role}: the data has no column `{column}`; it has {_listed(columns)}.")
    columns = dict(columns)
    if settings.id is not None and columns[settings.id].type is not ColumnType.TEXT:
        # An id is a name, not an amount: 00123 and 123 are two customers.
        columns[settings.id] = Column(type=ColumnType.TEXT, required=columns[settings.id].required,
                                      unique=columns[settings.id].unique)  # fmt: skip
    if settings.date is not None and columns[settings.date].type is not ColumnType.DATE:
        raise SettingsError(f"settings.yaml: date: column `{settings.date}` is of type"
                            f" {columns[settings.date].type}; declare it as `date`.")  # fmt: skip
    schema = Schema(
        columns=columns,
        target=settings.target,
        positive=settings.positive,
        id=settings.id,
        date=settings.date,
        left_out=settings.exclude + settings.forbidden,
    )
    if not schema.features:
        raise SettingsError("settings.yaml: columns: none is left to learn from; see `exclude` and `forbidden`.")
    return schema


def _check_names(names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for column in names:
        folded = column.lower()
        if not column.strip():
            raise SettingsError("settings.yaml: columns: a column has no name; give it one in the file's first line, or"
                                " declare the `columns` without it.")  # fmt: skip
        if _OUR_NAMES.fullmatch(folded):
            raise SettingsError(f"settings.yaml: columns: `{column}` is a name that churnwatch itself uses; rename it.")
        if folded in seen:
            raise SettingsError(f"settings.yaml: columns: `{column}` and `{seen[folded]}` differ in case only.")
        seen[folded] = column


def _listed(columns: dict[str, Column]) -> str:
    shown = list(columns)[:12]
    return ", ".join(shown) + (", …" if len(columns) > len(shown) else "")

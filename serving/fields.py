"""What the model in use looks at, field by field: the type of each, what stands in for it, what it may be."""

from __future__ import annotations

import math
import sys
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from churnwatch.pipeline.bins import Bins, typical
from churnwatch.pipeline.schema import LARGEST, NUMBERS, Schema
from churnwatch.pipeline.settings import Column, ColumnType

Value = str | float | None


@dataclass(frozen=True)
class Field:
    """A column that the model looks at.

    Attributes:
        name: of the column.
        kind: text, integer or number.
        typical: what stands in where nothing is sent: the training rows' most frequent category or median; None where
            most of them have no value, or none is frequent enough to be kept by name.
        categories: of texts: those that are kept by name, the most frequent first.
        low: of numbers: the least value seen.
        high: the greatest.
        checks: what the settings allow.
        missing: texts that stand for no value, as in files.
    """

    name: str
    kind: ColumnType
    typical: Value
    categories: tuple[str, ...]
    low: float | None
    high: float | None
    checks: Column
    missing: tuple[str, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.kind in NUMBERS

    def wrong(self, value: object) -> str | None:
        """Say what is wrong with a value that was sent, None where nothing is. A null is a value that is missing."""
        if value is None:
            return "missing, but required" if self.checks.required else None
        if self.is_number:
            return self._wrong_number(value)
        if not isinstance(value, str):
            return "not a text"
        if self.checks.required and is_missing(value, self.missing):
            return "missing, but required"
        return "none of the allowed values" if self.checks.allowed and value not in self.checks.allowed else None

    def meant(self, value: Value) -> Value:
        """Return what a value that was sent means: a text may stand for none."""
        return None if isinstance(value, str) and is_missing(value, self.missing) else value

    def _wrong_number(self, value: object) -> str | None:
        number = _number(value)
        if number is None:
            return "not a number"
        if abs(number) > LARGEST:
            return f"beyond {LARGEST:g}, either way"
        if self.kind is ColumnType.INTEGER and number != int(number):
            return "not a whole number"
        if self.checks.min is not None and number < self.checks.min:
            return f"below {self.checks.min:g}"
        if self.checks.max is not None and number > self.checks.max:
            return f"above {self.checks.max:g}"
        return self._not_allowed(number)

    def _not_allowed(self, number: float) -> str | None:
        if not self.checks.allowed or any(float(each) == number for each in self.checks.allowed):
            return None
        return "none of the allowed values"


def of_model(
    columns: Sequence[str],
    known: Sequence[Bins],
    schema: Schema,
    extremes: Mapping[str, tuple[float, float]],
    missing: tuple[str, ...],
) -> dict[str, Field]:
    """Return the fields of a model by name, in its order.

    Args:
        columns: that the model looks at.
        known: how they were spread over its training rows.
        schema: of the customers' rows; what is made of sources is not in it.
        extremes: the least and the greatest value seen, of those columns of which that is known.
        missing: texts that stand for no value, by the settings.
    """
    spread = {bins.column: bins for bins in known}
    return {column: _field(column, spread[column], schema, extremes.get(column), missing) for column in columns}


def is_missing(text: str, missing: Container[str]) -> bool:
    """Tell whether a text counts as no value; as `cells.present` has it."""
    return not text.strip(" \t") or text.strip(" ") in missing


def _field(
    column: str, bins: Bins, schema: Schema, extremes: tuple[float, float] | None, missing: tuple[str, ...]
) -> Field:
    made = ColumnType.NUMBER if bins.categories is None else ColumnType.TEXT
    checks = schema.columns.get(column, Column(type=made))
    if bins.categories is not None:
        return Field(column, checks.type, typical(bins), bins.categories, None, None, checks, missing)
    cuts = [0.0 if abs(cut) < sys.float_info.min else cut for cut in bins.cuts]  # one lies just below nought
    low, high = extremes or (min(cuts, default=None), max(cuts, default=None))
    middle = typical(bins)
    usual = int(middle) if middle is not None and checks.type is ColumnType.INTEGER else middle
    return Field(column, checks.type, usual, (), low, high, checks)


def _number(value: object) -> int | float | None:
    """Return what can be computed with, None where a value cannot; JSON has integers of any length."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -math.inf < value < math.inf else None

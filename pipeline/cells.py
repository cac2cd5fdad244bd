"""Text cells → typed values and checks, as SQL for DuckDB, which reads on the daemon's box whatever the engine is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from churnwatch.pipeline.engine import constant, literal, name
from churnwatch.pipeline.schema import LARGEST, SQL_TYPES, Schema
from churnwatch.pipeline.settings import Column, ColumnType, Csv

HOLDOUT_PERCENT = 30  # no setting: what was once promised to the holdout must stay there

INTEGER = r"[+-]?[0-9]+(\.0+)?"
NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?"
_NOT = {
    ColumnType.INTEGER: "not a whole number",
    ColumnType.NUMBER: "not a number",
    ColumnType.DATE: "not a date",
}


@dataclass(frozen=True)
class Check:
    """A condition under which a row is quarantined. `broken` is SQL over the columns of `typed_sql`."""

    check_name: str
    column_name: str
    reason: str
    broken: str


def typed_column(column: str, kind: Column, csv: Csv) -> str:
    """Return the SQL that gives a text column its type; what does not fit becomes NULL."""
    cell = present(column, csv)
    number = f"replace({cell}, ',', '.')" if csv.decimal == "," else cell
    if kind.type is ColumnType.TEXT:
        return cell
    if kind.type is ColumnType.INTEGER:
        return f"CASE WHEN {_like(cell, INTEGER)} THEN TRY_CAST({cell} AS BIGINT) END"
    if kind.type is ColumnType.NUMBER:
        value = f"TRY_CAST({number} AS DOUBLE)"
        return f"CASE WHEN {_like(number, NUMBER)} AND isfinite({value}) THEN {value} + 0.0 END"
    if kind.format:
        return f"try_strptime(trim({cell}), {literal(kind.format)})"
    return f"CASE WHEN {_like(cell, _DATE)} THEN TRY_CAST(trim({cell}) AS TIMESTAMP) END"


def present(column: str, csv: Csv) -> str:
    """Return the SQL of a text cell with NULL for what counts as missing.

    A blank cell is less than "!"; trimming only those saves a third of the time that typing takes.
    """
    cell = name(column)
    missing = "".join(f" OR trim({cell}) = {literal(text)}" for text in csv.missing)
    return f"CASE WHEN ({cell} < '!' AND trim({cell}, ' \t') = ''){missing} THEN NULL ELSE {cell} END"


def checks(schema: Schema, before: str | None = None) -> list[Check]:
    """Return all checks in the order of the columns. `_raw_N` is the text of column N, its name the typed value.

    `before` stands after FROM to read rows of the same files that were checked before.
    """
    found: list[Check] = []
    for index, (column, kind) in enumerate(schema.columns.items()):
        value = name(column)
        if kind.type is not ColumnType.TEXT:
            found.append(Check("type", column, _NOT[kind.type], f"{value} IS NULL AND {raw(index)} IS NOT NULL"))
        if kind.type is ColumnType.NUMBER:
            found.append(Check("type", column, f"beyond {LARGEST:g}, either way", f"abs({value}) > {LARGEST!r}"))
        found += [Check(check, column, reason, broken) for check, reason, broken in _bounds(value, kind)]
        if kind.unique:
            again = f"row_number() OVER (PARTITION BY _file, {value} ORDER BY _line) > 1"
            if before is not None:
                again = f"({again} OR (_file, {value}) IN (SELECT (_file, {value}) FROM {before} b))"
            found.append(
                Check("unique", column, "a value that stood in the file before", f"{value} IS NOT NULL AND {again}")
            )
    return found


def _bounds(value: str, kind: Column) -> list[tuple[str, str, str]]:
    numeric = kind.type in (ColumnType.INTEGER, ColumnType.NUMBER)
    found = []
    if kind.min is not None and numeric:
        found.append(("min", f"below {kind.min:g}", f"{value} < {kind.min!r}"))
    if kind.max is not None and numeric:
        found.append(("max", f"above {kind.max:g}", f"{value} > {kind.max!r}"))
    if kind.allowed:
        values = ", ".join(_allowed(text, kind) for text in kind.allowed)
        none = f"{value} IS NOT NULL AND NOT coalesce({value} IN ({values}), false)"
        found.append(("allowed", "none of the allowed values", none))
    if kind.required:
        found.append(("required", "missing, but required", f"{value} IS NULL"))
    return found


def _allowed(text: str, kind: Column) -> str:
    """Return the SQL of an allowed value in the column's type; NULL for what can be none."""
    if kind.type is ColumnType.DATE and kind.format:
        return f"try_strptime({literal(text)}, {literal(kind.format)})"
    return f"TRY_CAST({literal(text)} AS {SQL_TYPES[kind.type]})"


def raw(index: int) -> str:
    """Return the name under which the text of a column stands beside its typed value."""
    return f"_raw_{index}"


def typed_sql(schema: Schema, csv: Csv, source: str, *, present_columns: Sequence[str]) -> str:
    """Return the query that types all rows of `source`, with each cell's text where a type check needs it."""
    there = set(present_columns)
    selected = ["_file", "_line"]
    for index, (column, kind) in enumerate(schema.columns.items()):
        if column not in there:
            selected.append(f"CAST(NULL AS {SQL_TYPES[kind.type]}) AS {name(column)}")
            selected.append(f"CAST(NULL AS VARCHAR) AS {raw(index)}")
            continue
        selected.append(f"CAST({typed_column(column, kind, csv)} AS {SQL_TYPES[kind.type]}) AS {name(column)}")
        if kind.type is not ColumnType.TEXT:
            selected.append(f"{present(column, csv)} AS {raw(index)}")
    return f"SELECT {', '.join(selected)} FROM {source}"


def key_text(schema: Schema) -> str:
    """Return the SQL of the text whose md5 is the row key: injective, NULLs marked, doubles by their bits."""
    pieces = []
    for column in sorted(schema.columns):
        value, kind = name(column), schema.columns[column].type
        if kind is ColumnType.TEXT:
            piece = f"coalesce(length({value}) || ':' || {value}, '-')"
        elif kind is ColumnType.INTEGER:
            piece = f"coalesce(CAST({value} AS VARCHAR), '-')"
        elif kind is ColumnType.NUMBER:
            piece = f"coalesce(CAST(CAST(CAST({value} AS BIT) AS BIGINT) AS VARCHAR), '-')"
        else:
            piece = f"coalesce(CAST(epoch_us({value}) AS VARCHAR), '-')"
        pieces.append(piece)
    separated = ", '|', ".join(pieces)
    return f"concat({separated})"  # no piece is ever NULL, and it takes two thirds of the time of ||


def md5_halves(md5: str) -> tuple[str, str]:
    """Return the SQL of the two halves of an md5 in hex as signed BIGINTs (Spark has no unsigned ones).

    From the hex text, since that is three times as fast here as `md5_number_lower` and `md5_number_upper`.
    """
    first, second = (f"CAST(CAST(unhex(substr({md5}, {start}, 16)) AS BIT) AS BIGINT)" for start in (1, 17))
    return first, second


def holdout(schema: Schema) -> str:
    """Return the SQL that tells whether a row is promised to the holdout: whole customers, by the id's hash.

    `_md5` is the hex md5 of the row key; it decides where there is no id.
    """
    md5 = "_md5"
    if schema.id is not None:
        md5 = f"CASE WHEN {name(schema.id)} IS NULL THEN _md5 ELSE md5({name(schema.id)}) END"
    return f"CAST('0x' || substr({md5}, 1, 8) AS BIGINT) % 100 < {HOLDOUT_PERCENT}"


def label(schema: Schema) -> str:
    """Return the SQL of the label: 1 for the positive value, 0 for another, NULL where the target is missing.

    Where amounts are predicted, it is the target itself.
    """
    if schema.target is None:
        return "CAST(NULL AS INTEGER)"
    if schema.positive is None:
        return f"CAST({name(schema.target)} AS DOUBLE)"
    target, kind = name(schema.target), schema.columns[schema.target].type
    if kind in (ColumnType.INTEGER, ColumnType.NUMBER):
        positive = f"TRY_CAST({literal(schema.positive)} AS DOUBLE)"
        return f"CASE WHEN {target} IS NULL THEN NULL WHEN {target} = {positive} THEN 1 ELSE 0 END"
    return f"CASE WHEN {target} IS NULL THEN NULL WHEN {target} = {constant(schema.positive)} THEN 1 ELSE 0 END"


def _like(value: str, pattern: str) -> str:
    return f"regexp_full_match({value}, {literal(f' *({pattern}) *')})"

"""Cells of many customers → columns as the model sees them, and which rows cannot be predicted, and why.

A cell means what it means in a file that is learned from (`pipeline.cells`), a column that was not sent is assumed, and
a field is refused for the reasons for which `Field.wrong` refuses it. Here all of that is about columns and not about
one customer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from churnwatch.pipeline.cells import INTEGER, NUMBER
from churnwatch.pipeline.csv_cells import Rows
from churnwatch.pipeline.schema import LARGEST
from churnwatch.pipeline.settings import ColumnType, Csv
from churnwatch.serving.fields import Field, is_missing
from churnwatch.serving.inputs import Columns

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
_Reasons = Sequence[tuple[Flags, str]]
_LARGE = 2.0**63


@dataclass(frozen=True)
class Understood:
    """Rows as the model sees them.

    Attributes:
        columns: of each field, n values.
        problems: why rows cannot be predicted, by their place.
    """

    columns: Columns
    problems: Mapping[int, str]


def understood(rows: Rows, fields: Mapping[str, Field], csv: Csv) -> Understood:
    """Return rows as the model sees them; those that cannot be predicted have any values."""
    columns: dict[str, npt.NDArray[Any]] = {}
    problems: dict[int, list[str]] = {}
    for name, field in fields.items():
        if name not in rows.cells.column_names:
            columns[name] = assumed(field, len(rows))
            continue
        columns[name], reasons = _column(rows.cells[name], field, csv)
        told = np.zeros(len(rows), dtype=np.bool_)
        for wrong, why in reasons:
            for place in np.flatnonzero(wrong & ~told).tolist():
                problems.setdefault(place, []).append(f"`{name}`: {why}")
            told |= wrong
    return Understood(columns, {place: "; ".join(each) for place, each in problems.items()} | dict(rows.bad))


def assumed(field: Field, rows: int) -> npt.NDArray[Any]:
    """Return what stands in for a field that was not sent, shape (n,)."""
    typical = np.nan if field.typical is None and field.is_number else field.typical
    return np.full(rows, typical, dtype=np.float64 if field.is_number else object)


def numbers(column: pa.ChunkedArray, csv: Csv) -> Floats:
    """Return the numbers of a column, shape (n,), not a number where there is none."""
    return _number(column, ColumnType.NUMBER, csv)[0]


def _column(column: pa.ChunkedArray, field: Field, csv: Csv) -> tuple[npt.NDArray[Any], _Reasons]:
    if not field.is_number:
        return _texts(column, field, csv)
    found, is_none = _number(column, field.kind, csv)
    what = "not a whole number" if field.kind is ColumnType.INTEGER else "not a number"
    return found, [(is_none, what), *_outside(found, field)]


def _outside(values: Floats, field: Field) -> _Reasons:
    checks, reasons = field.checks, [(np.abs(values) > LARGEST, f"beyond {LARGEST:g}, either way")]
    if checks.min is not None:
        reasons.append((values < checks.min, f"below {checks.min:g}"))
    if checks.max is not None:
        reasons.append((values > checks.max, f"above {checks.max:g}"))
    if checks.allowed:
        allowed = np.isin(values, [float(each) for each in checks.allowed])
        reasons.append((~allowed & ~np.isnan(values), "none of the allowed values"))
    if checks.required:
        reasons.append((np.isnan(values), "missing, but required"))
    return reasons


def _texts(column: pa.ChunkedArray, field: Field, csv: Csv) -> tuple[npt.NDArray[Any], _Reasons]:
    """Return texts by way of those that differ, with None where there is none."""
    coded = _coded(column)
    known = [None if is_missing(each, csv.missing) else each for each in coded.dictionary.to_pylist()]
    texts = np.array([*known, None], dtype=object)
    places = coded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
    reasons = []
    if field.checks.allowed:
        wrong = [each is not None and each not in field.checks.allowed for each in texts]
        reasons.append((np.array(wrong)[places], "none of the allowed values"))
    if field.checks.required:
        reasons.append((np.array([each is None for each in texts])[places], "missing, but required"))
    return texts[places], reasons


def _number(column: pa.ChunkedArray, kind: ColumnType, csv: Csv) -> tuple[Floats, Flags]:
    """Return numbers, and where there is something else; as `cells.typed_column` has it."""
    if not (pa.types.is_string(column.type) or pa.types.is_dictionary(column.type)):
        found = pc.cast(column, pa.float64()).to_numpy()
        return found, np.zeros(len(found), dtype=np.bool_)
    coded = _coded(column)
    texts = pc.utf8_trim(coded.dictionary, " ")
    if kind is ColumnType.NUMBER and csv.decimal == ",":
        texts = pc.replace_substring(texts, ",", ".")
    fits = pc.match_substring_regex(texts, f"^({INTEGER if kind is ColumnType.INTEGER else NUMBER})$")
    plain = pc.replace_substring_regex(pc.if_else(fits, texts, None), r"^\+", "")
    values = pc.cast(plain, pa.float64()).to_numpy(zero_copy_only=False)
    is_one = np.isfinite(values) & ((kind is ColumnType.NUMBER) | (np.abs(values) < _LARGE))
    missing = np.array([is_missing(each, csv.missing) for each in coded.dictionary.to_pylist()], dtype=np.bool_)
    values = np.append(np.where(is_one & ~missing, values + 0.0, np.nan), np.nan)
    places = coded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    return values[places], np.append(~is_one & ~missing, False)[places]


def _coded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    found = column.combine_chunks()
    return found if pa.types.is_dictionary(found.type) else found.dictionary_encode()

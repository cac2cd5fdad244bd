"""Writing CSVs for people to open."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from churnwatch.pipeline import files

FORMULA = r"^[=+\-@\t\r]"  # how a text begins that a spreadsheet may run


def write_csv(table: pa.Table, target: Path) -> None:
    """Write a table so that it opens well in a spreadsheet.

    A text or name that a spreadsheet would run as a formula gets an apostrophe first; dates without a time stay dates.
    """
    shown = table
    for index, field in enumerate(table.schema):
        column = table[field.name]
        if pa.types.is_string(field.type):
            formula = pc.match_substring_regex(column, FORMULA)
            harmless = pc.if_else(formula, pc.binary_join_element_wise("'", column, ""), column)
            shown = shown.set_column(index, field.name, harmless)
        elif pa.types.is_timestamp(field.type) and _has_no_times(column):
            shown = shown.set_column(index, field.name, column.cast(pa.date32()))
    with files.written_beside(target) as beside:
        pyarrow.csv.write_csv(shown.rename_columns([inert(name) for name in shown.column_names]), beside)


def inert(text: str) -> str:
    """Return a text that no spreadsheet runs as a formula."""
    return f"'{text}" if re.match(FORMULA, text) else text


def _has_no_times(column: pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.equal(column, pc.floor_temporal(column, unit="day"))).as_py() in (True, None))

"""Cells and what is said of them → lines of a CSV, a line feed before each.

The cells come back as they were sent. What a spreadsheet would run as a formula gets an apostrophe first, as in every
CSV of ours; a number is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from churnwatch.pipeline.cells import NUMBER
from churnwatch.pipeline.csv_cells import Rows
from churnwatch.pipeline.csv_file import FORMULA

_HARMLESS = rf"^({NUMBER}|[+-]?[0-9]+,[0-9]+)$"


@dataclass(frozen=True)
class Writer:
    """Writes lines with a delimiter and a decimal sign."""

    delimiter: str
    decimal: str

    def line(self, cells: Sequence[str]) -> bytes:
        """Return one line, without its end."""
        return self.delimiter.join(self._cell(pa.array([cell]))[0].as_py() for cell in cells).encode()

    def lines(self, rows: Rows, said: Sequence[pa.StringArray]) -> bytes:
        """Return the lines of n rows; `said` are the columns of text that come behind their cells, (n,) each."""
        if not len(rows):
            return b""
        if rows.lines is not None:
            return _bytes(pc.binary_join_element_wise(rows.lines, *said, self.delimiter))
        cells = [self._cell(column.combine_chunks()) for column in rows.cells.columns]
        return _bytes(pc.binary_join_element_wise(pc.binary_join_element_wise("\n", cells[0], ""), *cells[1:], *said,
                                                  self.delimiter))  # fmt: skip

    def numbers(self, values: npt.NDArray[np.float64]) -> pa.StringArray:
        """Return numbers as text, the shortest from which they can be had back; a missing one is an empty cell."""
        texts = pc.cast(pa.array(values, from_pandas=True), pa.string()).fill_null("")
        return self.texts(pc.replace_substring(texts, ".", self.decimal) if self.decimal != "." else texts)

    def texts(self, column: pa.StringArray) -> pa.StringArray:
        """Return texts of ours, quoted where they need it."""
        special = pc.match_substring_regex(column, f'[{re.escape(self.delimiter)}"\r\n]')
        if not pc.any(special).as_py():
            return column
        doubled = pc.replace_substring(column, '"', '""')
        return pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), column)

    def _cell(self, column: pa.StringArray) -> pa.StringArray:
        """Return cells as they were sent, but for formulas."""
        texts = column.fill_null("")
        formula = pc.match_substring_regex(texts, FORMULA)
        if pc.any(formula).as_py():
            harmless = pc.match_substring_regex(texts, _HARMLESS)
            texts = pc.if_else(pc.and_not(formula, harmless), pc.binary_join_element_wise("'", texts, ""), texts)
        return self.texts(texts)


def _bytes(lines: pa.StringArray) -> bytes:
    """Return all texts one after the other."""
    _, places, text = lines.buffers()
    first, last = np.frombuffer(places, np.int32)[[lines.offset, lines.offset + len(lines)]]
    return bytes(memoryview(text)[first:last])

"""The head of a text file → how its cells are told apart, and on which line its header stands.

What is chosen is the way of reading in which most rows are as wide as the header; the usual way wins where another is
not better. Source: van den Burg, Nazábal and Sutton, Wrangling messy CSV files by detecting row and type patterns, Data
Mining and Knowledge Discovery 33 (2019), for the idea of scoring dialects by the consistency of their rows.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from churnwatch.pipeline.mend import cells_of, mended

DELIMITERS = (",", ";", "\t", "|")
_RARE_DELIMITERS = (" ",)  # only where none of the others makes a table, and this one makes three columns
_MOST_PREAMBLE = 50  # lines
_BETTER = 0.02  # of the rows, by which an unusual way of reading must be better
_SPACED = 0.9
_SOME = 0.1  # of the rows, that are as wide as the header, say that it is the header
_LONG = 1 << 14  # letters of a line; it is only read as a record, not by itself
_WIDE = 3
_ENOUGH = 5  # rows, to say that it is the header that is wrong


@cache
def _quoted_cells(delimiter: str) -> re.Pattern[str]:
    between = re.escape(delimiter)
    return re.compile(rf'(^|{between} ?)"((?:[^"\\]|\\.|"")*)"(?={between}|\r?\n?$)')


def _doubled(cell: re.Match[str]) -> str:
    inner = re.sub(r"\\(.)", lambda pair: '""' if pair[1] == '"' else pair[0], cell[2])
    return f'{cell[1]}"{inner}"'


@dataclass(frozen=True)
class Dialect:
    """How cells are told apart.

    Attributes:
        delimiter: one character.
        quote: around cells that hold a delimiter, a quote or a line end; in them it stands twice, or escaped.
        escape: the character before a quote in a cell, None where quotes are doubled; elsewhere it is text.
        spaced: whether blanks after a delimiter belong to it.
    """

    delimiter: str
    quote: str = '"'
    escape: str | None = None
    spaced: bool = False

    @property
    def is_usual(self) -> bool:
        """Whether it is RFC 4180, but for the delimiter."""
        return replace(self, delimiter=",") == Dialect(",")

    def reader(self, lines: Iterable[str], *, strict: bool = True) -> Any:
        """Return Python's reader of lines in this dialect."""
        plain = lines if self.escape is None else map(self.unescaped, lines)
        return csv.reader(
            plain, delimiter=self.delimiter, quotechar=self.quote, skipinitialspace=self.spaced, strict=strict
        )

    @property
    def shown(self) -> str:
        """All of it, in words."""
        return ", ".join((f"delimiter `{self.delimiter}`", *self.findings))

    def unescaped(self, line: str) -> str:
        """Return a line with doubled quotes in place of escaped ones in quoted cells; other backslashes are text."""
        return line if self.escape is None else _quoted_cells(self.delimiter).sub(_doubled, line)

    @property
    def findings(self) -> tuple[str, ...]:
        """What is unusual about it, in words."""
        told = []
        if self.quote != '"':
            told.append(f"cells are quoted by `{self.quote}`")
        if self.escape is not None:
            told.append(f"quotes in cells are escaped by `{self.escape}`")
        if self.spaced:
            told.append("blanks after a delimiter are taken to belong to it")
        if self.delimiter in _RARE_DELIMITERS:
            told.append(f"cells are delimited by `{self.delimiter}`")
        return tuple(told)


@dataclass(frozen=True)
class Head:
    """What the head of a file says.

    Attributes:
        dialect: how its cells are told apart.
        header: the columns' names.
        line: on which the header stands.
        body: the line behind it.
        width: how many cells most rows have.
        rows: how many there are of these in the sample.
    """

    dialect: Dialect
    header: tuple[str, ...]
    line: int
    body: int
    width: int
    rows: int

    @property
    def is_off(self) -> bool:
        """Whether the header is not of the rows' width, and there are enough of them to say so."""
        return self.width != len(self.header) and self.rows >= _ENOUGH

    @property
    def findings(self) -> tuple[str, ...]:
        """What was guessed, in words."""
        before = () if self.line == 1 else (f"{self.line - 1} line(s) before the header are left out",)
        return self.dialect.findings + before


def detect(
    sample: str, *, delimiter: str | None = None, expected: Sequence[str] = (), pinned: Dialect | None = None
) -> Head | None:
    """Find dialect and header of a file; None where nothing in the sample can be a header.

    Args:
        sample: whole lines from its beginning.
        delimiter: the one that it has, if that is known.
        expected: names that its header should have.
        pinned: how the source's former file was read; kept as long as it explains all of the sample.
    """
    lines = list(io.StringIO(sample, newline=""))
    if pinned is not None and delimiter in (None, pinned.delimiter):
        as_before = _as_before(lines, pinned, expected)
        if as_before is not None:
            return as_before
    best: tuple[float, Head] | None = None
    for choice in ((delimiter,),) if delimiter else (DELIMITERS, _RARE_DELIMITERS):
        for dialect in _candidates(choice, sample):
            scored = _scored(lines, dialect, expected)
            if scored is not None and (best is None or scored[0] > best[0] + _BETTER):
                best = scored
        if best is not None and len(best[1].header) > 1:
            break
    return best[1] if best else None


def _as_before(lines: Sequence[str], pinned: Dialect, expected: Sequence[str]) -> Head | None:
    """Return what the pinned dialect finds, if that has the names that are expected and every row fits."""
    if not hints_at(lines, pinned) or not _is_clean(lines, pinned):
        return None
    scored = _explained(lines, pinned, expected)
    if scored is None or len(set(expected) - set(scored[1].header)) > 1:  # a request to score has no target
        return None
    head = scored[1]
    below = [row for row in _rows(lines, pinned) if row.line > head.line]
    return head if all(len(row.cells) == len(head.header) for row in below) else None


def hints_at(lines: Sequence[str], dialect: Dialect) -> bool:
    """Tell whether lines show what is unusual about a dialect, and nothing of the usual one in its place."""
    if dialect.quote != '"' and (any('"' in line for line in lines) or not _is_quoted(lines, dialect)):
        return False
    if dialect.escape is not None and not any('\\"' in line for line in lines):
        return False
    return not dialect.spaced or _is_spaced(lines, dialect)


def _candidates(delimiters: Sequence[str], sample: str) -> list[Dialect]:
    found = [Dialect(delimiter) for delimiter in delimiters]
    found += [Dialect(each, spaced=True) for each in delimiters if f"{each} " in sample and each != " "]
    if '\\"' in sample:
        found += [replace(each, escape="\\") for each in found]
    if "'" in sample:
        found += [Dialect(each, quote="'") for each in delimiters if f"{each}'" in sample or f"'{each}" in sample]
    return found


@dataclass(frozen=True)
class _Row:
    line: int
    behind: int  # the line behind it
    cells: tuple[str, ...]


def _scored(lines: Sequence[str], dialect: Dialect, expected: Sequence[str]) -> tuple[float, Head] | None:
    """Return how well a dialect explains the lines, with the header that it finds."""
    if (dialect.spaced and not _is_spaced(lines, dialect)) or (dialect.quote != '"' and not _is_quoted(lines, dialect)):
        return None
    return _explained(lines, dialect, expected)


def _explained(lines: Sequence[str], dialect: Dialect, expected: Sequence[str]) -> tuple[float, Head] | None:
    rows = _rows(lines, dialect)
    width = _usual_width(rows) if rows else 0
    if not rows or (dialect.delimiter in _RARE_DELIMITERS and width < _WIDE):
        return None
    near = [_of_width(row, lines, dialect, width) for row in rows[:_MOST_PREAMBLE]]
    found = _header(near, width, set(expected))
    header = tuple(cell.strip() for cell in found.cells)
    body = [len(row.cells) for row in rows if row.line > found.line]
    if body.count(len(header)) > _SOME * len(body):  # then others are of another table, or ragged
        width = len(header)
    share = body.count(width) / len(body) if body else 1.0
    known = len(set(expected) & set(header)) / len(expected) if expected else 0.0
    several, whole, first = float(len(header) > 1), float(len(header) == width), float(found.line == rows[0].line)
    score = share + several + whole / 2 + first / 2 + _is_clean(lines, dialect) / 4 + 2 * known
    return score, Head(dialect, header, found.line, found.behind, width, body.count(width))


def _is_clean(lines: Sequence[str], dialect: Dialect) -> bool:
    """Tell whether all quotes fit."""
    try:
        for _ in dialect.reader(lines):
            pass
    except csv.Error as error:
        return "end of data" in str(error)  # the sample may end within a cell
    return True


def _rows(lines: Sequence[str], dialect: Dialect) -> list[_Row]:
    """Return the rows that are not blank, in the way that gives most of one width: with cells over lines, or not."""
    records, line = [], 1
    reader = dialect.reader(lines, strict=False)
    try:
        for cells in reader:
            if cells:
                records.append(_Row(line, reader.line_num + 1, tuple(cells)))
            line = reader.line_num + 1
    except csv.Error:  # a cell that is too long
        records = []
    if dialect.spaced or any(len(text) > _LONG for text in lines):
        return records
    by_line = [
        _Row(number, number + 1, tuple(cells_of(dialect.unescaped(text), dialect.delimiter, dialect.quote)))
        for number, text in enumerate(lines, 1)
        if text.strip()
    ]
    return max(records, by_line, key=lambda rows: (_share(rows), len(rows)))


def _of_width(row: _Row, lines: Sequence[str], dialect: Dialect, width: int) -> _Row:
    """Return a row, mended where quotes are what makes it another width."""
    if len(row.cells) == width:
        return row
    cells = mended(lines[row.line - 1], dialect.delimiter, dialect.quote, width)
    return row if cells is None else _Row(row.line, row.line + 1, tuple(cells))


def _share(rows: Sequence[_Row]) -> float:
    widths = Counter(len(row.cells) for row in rows)
    return widths.most_common(1)[0][1] / len(rows) if rows else 0.0


def _usual_width(rows: Sequence[_Row]) -> int:
    """Return the width that most rows have; of equally many, that of those which come first."""
    return Counter(len(row.cells) for row in rows).most_common(1)[0][0]


def _header(near: Sequence[_Row], width: int, expected: set[str]) -> _Row:
    """Return the header: the row with most of the names that are expected, else the first that is full.

    Lines of a few words above a wide table are a preamble; a first row of nearly as many names as the rows have cells
    is a header with a mistake in it.
    """
    names = [{cell.strip() for cell in row.cells} for row in near]
    best = max(range(len(near)), key=lambda place: len(expected & names[place]))
    if expected & names[best]:
        return near[best]
    for row in near:
        if sum(bool(cell.strip()) for cell in row.cells) > max(1, width / 3) or width == 1:
            return row
    return near[0]


def _is_spaced(lines: Sequence[str], dialect: Dialect) -> bool:
    """Tell whether nearly all cells but the first begin with a blank when they are read without regard to blanks."""
    plain = [cells_of(line, dialect.delimiter, dialect.quote) for line in lines if line.strip() and len(line) <= _LONG]
    cells = [cell for row in plain for cell in row[1:]]
    return bool(cells) and sum(cell.startswith(" ") for cell in cells) >= _SPACED * len(cells)


def _is_quoted(lines: Sequence[str], dialect: Dialect) -> bool:
    """Tell whether some cell stands between two quotes of the unusual kind, and none between two of the usual."""
    delimiter, quote = dialect.delimiter, dialect.quote
    around = [cell for line in lines for cell in line.rstrip("\r\n").split(delimiter)]
    starts, ends = (sum(test(cell, quote) for cell in around) for test in (str.startswith, str.endswith))
    usual = any(len(cell) > 1 and cell.startswith('"') and cell.endswith('"') for cell in around)
    return starts > 0 and ends > 0 and abs(starts - ends) <= max(starts, ends) / 2 and not usual

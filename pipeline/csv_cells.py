"""Bytes of a CSV that go by → its rows as cells, block by block: what cannot be read stays in its place, with a reason.

Arrow's reader takes a block where that is faithful: every line is one row, and each quote opens or closes a cell or is
doubled. It gives numbers their type at once where all of a block's are written plainly. What it does not take goes to
the tolerant reader of files.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from churnwatch.pipeline.blocks import LOOKED_AT, Block, Readable, Text, Tolerant, body_of, quotes_fit
from churnwatch.pipeline.read import MAX_CELL, Opening
from churnwatch.pipeline.settings import ColumnType
from churnwatch.pipeline.settings import Csv as Settings

UNREADABLE = "\N{REPLACEMENT CHARACTER}"
_TYPES = {ColumnType.INTEGER: pa.int64(), ColumnType.NUMBER: pa.float64()}
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
_FORMULAS = ("=", "+", "@")  # and `-`, which also begins numbers


@dataclass(frozen=True)
class Rows:
    """Some rows, in their order.

    Attributes:
        cells: by column, of n rows: texts; where there are `lines`, of the columns that were asked for only, with
            numbers as such and texts as dictionaries.
        lines: each row as it was sent, behind a line feed, where it can be sent back like that; else None.
        bad: why rows cannot be read, by their place; of what of them can be told apart as cells, there are `cells`.
    """

    cells: pa.Table
    lines: pa.StringArray | None
    bad: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.cells)


@dataclass(frozen=True)
class Reader:
    """Reads the rows behind a header.

    Attributes:
        opening: what the head says.
        settings: the decimal sign, and what means "no value".
        wanted: the columns to be looked at, and as what.
        size: bytes that are read at a time.
    """

    opening: Opening
    settings: Settings
    wanted: Mapping[str, ColumnType]
    size: int

    def rows(self, file: Readable) -> Iterator[Rows]:
        """Yield all rows.

        Raises:
            OSError: a line is longer, or all of it larger, than the settings allow.
        """
        decoded = Decoded(file, self.opening.encoding)
        text = Text(decoded, replace(self.opening, encoding="utf-8"), self.size)
        csv.field_size_limit(MAX_CELL)
        for _ in range(self.opening.body - 1):
            text.line()
        line, tolerant = self.opening.body, Tolerant(self.opening, text)
        while block := text.block(line):
            found = None if tolerant.is_over or decoded.damaged else self._faithful(block)
            if found is not None:
                yield found
                line += len(found)
                continue
            read, lines = tolerant.read(block, line)
            yield self._told(read, damaged=decoded.damaged)
            line += lines

    def _faithful(self, block: bytes) -> Rows | None:
        """Return a block's rows by Arrow's reader, None where that would not be faithful."""
        body, dialect = body_of(block), self.opening.dialect
        one_column = len(self.opening.header) == 1  # a blank line is no row, but looks like an empty cell
        if body is None or not dialect.is_usual or one_column:
            return None
        if body.quotes and not quotes_fit(block, dialect.delimiter):
            return None
        plain = None if body.quotes else self._plain(block)
        if plain is not None and len(plain.cells) == body.lines:
            return plain
        cells = self._parsed(block, dict.fromkeys(self.opening.header, pa.string()))
        if cells is None or len(cells) != body.lines or self._is_header(cells):
            return None
        return Rows(cells, None, {})

    def _plain(self, block: bytes) -> Rows | None:
        """Return rows without quotes whose numbers are plainly written and whose texts are no formulas."""
        delimiter = self.opening.dialect.delimiter
        if (delimiter != "\t" and b"\t" in block) or _has_hexadecimal(block):  # which are no numbers in files
            return None
        begun = _begun_by(block, delimiter)
        if any(begun[ord(letter)] for letter in _FORMULAS):
            return None
        first = dict.fromkeys(self.opening.header[:LOOKED_AT], pa.string())
        cells = self._parsed(block, first | {name: _TYPES.get(each, _DICTIONARY) for name, each in self.wanted.items()})
        if cells is None or self._is_header(cells):
            return None
        numbers = [column for column in cells.columns if column.type in _TYPES.values()]
        if any(not pc.all(pc.is_finite(column)).as_py() for column in numbers if len(column) > column.null_count):
            return None
        below = sum(int(pc.sum(pc.less(column, 0)).as_py() or 0) for column in numbers)
        if begun[ord("-")] != below:
            return None
        return Rows(cells, _lines(block), {})

    def _parsed(self, block: bytes, types: Mapping[str, pa.DataType]) -> pa.Table | None:
        quotes = b'"' in block
        try:
            return pyarrow.csv.read_csv(
                pa.py_buffer(block),
                pyarrow.csv.ReadOptions(
                    column_names=self.opening.header, use_threads=False, block_size=len(block) + 1
                ),
                pyarrow.csv.ParseOptions(
                    delimiter=self.opening.dialect.delimiter, quote_char='"' if quotes else False,
                    ignore_empty_lines=False,
                ),
                pyarrow.csv.ConvertOptions(
                    column_types=types, include_columns=list(types), strings_can_be_null=True,
                    null_values=["", *self.settings.missing], decimal_point=self.settings.decimal,
                ),
            ).combine_chunks()  # fmt: skip
        except pa.ArrowInvalid:
            return None

    def _is_header(self, cells: pa.Table) -> bool:
        """Tell whether some row may be a header: one of its first cells is the name of a column."""
        names = pa.array([name for name in self.opening.header if name], pa.string())
        texts = [_texts(column) for column in cells.select(self.opening.header[:LOOKED_AT]).columns]
        return any(pc.any(pc.is_in(pc.utf8_trim(each, " "), names)).as_py() for each in texts if each is not None)

    def _told(self, block: Block, *, damaged: bool) -> Rows:
        """Return what the tolerant reader read, with what it could not read in its place."""
        assert isinstance(block.rows, pa.Table)  # noqa: S101 - the tolerant reader needs no engine
        header, rows = self.opening.columns, block.rows
        left = [_cells_of(row.text, self.opening, len(header)) for row in block.bad]
        columns = [pa.array([row.line for row in block.bad], pa.int64())]
        columns += [pa.array([each[place] for each in left], pa.string()) for place in range(len(header))]
        both = pa.concat_tables([rows, pa.Table.from_arrays(columns, names=rows.column_names)]).sort_by("_line")
        why = {row.line: row.reason for row in block.bad}
        bad = {place: why[line] for place, line in enumerate(both["_line"].to_pylist()) if line in why} if why else {}
        cells = both.drop_columns("_line").combine_chunks()
        if damaged:
            bad = {place: f"not {_shown(self.opening.encoding)}" for place in _damaged(cells)} | bad
        return Rows(cells, None, bad)


class Decoded:
    """A stream of bytes of some encoding as UTF-8. What cannot be read stands as U+FFFD, and `damaged` says so."""

    def __init__(self, file: Readable, encoding: str) -> None:
        self._file, self._held, self._ended, self.damaged = file, b"", False, False
        self._is_utf8 = encoding == "utf-8"
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, fewer only at the end."""
        while len(self._held) < size and not self._ended:
            chunk = self._file.read(size)
            self._ended = len(chunk) < size
            self._held += self._as_utf8(chunk)
        found, self._held = self._held[:size], self._held[size:]
        return found

    def _as_utf8(self, chunk: bytes) -> bytes:
        text = self._decoder.decode(chunk, final=self._ended)
        sent = chunk.count(UNREADABLE.encode()) if self._is_utf8 else 0
        self.damaged = self.damaged or text.count(UNREADABLE) > sent
        return text.encode()


def _begun_by(block: bytes, delimiter: str) -> npt.NDArray[np.int64]:
    """Return how many cells begin with each byte, (256,)."""
    letters = np.frombuffer(b"\n" + block, np.uint8)
    edges = (letters == ord(delimiter)) | (letters == ord("\n"))
    return np.bincount(letters[1:][edges[:-1]], minlength=256)


def _has_hexadecimal(block: bytes) -> bool:
    if b"x" not in block and b"X" not in block:
        return False
    letters = np.frombuffer(block, np.uint8)
    return bool(((letters[1:] | 0x20 == ord("x")) & (letters[:-1] == ord("0"))).any())


def _lines(block: bytes) -> pa.StringArray:
    """Return a block's lines, without what ends them, each behind a line feed; none of their bytes is copied twice."""
    text = b"\n" + block.replace(b"\r\n", b"\n").removesuffix(b"\n")
    feeds = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    places = np.append(feeds, len(text)).astype(np.int32)
    return pa.StringArray.from_buffers(len(feeds), pa.py_buffer(places), pa.py_buffer(text))


def _texts(column: pa.ChunkedArray) -> pa.Array | None:
    """Return the texts of a column that differ, or all; None of a column of numbers."""
    if pa.types.is_dictionary(column.type):
        return column.combine_chunks().dictionary
    return column.combine_chunks() if pa.types.is_string(column.type) else None


def _cells_of(text: str, opening: Opening, width: int) -> list[str]:
    """Return as many cells of a row that could not be read as there are columns."""
    try:
        found: list[str] = next(opening.dialect.reader([text], strict=False), [])
    except csv.Error:
        found = []
    return [*found, *[""] * width][:width]


def _damaged(cells: pa.Table) -> Iterator[int]:
    for column in cells.columns:
        yield from np.flatnonzero(pc.match_substring(column, UNREADABLE).fill_null(False)).tolist()


def _shown(encoding: str) -> str:
    return {"cp1252": "Windows-1252"}.get(encoding, encoding.removesuffix("-sig").upper())

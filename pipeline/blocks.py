"""An opened file → its rows as text, each with the line it starts on, block by block: memory does not grow with files.

All cells are read as text; the schema gives them types later. A row that cannot be read is handed on with its line and
the reason.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from churnwatch.pipeline.engine import DuckDB, file_literal, literal, name
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.mend import mended
from churnwatch.pipeline.read import MAX_CELL, ROW_NUMBER, Opening, binary

NEVER_CLOSED = "a quote is opened here and never closed"
BLOCK = 1 << 24  # bytes that are read at a time
_BLOCK_ROWS = 250_000  # of Parquet
_MOST_LINES = 1000  # of one row; a quote that is open for longer is taken for a mistake
_MOST_IN_PARALLEL = 400  # columns
LOOKED_AT = 3  # cells of a row, to tell whether it is a header
_SAME_NAMES = 0.8  # of the header's, in a row that is another header
_LARGE = 1 << 20  # bytes; above it DuckDB's parallel reader is worth its start-up


@dataclass(frozen=True)
class BadRow:
    """A row that could not be read."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True)
class Block:
    """Some rows of a file.

    Attributes:
        rows: an Arrow table of texts with `_line`, or the name of an engine's table of that shape.
        size: of their text, in bytes.
        bad: rows that could not be read.
        mended: lines on which quotes did not fit and were taken for text.
    """

    rows: pa.Table | str
    size: int
    bad: tuple[BadRow, ...] = ()
    mended: tuple[int, ...] = ()


def read_blocks(opening: Opening, engine: DuckDB, *, table: str) -> Iterator[Block]:
    """Yield all rows. What stays in the engine has names that begin with `table`, until `forget`.

    DuckDB reads in parallel but does not say on which line a row stands, nor takes everything faithfully. Where it
    rejected nothing, every line is one row and every byte is accounted for, it was faithful and a row's place tells
    its line; else the tolerant reader takes the block.

    Raises:
        OSError, UnicodeError: the file cannot be read, or not to its end.
    """
    if opening.is_parquet:
        yield from _read_parquet(opening, engine, table)
        return
    with binary(opening.path) as file:
        text = Text(file, opening, BLOCK)
        csv.field_size_limit(MAX_CELL)
        for _ in range(opening.body - 1):
            text.line()
        line, number = opening.body, 0
        tolerant = Tolerant(opening, text)
        # one column: a blank line is no row, but looks like an empty cell; very many: too deep an expression below
        is_usual = opening.dialect.is_usual and opening.width is None and 1 < len(opening.header) <= _MOST_IN_PARALLEL
        while block := text.block(line):
            beside = engine.scratch / f"{table}_{number}.csv"
            found = None
            if len(block) > _LARGE and is_usual and not tolerant.is_over:
                found = _read_in_parallel(block, line, opening, engine, beside)
                if found is None:
                    _drop(beside.stem, engine)
            rows, lines = found or tolerant.read(block, line)
            yield rows
            line, number = line + lines, number + 1


def forget(block: Block, engine: DuckDB) -> None:
    """Give up what stands of a block in the engine."""
    if isinstance(block.rows, str):
        _drop(block.rows, engine)


def _drop(table: str, engine: DuckDB) -> None:
    for suffix in ("", "_texts", "_errors", "_scans"):
        engine.drop(f"{table}{suffix}")


class Readable(Protocol):
    """Where bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, fewer only at the end."""


class Text:
    """The text of a file as UTF-8, by lines and by blocks of whole lines; `size` bytes are read at a time."""

    def __init__(self, file: Readable, opening: Opening, size: int) -> None:
        self._max_line, self._left, self._size = opening.max_line, opening.max_bytes, size
        self._file, self._held, self._at, self._ended = file, b"", 0, False
        is_plain = opening.encoding == "utf-8"
        self._decoder = None if is_plain else codecs.getincrementaldecoder(opening.encoding)()

    def line(self) -> str:
        """Return the next line with its end, `""` behind the last one."""
        while (end := self._line_end()) is None:
            self._refuse_endless("a line")
            self._read()
        line, self._at = self._held[self._at : end], end
        return line.decode()

    def _line_end(self) -> int | None:
        """Return where the next line ends, None where that is not read yet."""
        feed = self._held.find(b"\n", self._at) + 1
        back = self._held.find(b"\r", self._at, feed or None) + 1
        if back and back != feed - 1:  # alone, unless its line feed is still to be read
            return back if back < len(self._held) or self._ended else None
        return feed or (len(self._held) if self._ended else None)

    def block(self, line: int) -> bytes:
        """Return about as many whole lines as are read at a time, none behind the last one; `line` is the next one."""
        if not self._ended and len(self._held) - self._at < self._size:
            self._read()
        while not ((end := self._whole_lines()) or self._ended):
            self._refuse_endless(f"line {line}")
            self._read()
        block, self._at = self._held[self._at : end], end
        return block

    def _refuse_endless(self, line: str) -> None:
        if len(self._held) - self._at > self._max_line:
            raise OSError(f"{line} is longer than {self._max_line:,} bytes; is it a table of text?")

    def _whole_lines(self) -> int:
        """Return where the last whole line ends that was read; 0: there is none."""
        if self._ended:
            return len(self._held)
        return self._held.rfind(b"\n", self._at) + 1 or self._held.rfind(b"\r", self._at, -1) + 1

    def _read(self) -> None:
        chunk = self._file.read(self._size)
        self._left -= len(chunk)
        if self._left < 0:
            raise OSError("unpacked, it is larger than csv.max_gb or csv.max_ratio allows")
        self._ended = len(chunk) < self._size
        if self._decoder is not None:
            chunk = self._decoder.decode(chunk, final=self._ended).encode()
        self._held, self._at = self._held[self._at :] + chunk, 0


# -- in parallel -------------------------------------------------------------------------------------------------


def _read_in_parallel(
    block: bytes, line: int, opening: Opening, engine: DuckDB, beside: Path
) -> tuple[Block, int] | None:
    """Have DuckDB read a block of whole lines; return its rows, and how many lines they take.

    None where it was not faithful.
    """
    body = body_of(block)
    if body is None or (body.quotes and not quotes_fit(block, opening.dialect.delimiter)):
        return None
    table, cells = beside.stem, [f"c{i}" for i in range(len(opening.header))]
    columns = ", ".join(f"{cell}: 'VARCHAR'" for cell in cells)
    beside.write_bytes(block)
    try:
        engine.table(
            f"{table}_texts",
            f"SELECT * FROM read_csv({file_literal(beside)}, columns={{{columns}}}, header=false, auto_detect=false,"
            f" delim={literal(opening.dialect.delimiter)}, quote='\"', escape='\"', nullstr='',"
            f" max_line_size={MAX_CELL},"
            f" store_rejects=true, rejects_table={literal(f'{table}_errors')},"
            f" rejects_scan={literal(f'{table}_scans')})",
        )
    except DataError:  # such as line ends of two kinds
        return None
    finally:
        beside.unlink()
    rejected = engine.rows(f"SELECT count(*) FROM {name(f'{table}_errors')}")[0][0]
    if rejected or not _is_faithful(body, engine, f"{table}_texts", cells, opening.header):
        return None
    named = ", ".join(f"{cell} AS {name(column or ' ')}" for cell, column in zip(cells, opening.header, strict=True))
    lines = f"CAST(rowid + {line} AS BIGINT) AS _line"
    engine.table(table, f"SELECT {lines}, {named} FROM {name(f'{table}_texts')}", lazy=True)
    return Block(table, len(block)), body.lines


@dataclass(frozen=True)
class Body:
    """What a block has, counted in bytes."""

    size: int
    lines: int
    line_ends: int
    quotes: int


def body_of(block: bytes) -> Body | None:
    """Count what a block has; None where a NUL or a bare CR makes lines a matter of opinion."""
    returns = block.count(b"\r")
    if b"\0" in block or (returns and returns != block.count(b"\r\n")):
        return None
    feeds = block.count(b"\n")
    return Body(len(block), feeds + (not block.endswith(b"\n")), feeds + returns, block.count(b'"'))


def quotes_fit(block: bytes, delimiter: str) -> bool:
    """Tell whether each quote opens or closes a cell, or is doubled.

    `"a" "b"` is `a b` to DuckDB, which loses two quotes without a word; by numbers alone that looks like two cells.
    """
    letters = np.frombuffer(b"\n" + block.replace(b'""', b"") + b"\n", np.uint8)
    quotes = np.flatnonzero(letters == ord('"'))
    opening, closing = quotes[::2], quotes[1::2]
    if len(opening) != len(closing):
        return False
    edges = [*delimiter.encode(), *b"\r\n"]
    return bool(np.isin(letters[opening - 1], edges).all() and np.isin(letters[closing + 1], edges).all())


def _is_faithful(body: Body, engine: DuckDB, table: str, cells: Sequence[str], header: Sequence[str]) -> bool:
    """Tell whether every line is one row, and the cells with their delimiters, quotes and line ends are all there is.

    Nor may there be what looks like a header: cells at the beginning of a row that are names of columns.

    A quoted cell has two quotes around it and one more for each in it, so what quotes add is their number in the
    file less their number in the cells. A blank or a delimiter too many that DuckDB dropped is missing in the sum.
    """
    quote = literal('"')
    inner = " + ".join(f"coalesce(length({c}) - length(replace({c}, {quote}, '')), 0)" for c in cells)
    held = " + ".join(f"coalesce(strlen({c}), 0)" for c in cells)
    inner_sum = f"coalesce(sum({inner}), 0)" if body.quotes else "0"
    names = ", ".join(literal(column) for column in header if column)
    again = " OR ".join(f"trim({cell}, ' ') IN ({names})" for cell in cells[:LOOKED_AT]) if names else "false"
    rows, held_bytes, inner_quotes, headers = engine.rows(
        f"SELECT count(*), coalesce(sum({held}), 0), {inner_sum}, count(*) FILTER (WHERE {again}) FROM {name(table)}"
    )[0]
    if headers:
        return False
    delimiters = rows * (len(cells) - 1)
    added = body.quotes - inner_quotes
    return bool(rows == body.lines and body.size == held_bytes + delimiters + body.line_ends + added)


# -- tolerantly --------------------------------------------------------------------------------------------------


class Tolerant:
    """Reads blocks of one file with Python's reader, and what that cannot read line by line.

    Attributes:
        is_over: whether another table began.
    """

    def __init__(self, opening: Opening, text: Text) -> None:
        self._opening, self._text = opening, text
        self._width = opening.width or len(opening.header)
        self._names = {column for column in opening.header if column}
        self._other_header: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether another table began."""
        return self._other_header is not None

    def read(self, block: bytes, first: int) -> tuple[Block, int]:
        """Read a block; return its rows, and how many lines they take.

        A row that is not closed at the block's end goes on into the text behind it.
        """
        feed = _Feed(block, self._text)
        lines: list[int] = []
        records: list[list[str]] = []
        bad: list[BadRow] = []
        mended_lines: list[int] = []
        for line, record, is_mended in self._records(feed, first):
            found = self._judged(line, record) if not isinstance(record, BadRow) else record
            if isinstance(found, BadRow):
                bad.append(found)
            else:
                lines.append(line)
                records.append(found)
                mended_lines += [line] if is_mended else []
        columns = list(zip(*records, strict=True)) if records else [()] * self._width
        arrays = [pa.array(lines, pa.int64()), *(pa.array(column, pa.string()) for column in columns)]
        table = pa.Table.from_arrays(arrays, names=["_line", *self._opening.columns])
        return Block(table, len(block), tuple(bad), tuple(mended_lines)), feed.lines

    def _records(self, feed: _Feed, first: int) -> Iterator[tuple[int, list[str] | BadRow, bool]]:
        """Yield each record with the line it starts on, and whether it was mended; blank lines are no records."""
        reader = self._opening.dialect.reader(feed)
        while not feed.is_through:
            line = first + feed.lines
            feed.mark()
            try:
                record, why = next(reader, None), None
            except csv.Error as error:
                record, why = [], _why(error)
            if record is None or (not record and why is None):
                continue
            if why is None and (len(record) == self._width or not feed.spans_lines):
                yield line, record, False
                continue
            mended_cells = self._mended(feed.first)
            if mended_cells is not None:
                feed.give_back()
                yield line, mended_cells, True
            elif why is not None:
                feed.give_back()
                yield line, BadRow(line, why, feed.first.rstrip("\r\n")[:MAX_CELL]), False
            else:
                yield line, record, False

    def _mended(self, line: str) -> list[str] | None:
        dialect = self._opening.dialect
        if dialect.spaced or len(line) > MAX_CELL:
            return None
        return mended(dialect.unescaped(line), dialect.delimiter, dialect.quote, self._width)

    def _judged(self, line: int, record: list[str]) -> list[str] | BadRow:
        """Return a record, or why it is none."""
        why = self._why_none(line, record)
        return record if why is None else BadRow(line, why, _joined(record, self._opening.dialect.delimiter))

    def _why_none(self, line: int, record: list[str]) -> str | None:
        if self._other_header is not None:
            return f"belongs to another table, whose header is on line {self._other_header}"
        cells = [cell.strip() for cell in record] if self._names.intersection(record) else []
        if cells == list(self._opening.header):
            return "the header once more"
        if len(self._names) > 1 and len(self._names.intersection(cells)) >= _SAME_NAMES * len(self._names):
            self._other_header = line
            return "the header of another table"
        if len(record) != self._width:
            return f"{len(record)} cells where the header has {self._width}"
        return "a NUL byte in a cell" if any("\0" in cell for cell in record) else None


class _Feed:
    """The lines of a block, then those behind it; lines that were taken since a mark can be given back."""

    def __init__(self, block: bytes, text: Text) -> None:
        decoded = block.decode()
        self._block, self._size, self._text = io.StringIO(decoded, newline=""), len(decoded), text
        self._taken: list[str] = []
        self._back: list[str] = []
        self.lines = 0

    @property
    def is_through(self) -> bool:
        """Whether all lines of the block were given."""
        return not self._back and self._block.tell() >= self._size

    @property
    def spans_lines(self) -> bool:
        """Whether more than one line was taken since the mark."""
        return len(self._taken) > 1

    @property
    def first(self) -> str:
        """The first line since the mark."""
        return self._taken[0]

    def mark(self) -> None:
        """Forget what was taken so far."""
        self._taken = []

    def give_back(self) -> None:
        """Take back all lines since the mark but the first."""
        self._back += self._taken[:0:-1]
        self.lines -= len(self._taken) - 1

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if len(self._taken) > _MOST_LINES:
            raise csv.Error(NEVER_CLOSED)
        line = self._back.pop() if self._back else self._block.readline() or self._text.line()
        if not line:
            raise StopIteration
        self._taken.append(line)
        self.lines += 1
        return line


def _why(error: csv.Error) -> str:
    if "end of data" in str(error) or str(error) == NEVER_CLOSED:
        return NEVER_CLOSED
    return f"not valid CSV: {error}"


def _joined(record: Sequence[str], delimiter: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerow(record)  # so that line ends are quoted
    return out.getvalue().removesuffix("\r\n")[:MAX_CELL]


# -- Parquet -----------------------------------------------------------------------------------------------------


def _read_parquet(opening: Opening, engine: DuckDB, table: str) -> Iterator[Block]:
    """Read Parquet as text, which the schema then types like any other: what a cell means depends on no format.

    Arrow reads it, since a damaged file may invalidate a whole database that reads it.
    """
    size, line = opening.path.stat().st_size, 1
    try:
        with pyarrow.parquet.ParquetFile(opening.path) as file:
            for number, batch in enumerate(file.iter_batches(_BLOCK_ROWS)):
                batch.validate(full=True)  # Arrow takes texts as they stand, though they be none
                _as_texts(pa.Table.from_batches([batch]), line, engine, f"{table}_{number}")
                yield Block(f"{table}_{number}", min(size, BLOCK))
                line += len(batch)
    except (OSError, pa.ArrowException, DataError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise OSError(f"not a whole Parquet file ({' '.join(str(error).split())})") from error


def _as_texts(rows: pa.Table, first: int, engine: DuckDB, table: str) -> None:
    """Make a table of the text of some rows, with `_line`; `first` is that of the first one."""
    lines = pa.array(range(first, first + len(rows)), pa.int64())
    engine.table(f"{table}_cells", rows.append_column(ROW_NUMBER, lines))
    columns = ", ".join(f"{_as_text(field)} AS {name(field.name)}" for field in rows.schema)
    engine.table(table, f"SELECT {name(ROW_NUMBER)} AS _line, {columns} FROM {name(f'{table}_cells')}")
    engine.drop(f"{table}_cells")


def _as_text(field: pa.Field) -> str:
    """Return the SQL of a Parquet column as text: times in UTC, and NaN as the missing value that it stands for."""
    value = name(field.name)
    if pa.types.is_timestamp(field.type) and field.type.tz is not None:
        value = f"make_timestamp(epoch_us(CAST({value} AS TIMESTAMPTZ)))"
    if pa.types.is_float32(field.type) or pa.types.is_float64(field.type):
        return f"CASE WHEN NOT isnan({value}) THEN CAST({value} AS VARCHAR) END"
    return f"CAST({value} AS VARCHAR)"

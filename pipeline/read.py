"""A file of rows → its header and its rows as text, each with the line it starts on.

CSV by RFC 4180, any of the usual delimiters, UTF-8 (or UTF-16 with a byte-order mark, or cp1252 with a finding),
plain or packed by gzip or zstd; or Parquet. All cells are read as text; the schema gives them types later. A row that
cannot be read is handed on with its line and the reason; a file that cannot be read as a whole is a `Refusal`.
Nothing is guessed silently.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet

from churnwatch.pipeline.engine import Engine, file_literal, literal, name
from churnwatch.pipeline.errors import DataError

NEVER_CLOSED = "a quote is opened here and never closed; all lines after it are taken to belong to this row"
_DELIMITERS = (",", ";", "\t", "|")
_CHUNK = 1 << 20
_LARGE_BYTES = 1 << 20  # above it DuckDB's parallel reader is worth its start-up
_MAX_CELL = 1 << 20
_ROW_NUMBER = "file_row_number"  # what DuckDB calls a row's place in a Parquet file
_MAX_COLUMNS = 10_000


@dataclass(frozen=True)
class BadRow:
    """A row that could not be read."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True)
class Refusal:
    """A file that could not be read as a whole, and why."""

    reason: str


@dataclass(frozen=True)
class Opening:
    """What the first bytes and the first line of a file say. Of Parquet only path and header count."""

    path: Path
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    findings: tuple[str, ...] = ()

    @property
    def is_parquet(self) -> bool:
        """Whether it is no CSV."""
        return _is_parquet(self.path)


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(".parquet")


def _packed_by(path: Path) -> str:
    """Return how a file is packed, as DuckDB and pyarrow call it; the name tells."""
    return {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower(), "none")


def _binary(path: Path) -> BinaryIO:
    """Open a file's bytes as they were before it was packed."""
    packed = _packed_by(path)
    if packed == "none":
        return path.open("rb")
    # read through a buffer, since Arrow's streams know no lines
    return io.BufferedReader(pa.input_stream(str(path), compression=packed))


def text_of(path: Path, encoding: str) -> io.TextIOWrapper:
    """Open a file's text as it was before it was packed, its line ends as they stand."""
    return io.TextIOWrapper(_binary(path), encoding=encoding, newline="")


@dataclass(frozen=True)
class TextRows:
    """The rows of a file: an Arrow table of texts with `_line`, or the name of an engine's table of that shape."""

    rows: pa.Table | str
    bad: tuple[BadRow, ...] = field(default=())


def open_csv(path: Path, *, delimiter: str | None = None, expected: Sequence[str] = ()) -> Opening | Refusal:
    """Find out encoding, delimiter and header.

    The delimiter is the one given, else the one that finds most of the expected columns in the first line, else
    the one that finds most columns.
    """
    if _is_parquet(path):
        return _open_parquet(path)
    try:
        encoding, findings = _encoding(path)
        with text_of(path, encoding) as file:
            first = file.readline(_MAX_CELL * 16)
        return _header(path, first, encoding, delimiter, expected, findings)
    except UnicodeDecodeError as error:
        return Refusal(f"not a text file: byte {error.start} is no {encoding}")


def _open_parquet(path: Path) -> Opening | Refusal:
    try:
        header = tuple(pyarrow.parquet.read_schema(path).names)
    except pa.ArrowInvalid:
        return Refusal("not a Parquet file, or cut short")
    if "" in header or _ROW_NUMBER in map(str.lower, header):
        return Refusal(f"a column without a name, or called `{_ROW_NUMBER}`, which the reader needs for itself")
    return _checked(Opening(path, "parquet", "", header))


def _encoding(path: Path) -> tuple[str, tuple[str, ...]]:
    """Tell the encoding by the byte-order mark, then UTF-8, then cp1252, which is a guess and so a finding."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _binary(path) as file:
        chunk = file.read(_CHUNK)
        if chunk.startswith(codecs.BOM_UTF8):
            return "utf-8-sig", ()
        if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16", ("read as UTF-16 by its byte-order mark",)
        try:
            while chunk:
                decoder.decode(chunk)
                chunk = file.read(_CHUNK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252", ("not UTF-8; read as Windows-1252",)
    return "utf-8", ()


def _header(
    path: Path,
    first: str,
    encoding: str,
    delimiter: str | None,
    expected: Sequence[str],
    findings: tuple[str, ...],
) -> Opening | Refusal:
    if not first.strip():
        return Refusal("empty: it has no header" if not first else "line 1: the header is empty")
    if "\0" in first:
        return Refusal("line 1: not a text file (it has NUL bytes)")
    known = set(expected)
    splits = {
        d: cells for d in ([delimiter] if delimiter else _DELIMITERS) if (cells := _split(first, path, encoding, d))
    }
    if not splits:
        return Refusal("line 1: the header cannot be read: its quotes do not fit")
    best = max(splits, key=lambda d: (len(known & set(splits[d])), len(splits[d])))
    return _checked(Opening(path, encoding, best, splits[best], findings))


def _checked(opening: Opening) -> Opening | Refusal:
    """Refuse a header of too many columns, or one in which a name stands twice."""
    header = opening.header
    if len(header) > _MAX_COLUMNS:
        return Refusal(f"line 1: {len(header):,} columns; {_MAX_COLUMNS:,} are the most that is read")
    twice = [column for column, count in Counter(column.lower() for column in header).items() if count > 1]
    if twice:
        return Refusal(f"line 1: {len(twice)} column name(s) stand twice, such as column {_position(header, twice[0])}")
    return opening


def _split(first: str, path: Path, encoding: str, delimiter: str) -> tuple[str, ...] | None:
    """Split the header; a quoted name may go on over several lines. None where the quotes do not fit."""
    if '"' not in first:
        return tuple(cell.strip() for cell in first.rstrip("\r\n").split(delimiter))
    try:
        with text_of(path, encoding) as file:
            return tuple(cell.strip() for cell in next(csv.reader(file, delimiter=delimiter, strict=True)))
    except csv.Error:
        return None


def _position(header: Sequence[str], folded: str) -> int:
    return [column.lower() for column in header].index(folded) + 1


def read_rows(opening: Opening, engine: Engine, *, table: str) -> TextRows:
    """Read all rows. Large files stay in the engine, under the name `table`.

    DuckDB reads in parallel but does not say on which line a row stands, nor takes everything faithfully. Where it
    rejected nothing, every line is one row and every byte is accounted for, it was faithful and line = row + 1;
    else the tolerant reader takes the file from the start.
    """
    if opening.is_parquet:
        return _read_parquet(opening, engine, table)
    if opening.encoding == "utf-8" and opening.path.stat().st_size > _LARGE_BYTES:
        fast = _read_in_parallel(opening, engine, table)
        if fast is not None:
            return fast
    return _read_tolerantly(opening)


def _read_parquet(opening: Opening, engine: Engine, table: str) -> TextRows:
    """Read Parquet as text, which the schema then types like any other: what a cell means depends on no format."""
    kinds = pyarrow.parquet.read_schema(opening.path)
    columns = ", ".join(f"{_as_text(kinds.field(column))} AS {name(column)}" for column in opening.header)
    source = f"read_parquet({file_literal(opening.path)}, file_row_number=true)"
    try:
        engine.table(table, f"SELECT CAST({_ROW_NUMBER} + 1 AS BIGINT) AS _line, {columns} FROM {source}")
    except DataError as error:
        raise OSError(f"not a whole Parquet file ({error})") from error
    return TextRows(table)


def _as_text(field: pa.Field) -> str:
    """Return the SQL of a Parquet column as text: times in UTC, and NaN as the missing value that it stands for."""
    value = name(field.name)
    if pa.types.is_timestamp(field.type) and field.type.tz is not None:
        value = f"make_timestamp(epoch_us({value}))"
    if pa.types.is_float32(field.type) or pa.types.is_float64(field.type):
        return f"CASE WHEN NOT isnan({value}) THEN CAST({value} AS VARCHAR) END"
    return f"CAST({value} AS VARCHAR)"


def _read_in_parallel(opening: Opening, engine: Engine, table: str) -> TextRows | None:
    body = _body(opening.path)
    if body is None or len(opening.header) == 1:  # a blank line is no row, but looks like an empty only cell
        return None
    cells = [f"c{i}" for i in range(len(opening.header))]
    columns = ", ".join(f"{cell}: 'VARCHAR'" for cell in cells)
    try:
        engine.table(
            table,
            f"SELECT * FROM read_csv({file_literal(opening.path)}, columns={{{columns}}}, header=true,"
            f" auto_detect=false, delim={literal(opening.delimiter)}, quote='\"', escape='\"', nullstr='',"
            f" max_line_size={_MAX_CELL}, compression={literal(_packed_by(opening.path))}, store_rejects=true,"
            f" rejects_table={literal(f'{table}_errors')}, rejects_scan={literal(f'{table}_scans')})",
        )
    except DataError:  # such as line ends of two kinds
        return None
    rejected = engine.rows(f"SELECT count(*) FROM {name(f'{table}_errors')}")[0][0]
    if rejected or not _is_faithful(body, engine, table, cells):
        return None
    named = ", ".join(f"{cell} AS {name(column or ' ')}" for cell, column in zip(cells, opening.header, strict=True))
    engine.table(f"{table}_lines", f"SELECT CAST(rowid + 2 AS BIGINT) AS _line, {named} FROM {name(table)}", lazy=True)
    return TextRows(f"{table}_lines")


@dataclass(frozen=True)
class _Body:
    """What a file has below its first line, counted in bytes."""

    size: int
    lines: int
    line_ends: int
    quotes: int


def _body(path: Path) -> _Body | None:
    """Count what stands below the first line; None where a NUL or a bare CR makes lines a matter of opinion."""
    size = lines = line_ends = quotes = 0
    last = b"\n"
    with _binary(path) as file:
        first = file.readline()
        if b"\r" in first.removesuffix(b"\n").removesuffix(b"\r"):
            return None
        while chunk := file.read(_CHUNK):
            returns = (chunk + file.read(1)) if chunk.endswith(b"\r") else chunk
            if b"\0" in returns or returns.count(b"\r") != returns.count(b"\r\n"):
                return None
            size += len(returns)
            lines += returns.count(b"\n")
            line_ends += returns.count(b"\n") + returns.count(b"\r")
            quotes += returns.count(b'"')
            last = returns[-1:]
    return _Body(size, lines + (last != b"\n"), line_ends, quotes)


def _is_faithful(body: _Body, engine: Engine, table: str, cells: Sequence[str]) -> bool:
    """Tell whether every line is one row, and the cells with their delimiters, quotes and line ends are all there is.

    A quoted cell has two quotes around it and one more for each in it, so what quotes add is their number in the
    file less their number in the cells. A blank or a delimiter too many that DuckDB dropped is missing in the sum.
    """
    quote = literal('"')
    inner = " + ".join(f"coalesce(length({c}) - length(replace({c}, {quote}, '')), 0)" for c in cells)
    held = " + ".join(f"coalesce(strlen({c}), 0)" for c in cells)
    inner_sum = f"coalesce(sum({inner}), 0)" if body.quotes else "0"
    rows, held_bytes, inner_quotes = engine.rows(
        f"SELECT count(*), coalesce(sum({held}), 0), {inner_sum} FROM {name(table)}"
    )[0]
    delimiters = rows * (len(cells) - 1)
    added = body.quotes - inner_quotes
    return bool(rows == body.lines and body.size == held_bytes + delimiters + body.line_ends + added)


def _read_tolerantly(opening: Opening) -> TextRows:
    lines: list[int] = []
    records: list[list[str]] = []
    bad: list[BadRow] = []
    for line, record in _records(opening):
        if isinstance(record, BadRow):
            bad.append(record)
        else:
            lines.append(line)
            records.append(record)
    columns = list(zip(*records, strict=True)) if records else [()] * len(opening.header)
    arrays = [pa.array(lines, pa.int64()), *(pa.array(column, pa.string()) for column in columns)]
    return TextRows(pa.Table.from_arrays(arrays, names=["_line", *opening.header]), tuple(bad))


def _records(opening: Opening) -> Iterator[tuple[int, list[str] | BadRow]]:
    """Yield each record with the line it starts on; blank lines are no records."""
    width = len(opening.header)
    csv.field_size_limit(_MAX_CELL)
    with text_of(opening.path, opening.encoding) as file:
        reader = csv.reader(file, delimiter=opening.delimiter, strict=True)
        next(reader)
        while True:
            line = reader.line_num + 1
            try:
                record = next(reader, None)
            except csv.Error as error:
                yield line, BadRow(line, _why(error), "")
                continue
            if record is None:
                return
            if not record:
                continue
            if len(record) != width:
                text = _joined(record, opening.delimiter)
                yield line, BadRow(line, f"{len(record)} cells where the header has {width}", text)
            elif any("\0" in cell for cell in record):
                yield line, BadRow(line, "a NUL byte in a cell", _joined(record, opening.delimiter))
            else:
                yield line, record


def _why(error: csv.Error) -> str:
    if "end of data" in str(error):
        return NEVER_CLOSED
    return f"not valid CSV: {error}"


def _joined(record: Sequence[str], delimiter: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerow(record)  # so that line ends are quoted
    return out.getvalue().removesuffix("\r\n")[:_MAX_CELL]

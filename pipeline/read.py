"""A CSV file → its header and its rows as text, each with the line it starts on.

RFC 4180, any of the usual delimiters, UTF-8 (or UTF-16 with a byte-order mark, or cp1252 with a finding). All
cells are read as text; the schema gives them types later. A row that cannot be read is handed on with its line
and the reason; a file that cannot be read as a whole is a `Refusal`. Nothing is guessed silently.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from churnwatch.pipeline.engine import Engine, literal, name

_DELIMITERS = (",", ";", "\t", "|")
_CHUNK = 1 << 20
_LARGE_BYTES = 4 << 20  # above it DuckDB's parallel reader is worth its start-up
_MAX_CELL = 1 << 20
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
    """What the first bytes and the first line of a file say."""

    path: Path
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    findings: tuple[str, ...] = ()


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
    try:
        encoding, findings = _encoding(path)
        with path.open(encoding=encoding, newline="") as file:
            first = file.readline(_MAX_CELL * 16)
            return _header(path, first, file, encoding, delimiter, expected, findings)
    except UnicodeDecodeError as error:
        return Refusal(f"not a text file: byte {error.start} is no {encoding}")
    except csv.Error as error:
        return Refusal(f"line 1: the header cannot be read ({error})")


def _encoding(path: Path) -> tuple[str, tuple[str, ...]]:
    """Tell the encoding by the byte-order mark, then UTF-8, then cp1252, which is a guess and so a finding."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
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
    file: io.TextIOWrapper,
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
    splits = {d: _split(first, file, d) for d in ([delimiter] if delimiter else _DELIMITERS)}
    best = max(splits, key=lambda d: (len(known & set(splits[d])), len(splits[d])))
    header = splits[best]
    if len(header) > _MAX_COLUMNS:
        return Refusal(f"line 1: {len(header):,} columns; {_MAX_COLUMNS:,} are the most that is read")
    twice = [column for column, count in Counter(column.lower() for column in header).items() if count > 1]
    if twice:
        return Refusal(f"line 1: {len(twice)} column name(s) stand twice, such as column {_position(header, twice[0])}")
    return Opening(path, encoding, best, header, findings)


def _split(first: str, file: io.TextIOWrapper, delimiter: str) -> tuple[str, ...]:
    """Split the header; a quoted name may go on over several lines."""
    file.seek(0)
    if '"' not in first:
        return tuple(cell.strip() for cell in first.rstrip("\r\n").split(delimiter))
    return tuple(cell.strip() for cell in next(csv.reader(file, delimiter=delimiter)))


def _position(header: Sequence[str], folded: str) -> int:
    return [column.lower() for column in header].index(folded) + 1


def read_rows(opening: Opening, engine: Engine, *, table: str) -> TextRows:
    """Read all rows. Large files stay in the engine, under the name `table`.

    DuckDB reads in parallel but does not say on which line a row stands, nor takes everything faithfully. Where it
    rejected nothing and every line is one row, it was faithful and line = row + 1; else the tolerant reader takes
    the file from the start.
    """
    if opening.encoding == "utf-8" and opening.path.stat().st_size > _LARGE_BYTES:
        fast = _read_in_parallel(opening, engine, table)
        if fast is not None:
            return fast
    return _read_tolerantly(opening)


def _read_in_parallel(opening: Opening, engine: Engine, table: str) -> TextRows | None:
    columns = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in opening.header)
    engine.table(
        table,
        f"SELECT * FROM read_csv({literal(str(opening.path))}, columns={{{columns}}}, header=true, auto_detect=false,"
        f" delim={literal(opening.delimiter)}, quote='\"', escape='\"', nullstr='', store_rejects=true,"
        f" rejects_table={literal(f'{table}_errors')}, rejects_scan={literal(f'{table}_scans')})",
    )
    errors = f"(SELECT count(*) FROM {name(f'{table}_errors')})"
    rows, rejected = engine.rows(f"SELECT count(*), {errors} FROM {name(table)}")[0]
    if rejected or rows + 1 != _count_lines(opening.path):
        return None
    engine.table(f"{table}_lines", f"SELECT CAST(rowid + 2 AS BIGINT) AS _line, * FROM {name(table)}")
    return TextRows(f"{table}_lines")


def _count_lines(path: Path) -> int:
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return lines + (last != b"\n")


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
    with opening.path.open(encoding=opening.encoding, newline="") as file:
        reader = csv.reader(file, delimiter=opening.delimiter, strict=True)
        next(reader)
        while True:
            line = reader.line_num + 1
            try:
                record = next(reader, None)
            except csv.Error as error:
                yield line, BadRow(line, f"not valid CSV: {error}", "")
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


def _joined(record: Sequence[str], delimiter: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="").writerow(record)
    return out.getvalue()[:_MAX_CELL]

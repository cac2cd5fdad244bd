"""A file of rows → its encoding, its dialect and its header; its rows are for `blocks`.

CSV in UTF-8 (or UTF-16 with a byte-order mark, or cp1252 with a finding), plain or packed by gzip or zstd; or Parquet.
A file that cannot be read as a whole is a `Refusal`. Nothing is guessed silently.
"""

from __future__ import annotations

import codecs
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet

from churnwatch.pipeline.dialect import DELIMITERS, Dialect, Head, detect, hints_at
from churnwatch.pipeline.settings import Csv

MAX_CELL = 1 << 20
ROW_NUMBER = "file_row_number"  # what a row's place in a Parquet file is called beside its columns
_CHUNK = 1 << 20
_MAX_NAME = 100_000
_SAMPLE = 1 << 16
_SMALL = 64 << 20  # what may be unpacked whatever the ratio
_GB = 1 << 30
_ANY = Csv()
_NO_UTF8 = "cp1252", ("not UTF-8; read as Windows-1252",)


@dataclass(frozen=True)
class Refusal:
    """A file that could not be read as a whole, and why."""

    reason: str


@dataclass(frozen=True)
class Opening:
    """What the head of a file says. Of Parquet only path and header count.

    Attributes:
        path: of the file.
        encoding: as Python calls it.
        dialect: how cells are told apart.
        header: the columns' names.
        findings: what was guessed or left out.
        line: on which the header stands.
        body: the line behind it.
        width: how many cells the rows have, where nearly all of them have another number than the header has names.
        max_line: how many bytes a line may have.
        max_bytes: how many bytes there may be in all, unpacked.
        pin: the dialect that the next file of the source is held to.
    """

    path: Path
    encoding: str
    dialect: Dialect
    header: tuple[str, ...]
    findings: tuple[str, ...] = ()
    line: int = 1
    body: int = 2
    width: int | None = None
    max_line: int = 1 << 24
    max_bytes: int = 1 << 40
    pin: Dialect | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """A name for each cell of a row."""
        return self.header if self.width is None else tuple(f"c{number}" for number in range(self.width))

    @property
    def is_parquet(self) -> bool:
        """Whether it is no CSV."""
        return _is_parquet(self.path)


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(".parquet")


def _packed_by(path: Path) -> str:
    """Return how a file is packed, as DuckDB and pyarrow call it; the name tells."""
    return {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower(), "none")


def binary(path: Path) -> BinaryIO:
    """Open a file's bytes as they were before it was packed."""
    packed = _packed_by(path)
    if packed == "none":
        return path.open("rb")
    # read through a buffer, since Arrow's streams know no lines
    return io.BufferedReader(pa.input_stream(str(path), compression=packed))


def text_of(path: Path, encoding: str) -> io.TextIOWrapper:
    """Open a file's text as it was before it was packed, its line ends as they stand."""
    return io.TextIOWrapper(binary(path), encoding=encoding, newline="")


def open_csv(
    path: Path, csv: Csv = _ANY, *, expected: Sequence[str] = (), pinned: Dialect | None = None
) -> Opening | Refusal:
    """Find out encoding, dialect and header.

    Args:
        path: of the file.
        csv: its delimiter, if that is known, and how large it may be.
        expected: names that its header should have.
        pinned: the dialect of the file before it.
    """
    if _is_parquet(path):
        return _open_parquet(path, csv)
    try:
        return _open_text(path, csv, expected, pinned)
    except _RefusedError as error:
        return Refusal(str(error))


class _RefusedError(Exception):
    """Why a file is no table, or too large."""


def open_head(
    head: bytes, csv: Csv = _ANY, *, is_all: bool, encoding: str | None = None, expected: Sequence[str] = ()
) -> Opening | Refusal:
    """Find out encoding, dialect and header of a text of which only the beginning is there; its path is of no file.

    Args:
        head: how it begins.
        csv: as of `open_csv`.
        is_all: whether it also ends there.
        encoding: as Python calls it, where that is known; else the head alone tells it.
        expected: names that its header should have.
    """
    try:
        found, findings = (encoding, ()) if encoding else _by_head(head, is_all=is_all)
        text = codecs.getincrementaldecoder(found)(errors="replace").decode(head, final=is_all)
        near = text[: _SAMPLE + len(_first_line(text))]
        sample = near if is_all and near == text else near[: _whole_lines(near)]
        if text and not sample:
            return Refusal(f"line 1 is longer than {len(head):,} bytes; is it a table of text?")
        opening = _of_sample(sample, csv, expected, None)
    except _RefusedError as error:
        return Refusal(str(error))
    told = replace(opening, encoding=found, findings=(*findings, *opening.findings),
                   max_line=csv.max_line_mb << 20, max_bytes=csv.max_gb * _GB)  # fmt: skip
    return _checked(told, csv)


def _open_text(path: Path, csv: Csv, expected: Sequence[str], pinned: Dialect | None) -> Opening | Refusal:
    max_line = csv.max_line_mb << 20
    if _packed_by(path) == "none" and path.stat().st_size > csv.max_gb * _GB:
        raise _RefusedError(f"it has more than {csv.max_gb:,} GB; see csv.max_gb")
    _refuse_endless(path, max_line)
    encoding, findings = _encoding(path, csv)
    try:
        sample = _sample(path, encoding)
    except UnicodeDecodeError as error:
        raise _RefusedError(f"not a text file: byte {error.start} is no {encoding}") from None
    opening = _of_sample(sample, csv, expected, pinned)
    found = replace(opening, path=path, encoding=encoding, findings=(*findings, *opening.findings),
                    max_line=max_line, max_bytes=_most_bytes(path, csv))  # fmt: skip
    return _checked(found, csv)


def _of_sample(sample: str, csv: Csv, expected: Sequence[str], pinned: Dialect | None) -> Opening:
    """Return what a text says, of which some lines from the beginning are there; neither path nor encoding."""
    _refuse_no_table(sample)
    _refuse_too_wide(sample, csv)
    unusual = pinned if pinned is not None and not pinned.is_usual else None
    hinted = unusual is not None and hints_at(list(io.StringIO(sample, newline="")), unusual)
    head = None if hinted else _usual(sample, csv.delimiter, expected)
    head = head or detect(sample, delimiter=csv.delimiter, expected=expected, pinned=pinned)
    if head is None:
        raise _RefusedError("line 1: the header cannot be read: its quotes do not fit")
    width = head.width if head.is_off else None
    off = (f"the header has {len(head.header)} names where the rows have {width} cells",) if width else ()
    pin = head.dialect
    if unusual is not None and not hinted and pin == Dialect(unusual.delimiter):
        pin = unusual  # a file that only has no need of what is unusual changes nothing for the next
    otherwise = (f"read otherwise than the file before it ({pin.shown})",) if pinned not in (None, pin) else ()
    told = (*head.findings, *otherwise, *off)
    return Opening(Path(), "", head.dialect, head.header, told, head.line, head.body, width, pin=pin)


def _refuse_endless(path: Path, max_line: int) -> None:
    """Look for the end of the first line, so that what is no table is refused before it is read as a whole."""
    held = 0
    with binary(path) as file:
        while (chunk := file.read(_CHUNK)) and b"\n" not in chunk and b"\r" not in chunk:
            held += len(chunk)
            if held > max_line:
                raise _RefusedError(f"line 1 is longer than {max_line >> 20:,} MB; see csv.max_line_mb")


def _sample(path: Path, encoding: str) -> str:
    """Return whole lines from the beginning of a file, the first one in any case."""
    with text_of(path, encoding) as file:
        first = file.readline()
        try:
            more = file.read(_SAMPLE)
            is_all = not file.read(1)
        except UnicodeDecodeError:  # said when the rows are read, with its place
            return first
    return first + (more if is_all else more[: _whole_lines(more)])


def _whole_lines(text: str) -> int:
    """Return where the last whole line of a text ends that goes on."""
    return max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1


def _refuse_no_table(sample: str) -> None:
    if not sample.strip():
        raise _RefusedError("empty: it has no header" if not sample else "line 1: the header is empty")
    if "\0" in _first_line(sample):
        raise _RefusedError("line 1: not a text file (it has NUL bytes)")


def _refuse_too_wide(sample: str, csv: Csv) -> None:
    """Count what may be columns before any way to read them is tried, which takes seconds for a million."""
    first = _first_line(sample)
    columns = 1 + max(first.count(each) for each in ([csv.delimiter] if csv.delimiter else DELIMITERS))
    if columns > csv.max_columns and not set("\"'") & set(first):
        raise _RefusedError(f"line 1: {columns:,} columns; csv.max_columns allows {csv.max_columns:,}")


def _first_line(sample: str) -> str:
    return io.StringIO(sample, newline="").readline().rstrip("\r\n")


def _usual(sample: str, delimiter: str | None, expected: Sequence[str]) -> Head | None:
    """Return the head of a file that is as it should be, without looking at any other way to read it."""
    first = _first_line(sample)
    for each in [delimiter] if delimiter else DELIMITERS:
        header = tuple(cell.strip() for cell in first.split(each))
        if expected and '"' not in first and f"{each} " not in first and set(expected) <= set(header):
            odd = '\\"' in sample or ('"' not in sample and (f"{each}'" in sample or f"'{each}" in sample))
            return None if odd else Head(Dialect(each), header, 1, 2, len(header), rows=0)
    return None


def _open_parquet(path: Path, csv: Csv) -> Opening | Refusal:
    try:
        header = tuple(pyarrow.parquet.read_schema(path).names)
    except (pa.ArrowException, UnicodeError):  # the latter of a column's name
        return Refusal("not a Parquet file, or cut short")
    if not header:
        return Refusal("it has no columns")
    if "" in header or ROW_NUMBER in map(str.lower, header):
        return Refusal(f"a column without a name, or called `{ROW_NUMBER}`, which the reader needs for itself")
    return _checked(Opening(path, "parquet", Dialect(","), header), csv)


def _most_bytes(path: Path, csv: Csv) -> int:
    """Return how large a file may be, unpacked: a small one that unpacks to a thousand times as much is no table."""
    most = csv.max_gb * _GB
    return most if _packed_by(path) == "none" else min(most, max(_SMALL, path.stat().st_size * csv.max_ratio))


def _encoding(path: Path, csv: Csv) -> tuple[str, tuple[str, ...]]:
    """Tell the encoding by the byte-order mark, then UTF-8, then cp1252, which is a guess and so a finding."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    size, most = 0, _most_bytes(path, csv)
    with binary(path) as file:
        chunk = file.read(_CHUNK)
        marked = _by_mark(chunk)
        if marked is not None:
            return marked
        try:
            while chunk:
                decoder.decode(chunk)
                size += len(chunk)
                if size > most:
                    raise _RefusedError(
                        f"unpacked, it has more than {most / _GB:,.3g} GB; see csv.max_gb, csv.max_ratio"
                    )
                chunk = file.read(_CHUNK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return _NO_UTF8
    return "utf-8", ()


def _by_mark(head: bytes) -> tuple[str, tuple[str, ...]] | None:
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", ()
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ("read as UTF-16 by its byte-order mark",)
    return None


def _by_head(head: bytes, *, is_all: bool) -> tuple[str, tuple[str, ...]]:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=is_all)
    except UnicodeDecodeError:
        return _by_mark(head) or _NO_UTF8
    return _by_mark(head) or ("utf-8", ())


def _checked(opening: Opening, csv: Csv) -> Opening | Refusal:
    """Refuse a header of too many columns, or one in which a name cannot be used or stands twice."""
    header = opening.header
    if any("\0" in column for column in header):  # the engine's names end there
        return Refusal(f"line {opening.line}: a column's name has a NUL byte")
    if len(header) > csv.max_columns:
        return Refusal(f"line {opening.line}: {len(header):,} columns; csv.max_columns allows {csv.max_columns:,}")
    if max(map(len, header)) > _MAX_NAME:
        return Refusal(f"line {opening.line}: a column's name has more than {_MAX_NAME:,} letters")
    twice = [column for column, count in Counter(column.lower() for column in header).items() if count > 1]
    if twice:
        place = _position(header, twice[0])
        return Refusal(f"line {opening.line}: {len(twice)} column name(s) stand twice, such as column {place}")
    return opening


def _position(header: Sequence[str], folded: str) -> int:
    return [column.lower() for column in header].index(folded) + 1

"""A file of rows → its encoding, its delimiter and its header; its rows are for `blocks`.

CSV by RFC 4180, any of the usual delimiters, UTF-8 (or UTF-16 with a byte-order mark, or cp1252 with a finding),
plain or packed by gzip or zstd; or Parquet. A file that cannot be read as a whole is a `Refusal`. Nothing is guessed
silently.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet

MAX_CELL = 1 << 20
ROW_NUMBER = "file_row_number"  # what DuckDB calls a row's place in a Parquet file
_DELIMITERS = (",", ";", "\t", "|")
_CHUNK = 1 << 20
_MAX_COLUMNS = 10_000
_MAX_HEADER = 1 << 24
_MAX_NAME = 100_000


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
            first = file.readline(_MAX_HEADER)
        return _header(path, first, encoding, delimiter, expected, findings)
    except UnicodeDecodeError as error:
        return Refusal(f"not a text file: byte {error.start} is no {encoding}")


def _open_parquet(path: Path) -> Opening | Refusal:
    try:
        header = tuple(pyarrow.parquet.read_schema(path).names)
    except pa.ArrowInvalid:
        return Refusal("not a Parquet file, or cut short")
    if "" in header or ROW_NUMBER in map(str.lower, header):
        return Refusal(f"a column without a name, or called `{ROW_NUMBER}`, which the reader needs for itself")
    return _checked(Opening(path, "parquet", "", header))


def _encoding(path: Path) -> tuple[str, tuple[str, ...]]:
    """Tell the encoding by the byte-order mark, then UTF-8, then cp1252, which is a guess and so a finding."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with binary(path) as file:
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
    if len(first) == _MAX_HEADER:
        return Refusal(f"line 1: the header has {_MAX_HEADER:,} letters or more")
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
    if max(map(len, header)) > _MAX_NAME:
        return Refusal(f"line 1: a column's name has more than {_MAX_NAME:,} letters")
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

"""Files → typed rows that hold, and rows that break a check with the reason.

    open_csv → classify → read_blocks → table `checked` → tables `typed` and `bad`

Both what is learned from and what is only predicted comes through here, so that a cell means the same in both. Rows are
typed block by block; where there is more than one, they wait on disk, so that memory does not grow with the files.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from churnwatch.pipeline import cells, scan
from churnwatch.pipeline.blocks import BadRow, Block, forget, read_blocks
from churnwatch.pipeline.dialect import Dialect
from churnwatch.pipeline.engine import DuckDB, Engine, literal, name
from churnwatch.pipeline.read import Opening, Refusal, open_csv
from churnwatch.pipeline.records import SourceFile
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Csv

BATCH = 1 << 24  # bytes of text that are typed at a time
_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EHOSTDOWN, errno.ENOLINK}


@dataclass(frozen=True)
class Source:
    """A source file and where it lies."""

    file: SourceFile
    path: Path

    def unchanged(self) -> bool:
        """Tell whether the file is still the one whose hash we know."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        seen = self.file
        return scan.stamp(now) == (seen.size_bytes, seen.mtime_ns, seen.ctime_ns)


@dataclass(frozen=True)
class Opened:
    """A file whose header was read and understood."""

    source: Source
    opening: Opening
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Refused:
    """A file that was not read as a whole, and why; its rows are unknown.

    What the disk or the network did not give may be given another time.
    """

    source: Source
    reason: str
    may_pass: bool = False


@dataclass(frozen=True)
class Classified:
    """Source files by what they ask for."""

    labelled: tuple[Opened, ...]
    requests: tuple[Opened, ...]
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class QuarantineCount:
    """Rows of one file that broke one check."""

    file: int
    check_name: str
    column_name: str | None
    reason: str
    rows: int
    first_line: int


@dataclass(frozen=True)
class Loaded:
    """Which files are in the tables `typed` and `bad`, and what was set aside.

    Attributes:
        opened: the files.
        refused: files that could not be read.
        changed: files that were written to while they were read; left for the next run.
        quarantines: what is in `bad`, counted.
        pieces: what stands after FROM to read `typed` bit by bit, with the rows of each file there; in files' order.
    """

    opened: tuple[Opened, ...]
    refused: tuple[Refused, ...]
    changed: tuple[Source, ...]
    quarantines: tuple[QuarantineCount, ...]
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Piece:
    """Some of the typed rows: what stands after FROM to read them, and how many there are of each file."""

    scanned: str
    rows: dict[int, int]


def classify(sources: Sequence[Source], schema: Schema, csv: Csv, pinned: Dialect | None = None) -> Classified:
    """Sort files by their headers: rows to learn from, requests to score (no target), not ours.

    The dialect of the former file of their source is `pinned`, and goes on from file to file.
    """
    labelled, requests, refused = [], [], []
    for source in sources:
        opened = open_source(source, schema, csv, pinned)
        if isinstance(opened, Refused):
            refused.append(opened)
            continue
        if schema.target is None or schema.target in opened.opening.header:
            labelled.append(opened)
            pinned = opened.opening.pin or pinned
        else:
            requests.append(opened)
    return Classified(tuple(labelled), tuple(requests), tuple(refused))


def open_source(source: Source, schema: Schema, csv: Csv, pinned: Dialect | None = None) -> Opened | Refused:
    """Read a file's header and hold it against the schema."""
    try:
        opening = open_csv(source.path, csv, expected=schema.names, pinned=pinned)
    except OSError as error:
        return _unread(source, error)
    if isinstance(opening, Refusal):
        return Refused(source, opening.reason)
    if opening.width is not None:
        return Refused(source, f"line {opening.line}: {opening.findings[-1]}; nobody can say which name is whose")
    wanted = [column for column in schema.names if column != schema.target]
    missing = [column for column in wanted if column not in opening.header]
    if missing:
        what = f"{len(missing)} of {len(wanted)} columns are missing ({_listed(missing)})"
        advice = _advice(source, opening, missing, len(wanted), csv)
        return Refused(source, f"line {opening.line}: {what}; {advice}")
    unknown = [column for column in opening.header if column not in schema.columns]
    findings = opening.findings + ((f"{len(unknown)} column(s) left out: {_listed(unknown)}",) if unknown else ())
    return Opened(source, opening, findings)


def _unread(source: Source, error: OSError | UnicodeError) -> Refused:
    may_pass = isinstance(error, OSError) and error.errno in _PASSING
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return Refused(source, f"cannot be read: {why}{'; it is tried again' if may_pass else ''}", may_pass)


def _advice(source: Source, opening: Opening, missing: Sequence[str], wanted: int, csv: Csv) -> str:
    """Say what is most likely wrong with a file whose columns are not ours."""
    if csv.delimiter is not None:
        otherwise = open_csv(source.path, expected=missing)
        if isinstance(otherwise, Opening) and set(missing) & set(otherwise.header):
            return f"it is split by `{otherwise.dialect.delimiter}`, and `csv.delimiter` is `{csv.delimiter}`"
    folded = {column.lower().strip(): column for column in opening.header}
    for column in missing:
        if column.lower().strip() in folded:
            return f"it has `{folded[column.lower().strip()][:60]}` where `{column[:60]}` is declared"
    return "is it another company's file?" if len(missing) > wanted / 2 else "an older or a newer export?"


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f"`{column[:60]}`" for column in columns[:5]) + (", …" if len(columns) > 5 else "")  # noqa: PLR2004


def load(opened: Sequence[Opened], schema: Schema, csv: Csv, engine: DuckDB, *, with_target: bool = True) -> Loaded:
    """Read files into the engine's tables `typed` and `bad`."""
    columns = [column for column in schema.names if with_target or column != schema.target]
    refused: list[Refused] = []
    changed: list[Source] = []
    kept: list[Opened] = []
    typing = _Typing(schema, csv, columns, engine)
    for file in opened:
        number = file.source.file.file
        try:
            mended: list[int] = []
            for block in read_blocks(file.opening, engine, table=f"file_{number}"):
                mended += block.mended
                typing.add(number, block)
        except (OSError, UnicodeError) as error:
            refused.append(_unread(file.source, error))
            typing.leave_out(number)
            continue
        if file.source.unchanged():
            kept.append(_with_mended(file, mended))
        else:
            changed.append(file.source)
            typing.leave_out(number)
    pieces = typing.end()
    return Loaded(tuple(kept), tuple(refused), tuple(changed), _count_bad(engine), pieces)


def _with_mended(file: Opened, lines: Sequence[int]) -> Opened:
    if not lines:
        return file
    told = f"{len(lines)} row(s), the first on line {lines[0]}, have quotes that do not fit; they are taken for text"
    return replace(file, findings=(*file.findings, told))


class _Typing:
    """Types blocks of text as they come: one batch of them in the engine, several on disk until they are through."""

    def __init__(self, schema: Schema, csv: Csv, columns: Sequence[str], engine: DuckDB) -> None:
        self._schema, self._csv, self._columns, self._engine = schema, csv, columns, engine
        self._pending: list[tuple[int, Block]] = []
        self._size = 0
        self._left_out: set[int] = set()
        self._checked: list[Path] = []
        self._bad: list[Path] = []

    def add(self, number: int, block: Block) -> None:
        """Take a block of a file. What came before it is put away if it is a batch of its own."""
        if self._pending and self._size + block.size > BATCH:
            self._put_away()
        self._pending.append((number, block))
        self._size += block.size

    def leave_out(self, number: int) -> None:
        """Forget all rows of a file that could not be read to its end."""
        self._left_out.add(number)
        for _, block in (each for each in self._pending if each[0] == number):
            forget(block, self._engine)
        self._pending = [each for each in self._pending if each[0] != number]
        self._size = sum(block.size for _, block in self._pending)

    def end(self) -> tuple[Piece, ...]:
        """Make the tables `typed` and `bad` of all that was taken."""
        if not self._checked:
            self._type(None)
            self._engine.table("typed", _good("checked", self._schema), lazy=True)
            return (Piece("typed", self._count("typed")),)
        if self._pending:
            self._put_away()
        left_out = f"_file NOT IN ({', '.join(map(str, sorted(self._left_out)))})" if self._left_out else "true"
        pieces = []
        for path in self._checked:
            good = f"({_good(self._engine.scan([path]), self._schema)} AND {left_out})"
            pieces.append(Piece(good, self._count(good)))
        checked, bad = self._engine.scan(self._checked), self._engine.scan(self._bad)
        self._engine.table("typed", f"{_good(checked, self._schema)} AND {left_out}", lazy=True)
        self._engine.table("bad", f"SELECT * FROM {bad} b WHERE {left_out}", lazy=True)
        return tuple(pieces)

    def _count(self, scanned: str) -> dict[int, int]:
        return dict(self._engine.rows(f"SELECT _file, count(*) FROM {scanned} t GROUP BY _file"))

    def _put_away(self) -> None:
        """Type what is pending, and write it to disk."""
        number, scratch = len(self._checked), self._engine.scratch
        checked, bad = scratch / f"checked-{number}.parquet", scratch / f"bad-{number}.parquet"
        self._type(checked)
        self._engine.write("SELECT * FROM bad", bad)
        self._checked.append(checked)
        self._bad.append(bad)

    def _type(self, target: Path | None) -> None:
        """Make the tables `checked` and `bad` of what is pending; the first in a file where one is named."""
        texts = _texts(self._pending, self._columns, self._engine)
        files = ", ".join(str(number) for number in {number for number, _ in self._pending})
        before = (
            f"(SELECT * FROM {self._engine.scan(self._checked)} WHERE _file IN ({files}))" if self._checked else None
        )
        checked = _checked(texts, self._columns, self._schema, self._csv, before)
        if target is None:
            self._engine.table("checked", checked)
        else:
            self._engine.write(checked, target)
            self._engine.table("checked", f"SELECT * FROM {self._engine.scan([target])} c", lazy=True)
        unread = [(number, row) for number, block in self._pending for row in block.bad]
        _set_bad_aside(texts, self._columns, unread, self._schema, self._engine)
        for _, block in self._pending:
            forget(block, self._engine)
        self._engine.drop("texts")
        self._pending, self._size = [], 0


def _texts(blocks: Sequence[tuple[int, Block]], columns: Sequence[str], engine: Engine) -> str:
    """Return what stands after FROM to read the rows of all blocks as text, with `_file` and `_line`."""
    tables = [
        pa.Table.from_arrays(
            [
                pa.array([number] * len(block.rows), pa.int64()),
                block.rows.column(0),
                *(block.rows[column] for column in columns),
            ],
            names=["_file", "_line", *columns],
        )
        for number, block in blocks
        if not isinstance(block.rows, str)
    ]
    shape = pa.schema([("_file", pa.int64()), ("_line", pa.int64()), *((column, pa.string()) for column in columns)])
    engine.table("texts", pa.concat_tables([shape.empty_table(), *tables]))
    names = ", ".join(name(column) for column in columns)
    queries = [f"SELECT _file, _line, {names} FROM texts"]
    queries += [
        f"SELECT CAST({number} AS BIGINT), _line, {names} FROM {name(block.rows)}"
        for number, block in blocks
        if isinstance(block.rows, str)
    ]
    return f"({' UNION ALL '.join(queries)})"


def _checked(texts: str, columns: Sequence[str], schema: Schema, csv: Csv, before: str | None) -> str:
    """Return the query of all rows, typed, with `_bad`, the number of the first check that each one breaks.

    `before` reads the checked rows of former batches, in which a value that must be unique may stand.
    """
    cases = "".join(
        f" WHEN {check.broken} THEN {number}"
        for number, check in enumerate(cells.checks(schema, before))
        if check.column_name in columns
    )
    bad = f"CASE{cases} END" if cases else "CAST(NULL AS INTEGER)"
    typed = cells.typed_sql(schema, csv, texts, present_columns=columns)
    return f"SELECT {_kept(schema)}, {bad} AS _bad FROM ({typed}) AS t"


def _good(checked: str, schema: Schema) -> str:
    return f"SELECT {_kept(schema)} FROM {checked} c WHERE _bad IS NULL"


def _kept(schema: Schema) -> str:
    return ", ".join(name(column) for column in ("_file", "_line", *schema.names))


def _set_bad_aside(
    texts: str,
    columns: Sequence[str],
    unread: Sequence[tuple[int, BadRow]],
    schema: Schema,
    engine: Engine,
) -> None:
    """Make the table `bad`: every row that is not in `typed`, with its text and the reason."""
    found = cells.checks(schema)
    engine.table("checks", pa.table({
        "_bad": pa.array(range(len(found)), pa.int32()),
        "check_name": pa.array([check.check_name for check in found], pa.string()),
        "column_name": pa.array([check.column_name for check in found], pa.string()),
        "reason": pa.array([check.reason for check in found], pa.string()),
    }))  # fmt: skip
    engine.table("unread", pa.table({
        "_file": pa.array([number for number, _ in unread], pa.int64()),
        "_line": pa.array([row.line for _, row in unread], pa.int64()),
        "reason": pa.array([row.reason for _, row in unread], pa.string()),
        "text": pa.array([row.text for _, row in unread], pa.string()),
    }))  # fmt: skip
    text = ", ".join(f"coalesce({name(column)}, '')" for column in columns)
    engine.table(
        "bad",
        f"SELECT c._file, c._line, k.check_name, k.column_name, k.reason, t.text"
        f" FROM checked c JOIN checks k ON c._bad = k._bad"
        f" JOIN (SELECT _file, _line, concat_ws({literal(',')}, {text}) AS text FROM {texts}) t"
        f" ON t._file = c._file AND t._line = c._line"
        f" UNION ALL SELECT _file, _line, 'row', NULL, reason, text FROM unread",
    )


def _count_bad(engine: Engine) -> tuple[QuarantineCount, ...]:
    counted = engine.rows(
        "SELECT _file, check_name, column_name, reason, count(*), min(_line) FROM bad"
        " GROUP BY _file, check_name, column_name, reason ORDER BY _file, min(_line), check_name"
    )
    return tuple(QuarantineCount(*row) for row in counted)

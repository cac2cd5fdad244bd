"""Files → typed rows that hold, and rows that break a check with the reason.

    open_csv → classify → read_rows → table `checked` → tables `typed` and `bad`

Both what is learned from and what is only predicted comes through here, so that a cell means the same in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from churnwatch.pipeline import cells, scan
from churnwatch.pipeline.engine import Engine, literal, name
from churnwatch.pipeline.read import BadRow, Opening, Refusal, open_csv, read_rows
from churnwatch.pipeline.records import SourceFile
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import ColumnType, Csv


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
    """A file that was not read as a whole, and why; its rows are unknown."""

    source: Source
    reason: str


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
    """Which files are in the tables `typed` and `bad`, and what was set aside."""

    opened: tuple[Opened, ...]
    refused: tuple[Refused, ...]
    changed: tuple[Source, ...]  # written to while they were read; left for the next run
    quarantines: tuple[QuarantineCount, ...]


def classify(sources: Sequence[Source], schema: Schema, csv: Csv) -> Classified:
    """Sort files by their headers: rows to learn from, requests to score (no target), not ours."""
    labelled, requests, refused = [], [], []
    for source in sources:
        opened = open_source(source, schema, csv)
        if isinstance(opened, Refused):
            refused.append(opened)
        elif schema.target is None or schema.target in opened.opening.header:
            labelled.append(opened)
        else:
            requests.append(opened)
    return Classified(tuple(labelled), tuple(requests), tuple(refused))


def open_source(source: Source, schema: Schema, csv: Csv) -> Opened | Refused:
    """Read a file's header and hold it against the schema."""
    try:
        opening = open_csv(source.path, delimiter=csv.delimiter, expected=schema.names)
    except OSError as error:
        return Refused(source, f"cannot be read: {error.strerror or error}")
    if isinstance(opening, Refusal):
        return Refused(source, opening.reason)
    wanted = [column for column in schema.names if column != schema.target]
    missing = [column for column in wanted if column not in opening.header]
    if missing:
        return Refused(source, f"line 1: {len(missing)} of {len(wanted)} columns are missing ({_listed(missing)});"
                               f" {_advice(source, opening, missing, len(wanted), csv)}")  # fmt: skip
    unknown = [column for column in opening.header if column not in schema.columns]
    findings = opening.findings + ((f"{len(unknown)} column(s) left out: {_listed(unknown)}",) if unknown else ())
    return Opened(source, opening, findings)


def _advice(source: Source, opening: Opening, missing: Sequence[str], wanted: int, csv: Csv) -> str:
    """Say what is most likely wrong with a file whose columns are not ours."""
    if csv.delimiter is not None:
        otherwise = open_csv(source.path, expected=missing)
        if isinstance(otherwise, Opening) and set(missing) & set(otherwise.header):
            return f"it is split by `{otherwise.delimiter}`, and `csv.delimiter` is `{csv.delimiter}`"
    folded = {column.lower().strip(): column for column in opening.header}
    for column in missing:
        if column.lower().strip() in folded:
            return f"it has `{folded[column.lower().strip()][:60]}` where `{column[:60]}` is declared"
    return "is it another company's file?" if len(missing) > wanted / 2 else "an older or a newer export?"


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f"`{column[:60]}`" for column in columns[:5]) + (", …" if len(columns) > 5 else "")  # noqa: PLR2004


def load(opened: Sequence[Opened], schema: Schema, csv: Csv, engine: Engine, *, with_target: bool = True) -> Loaded:
    """Read files into the engine's tables `typed` and `bad`."""
    columns = [column for column in schema.names if with_target or column != schema.target]
    refused: list[Refused] = []
    changed: list[Source] = []
    kept: list[Opened] = []
    small: list[tuple[int, pa.Table]] = []
    large: list[tuple[int, str]] = []
    unread: list[tuple[int, BadRow]] = []
    for file in opened:
        number = file.source.file.file
        try:
            found = read_rows(file.opening, engine, table=f"file_{number}")
        except (OSError, UnicodeError) as error:
            refused.append(Refused(file.source, f"cannot be read: {error}"))
            continue
        if not file.source.unchanged():
            changed.append(file.source)
            continue
        kept.append(file)
        unread += [(number, row) for row in found.bad]
        if isinstance(found.rows, str):
            large.append((number, found.rows))
        else:
            small.append((number, found.rows))
    texts = _texts(small, large, columns, engine)
    _check_rows(texts, columns, schema, csv, engine)
    _set_bad_aside(texts, columns, unread, schema, engine)
    for file in opened:  # a burst of large files would otherwise stand in memory twice
        for suffix in ("_lines", "", "_errors", "_scans"):
            engine.drop(f"file_{file.source.file.file}{suffix}")
    engine.drop("texts")
    return Loaded(tuple(kept), tuple(refused), tuple(changed), _count_bad(engine))


def _texts(
    small: Sequence[tuple[int, pa.Table]], large: Sequence[tuple[int, str]], columns: Sequence[str], engine: Engine
) -> str:
    """Return what stands after FROM to read the rows of all files as text, with `_file` and `_line`."""
    tables = [
        pa.Table.from_arrays(
            [pa.array([number] * len(rows), pa.int64()), rows.column(0), *(rows[column] for column in columns)],
            names=["_file", "_line", *columns],
        )
        for number, rows in small
    ]
    shape = pa.schema([("_file", pa.int64()), ("_line", pa.int64()), *((column, pa.string()) for column in columns)])
    engine.table("texts", pa.concat_tables([shape.empty_table(), *tables]))
    names = ", ".join(name(column) for column in columns)
    queries = [f"SELECT _file, _line, {names} FROM texts"]
    queries += [f"SELECT CAST({number} AS BIGINT), _line, {names} FROM {name(table)}" for number, table in large]
    return f"({' UNION ALL '.join(queries)})"


def _check_rows(texts: str, columns: Sequence[str], schema: Schema, csv: Csv, engine: Engine) -> None:
    """Make the table `checked`: all rows, typed, with `_bad`, the number of the first check that each one breaks."""
    cases = "".join(
        f" WHEN {check.broken} THEN {number}"
        for number, check in enumerate(cells.checks(schema))
        if check.column_name in columns
    )
    bad = f"CASE{cases} END" if cases else "CAST(NULL AS INTEGER)"
    typed = cells.typed_sql(schema, csv, texts, present_columns=columns)
    engine.table("checked", f"SELECT *, {bad} AS _bad FROM ({typed}) AS t")
    texts_kept = ", ".join(
        cells.raw(i) for i, column in enumerate(schema.columns.values()) if column.type is not ColumnType.TEXT
    )
    left_out = f" EXCLUDE ({texts_kept}, _bad)" if texts_kept else " EXCLUDE (_bad)"
    engine.table("typed", f"SELECT *{left_out} FROM checked WHERE _bad IS NULL", lazy=True)


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

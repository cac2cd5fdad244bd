"""The head of a file, as texts in an engine: what types and roles are inferred from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from churnwatch.pipeline.blocks import NEVER_CLOSED, BadRow, Block, read_blocks
from churnwatch.pipeline.engine import DuckDB, Engine, name
from churnwatch.pipeline.errors import DataError, UsageError
from churnwatch.pipeline.firstlook.column_types import shown
from churnwatch.pipeline.read import Opening, Refusal, open_csv, text_of
from churnwatch.pipeline.schema import ROW_COLUMNS
from churnwatch.pipeline.settings import Csv

HEAD_ROWS = 200_000


@dataclass(frozen=True)
class Sample:
    """The head of a file, as the table `sample` of texts in the engine."""

    engine: Engine
    opening: Opening
    columns: tuple[str, ...]
    rows: int
    cut: bool
    bad: tuple[BadRow, ...]


def read_sample(path: Path, delimiter: str | None, engine: DuckDB) -> Sample:
    """Read the head of a file into the engine's table `sample`.

    Raises:
        DataError: the file cannot be read, or has no rows.
        UsageError: the delimiter is not one character.
    """
    if delimiter is not None and len(delimiter) != 1:
        raise UsageError("--delimiter: must be one character.")
    try:
        opening = _open(path, delimiter)
        with _head(opening, engine.scratch) as (head, cut):
            found = list(read_blocks(head, engine, table="head"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except UnicodeError as error:
        raise DataError(f"{path}: not a text file ({error}).") from None
    columns = tuple(column for column in opening.header if column)
    rows = _make_sample(found, columns, engine)
    if not rows:
        raise DataError(f"{path}: it has a header, but no row that can be read.")
    # Where the head was cut, its last record may be half of one.
    bad = tuple(row for block in found for row in block.bad)
    bad = bad[:-1] if cut and bad and bad[-1].reason == NEVER_CLOSED else bad
    return Sample(engine, opening, columns, rows, cut, bad)


def _open(path: Path, delimiter: str | None) -> Opening:
    opening = open_csv(path, Csv(delimiter=delimiter))
    if isinstance(opening, Refusal):
        raise DataError(f"{path}: {opening.reason}.")
    if opening.width is not None:
        raise DataError(f"{path}: line {opening.line}: {opening.findings[-1]}.")
    if not any(opening.header):
        raise DataError(f"{path}: line {opening.line}: no column has a name.")
    for column in opening.header:
        if column.lower() in ROW_COLUMNS:
            raise DataError(f"{path}: column {shown(column)} has a name that churnwatch itself uses; rename it.")
    return opening


def _make_sample(blocks: Sequence[Block], columns: tuple[str, ...], engine: Engine) -> int:
    wanted, queries = ", ".join(map(name, columns)), []
    for number, block in enumerate(blocks):
        if not isinstance(block.rows, str):
            engine.table(f"head_rows_{number}", block.rows.select(columns))
        source = block.rows if isinstance(block.rows, str) else f"head_rows_{number}"
        queries.append(f"SELECT {wanted} FROM {name(source)}")
    if not queries:
        return 0
    engine.table("sample", " UNION ALL ".join(queries))
    return int(engine.rows("SELECT count(*) FROM sample")[0][0])


@contextmanager
def _head(opening: Opening, scratch: Path) -> Iterator[tuple[Opening, bool]]:
    """Give the file, or a copy of its head where it is long, and whether it is only that."""
    head = scratch / ("head.parquet" if opening.is_parquet else "head.csv")
    cut = _copy_rows(opening, head) if opening.is_parquet else _copy_lines(opening, head)
    yield replace(opening, path=head), cut
    head.unlink()


def _copy_lines(opening: Opening, head: Path) -> bool:
    with (
        text_of(opening.path, opening.encoding) as file,
        head.open("w", encoding=opening.encoding, newline="") as copy,
    ):
        copy.writelines(itertools.islice(file, HEAD_ROWS + 1))
        return bool(file.readline())


def _copy_rows(opening: Opening, head: Path) -> bool:
    with pyarrow.parquet.ParquetFile(opening.path) as file:
        first = next(file.iter_batches(HEAD_ROWS), None)
        table = pa.Table.from_batches([first] if first is not None else [], schema=file.schema_arrow)
        pyarrow.parquet.write_table(table, head)
        return bool(file.metadata.num_rows > table.num_rows)


def of_reading(sample: Sample) -> Iterator[str]:
    """Yield what is worth a word about the file itself."""
    names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
    if sample.opening.is_parquet:
        yield f"Parquet of {len(sample.columns)} columns"
    else:
        delimiter = sample.opening.dialect.delimiter
        yield f"delimiter: {names.get(delimiter, shown(delimiter))} between {len(sample.columns)} columns"
    if sample.cut:
        yield f"only the first {sample.rows:,} rows were looked at"
    yield from sample.opening.findings
    if "" in sample.opening.header:
        yield f"column {sample.opening.header.index('') + 1} has no name and is left out"
    if sample.bad:
        first = sample.bad[0]
        yield f"{len(sample.bad):,} row(s) cannot be read, the first on line {first.line}: {first.reason}"

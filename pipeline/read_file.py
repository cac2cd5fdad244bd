"""Any file of rows → what would be ingested of it, as text, with all that was guessed and set aside."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from churnwatch.pipeline.blocks import BadRow, Block, forget, read_blocks
from churnwatch.pipeline.engine import DuckDB, name
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.read import Opening, Refusal, open_csv
from churnwatch.pipeline.settings import Csv


@dataclass(frozen=True)
class FileRead:
    """What a file holds, besides its rows."""

    opening: Opening
    rows: int
    mended: tuple[int, ...]
    bad: tuple[BadRow, ...]


def read_file(source: Path, csv_settings: Csv, engine: DuckDB, out: TextIO) -> FileRead:
    """Write the header and all rows that can be read as CSV.

    Raises:
        DataError: the file cannot be read as a whole.
    """
    try:
        opening = open_csv(source, csv_settings)
        if isinstance(opening, Refusal):
            raise DataError(f"{source}: {opening.reason}")
        writer = _plain_writer(out)
        writer.writerow(opening.header)
        rows = 0
        mended: list[int] = []
        bad: list[BadRow] = []
        for block in read_blocks(opening, engine, table="rows"):
            for row in _rows(block, len(opening.columns), engine):
                writer.writerow(row)
                rows += 1
            mended += block.mended
            bad += block.bad
            forget(block, engine)
    except (OSError, UnicodeError) as error:
        raise DataError(f"{source}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error
    return FileRead(opening, rows, tuple(mended), tuple(bad))


def _plain_writer(out: TextIO) -> Any:
    """Return a CSV writer of lines that end with a line feed; cells with a line end of any kind are quoted."""
    written = SimpleNamespace(write=lambda line: out.write(line.removesuffix("\r\n") + "\n"))
    return csv.writer(written, lineterminator="\r\n")  # of what it holds no letter stays without quotes


def _rows(block: Block, width: int, engine: DuckDB) -> Iterator[tuple[str | None, ...]]:
    if isinstance(block.rows, str):
        batches = engine.batches(f"SELECT * FROM {name(block.rows)} ORDER BY 1")
    else:
        batches = iter(block.rows.to_batches())
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.columns[-width:]), strict=True)

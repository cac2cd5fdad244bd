"""The de-duplicated data set as one CSV, with the user's own columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.csv

from churnwatch.pipeline import files
from churnwatch.pipeline.engine import Engine, name
from churnwatch.pipeline.features import dataset
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import ColumnType


def export(schema: Schema, engine: Engine, parts: Sequence[Path], target: Path, *, key: Sequence[str] = ()) -> int:
    """Write all rows in the order of their batches, batch by batch; return how many there are."""
    source = dataset(schema, engine, parts, key=key)
    columns = ", ".join(_shown(column, schema, engine, source) for column in schema.names)
    query = f"SELECT {columns} FROM {source} AS d ORDER BY _batch, _line"
    rows = 0
    with files.written_beside(target) as beside:
        writer = None
        for batch in engine.batches(query):
            writer = writer or pyarrow.csv.CSVWriter(beside, batch.schema)
            writer.write_batch(batch)
            rows += batch.num_rows
        if writer is not None:
            writer.close()
    return rows


def _shown(column: str, schema: Schema, engine: Engine, source: str) -> str:
    """Return the SQL of a column; dates without a time are written as dates, the way they came in."""
    value = name(column)
    if schema.columns[column].type is not ColumnType.DATE:
        return value
    timed = engine.rows(f"SELECT count(*) FROM {source} AS d WHERE {value} <> date_trunc('day', {value})")[0][0]
    return value if timed else f"CAST({value} AS DATE) AS {value}"

"""The de-duplicated data set as one CSV, with the user's own columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.csv

from churnwatch.pipeline import files
from churnwatch.pipeline.engine import Engine, name
from churnwatch.pipeline.features import dataset
from churnwatch.pipeline.schema import Schema


def export(schema: Schema, engine: Engine, parts: Sequence[Path], target: Path, *, key: Sequence[str] = ()) -> int:
    """Write all rows in the order of their batches, batch by batch; return how many there are."""
    columns = ", ".join(name(column) for column in schema.names)
    query = f"SELECT {columns} FROM {dataset(schema, engine, parts, key=key)} AS d ORDER BY _batch, _line"
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

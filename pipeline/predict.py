"""A model and customers → files of predictions: Parquet for programs, CSV for people."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet
from sklearn.model_selection import FixedThresholdClassifier
from threadpoolctl import threadpool_limits

from churnwatch.pipeline import features, files
from churnwatch.pipeline.csv_file import write_csv
from churnwatch.pipeline.engine import Engine
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import ColumnType

_ADDED = {"probability": pa.float64(), "decision": pa.int8(), "model": pa.string()}
_THREADS = os.cpu_count() or 1
_WORTH_THREADS = 50_000  # rows in one batch; with fewer, threads mostly wait for each other
_ARROW_TYPES = {
    ColumnType.TEXT: pa.string(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.NUMBER: pa.float64(),
    ColumnType.DATE: pa.timestamp("us"),
}


@dataclass(frozen=True)
class Predicted:
    """Predictions of one set of rows: the kept columns, then probability, decision and model."""

    table: pa.Table

    @property
    def probability(self) -> npt.NDArray[np.float64]:
        """(n,) probability of leaving."""
        return np.asarray(self.table["probability"], dtype=np.float64)

    @property
    def positives(self) -> int:
        """How many are decided to leave."""
        return int(np.sum(self.table["decision"].to_numpy()))


def predict(
    model: FixedThresholdClassifier,
    schema: Schema,
    engine: Engine,
    query: str,
    *,
    keep: Sequence[str],
    version: str,
    ranked: bool = False,
) -> Predicted:
    """Predict the rows of a query, batch by batch. A kept column that is called as ours gets ` (input)` to its name.

    Args:
        model: as `registry.load` gives it.
        schema: the columns.
        engine: where the query runs.
        query: rows with the schema's features.
        keep: columns of the query that go into the result.
        version: of the model, such as v7.
        ranked: the highest probability first, then by the kept columns, instead of the query's order.
    """
    names = [f"{column} (input)" if column.lower() in _ADDED else column for column in keep]
    kinds = [_ARROW_TYPES[schema.columns[column].type] for column in keep]
    shape = pa.schema([*zip(names, kinds, strict=True), *_ADDED.items()])
    found = engine.mapped(query, _predicting(model, schema, keep, version, shape), shape)
    table = pa.Table.from_batches(found, schema=shape)
    order = [("probability", "descending"), *((column, "ascending") for column in names)]
    return Predicted(table.sort_by(order) if ranked else table)


def _predicting(
    model: FixedThresholdClassifier, schema: Schema, keep: Sequence[str], version: str, shape: pa.Schema
) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Return what predicts one batch. It may be sent to other machines, so it holds the model and plain values only."""
    wanted, kinds = list(model.feature_names_in_), features.kinds(schema)
    kept, threshold = list(keep), float(model.threshold)

    def predicted(batch: pa.RecordBatch) -> pa.RecordBatch:
        frame = batch.select(wanted).to_pandas().astype({column: kinds[column] for column in wanted})
        with threadpool_limits(limits=_THREADS if len(frame) >= _WORTH_THREADS else 1):
            probability = model.predict_proba(frame)[:, 1] if len(frame) else np.empty(0)
        columns = [batch.column(column) for column in kept]
        columns += [pa.array(probability), pa.array((probability >= threshold).astype(np.int8))]
        columns.append(pa.array([version] * len(frame), pa.string()))
        return pa.RecordBatch.from_arrays(columns, schema=shape)

    return predicted


def write(predicted: Predicted, target: Path) -> str:
    """Write predictions as Parquet, and beside it as CSV; return the hash of the Parquet."""
    with files.written_beside(target) as beside:
        pyarrow.parquet.write_table(predicted.table, beside)
        sha256 = files.sha256_of(beside)
    write_csv(predicted.table, target.with_suffix(".csv"))
    return sha256

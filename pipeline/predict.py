"""A model and customers → files of predictions: Parquet for programs, CSV for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from sklearn.model_selection import FixedThresholdClassifier

from churnwatch.pipeline import features, files
from churnwatch.pipeline.csv_file import write_csv
from churnwatch.pipeline.engine import Engine
from churnwatch.pipeline.schema import Schema

_ADDED = ("probability", "decision", "model")


@dataclass(frozen=True)
class Predicted:
    """Predictions of one set of rows: the kept columns, then probability, decision and model."""

    table: pa.Table

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
    found = []
    names = [f"{column} (input)" if column.lower() in _ADDED else column for column in keep]
    wanted = list(model.feature_names_in_)
    for batch in engine.batches(query):
        if not batch.num_rows:
            continue
        frame = features.typed(batch.to_pandas(), schema)
        probability = model.predict_proba(frame[wanted])[:, 1]
        columns = [batch.column(column) for column in keep]
        columns += [pa.array(probability), pa.array((probability >= model.threshold).astype(np.int8))]
        columns.append(pa.array([version] * batch.num_rows, pa.string()))
        found.append(pa.Table.from_arrays(columns, names=[*names, *_ADDED]))
    table = pa.concat_tables(found) if found else _nothing(names)
    order = [("probability", "descending"), *((column, "ascending") for column in names)]
    return Predicted(table.sort_by(order) if ranked else table)


def _nothing(names: Sequence[str]) -> pa.Table:
    kinds = zip(_ADDED, (pa.float64(), pa.int8(), pa.string()), strict=True)
    return pa.schema([*((column, pa.string()) for column in names), *kinds]).empty_table()


def write(predicted: Predicted, target: Path) -> str:
    """Write predictions as Parquet, and beside it as CSV; return the hash of the Parquet."""
    with files.written_beside(target) as beside:
        pyarrow.parquet.write_table(predicted.table, beside)
        sha256 = files.sha256_of(beside)
    write_csv(predicted.table, target.with_suffix(".csv"))
    return sha256

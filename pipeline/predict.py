"""A model and customers → files of predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from threadpoolctl import threadpool_limits

from churnwatch.pipeline import features
from churnwatch.pipeline.engine import Engine
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.model_files import Fitted
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import ColumnType

_ADDED = {"probability": pa.float64(), "decision": pa.int8(), "model": pa.string()}
_ADDED_TO_AMOUNTS = {"amount": pa.float64(), "model": pa.string()}
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
    """Predictions of one set of rows: the kept columns, then probability, decision and model; or amount and model."""

    table: pa.Table

    @property
    def of_amounts(self) -> bool:
        """Whether amounts are predicted."""
        return bool(self.table.column_names[-2] == "amount")

    @property
    def predictions(self) -> npt.NDArray[np.float64]:
        """(n,) probability of leaving, or amount."""
        return np.asarray(self.table["amount" if self.of_amounts else "probability"], dtype=np.float64)

    @property
    def positives(self) -> int:
        """How many are decided to leave; of amounts, of how many more than nought is expected."""
        return int(np.sum(self.table.column(-2).to_numpy() > 0))

    @property
    def amount(self) -> float | None:
        """What is expected of all rows together, where amounts are."""
        return float(np.sum(self.table["amount"].to_numpy())) if self.of_amounts else None


def another_task(model: Fitted, schema: Schema) -> str | None:
    """Say that a model predicts something else than is asked for, where it does."""
    if hasattr(model, "predict_proba") != schema.predicts_amounts:
        return None
    does, task, asked = ("who leaves", "regression", "amounts")
    if schema.positive is not None:
        does, task, asked = "amounts", "classification", "who leaves"
    return f"predicts {does}, and `task: {task}` asks for {asked}"


def beside(columns: Iterable[str], added: Container[str]) -> list[str]:
    """Return what the user's columns are called beside those that are added: one called as ours is `NAME (input)`."""
    return [f"{column} (input)" if column.lower() in added else column for column in columns]


def predict(
    model: Fitted,
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
        schema: the columns, and what is predicted.
        engine: where the query runs.
        query: rows with the schema's features.
        keep: columns of the query that go into the result.
        version: of the model, such as v7.
        ranked: the highest probability or amount first, then by the kept columns, instead of the query's order.

    Raises:
        SettingsError: the model predicts something else than the settings ask for.
    """
    other = another_task(model, schema)
    if other is not None:
        raise SettingsError(f"settings.yaml: task: {version} {other}. Put that back, or drop rows to learn from.")
    added = _ADDED_TO_AMOUNTS if schema.predicts_amounts else _ADDED
    names = beside(keep, added)
    kinds = [_ARROW_TYPES[schema.columns[column].type] for column in keep]
    shape = pa.schema([*zip(names, kinds, strict=True), *added.items()])
    found = engine.mapped(query, _predicting(model, schema, keep, version, shape), shape)
    table = pa.Table.from_batches(found, schema=shape)
    order = [(next(iter(added)), "descending"), *((column, "ascending") for column in names)]
    return Predicted(table.sort_by(order) if ranked else table)


def _predicting(
    model: Fitted, schema: Schema, keep: Sequence[str], version: str, shape: pa.Schema
) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Return what predicts one batch. It may be sent to other machines, so it holds the model and plain values only."""
    wanted, kinds, kept = list(model.feature_names_in_), features.kinds(schema), list(keep)
    threshold = None if schema.predicts_amounts else float(model.threshold)

    def predicted(batch: pa.RecordBatch) -> pa.RecordBatch:
        frame = batch.select(wanted).to_pandas().astype({column: kinds[column] for column in wanted})
        with threadpool_limits(limits=_THREADS if len(frame) >= _WORTH_THREADS else 1):
            found = _said(model, frame, classes=threshold is not None)
        columns = [batch.column(column) for column in kept]
        columns += [pa.array(found)]
        columns += [pa.array((found >= threshold).astype(np.int8))] if threshold is not None else []
        columns.append(pa.array([version] * len(frame), pa.string()))
        return pa.RecordBatch.from_arrays(columns, schema=shape)

    return predicted


def _said(model: Fitted, frame: pd.DataFrame, *, classes: bool) -> npt.NDArray[np.float64]:
    if not len(frame):
        return np.empty(0)
    found = model.predict_proba(frame)[:, 1] if classes else model.predict(frame)
    return np.asarray(found, dtype=np.float64)

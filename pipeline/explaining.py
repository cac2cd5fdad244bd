"""The step that explains: why the current customers are predicted as they are, and what the model looks at.

The contributions are a Parquet beside the run's predictions, row by row; the ledger has how they were made, and how
much each column counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from churnwatch.pipeline import customer_files, explained_file, features, importance, reasons
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.contributions import Explainer, Unexplained
from churnwatch.pipeline.ledger import customers, explanations
from churnwatch.pipeline.model_files import Fitted
from churnwatch.pipeline.records import Explanation, Importance, Model
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.workspace import Surroundings, Workspace

Floats = npt.NDArray[np.float64]


def explain_customers(at: Workspace) -> None:
    """Explain this run's predictions of the current customers, if there are any and nothing has explained them yet."""
    predicted = next(iter(customers.predictions(at.ledger, at.run)), None)
    if predicted is None or explanations.of_run(at.ledger, at.run) is not None:
        return
    version = at.ledger.model(predicted["version"])
    model = at.load(version)
    made = reasons.explainer_of(at, version, model)
    if isinstance(made, Unexplained):
        record, mean_absolute = _unexplained(at, version, made), None
    else:
        record, mean_absolute = _written(at, version, made, predicted["path"])
    importances = _importances(at, version, model, mean_absolute)
    with at.ledger.transaction():
        at.ledger.add(record)
        at.ledger.add_all(importances)


def _unexplained(at: Workspace, version: Model, made: Unexplained) -> Explanation:
    return Explanation(at.run, version.version, "none", None, None, 0, None, made.why, iso(utc_now()))


def _written(at: Workspace, version: Model, made: Explainer, predictions: str) -> tuple[Explanation, Floats]:
    """Write the contributions; return what the ledger keeps of them, and each column's mean without its sign."""
    assert at.customers is not None  # noqa: S101 - there are predictions of them
    assert at.schema.id is not None  # noqa: S101
    order = pyarrow.parquet.read_table(at.home.predictions / predictions).column(0)
    table = contributed(at, made, at.customers, at.schema.id)
    table = table.take(pc.index_in(order, value_set=table.column(0)))
    target = at.home.predictions / f"{Path(predictions).stem}-reasons.parquet"
    sha256 = customer_files.write(table, target)
    record = Explanation(
        at.run, version.version, "exact", target.name, sha256, len(table), made.base, None, iso(utc_now())
    )
    means = [np.abs(column.to_numpy()).mean() if len(table) else 0.0 for column in table.columns[2:]]
    return record, np.array(means)


def contributed(at: Surroundings, made: Explainer, query: str, id_: str) -> pa.Table:
    """Return the contributions to each row of a query, as `explained_file` has them, in the query's order."""
    shape = explained_file.shape(id_, made.columns)
    batches = at.engine.mapped(query, _contributing(made, at.learned, id_, shape), shape)
    return pa.Table.from_batches(batches, schema=shape)


def _contributing(
    made: Explainer, schema: Schema, id_: str, shape: pa.Schema
) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Return what explains one batch. It may be sent to other machines, so it holds plain values only."""
    kinds = features.kinds(schema)
    wanted = {column: kinds[column] for column in made.columns}

    def explained(batch: pa.RecordBatch) -> pa.RecordBatch:
        found = made.contributions(batch.select(list(wanted)).to_pandas().astype(wanted))
        columns = [batch.column(id_), pa.array(np.full(len(found), made.base)), *map(pa.array, found.T)]
        return pa.RecordBatch.from_arrays(columns, schema=shape)

    return explained


def _importances(at: Workspace, version: Model, model: Fitted, mean_absolute: Floats | None) -> list[Importance]:
    columns = list(map(str, model.feature_names_in_))
    by_column = dict(zip(columns, mean_absolute.tolist(), strict=True)) if mean_absolute is not None else {}
    first = sorted(columns, key=lambda column: -by_column.get(column, 0.0))
    rises = importance.permuted(
        lambda rows: at.predictions(model, rows), at.holdout.rows, first,
        amounts=at.schema.predicts_amounts, seed=at.home.settings.training.seed,
    )  # fmt: skip
    return [_record(at.run, version, column, by_column, rises) for column in columns]


def _record(
    run: int, version: Model, column: str, by_column: Mapping[str, float], rises: Mapping[str, importance.Permuted]
) -> Importance:
    rise = rises.get(column)
    found = (None, None, None) if rise is None else (rise.rise, rise.low, rise.high)
    return Importance(run, version.version, column, by_column.get(column), *found)

"""Reasons of a home's current customers, in words, from what the run's step `explain` has written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet

from churnwatch.pipeline import explained_file, features, reference, registry
from churnwatch.pipeline.engine import constant, name
from churnwatch.pipeline.ledger import explanations
from churnwatch.pipeline.reason_words import Reason, Reasons, in_words, shown, typical
from churnwatch.pipeline.records import Model
from churnwatch.pipeline.workspace import Surroundings


def of_customers(at: Surroundings, ids: Sequence[str], *, top: int = 3) -> dict[str, Reasons]:
    """Return why some of the current customers are predicted as they are, by id.

    Args:
        at: a run's surroundings, after its step `explain`; or those of a command.
        ids: of the customers.
        top: so many reasons at most on each side.

    Each has `raises` and `lowers`: `contract: Month-to-month (+1.2; typical: Two year), tenure: 3 (+0.8; typical: 29)`,
    empty where nothing speaks for that side. Who is not in the newest run's predictions is left out; all are where the
    model in use cannot be explained.
    """
    known = explanations.newest(at.ledger)
    if known is None or known.path is None or at.schema.id is None or not ids:
        return {}
    path = at.home.predictions / known.path
    id_ = pyarrow.parquet.read_schema(path).names[0]
    table = pyarrow.parquet.read_table(path, filters=[(id_, "in", list(ids))])
    columns = explained_file.columns(table.schema)
    values, usual = values_of(at, ids, columns), typicals(at, at.ledger.model(known.version))
    settings = at.home.settings
    return {
        customer: in_words(
            reasons(columns, contributions, values[customer], usual),
            names=settings.names, top=top, amounts=at.schema.predicts_amounts,
        )
        for customer, _, *contributions in zip(*(each.to_pylist() for each in table.columns), strict=True)
        if customer in values
    }  # fmt: skip


def reasons(
    columns: Sequence[str], contributions: Sequence[float], values: Mapping[str, Any], usual: Mapping[str, str]
) -> list[Reason]:
    """Return the reasons of one customer, one for each column.

    Args:
        columns: the model's.
        contributions: of each.
        values: the customer's by column.
        usual: the typical ones, as text.
    """
    return [
        Reason(column, shown(values[column]), usual.get(column, ""), contribution)
        for column, contribution in zip(columns, contributions, strict=True)
    ]


def values_of(at: Surroundings, ids: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the values of some of the current customers by id and column."""
    id_ = name(at.schema.id or "")
    selected = ", ".join(name(column) for column in columns)
    wanted = ", ".join(constant(each) for each in ids)
    kinds = features.kinds(at.learned)
    found = at.engine.arrow(f"SELECT {id_}, {selected} FROM ({at.customers}) AS c WHERE {id_} IN ({wanted})")
    frame = found.to_pandas().astype({column: kinds[column] for column in columns})
    return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in frame.itertuples(index=False, name=None)}


def typicals(at: Surroundings, model: Model) -> dict[str, str]:
    """Return the typical value of each column among the rows that a model learned from, as text."""
    known = registry.reference(at.home.models, model)
    if known is None:
        return {}
    return {bins.column: typical(bins) for bins in reference.decode(known).columns}

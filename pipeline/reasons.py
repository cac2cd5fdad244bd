"""Reasons of a home's customers: in words from what the run's step `explain` has written, or of one row just now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from churnwatch.pipeline import customer_files, explained_file, features, predict, reference, registry
from churnwatch.pipeline.contributions import Explainer, Unexplained, explainer
from churnwatch.pipeline.engine import name
from churnwatch.pipeline.ledger import explanations
from churnwatch.pipeline.model_files import Fitted
from churnwatch.pipeline.reason_words import Reason, Reasons, in_words, ranked, shown, typical
from churnwatch.pipeline.records import Model
from churnwatch.pipeline.workspace import Surroundings

_ASKED = "asked_why"


@dataclass(frozen=True)
class Explained:
    """What a model says of one row, and why.

    Attributes:
        prediction: the probability, or the amount.
        decision: whether it is decided that the customer leaves; None of amounts.
        base: what the model says where no column is known, in log-odds or as an amount; None where it explains nothing.
        reasons: the most important first; none where it explains nothing.
        why_not: it explains nothing.
    """

    prediction: float
    decision: bool | None
    base: float | None
    reasons: tuple[Reason, ...]
    why_not: str | None = None


def explainer_of(at: Surroundings, version: Model, model: Fitted) -> Explainer | Unexplained:
    """Return what explains a version, or why it cannot be explained."""
    known = registry.reference(at.home.models, version)
    return explainer(model, None if known is None else reference.decode(known).columns)


def of_row(at: Surroundings, version: Model, model: Fitted, query: str) -> Explained:
    """Return what a model says of the one row of a query, and why.

    Raises:
        SettingsError: the model predicts something else than the settings ask for.
    """
    said = predict.predict(model, at.learned, at.engine, query, keep=(), version=version.name)
    prediction = float(said.predictions[0])
    decision = None if said.of_amounts else bool(said.positives)
    made = explainer_of(at, version, model)
    if isinstance(made, Unexplained):
        return Explained(prediction, decision, None, (), made.why)
    kinds = features.kinds(at.learned)
    row = at.engine.arrow(query).select(list(made.columns)).to_pandas()
    row = row.astype({column: kinds[column] for column in made.columns})
    contributions = made.contributions(row)[0].tolist()
    found = reasons(made.columns, contributions, row.iloc[0].to_dict(), typicals(at, version))
    return Explained(prediction, decision, made.base, tuple(ranked(found)))


def of_customers(at: Surroundings, ids: Sequence[str], *, top: int = 3, run: int | None = None) -> dict[str, Reasons]:
    """Return why some of the current customers are predicted as they are, by id.

    Args:
        at: a run's surroundings, after its step `explain`; or those of a command.
        ids: of the customers.
        top: so many reasons at most on each side.
        run: whose predictions are explained; None: the newest that there are.

    Each has `raises` and `lowers`: `contract: Month-to-month (+1.2; typical: Two year), tenure: 3 (+0.8; typical: 29)`,
    empty where nothing speaks for that side. Who is not in these predictions is left out; all are where the
    model in use cannot be explained.
    """
    known = explanations.newest(at.ledger) if run is None else explanations.of_run(at.ledger, run)
    if known is None or known.path is None or at.schema.id is None or not ids:
        return {}
    table = customer_files.read(at.home.predictions / known.path, ids)
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
    kinds = features.kinds(at.learned)
    at.engine.table(_ASKED, pa.table({"id": pa.array(ids, pa.string())}))
    found = at.engine.arrow(f"SELECT {id_}, {selected} FROM ({at.customers}) AS c SEMI JOIN {_ASKED} AS a"
                            f" ON CAST(c.{id_} AS STRING) = a.id")  # fmt: skip
    frame = found.to_pandas().astype({column: kinds[column] for column in columns})
    return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in frame.itertuples(index=False, name=None)}


def typicals(at: Surroundings, model: Model) -> dict[str, str]:
    """Return the typical value of each column among the rows that a model learned from, as text."""
    known = registry.reference(at.home.models, model)
    if known is None:
        return {}
    return {bins.column: typical(bins) for bins in reference.decode(known).columns}

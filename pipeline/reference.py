"""What a model knows of the world: how its training rows were spread, and how it did on rows it never saw.

It is written into the version's folder, and later rows are held against it.
"""

from __future__ import annotations

import datetime as dt
import math

import msgspec
import numpy as np
from msgspec import Struct

from churnwatch.pipeline import bins, cells, row_bootstrap
from churnwatch.pipeline.bins import Bins, Floats
from churnwatch.pipeline.engine import Engine, name, timestamp
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.schema import Schema


class LogLoss(Struct, frozen=True):
    """The log loss, or absolute error, of single rows: how many, their mean, standard deviation and skewness."""

    rows: int
    mean: float
    std: float
    skewness: float


class Reference(Struct, frozen=True):
    """What later rows are held against.

    Attributes:
        rows: that the model was trained on.
        positives: how many of them left; of amounts, how many are above nought.
        columns: how its features were spread over them.
        probability: how its probabilities, or amounts, were spread over the holdout; None where there was none. Those
            of the training rows would be no measure: a model is surer of rows that it has learned.
        log_loss: on the holdout; None where there was none.
        target: how amounts that it learned were spread over its rows; None of classes.
    """

    rows: int
    positives: int
    columns: tuple[Bins, ...]
    probability: Bins | None = None
    log_loss: LogLoss | None = None
    target: Bins | None = None


PROBABILITY = "probability"


def of(trained: Rows, judged: Rows, predictions: Floats, *, amounts: str | None = None) -> Reference:
    """Return the reference of a model.

    Args:
        trained: the rows that it was trained on.
        judged: the holdout.
        predictions: probabilities, or amounts, of the holdout's rows, shape (len(judged),).
        amounts: the column of the target, where that is an amount.
    """
    target = None if amounts is None else bins.of_numbers(amounts, trained.y)
    known = Reference(len(trained), trained.positives, bins.of_frame(trained.X), target=target)
    if not len(judged):
        return known
    loss = row_bootstrap.LOSSES["log_loss" if amounts is None else "mae"](judged.y, predictions)
    spread = bins.of_numbers(PROBABILITY, predictions)
    return msgspec.structs.replace(known, probability=spread, log_loss=_moments(loss))


def of_month(
    known: Reference, schema: Schema, engine: Engine, source: str, *, first: dt.date, besides: str
) -> Reference:
    """Return how the rows of one month are spread over the bins of a reference; all else stays as it is.

    Args:
        known: the reference.
        schema: the columns, with one that is the rows' date.
        engine: where the rows are.
        source: what stands after FROM to read them.
        first: the first day of the month.
        besides: the condition of rows that do not count.
    """
    date, after = name(schema.date or ""), dt.date(first.year + first.month // 12, first.month % 12 + 1, 1)
    where = f"{date} >= {timestamp(first)} AND {date} < {timestamp(after)} AND NOT ({besides})"
    columns = [each for each in known.columns if each.column in schema.features]
    counted = bins.count(columns, engine, source, where=where)
    labels = f"SELECT {cells.label(schema)} AS _y FROM {source} AS s WHERE {where}"
    rows, positives = engine.rows(f"SELECT count(_y), count(_y) FILTER (WHERE _y > 0) FROM ({labels}) AS l")[0]
    then = tuple(msgspec.structs.replace(each, rows=rows) for each, rows in zip(columns, counted, strict=True))
    target = None if known.target is None else of_target(known.target, engine, source, where=where)
    return msgspec.structs.replace(known, rows=int(rows), positives=int(positives), columns=then, target=target)


def of_target(known: Bins, engine: Engine, source: str, *, where: str) -> Bins:
    """Return how the amounts of some rows are spread over the bins of a target; rows without one do not count."""
    [rows] = bins.count([known], engine, source, where=f"({where}) AND {name(known.column)} IS NOT NULL")
    return msgspec.structs.replace(known, rows=rows)


def _moments(loss: Floats) -> LogLoss | None:
    """Return the moments of losses; None where amounts are so large that their squares are beyond all numbers."""
    with np.errstate(over="ignore"):
        mean, std = float(loss.mean()), float(loss.std())
    if not math.isfinite(std):
        return None
    return LogLoss(len(loss), mean, std, float(((loss - mean) ** 3).mean() / std**3) if std else 0.0)


def encode(reference: Reference) -> str:
    """Return a reference as JSON, one line for each column."""
    return msgspec.json.format(msgspec.json.encode(reference), indent=0).decode() + "\n"


def decode(text: bytes) -> Reference:
    """Read what `encode` wrote."""
    return msgspec.json.decode(text, type=Reference)

"""What a model knows of the world: how its training rows were spread, and how it did on rows it never saw.

It is written into the version's folder, and later rows are held against it.
"""

from __future__ import annotations

import datetime as dt

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from churnwatch.pipeline import bins, cells
from churnwatch.pipeline.bins import Bins, Floats
from churnwatch.pipeline.engine import Engine, name, timestamp
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.schema import Schema


class LogLoss(Struct, frozen=True):
    """The log loss of single rows: how many, their mean, standard deviation and skewness."""

    rows: int
    mean: float
    std: float
    skewness: float


class Reference(Struct, frozen=True):
    """What later rows are held against.

    Attributes:
        rows: that the model was trained on.
        positives: how many of them left.
        columns: how its features were spread over them.
        probability: how its probabilities were spread over the holdout; None where there was none. Those of the
            training rows would be no measure: a model is surer of rows that it has learned.
        log_loss: on the holdout; None where there was none.
    """

    rows: int
    positives: int
    columns: tuple[Bins, ...]
    probability: Bins | None = None
    log_loss: LogLoss | None = None


PROBABILITY = "probability"


def of(trained: Rows, judged: Rows, probability: Floats) -> Reference:
    """Return the reference of a model.

    Args:
        trained: the rows that it was trained on.
        judged: the holdout.
        probability: of the holdout's rows, shape (len(judged),).
    """
    columns = bins.of_frame(trained.X)
    if not len(judged):
        return Reference(len(trained), trained.positives, columns)
    return Reference(
        len(trained),
        trained.positives,
        columns,
        bins.of_numbers(PROBABILITY, probability),
        _log_loss(judged.y, probability),
    )


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
    rows, positives = engine.rows(f"SELECT count(_y), coalesce(sum(_y), 0) FROM ({labels}) AS l")[0]
    then = (msgspec.structs.replace(each, rows=rows) for each, rows in zip(columns, counted, strict=True))
    return Reference(int(rows), int(positives), tuple(then), known.probability, known.log_loss)


def _log_loss(y: npt.NDArray[np.int64], probability: Floats) -> LogLoss:
    right = np.clip(np.where(y == 1, probability, 1 - probability), np.finfo(np.float64).eps, 1.0)
    loss = -np.log(right)
    mean, std = float(loss.mean()), float(loss.std())
    return LogLoss(len(y), mean, std, float(((loss - mean) ** 3).mean() / std**3) if std else 0.0)


def encode(reference: Reference) -> str:
    """Return a reference as JSON, one line for each column."""
    return msgspec.json.format(msgspec.json.encode(reference), indent=0).decode() + "\n"


def decode(text: bytes) -> Reference:
    """Read what `encode` wrote."""
    return msgspec.json.decode(text, type=Reference)

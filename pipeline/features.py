"""The data set → the frames handed to scikit-learn. pandas begins here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from churnwatch.pipeline import cells
from churnwatch.pipeline.engine import Engine, name
from churnwatch.pipeline.schema import Schema


@dataclass(frozen=True)
class Rows:
    """Rows for a model.

    Attributes:
        X: (n, features) numbers as float64 with NaN, texts as str with missing values.
        y: (n,) labels, int64, 1 for the positive value, or amounts as float64; empty where there are none to know.
        ids: (n,) customers' ids, None without an id column.
        batches: (n,) the batch that each row came with, which is also the order in time.
        dates: (n,) the rows' dates, None without a date column.
    """

    X: pd.DataFrame
    y: npt.NDArray[Any]
    ids: pd.Series | None
    batches: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    dates: pd.Series | None = None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def positives(self) -> int:
        """How many labels are positive, of amounts how many are above nought."""
        return int(np.sum(self.y > 0))

    def where(self, kept: npt.NDArray[np.bool_]) -> Rows:
        """Return some of the rows; `kept` has shape (n,)."""
        ids, dates = (None if each is None else each[kept] for each in (self.ids, self.dates))
        return Rows(self.X[kept], self.y[kept], ids, self.batches[kept] if len(self.batches) else self.batches, dates)

    def taking(self, columns: Sequence[str]) -> Rows:
        """Return the rows with some of their columns."""
        return replace(self, X=self.X[list(columns)])


@dataclass(frozen=True)
class Featured:
    """How rows that are in no data set, such as a request to score, come to what models see.

    Attributes:
        schema: the columns that models see.
        engine: where features are made.
        query: turns a query over the rows into one with their features; None: the rows have all there is.
    """

    schema: Schema
    engine: Engine
    query: Callable[[str], str] | None = None

    def table(self, table: str, local: Engine) -> str:
        """Return what stands after FROM to read a table of the embedded engine with features, wherever they are."""
        if self.engine is not local:
            self.engine.table(table, local.arrow(f"SELECT * FROM {name(table)}"))
        return name(table) if self.query is None else f"({self.query(f'SELECT * FROM {name(table)}')})"


def dataset(schema: Schema, engine: Engine, parts: Sequence[Path], *, key: Sequence[str] = ()) -> str:
    """Return what stands after FROM to read the data set; with a key, only its newest row counts."""
    scanned = engine.scan(parts)
    if not key:
        return scanned
    return (
        f"(SELECT * FROM (SELECT *, row_number() OVER ({newest_first(schema, key)}) AS _key FROM {scanned}) AS k"
        " WHERE _key = 1)"
    )


def newest_first(schema: Schema, key: Sequence[str]) -> str:
    """Return the window over the rows of one key, the one that counts first."""
    newest = f"{name(schema.date)} DESC NULLS LAST, " if schema.date else ""
    keys = ", ".join(name(column) for column in key)
    return f"PARTITION BY {keys} ORDER BY {newest}_batch DESC, _line DESC"


def current_customers(schema: Schema, source: str) -> str | None:
    """Return the query of the newest row of every customer who is not known to have left; None without an id.

    Where amounts are predicted, nobody is known to have left.

    A customer without a name cannot be called, so rows without an id are not among them. The order is fixed, since
    the last digit of a probability depends on which rows are computed together.
    """
    if schema.id is None:
        return None
    newest = f"{name(schema.date)} DESC NULLS LAST, " if schema.date else ""
    stays = "" if schema.predicts_amounts else " AND (_y IS NULL OR _y = 0)"
    return (
        f"SELECT * FROM (SELECT *, {cells.label(schema)} AS _y, row_number() OVER (PARTITION BY {name(schema.id)}"
        f" ORDER BY {newest}_batch DESC, _line DESC) AS _nth FROM {source} WHERE {name(schema.id)} IS NOT NULL) AS c"
        f" WHERE _nth = 1{stays} ORDER BY {name(schema.id)}"
    )


def labelled_rows(schema: Schema, engine: Engine, source: str, *, where: str = "true") -> Rows:
    """Return the labelled rows of a source in a fixed order."""
    beside = [column for column in (schema.id, schema.date) if column is not None]
    selected = ", ".join(name(column) for column in dict.fromkeys((*schema.features, *beside)))
    found = engine.arrow(
        f"SELECT {selected}, _batch, _y FROM"
        f" (SELECT *, {cells.label(schema)} AS _y FROM {source} AS s WHERE {where}) AS l"
        " WHERE _y IS NOT NULL ORDER BY _batch, _line"
    )
    frame = found.to_pandas()
    ids = frame[schema.id] if schema.id else None
    dates = frame[schema.date] if schema.date else None
    y = frame["_y"].to_numpy(dtype=np.float64 if schema.predicts_amounts else np.int64)
    batches = frame["_batch"].to_numpy(dtype=np.int64)
    return Rows(typed(frame, schema), y, ids, batches, dates)


def in_window(
    schema: Schema, engine: Engine, source: str, *, where: str, last: int | None, since: dt.date | None
) -> str:
    """Narrow a condition to the labelled rows of the newest batches, or to those since a day.

    Args:
        schema: the columns.
        engine: where the data set is.
        source: the data set.
        where: the condition.
        last: so many batches that have labelled rows; None: all.
        since: the day, by the column `date`; None: any.
    """
    if since is not None and schema.date is not None:
        where = f"({where}) AND {name(schema.date)} >= DATE '{since}'"
    if last is None:
        return where
    newest = engine.rows(
        f"SELECT _batch FROM (SELECT _batch, {cells.label(schema)} AS _y FROM {source} AS s WHERE {where}) AS l"
        f" WHERE _y IS NOT NULL GROUP BY _batch ORDER BY _batch DESC LIMIT {last}"
    )
    return f"({where}) AND _batch >= {newest[-1][0]}" if newest else where


@dataclass(frozen=True)
class Sample:
    """Which rows of many are learned from.

    Attributes:
        rows: how many labelled rows there are.
        where: the condition that draws the sample.
    """

    rows: int
    where: str


_SLOTS = 1_000_003  # a prime, so that neighbouring seeds draw other rows
_STRIDE = 7919


def sample(schema: Schema, engine: Engine, source: str, *, where: str, most: int, seed: int) -> Sample | None:
    """Draw at most about `most` labelled rows by their key, the same share of both classes; None: there are no more.

    The key is a hash, so each row is drawn or not by itself: a row that comes in later moves none of the others.
    """
    counted = f"SELECT {cells.label(schema)} AS _y FROM {source} AS s WHERE {where}"
    rows = engine.rows(f"SELECT count(_y) FROM ({counted}) AS l")[0][0]
    if rows <= most:
        return None
    shift, kept = seed * _STRIDE % _SLOTS, int(_SLOTS * most / rows)
    return Sample(rows, f"({where}) AND (abs(_h2 % {_SLOTS}) + {shift}) % {_SLOTS} < {kept}")


def typed(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the features of a frame: numbers as float64, texts as str, in the schema's order."""
    return frame.loc[:, list(schema.features)].astype(kinds(schema))


def kinds(schema: Schema) -> dict[str, str]:
    """Return the pandas type of every feature."""
    return dict.fromkeys(schema.numeric, "float64") | dict.fromkeys(schema.categorical, "str")


def usable(rows: Rows) -> list[str]:
    """Return the columns that tell rows apart: constant ones, and those without any value, never enter a model."""
    distinct = rows.X.nunique(dropna=False)
    return [column for column in rows.X.columns if distinct[column] > 1]

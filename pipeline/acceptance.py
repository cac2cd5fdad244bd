"""Sample customers about whom people are sure: what a candidate must say of each before it may be promoted."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from sklearn.model_selection import FixedThresholdClassifier

from churnwatch.pipeline import features, load, predict_file
from churnwatch.pipeline.dialect import Dialect
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.features import Featured
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Column, ColumnType, Csv

EXPECTED = "expected"
_DECISIONS = {"stays": False, "leaves": True}
_RANGE = re.compile(r"(0|1|[01]?\.[0-9]+)\s*-\s*(0|1|[01]?\.[0-9]+)")


@dataclass(frozen=True)
class Case:
    """A sample customer and what was said of them.

    Attributes:
        line: in the file.
        customer: their id; None without an id column.
        expected: `leaves`, `stays`, or a range of probabilities such as 0.2-0.6.
        probability: what the candidate says.
        met: whether that is what is expected.
    """

    line: int
    customer: str | None
    expected: str
    probability: float
    met: bool


def examine(
    path: Path,
    model: FixedThresholdClassifier,
    schema: Schema,
    csv: Csv,
    local: DuckDB,
    featured: Featured,
    *,
    pinned: Dialect | None = None,
) -> tuple[Case, ...]:
    """Return what a model says of each sample customer.

    Args:
        path: a CSV with the customers' columns and one more, `expected`.
        model: the candidate.
        schema: of the customers' rows.
        csv: how files are written.
        local: where files are read.
        featured: how rows come to what the model sees.
        pinned: how the newest file of the source folder was written.

    Raises:
        DataError: the file cannot be read, or a line of it cannot be understood: what shrinks silently checks nothing.
    """
    if EXPECTED in schema.columns:
        raise DataError(f"acceptance: the data has a column `{EXPECTED}` of its own; rename it there.")
    told = replace(schema, columns={**schema.columns, EXPECTED: Column(ColumnType.TEXT, required=True)})
    opened = predict_file.open_file(path, told, csv, pinned)
    loaded = load.load([opened], told, csv, local, with_target=False)
    for bad in loaded.quarantines:
        raise DataError(f"{path}, line {bad.first_line}: {bad.column_name or 'row'}: {bad.reason}. Mend it.")
    if not loaded.opened:
        raise DataError(f"{path}: it changed while it was read, or cannot be read; the run is taken up again.")
    frame = featured.engine.arrow(f"SELECT * FROM {featured.table('typed', local)} t ORDER BY _line").to_pandas()
    return tuple(_cases(path, frame, model, schema, featured))


def _cases(
    path: Path, frame: pd.DataFrame, model: FixedThresholdClassifier, schema: Schema, featured: Featured
) -> list[Case]:
    seen = features.typed(frame, featured.schema)[list(model.feature_names_in_)]
    probabilities = model.predict_proba(seen)[:, 1] if len(frame) else []
    customers = frame[schema.id] if schema.id is not None else [None] * len(frame)
    return [
        Case(int(line), customer, expected, float(probability),
             _is_met(path, int(line), expected, float(probability), model.threshold))
        for line, customer, expected, probability in zip(
            frame["_line"], customers, frame[EXPECTED], probabilities, strict=True)
    ]  # fmt: skip


def _is_met(path: Path, line: int, expected: str, probability: float, threshold: float) -> bool:
    text = expected.strip().lower()
    if text in _DECISIONS:
        return (probability >= threshold) == _DECISIONS[text]
    bounds = _RANGE.fullmatch(text)
    if bounds is None or float(bounds[1]) > float(bounds[2]):
        raise DataError(
            f"{path}, line {line}: `{EXPECTED}` must be leaves, stays, or a range such as 0.2-0.6. Mend it."
        )
    return float(bounds[1]) <= probability <= float(bounds[2])

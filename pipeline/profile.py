"""Summary statistics and missing values per column, as one scan of SQL."""

from __future__ import annotations

from dataclasses import dataclass

from churnwatch.pipeline.engine import Engine, name
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import ColumnType

_NUMERIC = (ColumnType.INTEGER, ColumnType.NUMBER)


@dataclass(frozen=True)
class ColumnProfile:
    """Statistics of one column; the numbers are None for texts and dates, whose values are nobody's business here."""

    column_name: str
    rows: int
    missing: int
    distinct_values: int
    mean: float | None = None
    median: float | None = None
    std: float | None = None
    minimum: float | None = None
    maximum: float | None = None

    @property
    def missing_share(self) -> float:
        """Share of rows without a value, 0 when there are no rows."""
        return self.missing / self.rows if self.rows else 0.0


def profile(schema: Schema, engine: Engine, table: str = "fresh") -> tuple[ColumnProfile, ...]:
    """Describe every column of a table of the engine."""
    queries = []
    for column, kind in schema.columns.items():
        value = name(column)
        queries.append(f"count({value}), count(DISTINCT {value})")
        if kind.type in _NUMERIC:
            number = f"CAST({value} AS DOUBLE)"
            queries.append(f"avg({number}), median({number}), stddev_samp({number}), min({number}), max({number})")
    row = iter(engine.rows(f"SELECT count(*), {', '.join(queries)} FROM {name(table)}")[0])
    rows = int(next(row))
    profiles = []
    for column, kind in schema.columns.items():
        present, distinct = int(next(row)), int(next(row))
        numbers = [next(row) for _ in range(5)] if kind.type in _NUMERIC else []
        profiles.append(ColumnProfile(column, rows, rows - present, distinct, *numbers))
    return tuple(profiles)

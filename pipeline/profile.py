"""Summary statistics and missing values per column, as one scan of SQL."""

from __future__ import annotations

from dataclasses import dataclass

from churnwatch.pipeline.engine import Engine, name
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import ColumnType

_NUMERIC = (ColumnType.INTEGER, ColumnType.NUMBER)
_LARGE = 1_000_000
_DRAWN = 250_000


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


def profile(schema: Schema, engine: Engine, source: str, *, rows: int | None = None) -> tuple[ColumnProfile, ...]:
    """Describe every column.

    Args:
        schema: the columns.
        engine: where the rows are.
        source: what stands after FROM to read them.
        rows: how many ingested rows they are. Of more than a million, medians are those of some 250,000, drawn by
            their keys, and numbers of distinct values are estimated: exact ones would hold every value in memory.
    """
    is_large = rows is not None and rows > _LARGE
    drawn = f" FILTER (WHERE _h2 % {(rows or 0) // _DRAWN} = 0)" if is_large else ""
    queries = []
    for column, kind in schema.columns.items():
        value = name(column)
        different = f"approx_count_distinct({value})" if is_large else f"count(DISTINCT {value})"
        queries.append(f"count({value}), {different}")
        if kind.type in _NUMERIC:
            number = f"CAST({value} AS DOUBLE)"
            queries.append(
                f"avg({number}), median({number}){drawn}, stddev_samp({number}), min({number}), max({number})"
            )
    row = iter(engine.rows(f"SELECT count(*), {', '.join(queries)} FROM {source} p")[0])
    counted = int(next(row))
    profiles = []
    for column, kind in schema.columns.items():
        present, distinct = int(next(row)), int(next(row))
        numbers = [next(row) for _ in range(5)] if kind.type in _NUMERIC else []
        profiles.append(ColumnProfile(column, counted, counted - present, min(distinct, present), *numbers))
    return tuple(profiles)

"""What the data set and the newest run say of some current customers, by id. Only their rows are read."""

from __future__ import annotations

import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet

from churnwatch.pipeline import datasets, explained_file, features, schemas
from churnwatch.pipeline.engine import DuckDB, constant, duckdb_engine, name
from churnwatch.pipeline.errors import NotFoundError
from churnwatch.pipeline.feature_step import Pairs
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Explanation
from churnwatch.pipeline.schema import NUMBERS, Schema
from churnwatch.pipeline.settings import ColumnType, Home
from churnwatch.serving.fields import Value

_THREADS, _MEMORY_GB = 2, 1.0
_ONE_AT_A_TIME = threading.Lock()  # so that many who look at pages leave the predictions their share of the machine


@dataclass(frozen=True)
class CustomerRows:
    """The rows of a home's current customers.

    Attributes:
        home: whose they are.
        ledger: of it.
        engine: what reads them.
    """

    home: Home
    ledger: Reader
    engine: DuckDB

    def values(
        self, columns: Mapping[str, ColumnType], ids: Sequence[str] | None = None
    ) -> dict[str, dict[str, Value]]:
        """Return the values of customers by id and column, None where there is none.

        Args:
            columns: those wanted, as what. Of those that the data set does not have, nothing is said.
            ids: of whom; None: of all. Who is no current customer is left out.
        """
        schema = schemas.current(self.home, self.ledger)
        if schema.id is None or (ids is not None and not ids):
            return {}
        id_ = name(schema.id)
        there, query = self._customers(schema, "true" if ids is None else _among(id_, ids))
        wanted = {column: kind for column, kind in columns.items() if column in there}
        selected = ", ".join([id_, *(f"{_read(column, kind)} AS {name(column)}" for column, kind in wanted.items())])
        found = self.engine.arrow(f"SELECT {selected} FROM ({query}) AS c")
        by_column = [
            _plain(each.to_pylist(), kind) for each, kind in zip(found.columns[1:], wanted.values(), strict=True)
        ]
        rows = zip(*by_column, strict=True) if by_column else ((),) * len(found)
        return {id_: dict(zip(wanted, row, strict=True)) for id_, row in zip(found[0].to_pylist(), rows, strict=True)}

    def contributions(self, explanation: Explanation | None, ids: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return what each column contributed to what the newest run says of customers, by id and column."""
        if explanation is None or explanation.path is None or not ids:
            return {}
        path = self.home.predictions / explanation.path
        shape = pyarrow.parquet.read_schema(path)
        found = self.engine.arrow(f"SELECT * FROM {self.engine.scan([path])} AS e"
                                  f" WHERE {_among(name(shape.names[0]), ids)}")  # fmt: skip
        columns = explained_file.columns(shape)
        return {id_: dict(zip(columns, row, strict=True))
                for id_, _, *row in zip(*(each.to_pylist() for each in found.columns), strict=True)}  # fmt: skip

    def _customers(self, schema: Schema, where: str) -> tuple[Container[str], str]:
        """Return the columns there are, and the query of the current customers, of whom others are never looked at."""
        if self.home.settings.sources:
            table = self.home.ingested / Pairs.NOW.file
            if not table.exists():
                raise NotFoundError(
                    "no customers are known yet: a run makes them, once there are rows of every source."
                )
            columns = pyarrow.parquet.read_schema(table).names
            return columns, f"SELECT * FROM {self.engine.scan([table])} AS f WHERE {where}"
        parts, key = datasets.paths(self.home, self.ledger), self.home.settings.latest_key
        rows = features.dataset(schema, self.engine, parts, key=key)
        asked = features.current_customers(schema, f"(SELECT * FROM {rows} AS d WHERE {where}) AS asked")
        assert asked is not None  # noqa: S101 - there is an id
        return schema.columns, asked


@contextmanager
def opened(home: Home, ledger: Reader) -> Iterator[CustomerRows]:
    """Open what reads a home's customers."""
    with _ONE_AT_A_TIME, duckdb_engine(home.state / "spill", threads=_THREADS, memory_gb=_MEMORY_GB) as engine:
        yield CustomerRows(home, ledger, engine)


def _among(id_: str, ids: Sequence[str]) -> str:
    """Return the condition that an id is one of some: given as constants, so that other rows are not even read."""
    return f"{id_} IN ({', '.join(map(constant, ids))})"


def _read(column: str, kind: ColumnType) -> str:
    return f"CAST({name(column)} AS {'DOUBLE' if kind in NUMBERS else 'STRING'})"


def _plain(values: list[Any], kind: ColumnType) -> list[Value]:
    if kind is not ColumnType.INTEGER:
        return values
    return [int(each) if each is not None and each.is_integer() else each for each in values]

"""What was served → batches below the source folder, which the next run takes in like any other drop.

Predictions are requests to score: drift and what is to be expected are measured on them. Predictions with outcomes are
rows to learn from. A batch is written beside under a hidden name and renamed; see `served.due` for why none is made
twice and no row is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from churnwatch.pipeline import bins, cells, files, reference, registry, scan, schemas
from churnwatch.pipeline.bins import Bins
from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.datasets import paths
from churnwatch.pipeline.engine import duckdb_engine, name
from churnwatch.pipeline.ledger.reader import Reader as LedgerReader
from churnwatch.pipeline.records import Signature
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.served import due
from churnwatch.pipeline.served.reader import Kind, Reader
from churnwatch.pipeline.served.records import Row
from churnwatch.pipeline.settings import SERVED_FOLDER, Home

_MOST = 100_000  # rows of one batch


def make_batches(home: Home, ledger: LedgerReader, *, now: datetime) -> list[Signature]:
    """Make the batches that are due; return the files.

    Raises:
        LedgerError: `serving.db` cannot be read.
        OSError: a file cannot be written.
    """
    if not home.serving_log.exists():
        return []
    files.sweep(home.source / SERVED_FOLDER, "*")
    with Reader.open(home.serving_log) as served:
        wanted = list(due.due(home, ledger, served, now=now))
        if not wanted:
            return []
        schema = schemas.current(home, ledger)
        constant = _constant(home, ledger)
        made = [path for each in wanted for path in _of_kind(home, ledger, served, each, schema, constant)]
    seen = (scan.observe(home.source, path) for path in made)
    return [each for each in seen if each is not None]


def _of_kind(
    home: Home, ledger: LedgerReader, served: Reader, wanted: due.Next, schema: Schema, constant: dict[str, Any]
) -> Iterator[str]:
    after, kind = wanted.after, wanted.kind
    targets = None
    if kind is Kind.OUTCOMES:
        targets = ("", "") if schema.predicts_amounts else _targets(home, ledger, schema)
    while rows := served.batch(kind, after=after, named=due.needs_id(home.settings), most=_MOST):
        path = due.batch_path(kind, served.store, after + 1, rows[-1].number)
        table = _table(rows, schema, constant, targets)
        # With its name in it, no batch has the bytes of another, which would be left out as known.
        table = table.replace_schema_metadata({"batch": path})
        with files.written_beside(home.source / path) as beside:
            pa.parquet.write_table(table, beside, compression="zstd")
        after = rows[-1].number
        yield path


def _table(rows: Sequence[Row], schema: Schema, constant: dict[str, Any], targets: tuple[str, str] | None) -> pa.Table:
    """Return rows as text, as a file of customers holds them, with the target where it is known."""
    known = [_customer(row, schema, constant, targets) for row in rows]
    columns = [column for column in schema.names if targets is not None or column != schema.target]
    return pa.table({column: pa.array([_text(each.get(column)) for each in known], pa.string()) for column in columns})


def _customer(row: Row, schema: Schema, constant: dict[str, Any], targets: tuple[str, str] | None) -> dict[str, Any]:
    """Return what is known of a customer by column. What was not sent is missing, but for what never differed."""
    found = {**constant, **json.loads(row.inputs)}
    if schema.id is not None:
        found[schema.id] = row.customer
    if schema.date is not None and found.get(schema.date) is None:
        found[schema.date] = _date(from_iso(row.at), schema.columns[schema.date].format)
    if targets is not None and schema.target is not None:
        found[schema.target] = row.target if schema.predicts_amounts else targets[int(row.target or 0)]
    return found


def _date(moment: datetime, form: str | None) -> str:
    return moment.strftime(form) if form else moment.replace(tzinfo=None).isoformat(timespec="milliseconds")


def _text(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a whole number is written without a fraction
    return None if value is None else str(value)


def _constant(home: Home, ledger: LedgerReader) -> dict[str, Any]:
    """Return the value of each column that had one and the same in all rows the model in use was trained on.

    No model looks at such a column, so it is not sent; were it missing in a batch, the next model would learn that.
    """
    champion = ledger.champion()
    kept = registry.reference(home.models, champion.model) if champion is not None else None
    known = reference.decode(kept).columns if kept is not None else ()
    return {each.column: bins.typical(each) for each in known if _is_constant(each)}


def _is_constant(known: Bins) -> bool:
    return sum(1 for rows in known.rows if rows) == 1


def _targets(home: Home, ledger: LedgerReader, schema: Schema) -> tuple[str, str]:
    """Return the texts of 0 and 1 as the target has them: for 0, the most frequent value that is not the positive."""
    target = name(schema.target or "")
    with duckdb_engine(home.state / "spill") as engine:
        rows = f"SELECT {target}, {cells.label(schema)} AS _y FROM {engine.scan(paths(home, ledger))} p"
        found = engine.rows(
            f"SELECT {target}, count(*) AS n FROM ({rows}) l WHERE _y = 0 GROUP BY {target} ORDER BY n DESC, {target}"
            " LIMIT 1"
        )
    return str(found[0][0]), schema.positive or ""

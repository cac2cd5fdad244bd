"""When a prediction is made: the snapshot of each customer's row, before which everything that counts happened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet

from churnwatch.pipeline.aggregates import ID, SNAPSHOT
from churnwatch.pipeline.engine import name, timestamp
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.features import current_customers
from churnwatch.pipeline.schema import ROW_COLUMNS, SQL_TYPES, Schema
from churnwatch.pipeline.settings import Settings

_DAY = dt.timedelta(days=1)


def of_rows(settings: Settings, schema: Schema) -> str:
    """Return the SQL of the snapshot of a row with a label: its date less the horizon."""
    if schema.date is None or settings.snapshot not in ("date", "monthly"):
        return timestamp(settings.snapshot)
    moment = f"{name(schema.date)} - INTERVAL '{settings.horizon_days}' DAY"
    return f"CAST(date_trunc('MONTH', {moment}) AS TIMESTAMP)" if settings.snapshot == "monthly" else moment


def now(
    settings: Settings,
    times: Sequence[tuple[Sequence[Path], str]],
    newest_label: dt.datetime | None,
    *,
    today: dt.date,
) -> dt.datetime:
    """Return the snapshot of customers as they are now.

    The day after the newest row of any source, or the newest snapshot of a label if that is later; the first of
    that month with `monthly` snapshots. Never later than tomorrow, so that one mistyped year moves nothing.

    Args:
        settings: say which kind of snapshot.
        times: parts of each source, and its column of times.
        newest_label: the newest snapshot of a row with a label.
        today: the present day.

    Raises:
        SettingsError: the day in the settings lies in the future.
    """
    if settings.snapshot not in ("date", "monthly"):
        day = dt.date.fromisoformat(settings.snapshot)
        if day > today:
            raise SettingsError(f"settings.yaml: snapshot: {day} lies in the future; nothing is known of it yet.")
        return dt.datetime.combine(day, dt.time())
    newest = [_newest(part, column) for parts, column in times for part in parts]
    found = [_next_day(min(each.date(), today)) for each in newest if each is not None]
    found += [newest_label] if newest_label else []
    latest = min(max(found, default=dt.datetime.combine(today, dt.time())),
                 dt.datetime.combine(today + _DAY, dt.time()))  # fmt: skip
    return (
        latest.replace(day=1, hour=0, minute=0, second=0, microsecond=0) if settings.snapshot == "monthly" else latest
    )


def _next_day(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day + _DAY, dt.time())


def _newest(part: Path, column: str) -> dt.datetime | None:
    """Return the newest time in a part, from its footer: the rows are not read."""
    footer = pyarrow.parquet.read_metadata(part)
    index = footer.schema.to_arrow_schema().names.index(column)
    groups = (footer.row_group(number).column(index).statistics for number in range(footer.num_row_groups))
    return max((each.max for each in groups if each is not None and each.has_min_max), default=None)


def past_rows(settings: Settings, schema: Schema, dataset: str) -> str:
    """Return the query of the customers' rows as they came in, each with its id and snapshot."""
    return _rows(schema, f"SELECT * FROM {dataset} AS d", of_rows(settings, schema), keep_target=True)


def current_rows(schema: Schema, dataset: str, moment: dt.datetime) -> str:
    """Return the query of the customers as they are now; whether they leave is not known, so they have no target."""
    customers = current_customers(schema, dataset) or ""
    return _rows(schema, customers, timestamp(moment), keep_target=False)


def active_rows(schema: Schema, active: str, moment: dt.datetime) -> str:
    """Return the query of customers who are told by their activity; `active` is the query of their ids (`_cw_id`)."""
    made = {schema.id: ID, schema.date: timestamp(moment)}
    kinds = {column: SQL_TYPES[kind.type] for column, kind in schema.columns.items()}
    columns = [f"{made.get(column, f'CAST(NULL AS {kinds[column]})')} AS {name(column)}" for column in schema.names]
    ours = ", ".join(columns)
    return (
        f"SELECT {ours}, CAST(0 AS BIGINT) AS _h, CAST(0 AS BIGINT) AS _h2, CAST(0 AS BIGINT) AS _batch,"
        f" row_number() OVER (ORDER BY {ID}) AS _line, false AS _holdout, {ID}, {timestamp(moment)} AS {SNAPSHOT}"
        f" FROM ({active}) r"
    )


def asked_rows(settings: Settings, schema: Schema, query: str, moment: dt.datetime) -> str:
    """Return the query of rows that somebody asks about; without a date they are asked about now."""
    otherwise = timestamp(moment)
    snapshot = f"coalesce({of_rows(settings, schema)}, {otherwise})"
    return f"SELECT a.*, {name(schema.id or '')} AS {ID}, {snapshot} AS {SNAPSHOT} FROM ({query}) a"


def _rows(schema: Schema, query: str, snapshot: str, *, keep_target: bool) -> str:
    columns = [
        name(column)
        if keep_target or column != schema.target
        else f"CASE WHEN false THEN {name(column)} END AS {name(column)}"
        for column in schema.names
    ]
    ours = ", ".join([*columns, *ROW_COLUMNS])
    return f"SELECT {ours}, {name(schema.id or '')} AS {ID}, {snapshot} AS {SNAPSHOT} FROM ({query}) r"

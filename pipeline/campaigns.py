"""Files that say what was done for whom → rows, and what became of these customers afterwards, counted.

    id, date, action, treated (1: it was done, 0: left alone, by lot; the column may be missing)

A campaign is one action in one calendar month. A customer is in it once, from the earliest date that is said of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from churnwatch.pipeline import cells, load
from churnwatch.pipeline.dialect import Dialect
from churnwatch.pipeline.engine import DuckDB, Engine, name
from churnwatch.pipeline.load import Classified, Loaded, Piece, Source
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Column, ColumnType, Csv
from churnwatch.pipeline.settings_campaigns import OF_CAMPAIGNS, Campaigns

CAMPAIGNS = "campaign-rows"  # the data set, and its folder below `ingested_folder`; no source can be called so
DATE, ACTION, TREATED = OF_CAMPAIGNS
TIME = "_cw_t"
_CONTROL, _TREATED, _BOTH = 0, 1, 2  # what is said of a customer; nothing means that it was done


@dataclass(frozen=True)
class Arm:
    """One side of a campaign.

    Attributes:
        customers: how many are in it.
        known: of how many an outcome is known.
        churned: how many of these left.
    """

    customers: int = 0
    known: int = 0
    churned: int = 0


@dataclass(frozen=True)
class Campaign:
    """What became of the customers of one action in one month.

    Attributes:
        action: as the files call it.
        month: such as 2026-03.
        treated: those for whom it was done.
        control: those who were left alone, as the column `treated` says.
        contradicting: customers of whom both is said; they count nowhere else.
        is_over: whether the window of the last of them has passed in the data.
    """

    action: str
    month: str
    treated: Arm
    control: Arm
    contradicting: int
    is_over: bool


def schema(main: Schema) -> Schema:
    """Return the columns of a file of campaigns; `treated` stands where the target does, so it may be missing."""
    key = main.id or ""
    columns = {
        key: Column(type=ColumnType.TEXT, required=True),
        DATE: Column(type=ColumnType.DATE, required=True),
        ACTION: Column(type=ColumnType.TEXT, required=True),
        TREATED: Column(type=ColumnType.INTEGER, required=True, allowed=("0", "1")),
    }
    return Schema(columns=columns, target=TREATED, positive="1", id=key, date=DATE)


def read(sources: Sequence[Source], of_campaigns: Schema, csv: Csv, pinned: Dialect | None, local: DuckDB) -> Loaded:
    """Read files of campaigns into the tables `typed` and `bad`."""
    found: Classified = load.classify(sources, of_campaigns, csv, pinned)
    loaded = []
    for number, (opened, told) in enumerate(((found.labelled, True), (found.requests, False))):
        loaded.append(load.load(opened, of_campaigns, csv, local, with_target=told))
        for table in ("typed", "bad"):
            local.table(f"campaign_{table}_{number}", f"SELECT * FROM {table}")
    for table in ("typed", "bad"):
        local.table(table, f"SELECT * FROM campaign_{table}_0 UNION ALL SELECT * FROM campaign_{table}_1")
    first, second = loaded
    rows = dict(local.rows("SELECT _file, count(*) FROM typed GROUP BY _file"))
    return Loaded(
        (*first.opened, *second.opened),
        (*found.refused, *first.refused, *second.refused),
        (*first.changed, *second.changed),
        (*first.quarantines, *second.quarantines),
        (Piece("typed", rows),),
    )


def outcomes(
    main: Schema, engine: Engine, campaigns: Sequence[Path], customers: str, given: Campaigns
) -> list[Campaign]:
    """Count what became of the customers of each campaign, by month and action.

    An outcome is a row of the customer with a label that looks at days after the action, within the window; of the rows
    before the action only the newest. Who has several left if one of them says so.

    Args:
        main: the columns of the customers' rows.
        engine: where the rows are.
        campaigns: parts of the campaigns' rows.
        customers: what stands after FROM to read the customers' rows, each with its time (`TIME`).
        given: how far a label looks, and the window.
    """
    key, label = name(main.id or ""), cells.label(main)
    until = f"r.{TIME} + INTERVAL '{given.label_days}' DAY"
    month = f"CAST(CAST(date_trunc('MONTH', {DATE}) AS DATE) AS STRING)"
    engine.table(
        "campaign_members",
        f"SELECT {key}, {ACTION}, {month} AS _cw_month, min({DATE}) AS _cw_since,"
        f" CASE WHEN min({TREATED}) < max({TREATED}) THEN {_BOTH} ELSE coalesce(max({TREATED}), {_TREATED}) END"
        f" AS _cw_arm FROM {engine.scan(campaigns)} c GROUP BY {key}, {ACTION}, {month}",
    )
    engine.table(
        "campaign_rows",
        f"SELECT r.{key}, r.{TIME}, {until} AS _cw_until, {label} AS _y,"
        f" lead(r.{TIME}) OVER (PARTITION BY r.{key} ORDER BY r.{TIME}) AS _cw_next FROM {customers} r"
        f" SEMI JOIN campaign_members m ON r.{key} = m.{key} WHERE {label} IS NOT NULL",
    )
    newest = engine.rows(f"SELECT max({until}) FROM {customers} r WHERE {label} IS NOT NULL")[0][0]
    window = f"m._cw_since + INTERVAL '{given.days}' DAY"
    engine.table(
        "campaign_outcomes",
        f"SELECT m.{key} AS _cw_who, m.{ACTION} AS _cw_action, m._cw_month, m._cw_since, m._cw_arm,"
        f" {window} AS _cw_window, max(r._y) AS _cw_y"
        f" FROM campaign_members m LEFT JOIN campaign_rows r ON r.{key} = m.{key} AND r._cw_until > m._cw_since"
        f" AND r._cw_until <= {window} AND (r._cw_next IS NULL OR r._cw_next > m._cw_since)"
        f" GROUP BY m.{key}, m.{ACTION}, m._cw_month, m._cw_since, m._cw_arm, {window}",
    )
    counted = engine.rows(
        "SELECT _cw_action, substr(_cw_month, 1, 7), _cw_arm, count(*), count(_cw_y),"
        " CAST(coalesce(sum(_cw_y), 0) AS BIGINT), max(_cw_window) FROM campaign_outcomes o"
        " GROUP BY _cw_action, _cw_month, _cw_arm ORDER BY _cw_month, _cw_action, _cw_arm"
    )
    return _by_campaign(counted, newest)


def values(main: Schema, engine: Engine, customers: str, column: str) -> dict[tuple[str, str], float]:
    """Return by action and month the mean of a column over the treated, once their `outcomes` were counted.

    Of each the newest row up to the action counts, else the first one after it: so the mean stays as it is when the
    action itself changes what a customer brings.

    Args:
        main: the columns of the customers' rows.
        engine: where the rows are.
        customers: what stands after FROM to read the customers' rows, each with its time (`TIME`).
        column: holds numbers.
    """
    key, value = name(main.id or ""), f"CAST(r.{name(column)} AS DOUBLE)"
    found = engine.rows(
        f"SELECT {ACTION}, substr(_cw_month, 1, 7), avg(_cw_value) FROM (SELECT m.{key}, m.{ACTION}, m._cw_month,"
        f" coalesce(max_by({value}, r.{TIME}) FILTER (WHERE r.{TIME} <= m._cw_since), min_by({value}, r.{TIME}))"
        f" AS _cw_value FROM campaign_members m JOIN {customers} r ON r.{key} = m.{key}"
        f" WHERE m._cw_arm = {_TREATED} AND {value} IS NOT NULL GROUP BY m.{key}, m.{ACTION}, m._cw_month) v"
        f" GROUP BY {ACTION}, _cw_month"
    )
    return {(action, month): float(mean) for action, month, mean in found}


def members(main: Schema, engine: Engine) -> pa.Table:
    """Return who is in which campaign, once the `outcomes` were counted, without those who are said to be both.

    Columns: id, action, month, since (when it was done), treated (whether).
    """
    return engine.arrow(
        f"SELECT {name(main.id or '')} AS id, {ACTION} AS action, substr(_cw_month, 1, 7) AS month,"
        f" CAST(_cw_since AS TIMESTAMP) AS since, _cw_arm = {_TREATED} AS treated FROM campaign_members"
        f" WHERE _cw_arm <> {_BOTH}"
    )


def trial(main: Schema, engine: Engine, customers: str, wanted: Sequence[Campaign], *, known: str = "true") -> str:
    """Return the query of some campaigns' customers as they were then, once the `outcomes` were counted.

    Of each customer with an outcome the newest row up to the action; who has none is not among them. Beside the row's
    own columns: `_cw_who`, `_cw_month`, `_cw_arm` (1: treated, 0: left alone) and `_cw_y` (1: left afterwards).

    Args:
        main: the columns of the customers' rows.
        engine: where the rows are.
        customers: what stands after FROM to read the customers' rows as they came, each with its time (`TIME`).
        wanted: the campaigns.
        known: a condition on a row and the time of the action, `_cw_since`: what the row holds was known by then.
    """
    named = {"_cw_wanted": [each.action for each in wanted], "_cw_in": [each.month for each in wanted]}
    engine.table("campaign_wanted", pa.table({column: pa.array(each, pa.string()) for column, each in named.items()}))
    return (
        f"SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY _cw_who, _cw_month"
        f" ORDER BY {TIME} DESC, _batch DESC, _line DESC) AS _cw_nth FROM (SELECT r.*, o._cw_who, o._cw_month,"
        f" o._cw_since, o._cw_arm, o._cw_y FROM campaign_outcomes o JOIN campaign_wanted w"
        f" ON w._cw_wanted = o._cw_action AND w._cw_in = substr(o._cw_month, 1, 7)"
        f" JOIN {customers} r ON r.{name(main.id or '')} = o._cw_who"
        f" WHERE o._cw_y IS NOT NULL AND o._cw_arm <> {_BOTH} AND r.{TIME} <= o._cw_since) j WHERE {known}) k"
        " WHERE _cw_nth = 1"
    )


def _by_campaign(counted: Sequence[tuple[Any, ...]], newest: dt.datetime | None) -> list[Campaign]:
    arms: dict[tuple[str, str], dict[int, Arm]] = {}
    ends: dict[tuple[str, str], dt.datetime] = {}
    for action, month, arm, customers, known, churned, end in counted:
        arms.setdefault((action, month), {})[arm] = Arm(customers, known, churned)
        ends[action, month] = max(end, ends.get((action, month), end))
    return [
        Campaign(
            *each,
            treated=found.get(_TREATED, Arm()),
            control=found.get(_CONTROL, Arm()),
            contradicting=found.get(_BOTH, Arm()).customers,
            is_over=newest is not None and ends[each] <= newest,
        )
        for each, found in arms.items()
    ]

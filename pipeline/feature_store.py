"""Sources' rows → partial aggregates, one set per run → the feature table, one row per customer and snapshot.

    pairs of customer and snapshot  ×  rows before the snapshot  →  partial aggregates  →  merged  →  features

What was computed for a pair stays true, whatever comes later, but for rows that happened before its snapshot: so new
rows are joined with the pairs known so far, and new pairs with all rows. Both are appended, and merged when read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from churnwatch.pipeline.aggregates import ID, SNAPSHOT, Plan
from churnwatch.pipeline.engine import Engine, name, timestamp
from churnwatch.pipeline.schema import SQL_TYPES
from churnwatch.pipeline.settings import ColumnType

_SANE_YEAR = 1000
MOST_CUTS = 64  # of times into slots; with more of them rows are joined to every window by itself


@dataclass(frozen=True)
class SourceData:
    """A source's plan with the parts of its rows, and of what is kept of them by kind (see `kinds`)."""

    plan: Plan
    rows: tuple[Path, ...]
    kept: Mapping[str, tuple[Path, ...]]


def kinds(plan: Plan) -> tuple[str, ...]:
    """Return which kinds of partial aggregates a source needs; none without a time: there the newest row counts."""
    if plan.time is None:
        return ()
    wanted = {"sums": True, "last": bool(plan.last_columns), "distinct": bool(plan.distinct_columns)}
    return tuple(kind for kind, needed in wanted.items() if needed)


# -- partial aggregates ------------------------------------------------------------------------------------------


def partials(data: SourceData, engine: Engine, *, pairs: str, new_rows: Sequence[Path]) -> dict[str, str]:
    """Return by kind the query of what a run adds to a source's partial aggregates.

    Args:
        data: the source, without what this run adds.
        engine: where the parts are; tables `known` and `new` are made in it.
        pairs: the query of all pairs that are wanted, columns `_cw_id`, `_cw_snapshot`.
        new_rows: parts with rows that are in no partial aggregate yet.
    """
    plan = data.plan
    known = data.kept.get("sums", ())
    pair = f"{ID}, {SNAPSHOT}"
    if known:
        engine.table("known", f"SELECT DISTINCT {pair} FROM {engine.scan(known)} AS k")
        engine.table("new", f"SELECT w.{ID}, w.{SNAPSHOT} FROM ({pairs}) w ANTI JOIN known k"
                            f" ON w.{ID} = k.{ID} AND w.{SNAPSHOT} = k.{SNAPSHOT}")  # fmt: skip
    else:
        engine.table("new", pairs)
    made: dict[str, list[str]] = {kind: [] for kind in kinds(plan)}
    if known and new_rows:
        rows = _rows(plan, engine, new_rows)
        first = f"(SELECT min(r._cw_t) FROM ({rows}) r)"
        later = f"(SELECT {pair} FROM known WHERE {SNAPSHOT} > {first})"
        for kind, queries in made.items():
            queries.append(_PARTIAL[kind](plan, later, rows, "JOIN"))
    snapshots = [row[0] for row in engine.rows(f"SELECT DISTINCT {SNAPSHOT} FROM new ORDER BY {SNAPSHOT}")]
    if snapshots or not known:  # where nobody is asked about, so that there is a part to read
        rows = _rows(plan, engine, data.rows)
        slotted = bool(snapshots) and _is_sane(snapshots) and len(cuts(plan, snapshots)) <= MOST_CUTS
        for kind, queries in made.items():
            if kind == "sums" and slotted:
                queries.append(_slotted_sums(plan, engine, rows, snapshots))
            else:
                queries.append(_PARTIAL[kind](plan, "new", rows, "LEFT JOIN"))
    return {kind: " UNION ALL ".join(queries) for kind, queries in made.items() if queries}


def _rows(plan: Plan, engine: Engine, parts: Sequence[Path]) -> str:
    """Return the query of a source's rows with its computed columns, and the time as `_cw_t`."""
    wanted = [plan.key, *(column for column in plan.columns if column != plan.key)]
    columns = ", ".join(name(column) for column in wanted)
    if not parts:
        return f"SELECT {_nothing(plan)} WHERE 1 = 0"
    computed = "".join(f", CAST(({sql}) AS DOUBLE) AS {name(column)}" for column, sql in plan.computed.items())
    time = f", {name(plan.time)} AS _cw_t" if plan.time else ""
    return f"SELECT {columns}, _batch, _line{time}{computed} FROM {engine.scan(parts)} AS s"


def _nothing(plan: Plan) -> str:
    kinds_of = {column: SQL_TYPES[kind.type] for column, kind in plan.columns.items()}
    kinds_of |= dict.fromkeys(plan.computed, "DOUBLE") | {"_batch": "BIGINT", "_line": "BIGINT"}
    if plan.time:
        kinds_of["_cw_t"] = "TIMESTAMP"
    return ", ".join(f"CAST(NULL AS {kind}) AS {name(column)}" for column, kind in kinds_of.items())


def _joined(plan: Plan, pairs: str, rows: str, join: str) -> str:
    return f"FROM {pairs} p {join} ({rows}) r ON r.{name(plan.key)} = p.{ID} AND r._cw_t < p.{SNAPSHOT}"


def _partial_sums(plan: Plan, pairs: str, rows: str, join: str) -> str:
    made = ", ".join(f"{kept.partial} AS {name(kept.name)}" for kept in plan.kept)
    return f"SELECT p.{ID}, p.{SNAPSHOT}, {made} {_joined(plan, pairs, rows, join)} GROUP BY p.{ID}, p.{SNAPSHOT}"


def _is_sane(snapshots: Sequence[dt.datetime]) -> bool:
    """Tell whether windows before these moments can be reckoned here, too: a mistyped year 1 has no month before."""
    return all(isinstance(each, dt.datetime) and each.year >= _SANE_YEAR for each in snapshots)


def cuts(plan: Plan, snapshots: Sequence[dt.datetime]) -> list[dt.datetime]:
    """Return the moments at which a row's time tells whether it is in a window of some snapshot, in their order."""
    days = {0} | {each for kept in plan.kept for each in (kept.newest_days, kept.oldest_days) if each is not None}
    return sorted({snapshot - dt.timedelta(days=each) for snapshot in snapshots for each in days})


def _slotted_sums(plan: Plan, engine: Engine, rows: str, snapshots: Sequence[dt.datetime]) -> str:
    """Return the query of new pairs' partial sums, by way of sums between the moments that cut windows apart.

    Each row is added up once, and not once for each window of each snapshot after it: half the time on a large log.
    A row is in slot k when k of the moments are not later than it.
    """
    moments = cuts(plan, snapshots)
    number = {moment: place for place, moment in enumerate(moments)}
    slot = " ".join(f"WHEN r._cw_t < {timestamp(moment)} THEN {place}" for moment, place in number.items())
    sums = list(dict.fromkeys(kept.of_rows for kept in plan.kept))
    of_slots = ", ".join(f"{sql} AS v{place}" for place, sql in enumerate(sums))
    # without times no comparison holds, so such a row would be taken for one after the last snapshot
    engine.table(
        "slots",
        f"SELECT {ID}, _cw_slot, {of_slots} FROM (SELECT r.{name(plan.key)} AS {ID}, CASE {slot} END AS _cw_slot, r.*"
        f" FROM ({rows}) r WHERE r._cw_t < {timestamp(moments[-1])}) r GROUP BY {ID}, _cw_slot",
    )
    made = []
    for kept in plan.kept:
        value = f"s.v{sums.index(kept.of_rows)}"
        first = _slot_of(snapshots, number, kept.oldest_days) if kept.oldest_days is not None else None
        last = _slot_of(snapshots, number, kept.newest_days) if kept.newest_days else None
        within = [f"s._cw_slot > {first}"] * (first is not None) + [f"s._cw_slot <= {last}"] * (last is not None)
        where = f" FILTER (WHERE {' AND '.join(within)})" if within else ""
        made.append(f"{kept.merged(value, where)} AS {name(kept.name)}")
    before = f"s._cw_slot <= {_slot_of(snapshots, number, 0)}"
    return (
        f"SELECT p.{ID}, p.{SNAPSHOT}, {', '.join(made)} FROM new p LEFT JOIN slots s ON s.{ID} = p.{ID} AND {before}"
        f" GROUP BY p.{ID}, p.{SNAPSHOT}"
    )


def _slot_of(snapshots: Sequence[dt.datetime], number: Mapping[dt.datetime, int], days: int) -> str:
    """Return the SQL of the number of the moment so many days before a pair's snapshot."""
    cases = " ".join(
        f"WHEN p.{SNAPSHOT} = {timestamp(each)} THEN {number[each - dt.timedelta(days=days)]}" for each in snapshots
    )
    return f"CASE {cases} END"


def _partial_last(plan: Plan, pairs: str, rows: str, _join: str) -> str:
    columns = ", ".join(f"r.{name(column)}" for column in plan.last_columns)
    query = f"SELECT p.{ID}, p.{SNAPSHOT}, r._cw_t, r._batch, r._line, {columns} {_joined(plan, pairs, rows, 'JOIN')}"
    return _newest(query, plan)


def _newest(query: str, plan: Plan) -> str:
    """Return the query of each pair's last row: the newest, of equal times the one that came in last."""
    columns = ", ".join(["_cw_t", "_batch", "_line", *(name(column) for column in plan.last_columns)])
    return (
        f"SELECT {ID}, {SNAPSHOT}, {columns} FROM (SELECT *, row_number() OVER (PARTITION BY {ID}, {SNAPSHOT}"
        f" ORDER BY _cw_t DESC, _batch DESC, _line DESC) AS _nth FROM ({query}) q) n WHERE _nth = 1"
    )


def _partial_distinct(plan: Plan, pairs: str, rows: str, _join: str) -> str:
    queries = []
    for column in plan.distinct_columns:
        value = f"r.{name(column)}"
        text = f"CAST(CAST({value} AS DATE) AS STRING)" if _is_date(plan, column) else f"CAST({value} AS STRING)"
        number = plan.number(column)
        queries.append(
            f"SELECT p.{ID}, p.{SNAPSHOT}, {number} AS _column, {text} AS _value, max(r._cw_t) AS _cw_t"
            f" {_joined(plan, pairs, rows, 'JOIN')} WHERE {value} IS NOT NULL GROUP BY p.{ID}, p.{SNAPSHOT}, {text}"
        )
    return " UNION ALL ".join(queries)


def _is_date(plan: Plan, column: str) -> bool:
    return plan.type_of(column) is ColumnType.DATE


_PARTIAL = {"sums": _partial_sums, "last": _partial_last, "distinct": _partial_distinct}


# -- merged ------------------------------------------------------------------------------------------------------


def merged(plan: Plan, kind: str, scanned: str, *, several: bool = True) -> str:
    """Return the query that merges partial aggregates of one kind: what it returns is of their own shape.

    Within one part each pair stands once, so where there are not `several` there is nothing to merge.
    """
    if not several:
        return f"SELECT * FROM {scanned} k"
    if kind == "sums":
        made = ", ".join(f"{kept.merged(name(kept.name))} AS {name(kept.name)}" for kept in plan.kept)
        return f"SELECT {ID}, {SNAPSHOT}, {made} FROM {scanned} k GROUP BY {ID}, {SNAPSHOT}"
    if kind == "last":
        return _newest(f"SELECT * FROM {scanned} k", plan)
    return (
        f"SELECT {ID}, {SNAPSHOT}, _column, _value, max(_cw_t) AS _cw_t FROM {scanned} k"
        f" GROUP BY {ID}, {SNAPSHOT}, _column, _value"
    )


def _counts(plan: Plan, values: str) -> str:
    """Return the query that counts distinct values by pair, one column per feature."""
    counted = []
    for feature in plan.features:
        if feature.function == "distinct":
            number = plan.number(feature.column)
            within = f" AND _cw_t >= {SNAPSHOT} - INTERVAL '{feature.days}' DAY" if feature.days is not None else ""
            counted.append(
                f"CAST(count(*) FILTER (WHERE _column = {number}{within}) AS DOUBLE) AS {name(feature.name)}"
            )
    return f"SELECT {ID}, {SNAPSHOT}, {', '.join(counted)} FROM ({values}) v GROUP BY {ID}, {SNAPSHOT}"


# -- the feature table -------------------------------------------------------------------------------------------


def with_features(
    base: str,
    sources: Sequence[SourceData],
    engine: Engine,
    *,
    expressions: Mapping[str, str],
    kept: Mapping[tuple[str, str], str] | None = None,
) -> str:
    """Return the query that gives each row of `base` its features.

    Args:
        base: a query with columns `_cw_id` and `_cw_snapshot` beside others, which are kept.
        sources: the sources.
        engine: where the parts are.
        expressions: further features by name, as SQL over the others.
        kept: by source and kind, what stands after FROM in place of the parts: partial aggregates of `base` alone.
    """
    columns, joins = [], []
    for number, data in enumerate(sources):
        plan = data.plan
        m, d, last = f"m{number}", f"d{number}", f"l{number}"
        given = {kind: (kept or {}).get((plan.source, kind)) or engine.scan(data.kept[kind]) for kind in kinds(plan)}
        if plan.time is None:
            joins.append(f"LEFT JOIN ({_newest_rows(data, engine)}) {last} ON {last}.{ID} = b.{ID}")
        for kind, alias in (("sums", m), ("last", last), ("distinct", d)):
            if kind in given:
                several = kept is None and len(data.kept[kind]) > 1
                made = merged(plan, kind, given[kind], several=several)
                query = _counts(plan, made) if kind == "distinct" else made
                joins.append(f"LEFT JOIN ({query}) {alias} ON {alias}.{ID} = b.{ID}"
                             f" AND {alias}.{SNAPSHOT} = b.{SNAPSHOT}")  # fmt: skip
        columns += [f"{plan.final(feature, number)} AS {name(feature.name)}" for feature in plan.features]
    query = f"SELECT b.*, {', '.join(columns)} FROM ({base}) b {' '.join(joins)}"
    if not expressions:
        return query
    further = ", ".join(f"CAST(({sql}) AS DOUBLE) AS {name(column)}" for column, sql in expressions.items())
    return f"SELECT f.*, {further} FROM ({query}) f"


def _newest_rows(data: SourceData, engine: Engine) -> str:
    """Return the query of each customer's newest row of a source without a time."""
    plan = data.plan
    columns = ", ".join(name(column) for column in plan.last_columns)
    return (
        f"SELECT {name(plan.key)} AS {ID}, {columns} FROM (SELECT *, row_number() OVER"
        f" (PARTITION BY {name(plan.key)} ORDER BY _batch DESC, _line DESC) AS _nth"
        f" FROM ({_rows(plan, engine, data.rows)}) r) n WHERE _nth = 1"
    )

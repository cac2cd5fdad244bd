"""Labels that arrive after their rows were requests → which row each of them is about.

    files of labels → table `late_new` → with those that wait: table `late_fates` → table `late_joined`

A label with a date is about the newest request row of its customer at or before that date, less the horizon; it waits
where there is none yet, or one that an earlier label is about, since exports arrive in any order. One without a date is
about the newest request row there is. What a row is known to be stays: the same label again is a duplicate, another one
contradicts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from churnwatch.pipeline import cells, load
from churnwatch.pipeline.dialect import Dialect
from churnwatch.pipeline.engine import DuckDB, Engine, literal, name
from churnwatch.pipeline.load import Classified, Loaded, Opened, Refused, Source
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Column, Csv

# Data sets, and folders below `ingested_folder`. No source can be called so.
REQUESTS, LABELS = "late-requests", "late-labels"
DATE, REQUEST, ROW, RUN, FATE = "_cw_date", "_cw_request", "_cw_row", "_cw_run", "_cw_fate"


class Fate(StrEnum):
    """What became of a label."""

    LABELS = "labels"  # it was joined to a request's row
    WAITS = "waits"  # for a request at or before its date that no earlier label is about
    AGAIN = "again"
    CONTRADICTS = "contradicts"  # an earlier label of the same row, which counts
    UNKNOWN = "unknown"  # no request of its customer, and without a date none can be waited for


REASONS = {
    Fate.CONTRADICTS: "contradicts an earlier label of the same row; the earlier one counts",
    Fate.UNKNOWN: "no request of this id before it; drop the request, then `retry`, or give labels a date",
}


def request_schema(main: Schema) -> Schema:
    """Return the columns of rows that were requests: all but the target, which nobody knew."""
    columns = {column: kind for column, kind in main.columns.items() if column != main.target}
    return replace(main, columns=columns, target=None)


def label_schema(main: Schema, *, dated: bool) -> Schema:
    """Return the columns of a file of labels: id, date if it has one, target; each must be there in every row."""
    wanted = [main.id, main.date if dated else None, main.target]
    columns = {column: _required(main.columns[column]) for column in wanted if column is not None}
    return replace(main, columns=columns, date=main.date if dated else None)


def _required(kind: Column) -> Column:
    """Return a column in which a value must be there, and may come again."""
    return Column(type=kind.type, allowed=kind.allowed, required=True, format=kind.format)


def open_labels(sources: Sequence[Source], main: Schema, csv: Csv, pinned: Dialect | None) -> Classified:
    """Open files of labels; those with a date are `labelled`, those without one stand where requests would."""
    dated: list[Opened] = []
    plain: list[Opened] = []
    refused: list[Refused] = []
    for source in sources:
        opened = load.open_source(source, label_schema(main, dated=True), csv, pinned)
        has_date = main.date is not None and isinstance(opened, Opened)
        if not has_date:
            opened = load.open_source(source, label_schema(main, dated=False), csv, pinned)
        if isinstance(opened, Opened) and main.target not in opened.opening.header:
            reason = f"line 1: `labels` says that it holds outcomes, but it has no column `{main.target}`"
            opened = Refused(source, reason)
        if isinstance(opened, Refused):
            refused.append(opened)
            continue
        (dated if has_date else plain).append(opened)
        pinned = opened.opening.pin or pinned
    return Classified(tuple(dated), tuple(plain), tuple(refused))


def type_labels(found: Classified, main: Schema, csv: Csv, local: DuckDB) -> Loaded:
    """Read files of labels into the tables `late_new` and `late_bad`."""
    loaded, typed, bad = [], [], []
    for dated, opened in ((True, found.labelled), (False, found.requests)):
        schema = label_schema(main, dated=dated)
        loaded.append(load.load(opened, schema, csv, local))
        date = f"CAST({name(schema.date)} AS TIMESTAMP)" if schema.date else "CAST(NULL AS TIMESTAMP)"
        kept = ", ".join(name(column) for column in (main.id, main.target) if column is not None)
        local.table(f"late_typed_{dated}", f"SELECT _file, _line, {kept}, {date} AS {DATE} FROM typed")
        local.table(f"late_bad_{dated}", "SELECT * FROM bad")
        typed.append(f"SELECT * FROM late_typed_{dated}")
        bad.append(f"SELECT * FROM late_bad_{dated}")
    local.table("late_new", " UNION ALL ".join(typed))
    local.table("late_bad", " UNION ALL ".join(bad))
    first, second = loaded
    return Loaded(
        (*first.opened, *second.opened),
        (*first.refused, *second.refused),
        (*first.changed, *second.changed),
        (*first.quarantines, *second.quarantines),
    )


def find_fates(
    main: Schema, engine: Engine, *, requests: Sequence[Path], known: Sequence[Path], horizon_days: int
) -> None:
    """Make the table `late_fates` of the labels in `late_new` and of those that wait: what becomes of each.

    Args:
        main: the columns of the customers' rows.
        engine: where the parts are, with the table `late_new`.
        requests: parts of the requests' rows.
        known: parts of the labels that came before.
        horizon_days: how many days before its date a label's row was seen.
    """
    label = f"_file, _line, {name(main.id or '')}, {name(main.target or '')}, {DATE}"
    y = cells.label(main)
    _read_known(label, engine, known)
    _compare_said(main, label, y, engine)
    _find_rows(main, label, engine, requests, horizon_days)
    _compare_rows(label, y, engine)
    # of new labels of one customer and date that would wait, only the first does
    over = f"OVER (PARTITION BY {name(main.id or '')}, {DATE}, {FATE} ORDER BY _cw_waited DESC, _file, _line)"
    engine.table(
        "late_fates",
        f"SELECT {label}, _cw_waited, {REQUEST}, {ROW}, CASE WHEN {FATE} <> {literal(Fate.WAITS)} OR _nth = 1"
        f" THEN {FATE} ELSE {_against(f'{y} = _cw_first')} END AS {FATE}"
        f" FROM (SELECT *, first_value({y}) {over} AS _cw_first, row_number() {over} AS _nth FROM late_found) f",
    )


def _against(same: str) -> str:
    """Return the fate of a label where another one counts, as SQL."""
    return f"CASE WHEN {same} THEN {literal(Fate.AGAIN)} ELSE {literal(Fate.CONTRADICTS)} END"


def _read_known(label: str, engine: Engine, known: Sequence[Path]) -> None:
    """Make the tables `late_known`, of labels that came before, and `late_waiting`, of those without a row so far."""
    nothing = f"SELECT {label}, CAST(NULL AS BIGINT) AS {REQUEST}, CAST(NULL AS BIGINT) AS {ROW}, '' AS {FATE}"
    engine.table(
        "late_known", f"SELECT * FROM {engine.scan(known)} k" if known else f"{nothing} FROM late_new WHERE false",
        lazy=True,
    )  # fmt: skip
    engine.table(
        "late_waiting",
        f"SELECT {label} FROM late_known w ANTI JOIN"
        f" (SELECT _file AS f, _line AS l FROM late_known WHERE {FATE} <> 'waits') s"
        f" ON w._file = s.f AND w._line = s.l WHERE {FATE} = 'waits'",
    )


def _compare_said(main: Schema, label: str, y: str, engine: Engine) -> None:
    """Make the table `late_said`, of new labels with their fate where one of the same customer and date counts.

    What contradicted another label does not count, so what is said of its customer and date later is looked at anew.
    """
    key = name(main.id or "")
    # one without a date is only the same as itself, read again
    same = f"{key}, {DATE}, CASE WHEN {DATE} IS NULL THEN _file END, CASE WHEN {DATE} IS NULL THEN _line END"
    over = f"OVER (PARTITION BY {same} ORDER BY _cw_new, _file, _line)"
    engine.table(
        "late_counting",
        f"SELECT {label} FROM late_known WHERE {FATE} IN ({literal(Fate.LABELS)}, {literal(Fate.AGAIN)})"
        f" UNION ALL SELECT {label} FROM late_waiting",
    )
    engine.table(
        "late_said",
        f"SELECT {label}, CASE WHEN _cw_fresh = 0 THEN {_against(f'{y} = _cw_first')} END AS {FATE}"
        f" FROM (SELECT *, first_value({y}) {over} AS _cw_first, first_value(_cw_new) {over} AS _cw_fresh FROM"
        f" (SELECT {label}, 0 AS _cw_new FROM late_counting h SEMI JOIN late_new n ON h.{key} = n.{key}"
        f" UNION ALL SELECT {label}, 1 AS _cw_new FROM late_new) a) b WHERE _cw_new = 1",
    )


def _find_rows(main: Schema, label: str, engine: Engine, requests: Sequence[Path], horizon_days: int) -> None:
    """Make the table `late_open`, of labels that have no row yet, and `late_rows`, of those that find one now."""
    key = name(main.id or "")
    engine.table(
        "late_open",
        f"SELECT {label}, 0 AS _cw_waited FROM late_said WHERE {FATE} IS NULL"
        f" UNION ALL SELECT {label}, 1 AS _cw_waited FROM late_waiting",
    )
    if not requests:
        nothing = f"CAST(NULL AS BIGINT) AS {REQUEST}, CAST(NULL AS BIGINT) AS {ROW}"
        engine.table("late_rows", f"SELECT {label}, _cw_waited, {nothing} FROM late_open WHERE false")
        return
    date = f"q.{name(main.date)}" if main.date else "CAST(NULL AS TIMESTAMP)"
    until = f"(o.{DATE} IS NULL OR {date} <= o.{DATE} - INTERVAL '{horizon_days}' DAY)"
    newest = f"PARTITION BY o._file, o._line ORDER BY {date} DESC NULLS LAST, q._batch DESC, q._line DESC"
    engine.table(
        "late_rows",
        f"SELECT {label}, _cw_waited, {REQUEST}, {ROW} FROM (SELECT o.*, q._batch AS {REQUEST}, q._line AS {ROW},"
        f" row_number() OVER ({newest}) AS _nth FROM late_open o JOIN {engine.scan(requests)} q"
        f" ON q.{key} = o.{key} AND {until}) f WHERE _nth = 1",
    )


def _compare_rows(label: str, y: str, engine: Engine) -> None:
    """Make the table `late_found`, of labels with their fate by the row that they find: only the first counts."""
    where = f"{REQUEST}, {ROW}"
    over = f"OVER (PARTITION BY {where} ORDER BY _cw_new, {DATE} NULLS LAST, _file, _line)"
    engine.table(
        "late_found",
        f"SELECT {label}, _cw_waited, {where}, CASE WHEN _nth = 1 THEN {literal(Fate.LABELS)}"
        f" WHEN {DATE} > _cw_before THEN {literal(Fate.WAITS)} ELSE {_against(f'{y} = _cw_first')} END AS {FATE}"
        f" FROM (SELECT *, first_value({y}) {over} AS _cw_first, first_value({DATE}) {over} AS _cw_before,"
        f" row_number() {over} AS _nth FROM"
        f" (SELECT {label}, 0 AS _cw_waited, {where}, 0 AS _cw_new FROM late_known h"
        f" SEMI JOIN late_rows r ON h.{REQUEST} = r.{REQUEST} AND h.{ROW} = r.{ROW} WHERE {FATE} = 'labels'"
        f" UNION ALL SELECT {label}, _cw_waited, {where}, 1 AS _cw_new FROM late_rows) a) b WHERE _cw_new = 1"
        f" UNION ALL SELECT {label}, _cw_waited, CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), CASE WHEN {DATE} IS NULL"
        f" THEN {literal(Fate.UNKNOWN)} ELSE {literal(Fate.WAITS)} END FROM late_open o"
        " ANTI JOIN late_rows r ON o._file = r._file AND o._line = r._line"
        f" UNION ALL SELECT {label}, 0, CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), {FATE} FROM late_said"
        f" WHERE {FATE} IS NOT NULL",
    )


def join(main: Schema, engine: Engine, requests: Sequence[Path]) -> None:
    """Make the table `late_joined` of the requests' rows whose label has come: the customers' columns, with it."""
    columns = ", ".join(f"{'f' if column == main.target else 'q'}.{name(column)}" for column in main.names)
    engine.table(
        "late_joined",
        f"SELECT f._file, f._line, {columns} FROM {engine.scan(requests)} q"
        f" JOIN late_fates f ON q._batch = f.{REQUEST} AND q._line = f.{ROW} WHERE f.{FATE} = {literal(Fate.LABELS)}",
    )


def kept(run: int) -> str:
    """Return the query of what is kept of `late_fates`: new labels that count, and what those that waited came to."""
    new = f"_cw_waited = 0 AND {FATE} IN ({literal(Fate.LABELS)}, {literal(Fate.WAITS)})"
    settled = f"_cw_waited = 1 AND {FATE} <> {literal(Fate.WAITS)}"
    return (
        f"SELECT *, CAST({run} AS BIGINT) AS {RUN} FROM (SELECT * FROM late_fates WHERE ({new}) OR ({settled})) k"
        " ORDER BY _file, _line"
    )


def labelled(main: Schema, engine: Engine, requests: Sequence[Path], labels: Sequence[Path], *, where: str) -> str:
    """Return the query of the requests' rows whose labels have come, with `_batch` and `_line` of the request.

    Args:
        main: the columns of the customers' rows.
        engine: where the parts are.
        requests: parts of the requests' rows.
        labels: parts of the labels.
        where: a condition over `l`, the labels.
    """
    columns = ", ".join(f"{'l' if column == main.target else 'q'}.{name(column)}" for column in main.names)
    return (
        f"SELECT q._batch, q._line, {columns} FROM {engine.scan(requests)} q JOIN {engine.scan(labels)} l"
        f" ON q._batch = l.{REQUEST} AND q._line = l.{ROW} WHERE l.{FATE} = {literal(Fate.LABELS)} AND {where}"
    )

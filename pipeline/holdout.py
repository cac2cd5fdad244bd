"""Which rows judge: the test folder's, or those of the rolling hash holdout.

A row promised to the holdout never enters training, also when it has left the window; the promise is a column of
the data set, made when the row was ingested.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from churnwatch.pipeline import cells, load
from churnwatch.pipeline.dialect import Dialect
from churnwatch.pipeline.engine import DuckDB, Engine, name, timestamp
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.features import Featured, Rows, labelled_rows
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.records import Batch
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Csv


@dataclass(frozen=True)
class Holdout:
    """The rows that judge.

    Attributes:
        rows: they.
        trainable: the condition under which a row of the data set may be trained on.
        origin: where they come from, in words.
        warning: what is doubtful about them.
        window: the first and last batch that they are of; None: they are of the test folder.
        days: from when to when (the former not, nor the latter) rows judge, where dates decide about that.
    """

    rows: Rows
    trainable: str
    origin: str
    warning: str | None = None
    window: tuple[int, int] | None = None
    days: tuple[dt.datetime, dt.datetime] | None = None


def from_window(
    schema: Schema, engine: Engine, source: str, batches: Sequence[Batch], *, newest: int, enough: int
) -> Holdout:
    """Take the promised rows of the newest batches.

    Args:
        schema: the columns.
        engine: where the data set is.
        source: the data set.
        batches: all batches.
        newest: how many batches the window has at least.
        enough: it goes further back until it has so many positive and as many negative rows, of amounts twice as many
            rows, if there are any.
    """
    first = window_start(batches, newest=newest, enough=enough, amounts=schema.predicts_amounts)
    rows = labelled_rows(schema, engine, source, where=f"_holdout AND _batch >= {first}")
    return Holdout(rows, "NOT _holdout", f"30 % of customers by hash, batches {first} and later", window=_window(rows))


def _window(rows: Rows) -> tuple[int, int] | None:
    return (int(rows.batches.min()), int(rows.batches.max())) if len(rows) else None


def forward(schema: Schema, engine: Engine, source: str, *, days: int, ahead: dt.datetime) -> Holdout:
    """Take the promised rows of the newest days, so that what learns from the rows before is judged on its future.

    Nothing of these days is trained on, by whatever customer. Rows without a date are nobody's future: they may be.
    Rows that are dated ahead neither judge nor are trained on: one mistyped year would else be the newest day.

    Args:
        schema: the columns; with a date.
        engine: where the data set is.
        source: the data set.
        days: up to the newest date of a labelled row.
        ahead: from which moment on a row is dated ahead, see `dated_ahead`.
    """
    date, bound = name(schema.date or ""), timestamp(ahead)
    labelled = f"SELECT {date} AS _day, {cells.label(schema)} AS _y FROM {source} AS s"
    counted = f"max(_day) FILTER (WHERE _day < {bound}), count(*) FILTER (WHERE _day >= {bound})"
    [(newest, wrong)] = engine.rows(f"SELECT {counted} FROM ({labelled}) AS l WHERE _y IS NOT NULL")
    warning = (
        f"{wrong:,} labelled row(s) are dated ahead of the run, on {ahead:%Y-%m-%d} or later: they neither judge nor"
        f" are learned from; mend their `{schema.date}`, or the machine's clock"
    )
    doubtful = warning if wrong else None
    if newest is None:
        nothing = labelled_rows(schema, engine, source, where="false")
        return Holdout(nothing, f"NOT _holdout AND {date} IS NULL", "no row has a date", doubtful)
    cut = newest - dt.timedelta(days=days)
    rows = labelled_rows(schema, engine, source, where=f"_holdout AND {date} > {timestamp(cut)} AND {date} < {bound}")
    trainable = f"NOT _holdout AND ({date} IS NULL OR {date} <= {timestamp(cut)})"
    origin = f"30 % of customers by hash, rows after {cut:%Y-%m-%d}"
    return Holdout(rows, trainable, origin, doubtful, window=_window(rows), days=(cut, ahead))


def learned_of(
    schema: Schema,
    engine: Engine,
    source: str,
    days: tuple[dt.datetime, dt.datetime],
    *,
    batch: int,
    held_back: int | None,
) -> int:
    """Return how many rows of the days that judge a model may have learned from, which was trained by other settings.

    Args:
        schema: the columns; with a date.
        engine: where the data set is.
        source: the data set.
        days: that judge, see `Holdout`.
        batch: the newest one that there was when it was trained.
        held_back: the newest so many days it has not learned from, either.
    """
    date, (after, ahead) = name(schema.date or ""), days
    labelled = (
        f"SELECT {date} AS _day, _holdout, {cells.label(schema)} AS _y FROM {source} AS s WHERE _batch <= {batch}"
    )
    engine.table("known_then", f"SELECT * FROM ({labelled}) AS l WHERE _y IS NOT NULL AND _day < {timestamp(ahead)}")
    newest = f"(SELECT max(_day) FROM known_then) - INTERVAL '{held_back}' DAY"
    until = f" AND _day <= {newest}" if held_back is not None else ""
    asked = f"SELECT count(*) FROM known_then WHERE NOT _holdout AND _day > {timestamp(after)}{until}"
    return int(engine.rows(asked)[0][0])


def dated_ahead(began: dt.datetime) -> dt.datetime:
    """Return from which moment on a date is ahead of what began then, in UTC; elsewhere it may be tomorrow already."""
    return dt.datetime.combine(began.date(), dt.time()) + dt.timedelta(days=2)


def window_start(batches: Sequence[Batch], *, newest: int, enough: int, amounts: bool = False) -> int:
    """Return the first batch of the window; of amounts, rows count whatever they are."""
    positives = negatives = taken = 0
    first = 1
    for batch in sorted(batches, key=lambda each: each.batch, reverse=True):
        if not batch.holdout:
            continue
        short = positives + negatives < 2 * enough if amounts else min(positives, negatives) < enough
        if taken >= newest and not short:
            break
        first = batch.batch
        taken += 1
        positives += batch.holdout_positives
        negatives += batch.holdout - batch.holdout_positives
    return first


def from_test_folder(
    schema: Schema,
    local: DuckDB,
    csv: Csv,
    sources: Sequence[Source],
    featured: Featured,
    pinned: Dialect | None = None,
) -> Holdout:
    """Take the rows of the test folder; rows of the data set that are equal to one of them are not trained on.

    Raises:
        DataError: a test file cannot be read or lacks the target: a holdout that shrank silently would judge wrongly.
    """
    classified = load.classify(sources, schema, csv, pinned)
    problems = [f"{refused.source.path}: {refused.reason}" for refused in classified.refused]
    problems += [f"{request.source.path}: it has no column `{schema.target}`" for request in classified.requests]
    loaded = load.load(classified.labelled, schema, csv, local)
    problems += [f"{refused.source.path}: {refused.reason}" for refused in loaded.refused]
    problems += [f"{source.path}: it changed while it was read" for source in loaded.changed]
    if problems:
        stop = "" if problems[0].endswith("?") else "."
        raise DataError(f"test folder: {problems[0]}{stop} Mend the file or take it out.")
    first, second = cells.md5_halves("_md5")
    local.table(
        "tests",
        f"SELECT *, {first} AS _h, {second} AS _h2"
        f" FROM (SELECT t.*, _file AS _batch, md5({cells.key_text(schema)}) AS _md5 FROM typed t)",
    )
    rows = labelled_rows(featured.schema, featured.engine, featured.table("tests", local))
    trainable = "NOT _holdout AND NOT EXISTS (SELECT 1 FROM tests t WHERE t._h = s._h AND t._h2 = s._h2)"
    left_out = sum(each.rows for each in loaded.quarantines)
    warning = f"{left_out} row(s) of the test folder broke a check and do not judge" if left_out else None
    return Holdout(rows, trainable, f"test folder, {len(loaded.opened)} file(s)", warning)

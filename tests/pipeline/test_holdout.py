from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from churnwatch.pipeline import load
from churnwatch.pipeline.engine import DuckDB, Engine
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.features import Featured, dataset
from churnwatch.pipeline.holdout import (
    Holdout,
    dated_ahead,
    forward,
    from_test_folder,
    from_window,
    learned_of,
    window_start,
)
from churnwatch.pipeline.ingest import ingest
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.records import Batch
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Csv


def _batch(number: int, holdout: int = 10, positives: int = 5) -> Batch:
    return Batch(number, 1, number, 30, 30, 10, holdout, positives, None, None)


@pytest.mark.parametrize(
    ("batches", "newest", "enough", "first"),
    [
        ([], 5, 30, 1),
        ([_batch(n) for n in range(1, 10)], 3, 0, 7),
        ([_batch(n) for n in range(1, 10)], 3, 20, 6),
        ([_batch(n) for n in range(1, 10)], 3, 1000, 1),
        ([_batch(1, 50, 25), _batch(2, 50, 50), _batch(3, 50, 50)], 1, 20, 1),
        ([_batch(1), _batch(2), _batch(3, 0, 0), _batch(4, 0, 0), _batch(5)], 2, 0, 2),
        ([_batch(5), _batch(1), _batch(3)], 1, 0, 5),
    ],
    ids=["none", "the newest", "further back until enough", "all there is", "enough of both classes",
         "batches without a held row do not count", "in any order"],
)  # fmt: skip
def test_the_window_starts_where_there_are_batches_and_rows_enough(
    batches: list[Batch], newest: int, enough: int, first: int
) -> None:
    assert window_start(batches, newest=newest, enough=enough) == first


def test_of_amounts_rows_are_enough_whatever_they_are() -> None:
    batches = [_batch(1, 40, 40), _batch(2, 40, 40), _batch(3, 40, 40)]
    assert window_start(batches, newest=1, enough=30) == 1
    assert window_start(batches, newest=1, enough=30, amounts=True) == 2
    assert window_start(batches, newest=1, enough=20, amounts=True) == 3


@pytest.fixture
def source(
    engine: DuckDB, tmp_path: Path, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> str:
    """Return a data set of three batches of forty rows, of which some are held out."""
    schema = make_schema(id="id")
    drops = [
        make_source(
            "id,n,left\n" + "".join(f"c{batch}-{row},{row},{'yes' if row % 2 else 'no'}\n" for row in range(40))
        )
        for batch in range(3)
    ]
    loaded = load.load(load.classify(drops, schema, Csv()).labelled, schema, Csv(), engine)
    ingested = ingest(loaded, schema, engine, tmp_path / "parts", history=(), next_batch=1, dedup=True,
                      promise_holdout=True)  # fmt: skip
    return dataset(schema, engine, [part.path for part in ingested.parts])


def test_the_window_holds_the_promised_rows_of_its_batches_and_none_of_the_promised_is_trained_on(
    engine: DuckDB, source: str, make_schema: Callable[..., Schema]
) -> None:
    [(held, positives)] = engine.rows(
        f"SELECT count(*), count(*) FILTER (\"left\" = 'yes') FROM {source} WHERE _holdout AND _batch >= 2"
    )
    batches = [_batch(1, 12, 6), _batch(2, 12, 6), _batch(3, 12, 6)]
    found = from_window(make_schema(id="id"), engine, source, batches, newest=2, enough=0)
    assert (len(found.rows), found.rows.positives) == (held, positives)
    assert found.rows.ids is not None
    assert all(each.startswith(("c1-", "c2-")) for each in found.rows.ids)
    assert found.origin == "30 % of customers by hash, batches 2 and later"
    assert engine.rows(f"SELECT count(*) FROM {source} AS s WHERE {found.trainable} AND _holdout") == [(0,)]
    assert engine.rows(f"SELECT count(*) FROM {source} AS s WHERE {found.trainable} OR _holdout") == [(120,)]


def _dated(engine: DuckDB, days: dict[str, str]) -> str:
    """Make a data set of rows of these days, of which each is there twice: once promised to the holdout."""
    rows = "".join(f", ('{who}', TIMESTAMP '{day}', 1.0, 'yes')" for who, day in days.items())
    engine.table("few", f'SELECT * FROM (VALUES {rows[2:]}) AS t (id, day, n, "left")')
    engine.table("dated", "SELECT *, 1 AS _batch, 2 AS _line, p = 1 AS _holdout FROM few, (VALUES (0), (1)) AS h (p)")
    return "dated"


def test_a_date_far_ahead_does_not_move_the_newest_days(engine: DuckDB, make_schema: Callable[..., Schema]) -> None:
    schema = make_schema({"id": "text", "day": "date", "n": "number", "left": "text"}, id="id", date="day")
    source = _dated(engine, {"old": "2026-01-01", "new": "2026-03-01", "tomorrow": "2026-03-02", "typo": "2206-03-01"})
    ahead = dated_ahead(dt.datetime(2026, 3, 1, 23, tzinfo=dt.UTC))
    found = forward(schema, engine, source, days=30, ahead=ahead)
    assert found.rows.ids is not None
    assert list(found.rows.ids) == ["new", "tomorrow"]
    assert engine.rows(f"SELECT id FROM dated WHERE {found.trainable}") == [("old",)]
    assert found.origin == "30 % of customers by hash, rows after 2026-01-31"
    assert found.warning == (
        "2 labelled row(s) are dated ahead of the run, on 2026-03-03 or later: they neither judge nor are learned from;"
        " mend their `day`, or the machine's clock"
    )


@pytest.mark.parametrize(
    ("batch", "held_back", "rows"), [(1, None, 2), (1, 0, 2), (1, 20, 1), (1, 40, 0), (0, None, 0)]
)
def test_rows_of_the_days_that_judge_which_a_model_learned_from_are_counted(
    engine: DuckDB, make_schema: Callable[..., Schema], batch: int, held_back: int | None, rows: int
) -> None:
    schema = make_schema({"id": "text", "day": "date", "n": "number", "left": "text"}, id="id", date="day")
    source = _dated(engine, {"a": "2026-01-01", "b": "2026-02-01", "c": "2026-03-01", "typo": "2206-03-01"})
    days = dt.datetime(2026, 1, 15), dt.datetime(2026, 4, 1)  # noqa: DTZ001 - as dates in a data set are
    assert learned_of(schema, engine, source, days, batch=batch, held_back=held_back) == rows


def test_where_all_dates_are_ahead_nothing_judges_or_is_learned_from(
    engine: DuckDB, make_schema: Callable[..., Schema]
) -> None:
    schema = make_schema({"id": "text", "day": "date", "n": "number", "left": "text"}, id="id", date="day")
    ahead = dated_ahead(dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
    found = forward(schema, engine, _dated(engine, {"a": "2026-01-01"}), days=30, ahead=ahead)
    assert len(found.rows) == 0
    assert engine.rows(f"SELECT id FROM dated WHERE {found.trainable}") == []
    assert found.warning is not None


def test_the_test_folder_judges_and_its_rows_are_not_trained_on(
    engine: DuckDB, source: str, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    [(known,)] = engine.rows(f"SELECT id FROM {source} WHERE NOT _holdout AND n = 3 ORDER BY id LIMIT 1")
    test = make_source(f"left,n,id\nyes,3,{known}\nno,4,nobody\n,5,unknown\n", "test.csv")
    found = _tested(make_schema(id="id"), engine, test)
    assert list(found.rows.y) == [1, 0]
    assert list(found.rows.X["n"]) == [3.0, 4.0]
    assert found.origin == "test folder, 1 file(s)"
    [(left_out,)] = engine.rows(
        f"SELECT string_agg(id) FROM {source} AS s WHERE NOT _holdout AND NOT ({found.trainable})"
    )
    assert left_out == known


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("id,n\n", r"part4\.csv: it has no column `left`\. Mend the file or take it out\."),
        ("sku\n", r"part4\.csv: line 1: 2 of 2 columns are missing"),
        ("id,n,left\na,1,yes\n".encode("utf-16")[:-1], r"part4\.csv: cannot be read: 'utf-16-le' codec"),
    ],
)
def test_a_test_file_that_cannot_judge_is_an_error(
    engine: DuckDB,
    source: str,
    make_schema: Callable[..., Schema],
    make_source: Callable[..., Source],
    content: str | bytes,
    problem: str,
) -> None:
    with pytest.raises(DataError, match=problem):
        _tested(make_schema(id="id"), engine, make_source(content))


def test_rows_of_the_test_folder_that_break_a_check_are_told(
    engine: DuckDB, source: str, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    found = _tested(make_schema(id="id"), engine, make_source("left,n,id\nyes,x,a\nno,4,b\n"))
    assert len(found.rows) == 1
    assert found.warning == "1 row(s) of the test folder broke a check and do not judge"


def _tested(schema: Schema, engine: Engine, test: Source) -> Holdout:
    return from_test_folder(schema, engine, Csv(), [test], Featured(schema, engine))

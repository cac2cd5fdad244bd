from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from served_world import NOW, outcome, served

from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Signature
from churnwatch.pipeline.served import due
from churnwatch.pipeline.served.reader import Kind, Reader
from churnwatch.pipeline.served.writer import Store
from churnwatch.pipeline.settings import Home

AT = iso(NOW)
PLAIN = "target: left\npositive: yes\nserve: {batch_rows: 3, batch_hours: 2}\n"
SOURCES = """\
target: left
positive: 1
id: id
date: day
sources: {logs: {files: "logs*.csv", key: id, time: at, columns: {id: text, at: date}}}
serve: {batch_rows: 3}
"""
ACTIVITY = f"{SOURCES}churn: {{source: logs, inactive_days: 30}}\n"


@pytest.fixture
def found(ledger: Ledger) -> Callable[..., dict[Kind, int]]:
    """Return what tells which batches are due so many hours after the predictions, and after which row they begin."""

    def find(home: Home, *, hours: float = 0.0) -> dict[Kind, int]:
        with Reader.open(home.serving_log) as reader:
            now = NOW + timedelta(hours=hours)
            return {each.kind: each.after for each in due.due(home, ledger, reader, now=now)}

    return find


def _serve(home: Home, first: int, count: int, **rest: str) -> str:
    with Store.opened(home.serving_log) as store:
        store.add([served(number, **rest) for number in range(first, first + count)], lost=0, at=AT)
        return store.store


def test_a_batch_is_due_when_there_are_enough_rows(
    make_home: Callable[..., Home], found: Callable[..., dict[Kind, int]], ledger: Ledger
) -> None:
    home = make_home(PLAIN)
    _serve(home, 0, 2)
    assert found(home) == {}
    assert not due.is_due(home, ledger, now=NOW)
    _serve(home, 2, 1)
    assert found(home) == {Kind.PREDICTIONS: 0}
    assert due.is_due(home, ledger, now=NOW)


def test_a_few_rows_are_due_once_the_first_has_waited_long_enough(
    make_home: Callable[..., Home], found: Callable[..., dict[Kind, int]]
) -> None:
    home = make_home(PLAIN)
    _serve(home, 0, 1)
    assert found(home, hours=1.9) == {}
    assert found(home, hours=2.0) == {Kind.PREDICTIONS: 0}


def test_the_next_batch_begins_after_the_last_that_lies_there_or_the_ledger_knows(
    make_home: Callable[..., Home], found: Callable[..., dict[Kind, int]], ledger: Ledger
) -> None:
    home = make_home(PLAIN)
    store = _serve(home, 0, 9)
    (home.source / "served").mkdir()
    (home.source / due.batch_path(Kind.PREDICTIONS, store, 1, 4)).touch()
    (home.source / due.batch_path(Kind.PREDICTIONS, "another", 1, 8)).touch()
    (home.source / f"served/.predictions-{store}-1-9.parquet-x.tmp").touch()
    assert found(home) == {Kind.PREDICTIONS: 4}
    taken = Signature(due.batch_path(Kind.PREDICTIONS, store, 5, 6), 1, 1, 1)  # it was taken in, and removed since
    ledger.see_file(taken, sha256="sha", at=AT)
    assert found(home) == {Kind.PREDICTIONS: 6}
    ledger.see_file(Signature(due.batch_path(Kind.OUTCOMES, store, 1, 9), 1, 1, 1), sha256="sha", at=AT)
    assert found(home) == {Kind.PREDICTIONS: 6}


def test_outcomes_make_batches_of_their_own(
    make_home: Callable[..., Home], found: Callable[..., dict[Kind, int]]
) -> None:
    home = make_home(PLAIN)
    _serve(home, 0, 3)
    with Store.opened(home.serving_log) as store:
        store.tell([outcome(number) for number in range(3)], told_at=AT)
    assert found(home) == {Kind.PREDICTIONS: 0, Kind.OUTCOMES: 0}


def test_with_sources_only_those_count_of_whom_the_id_is_known(
    make_home: Callable[..., Home], found: Callable[..., dict[Kind, int]]
) -> None:
    home = make_home(SOURCES)
    _serve(home, 0, 5)
    assert found(home, hours=99) == {}
    _serve(home, 5, 3, customer="c")
    assert found(home) == {Kind.PREDICTIONS: 0}


def test_where_a_source_tells_who_left_outcomes_are_not_learned_from(
    make_home: Callable[..., Home], found: Callable[..., dict[Kind, int]]
) -> None:
    home = make_home(ACTIVITY)
    _serve(home, 0, 3, customer="c")
    with Store.opened(home.serving_log) as store:
        store.tell([outcome(number) for number in range(3)], told_at=AT)
    assert found(home) == {Kind.PREDICTIONS: 0}

from __future__ import annotations

import logging
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from served_world import ALWAYS, NOW, outcome, served

from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.served.reader import Reader
from churnwatch.pipeline.served.records import Fate
from churnwatch.pipeline.served.writer import Store
from churnwatch.serving import served as logging_of_served
from churnwatch.serving.served import Log, LogState


class Clock:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serving.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_log(path: Path, clock: Clock) -> Iterator[Callable[..., Log]]:
    """Return what makes a log without its thread: a test takes the writer's turns itself."""
    opened: list[Log] = []

    def make(**rest: float) -> Log:
        opened.append(Log(path, clock=clock, **rest))  # type: ignore[arg-type]
        opened[-1].open()
        return opened[-1]

    yield make
    for log in opened:
        log._store.close()


def _logged(path: Path) -> list[str]:
    with Reader.open(path) as reader:
        return [row[0] for row in reader.rows("SELECT uuid FROM served ORDER BY row")]


def test_what_is_added_is_written_by_the_next_turn_in_its_order(make_log: Callable[..., Log], path: Path) -> None:
    log = make_log()
    for number in range(3):
        log.add(served(number))
    assert log.state() == LogState(0, 0, 3, None)
    log.turn()
    assert log.state() == LogState(3, 0, 0, None)
    assert _logged(path) == ["0", "1", "2"]


@pytest.mark.parametrize("mended", [True, False])
def test_where_the_file_is_moved_away_a_new_one_is_begun(
    make_log: Callable[..., Log], path: Path, caplog: pytest.LogCaptureFixture, mended: bool
) -> None:
    log = make_log()
    log.add(served(1))
    log.turn()
    for each in path.parent.glob("serving.db*"):
        each.rename(each.with_name(f"old-{each.name}"))
    if not mended:
        path.mkdir()
    log.add(served(2))
    told = log.tell([outcome(2)])
    log.turn()
    if not mended:
        assert log.state().error is not None
        assert isinstance(told.exception(), LedgerError)
        path.rmdir()
        log.turn()
    assert _logged(path) == ["2"]
    assert log.state() == LogState(2, 0, 0, None)
    assert "moved away" in caplog.text


def test_more_than_a_transaction_holds_takes_several(
    make_log: Callable[..., Log], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging_of_served, "_AT_ONCE", 4)
    log = make_log()
    for number in range(10):
        log.add(served(number))
    log.turn()
    assert len(_logged(path)) == 10


def test_a_share_is_told_by_the_ids_alone(make_log: Callable[..., Log], path: Path) -> None:
    ids = [str(uuid.UUID(int=number * 7919)) for number in range(2000)]
    log = make_log(share=0.25)
    for each in ids:
        log.add(replace(served(0), uuid=each))
    log.turn()
    kept = _logged(path)
    assert len(kept) == pytest.approx(500, abs=100)
    assert log.state().not_logged == 0
    fewer = make_log(share=0.1)
    for each in kept:
        fewer.add(replace(served(0), uuid=each))
    assert 0 < fewer.state().waiting < len(kept)
    nothing = make_log(share=0.0)
    nothing.add(served(1))
    assert nothing.state().waiting == 0


def test_beyond_its_bound_the_queue_counts_and_never_waits(make_log: Callable[..., Log], path: Path) -> None:
    log = make_log(most=3)
    for number in range(5):
        log.add(served(number))
    assert log.state() == LogState(0, 2, 3, None)
    log.turn()
    assert log.state() == LogState(3, 2, 0, None)
    with Reader.open(path) as reader:
        assert reader.not_logged()[0] == 2
    log.turn()
    with Reader.open(path) as reader:
        assert reader.not_logged()[0] == 2


def test_a_locked_database_holds_up_the_writer_alone_and_nothing_is_lost(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log(path, clock=clock)
    log.open()
    log._store.rows("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(path, isolation_level=None)) as other, caplog.at_level(logging.INFO):
        other.execute("BEGIN IMMEDIATE")
        for number in range(3):
            log.add(served(number))
        asked = log.tell([outcome(1)])
        log.turn()
        log.turn()
        assert log.state() == LogState(0, 0, 3, "database is locked")
        with pytest.raises(LedgerError, match="nothing can be written now"):
            asked.result(0)
        other.execute("ROLLBACK")
    with caplog.at_level(logging.INFO):
        log.turn()
    assert log.state() == LogState(3, 0, 0, None)
    assert _logged(path) == ["0", "1", "2"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]  # once, however often it was tried
    log._store.close()


def test_a_full_disk_is_counted_and_said_and_what_is_lost_is_recorded_later(
    path: Path, make_log: Callable[..., Log]
) -> None:
    log = make_log(most=200)
    pages = log._store.rows("PRAGMA page_count")[0][0]
    log._store.rows(f"PRAGMA max_page_count = {pages + 2}")
    for number in range(300):
        log.add(served(number, inputs={"a": "x" * 200}))
    log.turn()
    assert log.state() == LogState(0, 100, 200, "database or disk is full")
    log._store.rows("PRAGMA max_page_count = 100000")
    log.turn()
    assert log.state() == LogState(200, 100, 0, None)
    with Reader.open(path) as reader:
        assert reader.not_logged()[0] == 100


def test_one_that_cannot_be_written_is_counted_once(make_log: Callable[..., Log], path: Path) -> None:
    log = make_log()
    log.add(served(1))
    log.add(served(1))
    log.turn()
    log.turn()
    assert log.state() == LogState(1, 1, 0, None)
    with Reader.open(path) as reader:
        assert reader.not_logged()[0] == 1


def test_an_outcome_finds_a_prediction_that_was_answered_a_moment_ago(make_log: Callable[..., Log]) -> None:
    log = make_log()
    log.add(served(1))
    asked = log.tell([outcome(1)])
    log.turn()
    assert asked.result(0) == [Fate.JOINED]


def test_who_no_longer_waits_for_an_answer_stops_nobody(make_log: Callable[..., Log]) -> None:
    log = make_log()
    log.add(served(1))
    gone, asked = log.tell([outcome(1, 0.0)]), log.tell([outcome(1)])
    gone.cancel()
    log.turn()
    assert asked.result(0) == [Fate.JOINED]


def test_what_is_too_old_goes_a_step_at_a_time(
    make_log: Callable[..., Log], path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging_of_served, "_PRUNE_ROWS", 2)
    log = make_log(keep_days=30)
    for number in range(5):
        log.add(served(number, at=NOW + timedelta(days=number // 4)))
    log.turn()
    clock.now = NOW + timedelta(days=30, seconds=1)
    left = []
    for _ in range(4):
        log.turn()
        left.append(len(_logged(path)))
    assert left == [3, 1, 1, 1]


def test_the_thread_writes_by_itself_and_the_end_waits_for_what_is_left(path: Path, clock: Clock) -> None:
    log = Log(path, clock=clock)
    log.start()
    for number in range(50):
        log.add(served(number))
    assert log.tell([outcome(7)]).result(5) == [Fate.JOINED]
    assert log.state().logged == 50
    log.add(served(50))
    log.close()
    assert len(_logged(path)) == 51
    assert "serving log" not in {thread.name for thread in threading.enumerate()}


def test_the_end_says_what_could_not_be_written(path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    log = Log(path, clock=clock)
    log.start()
    log._store.rows("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        log.add(served(1))
        log.close()
    assert "1 served prediction(s) were not logged: database is locked" in caplog.text


def test_a_bug_is_told_to_who_asked_and_the_writer_goes_on(
    make_log: Callable[..., Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = make_log()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_row_of", lambda *_: 1 / 0)
        asked = log.tell([outcome(1)])
        log.turn()
        with pytest.raises(ZeroDivisionError):
            asked.result(0)
    log.add(served(1))
    log.turn()
    assert log.state() == LogState(1, 0, 0, None)


def test_predictions_are_added_from_several_threads_at_once(path: Path, clock: Clock) -> None:
    log = Log(path, clock=clock, most=500)
    log.start()

    def add(first: int) -> None:
        for number in range(first, first + 400):
            log.add(served(number))

    threads = [threading.Thread(target=add, args=(1000 * each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    state = log.state()
    assert state.logged + state.not_logged == 1600
    assert len(_logged(path)) == state.logged
    with Reader.open(path) as reader:
        assert reader.not_logged()[0] == state.not_logged
        assert sum(reader.served(*ALWAYS).values()) == state.logged


def test_a_log_can_be_started_within_a_start_and_after_an_end(path: Path, clock: Clock) -> None:
    log = Log(path, clock=clock)
    for number in range(2):
        log.start()
        log.start()
        log.close()
        log.add(served(number))
        log.close()
        assert len(_logged(path)) == number + 1

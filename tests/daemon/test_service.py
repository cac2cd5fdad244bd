"""One turn of the loop at a time: the clock is passed in; watcher and worker are fakes of our own."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from served_world import served

from churnwatch.daemon import service
from churnwatch.daemon.service import Service
from churnwatch.pipeline import packages, run, sample, scan, settings
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import FileEvent, FileState, Signature, Status
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.pipeline.served.writer import Store
from churnwatch.pipeline.settings import Home, Settings

DELAY_S = 0.25  # the homes' stability_s


class FakeWatcher:
    """Hears nothing by itself."""

    made: list[FakeWatcher]

    def __init__(self, folder: Path, hint: Callable[[str | None], None], *, deep: bool = False) -> None:
        self.folder, self.hint, self.deep = folder, hint, deep
        self.listening = False
        self.renewals = 0
        self.made.append(self)

    def start(self) -> None:
        self.listening = self.folder.is_dir()

    def stop(self) -> None:
        self.listening = False

    def alive(self) -> bool:
        return self.listening

    def renew(self) -> bool:
        self.renewals += 1
        was, self.listening = self.listening, True
        return not was


@dataclass
class FakeWorker:
    """Takes orders and does nothing about them."""

    home: Path
    tell: Callable[[dict[str, Any]], None]
    ordered_at: float | None = None
    warm: bool = False
    orders: list[tuple[set[str], Settings]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        return self.ordered_at is not None

    def warm_up(self) -> None:
        self.warm = True

    def order(self, stable: Collection[Signature], given: Settings, *, reason: str, now: float) -> None:
        assert reason == "drop"
        assert not self.busy
        self.warm, self.ordered_at = True, now
        self.orders.append(({signature.path for signature in stable}, given))

    def cool_down(self) -> None:
        if not self.busy:
            self.warm = False

    def end(self, why: str) -> None:
        self.ended.append(why)

    def reap(self) -> None:
        self.ordered_at, self.warm = None, False

    def stop(self) -> None:
        self.reap()


@dataclass
class Loop:
    """A service between fakes, and its clock."""

    home: Home
    service: Service
    worker: FakeWorker
    now: float = 1000.0

    def turn(self, after: float = 0.0) -> float:
        """Take one turn; return in how many seconds the next is due."""
        self.now += after
        return round(self.service.turn(self.now) - self.now, 6)

    def hint(self, name: str | None) -> None:
        self.service._take({"hint": name}, self.now)

    def end(self, code: int) -> None:
        """End the run that goes on."""
        self.service._take({"ended": code}, self.now)

    def drop(self, name: str, text: str = "a\n1\n") -> Path:
        path = self.home.source / name
        path.write_text(text)
        self.hint(name)
        return path

    def settle_all(self, state: FileState = FileState.INGESTED) -> None:
        """Write into the ledger what a run would: what became of every file that lies there."""
        with Ledger.open(self.home.ledger) as ledger:
            for signature in scan.pending(ledger, scan.look(self.home.source)):
                file = ledger.see_file(signature, sha256=signature.path, at=iso(utc_now()))
                ledger.add(FileEvent(file.file, None, iso(utc_now()), state))

    def begin_run(self, *, ended: Status | None = None) -> None:
        """Write a run into the ledger that has begun, and ended other than well."""
        with Ledger.open(self.home.ledger) as ledger:
            at = iso(utc_now())
            given = (self.home.settings.sha256, self.home.settings.canonical())
            number = ledger.begin_run(
                run_id="cut short", reason="drop", at=at, settings=given, code_version="0", inputs=[]
            )
            attempt = ledger.begin_attempt(number, at=at, pid=1, settings=given)
            if ended is not None:
                ledger.end_attempt(number, attempt, at=at, status=ended, error="by design")


@pytest.fixture
def make_loop(monkeypatch: pytest.MonkeyPatch, make_home: Callable[..., Home]) -> Iterator[Callable[..., Loop]]:
    monkeypatch.setattr(FakeWatcher, "made", [], raising=False)
    monkeypatch.setattr(service, "Watcher", FakeWatcher)
    monkeypatch.setattr(service, "Worker", FakeWorker)
    loops: list[Loop] = []

    def make(home: Home | None = None, **given: Any) -> Loop:
        there = home or make_home()
        made = Service(there, **given)
        worker: Any = made._worker
        loops.append(Loop(there, made, worker))
        return loops[-1]

    yield make
    for each in loops:
        each.service._stop()


@pytest.fixture
def loop(make_loop: Callable[..., Loop]) -> Loop:
    return make_loop()


# -- the clock -------------------------------------------------------------------------------------------------


def _training_due(monkeypatch: pytest.MonkeyPatch, in_s: float | None) -> None:
    """Let the ledger say that a model is to be trained in so many seconds of the loop's clock; None: never."""
    due = None if in_s is None else utc_now() + timedelta(seconds=in_s)
    monkeypatch.setattr(service.schedule, "due", lambda *_: due)


def test_a_training_that_is_due_wakes_the_loop_and_is_ordered_without_a_file(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.settle_all()
    _training_due(monkeypatch, 30.0)
    assert 29 < loop.turn() <= 30
    assert not loop.worker.busy
    loop.turn(after=31)
    assert loop.worker.orders[0][0] == set()
    _training_due(monkeypatch, None)
    loop.end(0)
    assert loop.turn() > 50
    assert not loop.worker.busy


def _serve(home: Home) -> None:
    """Log a prediction that has waited longer than `serve.batch_hours`."""
    with Store.opened(home.serving_log) as store:
        store.add([served(1, at=utc_now() - timedelta(days=2))], lost=0, at=iso(utc_now()))


def test_what_was_served_is_ordered_to_be_taken_in_without_a_file(loop: Loop) -> None:
    loop.settle_all()
    loop.turn()
    assert not loop.worker.busy
    _serve(loop.home)
    loop.turn(after=61)  # with the next look at the folder
    assert loop.worker.orders[0][0] == set()
    loop.end(1)
    assert loop.turn() == 5
    assert not loop.worker.busy
    loop.turn(after=5)
    loop.home.serving_log.unlink()
    loop.end(0)
    assert loop.turn() > 50
    assert len(loop.worker.orders) == 2


def test_a_log_that_cannot_be_read_stops_no_loop(loop: Loop) -> None:
    loop.settle_all()
    loop.home.serving_log.write_text("no database at all, but long enough to look like one" * 20)
    assert loop.turn() > 50
    assert not loop.worker.busy


def test_a_batch_of_what_was_served_is_found_below_the_source_folder(loop: Loop) -> None:
    (loop.home.source / "served").mkdir()
    loop.drop("served/predictions-1f0c3a9e-1-9.parquet")
    loop.turn()
    loop.turn(after=DELAY_S)
    assert [order[0] for order in loop.worker.orders] == [{"served/predictions-1f0c3a9e-1-9.parquet"}]


def test_a_training_that_failed_waits_before_it_is_ordered_again(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.settle_all()
    _training_due(monkeypatch, -1.0)
    loop.turn()
    loop.end(1)
    assert loop.turn() == 5
    assert not loop.worker.busy
    loop.turn(after=5)
    assert len(loop.worker.orders) == 2


# -- files -----------------------------------------------------------------------------------------------------


def test_where_nothing_is_to_do_the_loop_sleeps_until_the_next_scan(loop: Loop) -> None:
    assert loop.turn() == 60.0
    assert loop.turn(30.0) == 30.0
    assert not loop.worker.warm
    assert loop.worker.orders == []


def test_a_file_is_waited_for_and_then_ordered(loop: Loop) -> None:
    loop.turn()
    loop.drop("a.csv")
    assert loop.turn() == DELAY_S
    assert loop.worker.warm  # it imports while the file settles
    assert loop.worker.orders == []
    assert loop.turn(DELAY_S) == 3600.0  # run_timeout_s
    assert loop.worker.orders == [({"a.csv"}, loop.home.settings)]


def test_a_burst_is_one_order_with_all_its_files(loop: Loop) -> None:
    names = {f"{number}.csv" for number in range(30)}
    for name in sorted(names):
        loop.drop(name)
        loop.turn(DELAY_S / 4)
    loop.turn(DELAY_S)
    [(ordered, _)] = loop.worker.orders
    assert ordered == names


def test_a_file_that_is_still_written_is_not_ordered(loop: Loop) -> None:
    path = loop.drop("a.csv")
    for number in range(20):
        assert loop.turn(DELAY_S / 2) <= DELAY_S
        path.write_text("a\n" * number)
        loop.hint("a.csv")
    assert loop.worker.orders == []


def test_what_is_no_csv_or_hidden_is_not_even_looked_at_by_name(loop: Loop) -> None:
    for name in (".hidden.csv", "a.csv.part", "notes.txt"):
        loop.drop(name)
    assert loop.turn() == 60.0
    assert not loop.worker.warm


def test_a_file_that_is_gone_before_it_settled_lets_the_child_go(loop: Loop) -> None:
    path = loop.drop("a.csv")
    loop.turn()
    assert loop.worker.warm
    path.unlink()
    loop.hint("a.csv")
    assert loop.turn(DELAY_S) == 60.0
    assert not loop.worker.warm
    assert loop.worker.orders == []


def test_during_a_run_nothing_else_is_ordered_and_afterwards_the_rest_is(loop: Loop) -> None:
    loop.drop("a.csv")
    loop.turn()
    loop.turn(DELAY_S)
    loop.settle_all()
    loop.drop("b.csv")
    assert loop.turn(1.0) == 3599.0
    assert len(loop.worker.orders) == 1
    loop.end(0)
    loop.turn(0.1)
    loop.turn(DELAY_S)
    assert [names for names, _ in loop.worker.orders] == [{"a.csv"}, {"b.csv"}]


def test_a_file_that_the_ledger_calls_settled_is_left_alone(loop: Loop) -> None:
    loop.drop("a.csv")
    loop.settle_all()
    loop.hint(None)
    assert loop.turn() == 60.0
    assert not loop.worker.warm


@pytest.mark.parametrize("state", [FileState.QUARANTINED, FileState.FAILED, FileState.SAME_CONTENT])
def test_a_file_that_was_not_read_is_not_tried_again_and_again(loop: Loop, state: FileState) -> None:
    loop.drop("a.csv")
    loop.settle_all(state)
    assert loop.turn() == 60.0


def test_a_file_that_changed_is_taken_again(loop: Loop) -> None:
    path = loop.drop("a.csv")
    loop.settle_all()
    loop.turn()
    path.write_text("a\n2\n")
    loop.hint("a.csv")
    loop.turn(1.0)
    loop.turn(DELAY_S)
    assert [names for names, _ in loop.worker.orders] == [{"a.csv"}]


def test_a_retry_is_taken_once_the_daemon_is_told_to_look_at_everything(loop: Loop) -> None:
    loop.drop("a.csv")
    loop.settle_all()
    loop.turn()
    with Ledger.open(loop.home.ledger) as ledger:
        ledger.add(FileEvent(1, None, iso(utc_now()), FileState.RETRY))
    loop.hint(None)
    loop.turn(1.0)
    loop.turn(DELAY_S)
    assert [names for names, _ in loop.worker.orders] == [{"a.csv"}]


def test_requests_that_wait_for_a_first_model_do_not_spin(loop: Loop) -> None:
    loop.drop("who.csv")
    loop.turn()
    loop.turn(DELAY_S)
    loop.settle_all(FileState.WAITING)
    loop.end(0)
    assert loop.turn(0.1) == 60.0
    assert not loop.worker.warm
    assert len(loop.worker.orders) == 1


def test_a_request_that_waited_is_taken_up_once_there_is_a_model(make_loop: Callable[..., Loop], own: Home) -> None:
    loop = make_loop(own)
    loop.settle_all()
    loop.drop("who.csv")
    loop.settle_all(FileState.WAITING)
    loop.turn()
    loop.turn(DELAY_S)
    assert [names for names, _ in loop.worker.orders] == [{"who.csv"}]


def test_polling_looks_as_often_as_was_asked_and_listens_to_nothing(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(poll_s=2.5)
    assert loop.turn() == 2.5
    (loop.home.source / "a.csv").write_text("a\n1\n")  # no hint comes
    loop.turn(2.5)
    loop.turn(2.5)
    assert len(loop.worker.orders) == 1
    assert FakeWatcher.made[0].renewals == 0


def test_a_watcher_that_broke_off_is_renewed_by_the_next_scan(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="churnwatch")
    loop.turn()
    assert FakeWatcher.made[0].listening
    FakeWatcher.made[0].listening = False
    loop.turn(60.0)
    assert FakeWatcher.made[0].listening
    assert caplog.text.count("listening to") == 2


# -- failures --------------------------------------------------------------------------------------------------


def _order(loop: Loop) -> None:
    loop.drop("a.csv")
    loop.turn()
    loop.turn(DELAY_S)
    assert loop.worker.busy


def test_after_a_failure_the_wait_grows_and_a_success_resets_it(loop: Loop) -> None:
    _order(loop)
    for delay in (5.0, 15.0, 60.0, 300.0, 300.0):
        loop.end(1)
        assert not loop.worker.busy
        due = loop.turn()
        assert 0.0 < due <= delay
        loop.turn(delay - 0.25)
        assert not loop.worker.busy  # not before its time
        assert not loop.worker.warm  # nor a child that waits for nothing
        loop.turn(0.25)
        assert loop.worker.busy
    loop.settle_all()
    loop.end(0)
    loop.turn()
    loop.drop("b.csv")
    loop.turn()
    loop.turn(DELAY_S)
    loop.end(-9)
    loop.turn(4.75)
    assert not loop.worker.busy
    loop.turn(0.25)
    assert loop.worker.busy


def test_a_failed_run_whose_files_were_ingested_is_still_taken_up_again(loop: Loop) -> None:
    _order(loop)
    loop.settle_all()
    loop.begin_run(ended=Status.FAILED)
    loop.end(1)
    due = loop.turn()
    assert due == 5.0
    loop.turn(5.0)
    assert loop.worker.orders[1:] == [(set(), loop.home.settings)]


def test_a_failed_run_that_left_nothing_open_is_not_ordered_again(loop: Loop) -> None:
    _order(loop)
    loop.settle_all()
    loop.end(1)
    loop.turn()
    assert loop.turn(5.0) <= 60.0
    assert len(loop.worker.orders) == 1


def test_an_early_child_that_dies_is_started_again_only_after_a_while(loop: Loop) -> None:
    loop.drop("a.csv")
    loop.turn()
    loop.end(-9)
    loop.turn(DELAY_S)
    assert not loop.worker.busy
    assert not loop.worker.warm
    loop.turn(5.0)
    assert loop.worker.busy


def test_files_that_a_run_left_as_they_were_do_not_make_it_spin(loop: Loop) -> None:
    loop.drop("a.csv")
    _order(loop)
    loop.end(0)
    loop.turn(DELAY_S)
    assert not loop.worker.busy
    assert len(loop.worker.orders) == 1
    loop.turn(5.0)
    assert len(loop.worker.orders) == 2


def test_a_file_that_is_left_again_and_again_waits_longer_each_time_and_holds_up_no_other(loop: Loop) -> None:
    _order(loop)
    for delay in (5.0, 15.0, 60.0):
        loop.end(0)
        loop.turn()
        loop.turn(delay - 0.25)
        assert not loop.worker.busy
        assert not loop.worker.warm
        loop.turn(0.25)
        assert loop.worker.busy
    loop.end(0)
    loop.turn()
    loop.drop("b.csv")
    loop.turn()
    loop.turn(DELAY_S)
    assert loop.worker.orders[-1][0] == {"a.csv", "b.csv"}
    loop.settle_all()
    loop.end(0)
    loop.turn()
    loop.drop("c.csv")
    loop.turn()
    loop.turn(DELAY_S)
    loop.end(0)
    assert loop.turn() == 5.0  # it begins anew with another file


def test_a_child_that_cannot_be_started_does_not_stop_the_daemon(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room() -> None:
        raise OSError(24, "Too many open files")

    loop.drop("a.csv")
    with monkeypatch.context() as patch:
        patch.setattr(loop.worker, "warm_up", no_room)
        loop.turn()
    loop.turn(5.0)
    assert loop.worker.warm or loop.worker.busy


def test_a_process_beside_the_runs_that_cannot_be_started_does_not_stop_the_daemon(
    make_loop: Callable[..., Loop], make_home: Callable[..., Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = make_home(extra="alerts: {command: /bin/true}\n").path / settings.FILE_NAME
    written.write_text(written.read_text().replace("{check: never}", "{check: daily}"))
    home = settings.load(written.parent)
    with Ledger.open(home.ledger):
        pass
    loop = make_loop(home)
    tried: list[str] = []

    def no_room(command: list[str], **_: object) -> None:
        tried.append(command[-1])
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(service.subprocess, "Popen", no_room)
    loop.turn()
    assert tried == ["packages", "notify"]
    loop.turn(300.0)
    assert tried == ["packages", "notify", "notify"]


def test_a_run_beyond_its_time_is_ended(make_loop: Callable[..., Loop], make_home: Callable[..., Home]) -> None:
    loop = make_loop(make_home(extra="run_timeout_s: 30\n"))
    _order(loop)
    assert loop.turn(29.0) == 1.0
    assert loop.worker.ended == []
    assert loop.turn(1.0) == 1.0
    assert loop.worker.ended == ["the run took longer than run_timeout_s (30 s); it is stopped"]


@pytest.mark.parametrize("ended", [None, Status.INTERRUPTED, Status.FAILED])
def test_a_run_that_was_cut_short_is_taken_up_at_the_start(
    make_loop: Callable[..., Loop], ended: Status | None
) -> None:
    loop = make_loop()
    loop.begin_run(ended=ended)
    loop.turn()
    assert loop.worker.orders == [(set(), loop.home.settings)]
    loop.end(0)
    assert loop.turn() == 60.0
    assert len(loop.worker.orders) == 1


def test_a_run_that_broke_down_three_times_is_left_alone(loop: Loop) -> None:
    for _ in range(3):
        loop.begin_run(ended=Status.BROKEN)
    assert loop.turn() == 60.0
    assert loop.worker.orders == []


def test_a_damaged_ledger_is_said_and_does_not_end_the_loop(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    loop.home.ledger.write_bytes(b"this is no ledger" * 100)
    loop.turn()
    assert "cannot be read as a ledger" in caplog.text


def test_a_daemon_does_not_start_upon_a_damaged_ledger_and_says_what_to_do(loop: Loop) -> None:
    loop.begin_run(ended=Status.DONE)
    with contextlib.closing(sqlite3.connect(loop.home.ledger)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("INSERT INTO run_files (run, file) VALUES (1, 99)")
        connection.commit()
    with pytest.raises(LedgerError, match=r"damaged \(run_files: row .* refers to nothing\)\. Put back a backup"):
        loop.service.run()


# -- the folder ------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_read_is_said_once_and_looked_at_again_soon(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="churnwatch")
    loop.home.source.rmdir()
    assert loop.turn() == 2.0
    assert loop.turn(2.0) == 2.0
    assert loop.turn(2.0) == 2.0
    assert caplog.text.count("the folder cannot be read") == 1
    loop.home.source.mkdir()
    (loop.home.source / "a.csv").write_text("a\n1\n")
    loop.turn(2.0)
    assert caplog.text.count("can be read again") == 1
    loop.turn(DELAY_S)
    assert [names for names, _ in loop.worker.orders] == [{"a.csv"}]


# -- settings --------------------------------------------------------------------------------------------------


def _edit(home: Home, text: str) -> None:
    file = home.path / settings.FILE_NAME
    former = file.stat().st_mtime_ns
    file.write_text(text)
    os.utime(file, ns=(former + 1_000_000, former + 1_000_000))  # later, however coarse the clock of the disk is


def test_changed_settings_are_in_force_from_the_next_order(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="churnwatch")
    loop.turn()
    text = (loop.home.path / settings.FILE_NAME).read_text()
    _edit(loop.home, text.replace("stability_s: 0.25", "stability_s: 7.0"))
    loop.turn(60.0)
    loop.drop("a.csv")
    assert loop.turn() == 7.0
    loop.turn(7.0)
    [(_, given)] = loop.worker.orders
    assert given.stability_s == 7.0
    assert caplog.text.count("settings.yaml changed") == 1


def test_broken_settings_are_refused_once_and_the_former_stay_in_force(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    loop.turn()
    _edit(loop.home, "target: Churn\npositive: Yes\nstabilty_s: 9\n")
    for _ in range(3):
        loop.turn(60.0)
    assert caplog.text.count("The settings before the change stay in force.") == 1
    assert "line 3: stabilty_s: no such setting; did you mean `stability_s`?" in caplog.text
    loop.drop("a.csv")
    assert loop.turn() == DELAY_S
    loop.turn(DELAY_S)
    assert loop.worker.orders == [({"a.csv"}, loop.home.settings)]


def test_settings_that_are_gone_keep_the_former_in_force(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    loop.turn()
    (loop.home.path / settings.FILE_NAME).unlink()
    assert loop.turn(60.0) == 60.0
    assert loop.turn(60.0) == 60.0
    assert caplog.text.count("stay in force") == 1


def test_mended_settings_are_taken_again(loop: Loop) -> None:
    text = (loop.home.path / settings.FILE_NAME).read_text()
    loop.turn()
    _edit(loop.home, "target: [")
    loop.turn(60.0)
    _edit(loop.home, text + "scan_interval_s: 7\n")
    assert loop.turn(60.0) == 7.0


def test_another_source_folder_is_watched_from_then_on(loop: Loop) -> None:
    loop.turn()
    elsewhere = loop.home.path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "there.csv").write_text("a\n1\n")
    text = (loop.home.path / settings.FILE_NAME).read_text()
    _edit(loop.home, text + "source_folder: elsewhere\n")
    loop.turn(1.0)
    former, watcher = FakeWatcher.made
    assert not former.listening
    assert watcher.folder == elsewhere
    assert watcher.listening
    loop.turn(DELAY_S)
    assert [names for names, _ in loop.worker.orders] == [{"there.csv"}]


def test_other_settings_leave_the_watcher_alone(loop: Loop) -> None:
    loop.turn()
    _edit(loop.home, (loop.home.path / settings.FILE_NAME).read_text() + "call_capacity: 7\n")
    loop.turn(1.0)
    assert len(FakeWatcher.made) == 1


# -- packages --------------------------------------------------------------------------------------------------

_MARKER = "import pathlib, sys; file = pathlib.Path(sys.argv[3], 'checks'); file.open('a').write('x')"


@pytest.fixture
def checking(make_home: Callable[..., Home], make_loop: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch) -> Loop:
    """Return a loop that checks packages daily, by a command that only leaves a mark."""
    folder = make_home("checking").path
    text = settings_for(sample.Like.TELCO) + "stability_s: 0.25\n"
    (folder / settings.FILE_NAME).write_text(text)
    program = folder / "program"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{_MARKER}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return make_loop(settings.load(folder))


def _checks(loop: Loop) -> int:
    """Return how often packages were checked, once the check that runs has ended."""
    running: subprocess.Popen[bytes] | None = loop.service._packages
    if running is not None:
        running.wait()
    marks = loop.home.path / "checks"
    return len(marks.read_text()) if marks.exists() else 0


def test_packages_are_checked_at_most_once_a_day(checking: Loop) -> None:
    checking.settle_all()  # makes the ledger
    checking.turn()
    assert _checks(checking) == 1
    for _ in range(23):
        checking.turn(3600.0)
    assert _checks(checking) == 1
    checking.turn(3600.0)
    assert _checks(checking) == 2


def test_packages_are_not_checked_before_there_is_a_ledger_and_then_at_once(checking: Loop) -> None:
    checking.turn()
    assert _checks(checking) == 0
    checking.settle_all()
    checking.turn(60.0)
    assert _checks(checking) == 1


def test_packages_are_not_checked_while_files_wait(checking: Loop) -> None:
    checking.settle_all()
    checking.drop("a.csv")
    checking.turn()
    assert _checks(checking) == 0
    checking.settle_all()
    checking.hint(None)
    checking.turn()
    assert _checks(checking) == 1


def _record_check(loop: Loop, at: datetime) -> None:
    known = {"outdated_known": True, "vulnerable_known": True}
    done = packages.PackageCheck(iso(at), packages=0, findings=(), error=None, **known)
    with Ledger.open(loop.home.ledger) as ledger:
        ledger.add_package_check(done)


def test_a_check_of_today_is_not_made_again_after_a_new_start(checking: Loop) -> None:
    _record_check(checking, utc_now() - timedelta(hours=20))
    checking.turn()
    checking.turn(3.9 * 3600)
    assert _checks(checking) == 0
    checking.turn(0.2 * 3600)
    assert _checks(checking) == 1


def test_a_check_by_a_clock_that_was_wrong_puts_off_the_next_by_a_day_at_most(checking: Loop) -> None:
    _record_check(checking, utc_now() + timedelta(days=20_000))
    checking.turn()
    assert _checks(checking) == 0
    checking.turn(24 * 3600)
    assert _checks(checking) == 1


def test_packages_are_never_checked_where_nobody_wants_it(loop: Loop) -> None:
    loop.settle_all()
    loop.turn()
    loop.turn(48 * 3600.0)
    assert loop.service._packages is None


# -- lightness -------------------------------------------------------------------------------------------------

HEAVY = {"pandas", "numpy", "pydantic", "sqlite_utils", "duckdb", "sklearn", "matplotlib", "pyarrow", "jinja2"}


@pytest.mark.parametrize("module", ["service", "status", "cli", "attention"])
def test_what_must_be_light_imports_nothing_heavy(module: str) -> None:
    code = f"import churnwatch.daemon.{module}, sys; print(' '.join(sorted(m.partition('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "churnwatch" in loaded
    assert loaded & HEAVY == set()


def test_status_of_a_home_with_a_history_loads_nothing_heavy(worked: Home) -> None:
    code = (
        "import sys; from pathlib import Path; from churnwatch.daemon import status;"
        " state = status.gather(Path(sys.argv[1])); assert state['champion'], state; status.as_text(state);"
        " status.as_json(state); print(' '.join(sorted(m.partition('.')[0] for m in sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(worked.path)], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY == set()


def test_the_number_of_breakdowns_is_the_one_that_the_run_counts_to() -> None:
    """The loop cannot import `run`, which is heavy; so it has the number a second time."""
    assert run.MOST_BREAKDOWNS == 3

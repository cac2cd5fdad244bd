"""The child: started early, told what is stable, heard until it ends."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from run_steps import RUN_STEPS

from churnwatch.daemon import child
from churnwatch.daemon.service import Service
from churnwatch.daemon.worker import Worker
from churnwatch.pipeline import scan, settings
from churnwatch.pipeline.settings import Home

LIMIT_S = 60.0
Ask = Callable[..., list[dict[str, Any]]]


class Told:
    """What the child says, in order."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.all: list[dict[str, Any]] = []

    def __call__(self, message: dict[str, Any]) -> None:
        self._queue.put(message)

    def until(self, name: str, value: object = None) -> Any:
        """Return the next message of this name."""
        while True:
            message = self._queue.get(timeout=LIMIT_S)
            self.all.append(message)
            if name in message and value in (None, message[name]):
                return message[name]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def worker(home: Home, told: Told) -> Iterator[Worker]:
    made = Worker(home.path, told)
    yield made
    if made._process is not None:
        made.end("the test is over")
        made.reap()


def _drop(home: Home, source: Path) -> None:
    shutil.copy(source, home.source)


def test_an_early_child_waits_then_does_what_it_is_told_and_says_how_far_it_is(
    worker: Worker, told: Told, home: Home, months: tuple[Path, ...], ask: Ask
) -> None:
    worker.warm_up()
    early = worker._process
    assert not worker.busy
    _drop(home, months[0])
    _drop(home, months[2])
    seen = scan.look(home.source)
    stable = [signature for signature in seen if signature.path == months[0].name]
    worker.order(stable, home.settings, reason="drop", now=5.0)
    assert worker.busy
    assert worker._process is early
    assert told.until("ended") == 0
    steps = [message["step"] for message in told.all if "step" in message]
    assert steps == [*RUN_STEPS, "report"]
    [outcome] = [message for message in told.all if "run" in message]
    assert outcome["status"] == "done"
    assert outcome["line"].startswith("Released as the first model")
    worker.reap()
    assert not worker.busy
    files = ask(home, "SELECT path, state FROM what_became_of_files")
    assert files == [{"path": months[0].name, "state": "ingested"}]  # the other was not said to be stable
    assert ask(home, "SELECT reason FROM runs") == [{"reason": "drop"}]
    assert home.report.exists()


def test_the_settings_of_the_order_count_whatever_became_of_the_file(
    worker: Worker, told: Told, home: Home, months: tuple[Path, ...], ask: Ask
) -> None:
    _drop(home, months[0])
    (home.path / settings.FILE_NAME).write_text("target: [broken")
    worker.order(list(scan.look(home.source)), home.settings, reason="drop", now=0.0)
    assert told.until("ended") == 0
    [run] = ask(home, "SELECT settings_sha256, status FROM runs JOIN run_history USING (run)")
    assert run == {"settings_sha256": home.settings.sha256, "status": "done"}


def test_a_child_that_is_not_needed_is_let_go(worker: Worker, told: Told) -> None:
    worker.warm_up()
    worker.cool_down()
    assert worker._process is None
    assert told.until("ended") == 0
    worker.cool_down()  # twice does no harm


def test_a_second_warm_up_starts_no_second_child(worker: Worker) -> None:
    worker.warm_up()
    first = worker._process
    worker.warm_up()
    assert worker._process is first


def test_a_killed_child_is_reported_with_its_code(worker: Worker, told: Told) -> None:
    worker.warm_up()
    assert worker._process is not None
    os.kill(worker._process.pid, signal.SIGKILL)
    assert told.until("ended") == -signal.SIGKILL
    worker.reap()
    assert worker._process is None


def test_an_order_to_a_child_that_is_dead_is_no_error(
    worker: Worker, told: Told, home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    worker.warm_up()
    assert worker._process is not None
    os.kill(worker._process.pid, signal.SIGKILL)
    assert told.until("ended") == -signal.SIGKILL
    worker.order([], home.settings, reason="drop", now=0.0)
    assert "the child ended before it was told what to do" in caplog.text
    worker.reap()
    assert not worker.busy


def test_what_is_expected_to_go_wrong_ends_the_child_with_1(
    worker: Worker, told: Told, home: Home, capfd: pytest.CaptureFixture[str]
) -> None:
    home.source.rmdir()
    home.source.write_text("a file where the folder should be")
    worker.order([], home.settings, reason="drop", now=0.0)
    assert told.until("ended") == child.EXPECTED
    error = capfd.readouterr().err
    assert "Traceback" not in error
    assert str(home.source) in error


def test_a_bug_ends_the_child_with_3_and_leaves_its_traceback(
    home: Home, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(_folder: Path) -> int:
        try:
            return int("a value of a customer")
        except ValueError as error:
            raise ZeroDivisionError("by 'a value of a customer'") from error

    monkeypatch.setattr(child, "_run", broken)
    assert child.main([str(home.path), "run"]) == child.BUG
    for told in ((home.state / "error.log").read_text(), capfd.readouterr().err):
        assert told.count("in broken\n") == 2
        assert told.index("\nValueError (") < told.index("\nZeroDivisionError (its words are left out)\n")
        assert "invalid literal" not in told  # as Python's own words begin


def test_a_child_whose_daemon_is_gone_ends_in_the_middle_of_its_run(
    make_home: Callable[..., Home], months: tuple[Path, ...], hold: Any, ask: Ask
) -> None:
    home = make_home(extra=hold.settings)
    _drop(home, months[0])
    hold.begin()
    stable = [astuple(each) for each in scan.look(home.source)]
    order = {"reason": "drop", "settings": home.settings.canonical(), "stable": stable}
    with subprocess.Popen(
        [sys.executable, "-m", "churnwatch.daemon.child", str(home.path), "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        while json.loads(process.stdout.readline()) != {"step": "train"}:
            pass
        process.stdin.close()
        try:
            assert process.wait(LIMIT_S) == child.ORPHANED
        finally:
            process.kill()
    [run] = ask(home, "SELECT status FROM run_history")
    assert run == {"status": "running"}  # nobody was left to write its end; the next start calls it interrupted


def test_a_run_beyond_its_time_is_killed_and_the_next_attempt_goes_on(
    make_home: Callable[..., Home], months: tuple[Path, ...], hold: Any, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    home = make_home(extra=hold.settings + "run_timeout_s: 30\n")
    _drop(home, months[0])
    hold.begin()
    service = Service(home)
    now = time.monotonic()

    def wait_for(name: str, value: object = None) -> None:
        while True:
            message = service._inbox.get(timeout=LIMIT_S)
            service._take(message, now)
            if name in message and value in (None, message[name]):
                return

    try:
        service.turn(now)
        now += 1.0
        assert service.turn(now) == now + 30.0  # ordered: nothing is due before its time is over
        wait_for("step", "train")
        assert service.turn(now + 29.0) == now + 30.0
        now += 30.0
        service.turn(now)
        wait_for("ended", -signal.SIGKILL)
        assert "the run took longer than run_timeout_s (30 s); it is stopped" in caplog.text
        assert "taken up again in 5 s" in caplog.text
        hold.end()
        now += 5.0
        service.turn(now)
        wait_for("ended", 0)
    finally:
        service._stop()
    attempts = ask(home, "SELECT run, attempt, status, error FROM attempt_ends ORDER BY run, attempt")
    assert [(row["run"], row["attempt"], row["status"]) for row in attempts] == [(1, 1, "interrupted"), (1, 2, "done")]
    assert attempts[0]["error"] == "the process ended before the run did"
    assert ask(home, "SELECT path, state, rows_read FROM what_became_of_files") == [
        {"path": months[0].name, "state": "ingested", "rows_read": 300}
    ]


def test_stopping_lets_a_run_finish_within_its_grace(
    worker: Worker, told: Told, home: Home, months: tuple[Path, ...], ask: Ask
) -> None:
    _drop(home, months[0])
    worker.order(list(scan.look(home.source)), home.settings, reason="drop", now=0.0)
    told.until("step", "predict")
    worker.stop()
    assert told.until("ended") == 0
    assert ask(home, "SELECT status FROM run_history") == [{"status": "done"}]


def test_stopping_kills_a_run_that_does_not_finish(
    make_home: Callable[..., Home],
    months: tuple[Path, ...],
    hold: Any,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("churnwatch.daemon.worker._GRACE_S", 0.1)
    home = make_home(extra=hold.settings)
    _drop(home, months[0])
    hold.begin()
    worker = Worker(home.path, told)
    worker.order(list(scan.look(home.source)), home.settings, reason="drop", now=0.0)
    told.until("step", "train")
    worker.stop()
    assert told.until("ended") == -signal.SIGKILL


def test_stopping_without_a_child_does_nothing(worker: Worker) -> None:
    worker.stop()
    worker.reap()
    assert not worker.busy


def test_a_line_that_is_no_message_is_not_fatal(
    told: Told, home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    talker = home.path / "talker"
    talker.write_text('#!/bin/sh\necho "some library says hello"\necho \'{"step": "train"}\'\n')
    talker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(talker))
    worker = Worker(home.path, told)
    worker.warm_up()
    assert told.until("step") == "train"
    assert told.until("ended") == 0
    worker.reap()
    assert "no message: 24 characters" in caplog.text

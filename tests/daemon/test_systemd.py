"""The service manager's protocol, without a service manager: a socket and two variables are all it is."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from run_steps import RUN_STEPS

from churnwatch.daemon.cli import cli
from churnwatch.daemon.systemd import Systemd
from churnwatch.pipeline.settings import Home

WATCHDOG_S = 1.0
ROOT = Path(__file__).parents[2]
UNITS = ("churnwatch.service", "churnwatch-serve.service", "churnwatch-alert.service", "churnwatch-alert.timer")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(90.0)
        yield listening


def test_a_daemon_says_that_it_is_ready_alive_and_stopping(
    daemon: Callable[..., Any], home: Home, manager: socket.socket
) -> None:
    running = daemon(home, NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)))
    assert manager.recv(4096).decode() == f"READY=1\nSTATUS=watching {home.source}"
    beats = []
    while len(beats) < 4:
        assert manager.recv(4096) == b"WATCHDOG=1"
        beats.append(time.monotonic())
    gaps = [later - earlier for earlier, later in pairwise(beats)]
    assert min(gaps) < WATCHDOG_S / 2 + 0.1  # the least of them, since others use this box, too
    assert max(gaps) < WATCHDOG_S
    assert running.stop() == 0
    said = [manager.recv(4096)]
    while said[-1] != b"STOPPING=1":
        said.append(manager.recv(4096))
    assert set(said[:-1]) <= {b"WATCHDOG=1"}
    manager.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        manager.recv(4096)  # nothing comes after the end


@pytest.fixture
def running(daemon: Callable[..., Any], home: Home, manager: socket.socket) -> Any:
    """Return a daemon that has said that it is ready and alive."""
    running = daemon(home, NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)))
    assert manager.recv(4096).startswith(b"READY=1\n")
    assert manager.recv(4096) == b"WATCHDOG=1"
    return running


def _falls_silent(manager: socket.socket) -> bool:
    """Take what was said up to now; say whether nothing more comes for as long as the watchdog has patience."""
    manager.settimeout(0.0)
    with contextlib.suppress(BlockingIOError):
        while True:
            manager.recv(4096)
    manager.settimeout(WATCHDOG_S)
    try:
        manager.recv(4096)
    except TimeoutError:
        return True
    finally:
        manager.settimeout(90.0)
    return False


def test_a_stopped_daemon_is_silent_and_speaks_again_when_it_goes_on(
    running: Any, manager: socket.socket, eventually: Callable[..., Any]
) -> None:
    running.signal(signal.SIGSTOP)
    eventually(lambda: _state(running.process.pid) == "T")
    assert _falls_silent(manager)
    running.signal(signal.SIGCONT)
    assert manager.recv(4096) == b"WATCHDOG=1"
    running.stop()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_loop_that_hangs_is_silent_though_the_process_lives(
    running: Any, home: Home, manager: socket.socket, eventually: Callable[..., Any]
) -> None:
    """The settings are a pipe whose writer writes nothing: a file system that does not answer."""
    file = home.path / "settings.yaml"
    file.unlink()
    os.mkfifo(file)
    writer = eventually(lambda: _writer(file))
    assert _falls_silent(manager)
    assert running.process.poll() is None
    os.close(writer)
    assert manager.recv(4096) == b"WATCHDOG=1"
    assert running.stop() == 0
    assert "The settings before the change stay in force." in running.log


def _writer(pipe: Path) -> int | None:
    """Open a pipe to write, once somebody reads it."""
    with contextlib.suppress(OSError):
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    return None


def test_a_run_is_said_step_by_step(
    daemon: Callable[..., Any], home: Home, months: tuple[Path, ...], manager: socket.socket
) -> None:
    running = daemon(home, NOTIFY_SOCKET=manager.getsockname())
    assert manager.recv(4096).startswith(b"READY=1\n")
    (home.source / "first.csv").write_bytes(months[0].read_bytes())
    said = []
    while not said or said[-1] != f"STATUS=watching {home.source}":
        said.append(manager.recv(4096).decode())
    assert said == [*(f"STATUS=run: {step}" for step in (*RUN_STEPS, "report")), f"STATUS=watching {home.source}"]
    running.stop()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_the_units_are_as_systemd_wants_them(tmp_path: Path) -> None:
    """It exits 0 on a misspelt directive, so its words count, too."""
    for unit in UNITS:
        text = re.sub("^ExecStart=.*", "ExecStart=/bin/true", (ROOT / unit).read_text(), flags=re.MULTILINE)
        (tmp_path / unit).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", *(str(tmp_path / unit) for unit in UNITS)],
                          capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_the_units_type_commands_that_there_are() -> None:
    for unit in UNITS[:3]:
        [line] = re.findall("^ExecStart=/opt/churnwatch/bin/churnwatch (.*)", (ROOT / unit).read_text(), re.MULTILINE)
        _, _, command, *options = line.split()
        known = {option for parameter in cli.commands[command].params for option in parameter.opts}
        assert set(options) <= known


@pytest.fixture
def told(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    told = Systemd()
    yield told
    told.close()


def test_a_status_is_one_line_whatever_its_letters(told: Systemd, manager: socket.socket) -> None:
    told.ready("watching /srv/Ωmega\nand more")
    assert manager.recv(4096).decode() == "READY=1\nSTATUS=watching /srv/Ωmega and more"
    told.status(os.fsdecode(b"caf\xe9.csv"))
    assert manager.recv(4096) == b"STATUS=caf\xe9.csv"


def test_the_watchdogs_time_is_taken_only_where_it_is_meant_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    assert Systemd().watchdog_s == 3.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert Systemd().watchdog_s == 3.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert Systemd().watchdog_s is None
    monkeypatch.delenv("WATCHDOG_PID")
    monkeypatch.setenv("WATCHDOG_USEC", "often")
    assert Systemd().watchdog_s is None


def test_without_a_watchdog_no_beat_is_sent(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    told = Systemd()
    told.alive()
    told.stopping()
    assert manager.recv(4096) == b"STOPPING=1"
    told.close()


def test_without_a_service_manager_nothing_is_said_and_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    told = Systemd()
    told.ready("a")
    told.status("b")
    told.alive()
    told.stopping()
    told.close()


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # sdnotify's own
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_a_service_manager_that_is_gone_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    monkeypatch.setenv("WATCHDOG_USEC", "1")
    told = Systemd()
    told.ready("a")
    told.alive()
    told.close()

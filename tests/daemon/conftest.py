"""Homes, generated customers, real processes, and the guard that none of these is left behind."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from churnwatch.daemon import cli as command_line
from churnwatch.daemon import work
from churnwatch.pipeline import sample, settings
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.pipeline.settings import Home

QUICK = """
stability_s: 0.25
packages: {check: never}
gate: {policy: better, min_positives: 5}
"""
TRAINING = "training: {mode: refit, estimators: [logistic], folds: 3, max_gap: 1}\n"
LIMIT_S = 90.0  # how long to wait for what must come; others may be using the box
_PR_SET_CHILD_SUBREAPER = 36

# A classifier that cannot end its training while a file is there: it makes a run hang, or stops it at a known step.
HELD = """
import os
import time

from sklearn.linear_model import LogisticRegression


class Held(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        while os.path.exists(os.environ["HELD_WHILE"]):
            time.sleep(0.02)
        return super().fit(X, y, sample_weight)
"""


# -- the guard -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def _adopt_orphans() -> None:
    """Have the orphans of processes that tests kill become children of this one, so that a leaked one is seen."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@pytest.fixture(autouse=True)
def _no_leaked_processes() -> Iterator[None]:
    """A test that leaves a process behind fails."""
    before = _children()
    yield
    deadline = time.monotonic() + 20.0
    while (left := _children() - before) and time.monotonic() < deadline:
        time.sleep(0.02)
    commands = [_command(pid) for pid in left]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert not left, f"processes left running: {commands}"


def _children() -> set[int]:
    """Return our living children; those that ended and that nobody waits for are waited for here."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid():
                if state == "Z":
                    os.waitpid(int(entry.name), os.WNOHANG)
                else:
                    found.add(int(entry.name))
    return found


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return str(pid)


@pytest.fixture(autouse=True)
def _quiet_logs() -> Iterator[None]:
    """Take back what a command did to logging: its handler writes to a stream that ends with the test."""
    root = logging.getLogger("churnwatch")
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


# -- homes and data --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def months(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Return four months of generated customers, 300 each; the last has no target."""
    folder = tmp_path_factory.mktemp("months")
    return tuple(sample.write(folder, sample.Like.TELCO, months=4, rows=300, seed=3, without_target=3))


def _home(folder: Path, text: str) -> Home:
    folder.mkdir(parents=True)
    (folder / settings.FILE_NAME).write_text(text)
    home = settings.load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    return home


@pytest.fixture
def make_home(tmp_path: Path) -> Callable[..., Home]:
    """Return what makes a home for generated customers; further settings may be given."""

    def make(name: str = "home", *, extra: str = TRAINING) -> Home:
        return _home(tmp_path / name, settings_for(sample.Like.TELCO) + QUICK + extra)

    return make


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    return make_home()


@pytest.fixture(scope="session")
def worked(tmp_path_factory: pytest.TempPathFactory, months: tuple[Path, ...]) -> Home:
    """Return a home with two releases behind it. To look at only: who changes it takes `own`."""
    home = _home(tmp_path_factory.mktemp("worked") / "home", settings_for(sample.Like.TELCO) + QUICK + TRAINING)
    for month in (months[0], months[2]):
        shutil.copy(month, home.source)
        [outcome] = work.once(home, reason="drop")
        assert outcome.status == "done", outcome
    return home


@pytest.fixture
def own(worked: Home, tmp_path: Path) -> Home:
    """Return a copy of `worked` that a test may change."""
    folder = tmp_path / "own"
    shutil.copytree(worked.path, folder, symlinks=True)
    return settings.load(folder)


# -- commands --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on standard error."""
        assert self.err.endswith("\n"), self
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        return self.err.removesuffix("\n")


Churnwatch = Callable[..., Result]


@pytest.fixture
def churnwatch(capsys: pytest.CaptureFixture[str]) -> Churnwatch:
    """Return what runs a command in this process, as `main` does."""

    def run(*arguments: str | Path, home: Home | Path | None = None) -> Result:
        where = [] if home is None else ["--home", str(home.path if isinstance(home, Home) else home)]
        capsys.readouterr()
        code = command_line.guarded([*where, *map(str, arguments)])
        return Result(code, *capsys.readouterr())

    return run


# -- processes -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Return what waits for a condition and gives back its value."""

    def wait(condition: Callable[[], Any], what: str = "it never came", *, limit_s: float = LIMIT_S) -> Any:
        deadline = time.monotonic() + limit_s
        while not (value := condition()):
            assert time.monotonic() < deadline, what
            time.sleep(0.02)
        return value

    return wait


class Daemon:
    """A daemon in a process of its own."""

    def __init__(self, home: Home, log: Path, arguments: tuple[str, ...], variables: dict[str, str]) -> None:
        self.home, self._log = home, log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "churnwatch.daemon.cli", "--home", str(home.path), "run", *arguments],
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                env=os.environ | variables,
            )

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(LIMIT_S)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()


@pytest.fixture
def daemon(tmp_path: Path, eventually: Callable[..., Any]) -> Iterator[Callable[..., Daemon]]:
    """Return what starts a daemon and waits until it watches; whatever still runs in the end is killed."""
    started: list[Daemon] = []

    def start(home: Home, *arguments: str, **variables: str) -> Daemon:
        process = Daemon(home, tmp_path / f"daemon-{len(started)}.log", arguments, variables)
        started.append(process)
        eventually(lambda: "watching" in process.log or process.process.poll() is not None)
        return process

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


@pytest.fixture
def ask() -> Callable[..., list[dict[str, Any]]]:
    """Return what puts a question to a home's ledger; there are no rows while there is no ledger."""

    def question(home: Home, sql: str, *values: object) -> list[dict[str, Any]]:
        with contextlib.suppress(LedgerError), Reader.open(home.ledger) as ledger:
            return ledger.rows(sql, *values)
        return []

    return question


@pytest.fixture
def state_of(ask: Callable[..., list[dict[str, Any]]]) -> Callable[[Home, str], str | None]:
    """Return what tells the state of a file once nothing runs any more; None until then."""

    def state(home: Home, path: str) -> str | None:
        if ask(home, "SELECT 1 FROM attempts a LEFT JOIN attempt_ends n USING (run, attempt) WHERE n.run IS NULL"):
            return None
        found = ask(home, "SELECT state FROM what_became_of_files WHERE path = ? ORDER BY file", path)
        return str(found[-1]["state"]) if found else None

    return state


@dataclass(frozen=True)
class Hold:
    """Training that waits while a file is there."""

    file: Path
    settings: str
    variables: dict[str, str]

    def begin(self) -> None:
        self.file.touch()

    def end(self) -> None:
        self.file.unlink()


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Return training that can be held; child processes find it by the environment."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "heldtraining.py").write_text(HELD)
    file = tmp_path / "held"
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    variables = {"PYTHONPATH": path, "HELD_WHILE": str(file)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Hold(file, TRAINING.replace("logistic", "heldtraining.Held"), variables)

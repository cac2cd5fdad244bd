"""A run in a process of its own, every system call of which that changes a disk is seen, killed at, or made to fail.

The process is forked from this one, which has loaded all libraries, so that a crash costs a second and no start. It
is held to one core: DuckDB then starts no threads, and the calls come in the same order every time.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from churnwatch.pipeline.errors import ChurnwatchError
from churnwatch.pipeline.records import Status
from churnwatch.pipeline.run import Outcome, Progress
from churnwatch.pipeline.settings import Home

T = TypeVar("T")
WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range")
FORCES = ("fsync", "fdatasync", "sync_file_range")
NAMES = ("open", "openat", "creat", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link", "linkat", "symlink",
         "symlinkat", "unlink", "unlinkat", "rmdir")  # fmt: skip
SIZES = ("ftruncate", "truncate", "fallocate", "chmod", "fchmod", "fchmodat")
CHANGING = (*WRITES, *FORCES, *NAMES, *SIZES)
STEP = "step: "
OK, EXPECTED, BUG = 0, 1, 3
_ENTRY = re.compile(r"^(\d+) +(\w+)\((.*)$")
_ANY_MAY_TRACE = 0x59616D61  # PR_SET_PTRACER


class Run(Protocol):
    """What is run: one turn of work on a home."""

    def __call__(self, home: Home, progress: Progress) -> list[Outcome]:
        """Do it; return how it went."""


@dataclass(frozen=True)
class Point:
    """A call that changes the home: the n-th of its kind in the run's main thread, the step in which it comes."""

    syscall: str
    number: int
    step: str
    text: str

    @property
    def writes(self) -> bool:
        """Tell whether it needs room on the disk, or forces what was written there."""
        return self.syscall not in ("unlink", "unlinkat", "rmdir")


@dataclass(frozen=True)
class Ended:
    """How the process ended: its id; its exit code, negative for a signal; what it said; the lines of the trace."""

    pid: int
    code: int
    said: tuple[str, ...]
    lines: tuple[str, ...] = ()


def finish(run: Run, home: Home) -> Ended:
    """Let a run come to its end, untraced."""
    child = _Child(run, home)
    child.go()
    return child.ended()


def trace(run: Run, home: Home, *options: str) -> Ended:
    """Let a run come to its end under strace, with further options for that."""
    child = _Child(run, home)
    log = home.path.with_name(f"{home.path.name}.trace")
    command = ["strace", "-f", "-y", "-p", str(child.pid), "-o", str(log), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        if "attached" not in (first := strace.stderr.readline()):
            child.kill()
            raise SystemExit(f"strace cannot look at another process here: {first}")
        child.go()
        ended = child.ended()
        strace.stderr.read()
    lines = tuple(log.read_text(errors="replace").splitlines())
    log.unlink()
    return replace(ended, lines=lines)


def points(ended: Ended, home: Home) -> list[Point]:
    """Return the calls of a traced run's main thread that changed its home, in order."""
    main, step, counts, found = str(ended.pid), "begin", dict.fromkeys(CHANGING, 0), []
    for line in ended.lines:
        entry = _ENTRY.match(line)
        if entry is None or entry[1] != main:
            continue
        syscall, text = entry[2], entry[3]
        if syscall == "sendto":
            step = step_of(text)
        elif syscall in counts:
            counts[syscall] += 1
            if str(home.path) in text and _changes(syscall, text):
                found.append(Point(syscall, counts[syscall], step, text))
    return found


def step_of(text: str) -> str:
    """Return the step whose beginning is said by a call."""
    return text.partition(STEP)[2].partition("\\n")[0]


def _changes(syscall: str, text: str) -> bool:
    """Tell whether a call changes what a disk holds; the shared memory of SQLite is made anew whenever it is needed."""
    opens = syscall in ("open", "openat")
    return "-shm" not in text and (not opens or "O_CREAT" in text or "O_TRUNC" in text)


def seen(run: Run, home: Home) -> list[Point]:
    """Let a run come to its end, and return the points at which it can be crashed."""
    ended = trace(run, home, "-e", f"trace={','.join(CHANGING)},sendto")
    assert ended.code == OK, ended.said
    return points(ended, home)


def why_not() -> str | None:
    """Return what this machine lacks, or None."""
    return None if shutil.which("strace") else "strace is missing; install it (Debian: apt-get install strace)"


def in_parallel(jobs: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Do each job in a process of its own, forked from this one: it has no thread that a fork could leave hanging."""
    context = multiprocessing.get_context("fork")
    with context.Pool(len(os.sched_getaffinity(0)), maxtasksperchild=1) as workers:
        yield from workers.imap(_call, jobs)


def _call(job: Callable[[], T]) -> T:
    return job()


class _Child:
    """The process in which the run happens; it waits until it is told to go."""

    def __init__(self, run: Run, home: Home) -> None:
        # What it says goes through a socket: sending is none of the calls that are counted and made to fail.
        self._ears, mouth = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self._ears.close()
            os._exit(_work(run, home, mouth))
        mouth.close()

    def go(self) -> None:
        """Let it begin."""
        self._ears.sendall(b"!")

    def kill(self) -> None:
        """End it before it began."""
        os.kill(self.pid, 9)
        self.ended()

    def ended(self) -> Ended:
        """Wait for its end."""
        with self._ears, self._ears.makefile(encoding="utf-8", errors="replace") as heard:
            said = tuple(_heard(heard))
        return Ended(self.pid, os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), said)


def _heard(lines: Iterator[str]) -> Iterator[str]:
    try:
        for line in lines:
            yield line.rstrip("\n")
    except ConnectionResetError:
        return  # it was killed while it spoke


def _work(run: Run, home: Home, mouth: socket.socket) -> int:
    """Do one turn, as the daemon's child does, and return its exit code."""
    ctypes.CDLL(None).prctl(_ANY_MAY_TRACE, ctypes.c_ulong(-1), 0, 0, 0)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})

    def say(text: str) -> None:
        mouth.sendall(f"{text}\n".encode())

    try:
        mouth.recv(1)
        _listen(say)
        outcomes = run(home, lambda step: say(f"{STEP}{step}"))
    except (ChurnwatchError, OSError) as error:
        say(f"error: {error}")
        return EXPECTED
    except BaseException:  # noqa: BLE001 - whatever it was, it is told
        say(traceback.format_exc())
        return BUG
    return OK if all(outcome.status is Status.DONE for outcome in outcomes) else EXPECTED


def _listen(say: Callable[[str], None]) -> None:
    """Let what is logged be said."""

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"log: {self.format(record)}")

    logging.getLogger().handlers = [Said()]
    logging.getLogger().setLevel(logging.INFO)

"""The parent's side of a run: start a child early, tell it what is stable, hear how far it is, end it if it hangs."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import astuple
from pathlib import Path
from typing import Any

from churnwatch.pipeline.records import Signature
from churnwatch.pipeline.settings import STATE_FOLDER, Settings

log = logging.getLogger("churnwatch.worker")
_GRACE_S = 10.0


class Worker:
    """At most one child. `tell(message)` is called from a thread for every line that the child says, and at its end.

    Args:
        home: the child's home.
        tell: takes a message; `{"ended": exit code}` is the last one.
    """

    def __init__(self, home: Path, tell: Callable[[dict[str, Any]], None]) -> None:
        self._home, self._tell = home, tell
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self.ordered_at: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a run is going on."""
        return self.ordered_at is not None

    def warm_up(self) -> None:
        """Start the child before there is work, so that it imports while the files settle."""
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-m", "churnwatch.daemon.child", str(self._home), "run"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # One thread: see `cli.main`. matplotlib keeps its cache where it can write, also as a service's user.
            env={"OMP_NUM_THREADS": "1", "MPLCONFIGDIR": str(self._home / STATE_FOLDER / "matplotlib"), **os.environ},
            start_new_session=True,  # a Ctrl-C in the terminal is for the daemon, which ends the run in its own time
        )
        self._listener = threading.Thread(target=self._listen, args=(self._process,), name="worker")
        self._listener.start()

    def order(self, stable: Collection[Signature], settings: Settings, *, reason: str, now: float) -> None:
        """Have the child work off these files, under these settings (the file may be broken by now)."""
        self.warm_up()
        assert self._process is not None  # noqa: S101 - `warm_up` made it
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self.ordered_at = now
        order = {"reason": reason, "settings": settings.canonical(), "stable": [astuple(each) for each in stable]}
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            log.warning("the child ended before it was told what to do")

    def cool_down(self) -> None:
        """Let go a child that was started for nothing."""
        if not self.busy:
            self._close()

    def end(self, why: str) -> None:
        """Kill a run that hangs; the ledger will call it interrupted."""
        log.error("%s", why)
        self._kill()

    def stop(self) -> None:
        """End whatever goes on: a run gets a little time, else it is killed and taken up at the next start."""
        if self._process is None:
            return
        if self.busy:
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._kill()
        self._close()

    def reap(self) -> None:
        """Forget a child that has ended."""
        self._close()
        self.ordered_at = None

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _close(self) -> None:
        process, listener = self._process, self._listener
        if process is None or listener is None or process.stdin is None or process.stdout is None:
            return
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            process.stdin.close()  # without an order, the end of its input is what ends a child
        process.wait()
        listener.join()
        process.stdout.close()
        self._process = self._listener = None

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        for line in process.stdout:
            try:
                self._tell(json.loads(line))
            except ValueError:
                log.warning("the child said something that is no message: %d characters", len(line))
        self._tell({"ended": process.wait()})

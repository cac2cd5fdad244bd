"""What was answered → `serving.db`, off the way of the requests: one thread writes, in batches.

Nothing here fails a request. A prediction that cannot be kept is counted, and the count is written as soon as something
can be.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.served.records import Fate, Outcome, Served
from churnwatch.pipeline.served.writer import Store
from churnwatch.pipeline.settings import Home

log = logging.getLogger("churnwatch.serving")
_MOST = 20_000  # predictions that wait in memory
_AT_ONCE = 5_000  # in one transaction
_BATCH_S = 0.5  # in which predictions gather
_LOOK_S = 60.0  # between two looks for what is too old
_PRUNE_ROWS = 2_000


@dataclass(frozen=True)
class LogState:
    """How the log is.

    Attributes:
        logged: predictions since the start.
        not_logged: those that were lost.
        waiting: those in memory.
        error: what is wrong now; None: nothing.
    """

    logged: int
    not_logged: int
    waiting: int
    error: str | None


class Log:
    """The log of one serving process, and its writer.

    Args:
        path: of `serving.db`.
        share: of the predictions that are logged, told by their ids, so that it is the same ones whoever asks.
        keep_days: after which a prediction is removed.
        clock: says what time it is, in UTC.
        most: predictions that may wait in memory.
    """

    def __init__(
        self,
        path: Path,
        *,
        share: float = 1.0,
        keep_days: int = 90,
        clock: Callable[[], datetime] = utc_now,
        most: int = _MOST,
    ) -> None:
        self._path, self._clock, self._most = path, clock, most
        self._store: Store
        self._file: tuple[int, int] | None = None
        self._below, self._keep = share * 2**32, timedelta(days=keep_days)
        self._queue: deque[Served] = deque()
        self._batch: list[Served] = []  # what was taken from the queue and is not written yet
        self._told: deque[tuple[Sequence[Outcome], Future[list[Fate]]]] = deque()
        self._lost = self._lost_written = self._logged = 0
        self._counting = threading.Lock()
        self._error: str | None = None
        self._prune_at = clock()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._ending = False
        self._starts = 0
        self._thread: threading.Thread

    @classmethod
    def of(cls, home: Home) -> Self:
        """Return the log of a home, which is to be started.

        Raises:
            LedgerError: `serving.db` cannot be written.
        """
        serve = home.settings.serve
        Store.connect(home.serving_log).close()  # now, so that who starts the process is told in a line
        return cls(home.serving_log, share=serve.log_share, keep_days=serve.keep_days)

    def open(self) -> None:
        """Open the file.

        Raises:
            LedgerError: it cannot be written.
        """
        self._store = Store.connect(self._path)
        self._file = _file(self._path)

    def start(self) -> None:
        """Open the file and start the writer; where it was started already, it takes as many ends to end it.

        Raises:
            LedgerError: it cannot be written.
        """
        self._starts += 1
        if self._starts > 1:
            return
        self.open()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="serving log")
        self._thread.start()

    def add(self, served: Served) -> None:
        """Have a prediction written, if it is one of the share that is. Takes a microsecond and never waits."""
        if zlib.crc32(served.uuid.encode()) >= self._below:
            return
        if len(self._queue) + len(self._batch) >= self._most:
            self._lose(1)
            return
        self._queue.append(served)
        if not self._wake.is_set():
            self._wake.set()

    def tell(self, outcomes: Sequence[Outcome]) -> Future[list[Fate]]:
        """Have outcomes joined to their predictions; the result says what became of each.

        All are joined, or none where one is unknown or contradicts. The result is a LedgerError where nothing can be
        written now.
        """
        result: Future[list[Fate]] = Future()
        self._told.append((outcomes, result))
        self._wake.set()
        self._hurry.set()
        return result

    def state(self) -> LogState:
        """Return how the log is now."""
        return LogState(self._logged, self._lost, len(self._queue) + len(self._batch), self._error)

    def close(self) -> None:
        """Write what waits, and end."""
        self._starts -= 1
        if self._starts:
            return
        self._ending = True
        self._wake.set()
        self._hurry.set()
        self._thread.join()
        left = len(self._queue) + len(self._batch)
        if left:
            log.error("%d served prediction(s) were not logged: %s", left, self._error)
        self._store.close()

    # -- the writer's thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._wake.wait(_LOOK_S)
            self._hurry.wait(_BATCH_S)
            ending = self._ending
            self._wake.clear()
            self._hurry.clear()
            self.turn()
            if ending:
                return

    def turn(self) -> None:
        """Write what waits, join what was told, remove what is too old."""
        told = [self._told.popleft() for _ in range(len(self._told))]
        try:
            self._follow()
            self._write()
            for outcomes, result in told:
                self._join(outcomes, result)
            self._prune()
        except (sqlite3.Error, LedgerError) as error:
            self._fail(error, [result for _, result in told])
        else:
            self._mended()

    def _follow(self) -> None:
        """Begin a new file where somebody moved the one away that is open."""
        if _file(self._path) != self._file:
            self._store.close()  # first: its end would take the log beside the new one along
            self.open()
            log.warning("%s was moved away; a new one is begun", self._path.name)

    def _write(self) -> None:
        while self._batch or self._queue or self._lost > self._lost_written:
            self._batch += [self._queue.popleft() for _ in range(min(len(self._queue), _AT_ONCE - len(self._batch)))]
            lost = self._lost
            kept = self._store.add(self._batch, lost=lost - self._lost_written, at=self._now())
            bad = len(self._batch) - kept
            self._lose(bad)
            self._lost_written = lost + bad
            self._logged += kept
            self._batch = []

    def _join(self, outcomes: Sequence[Outcome], result: Future[list[Fate]]) -> None:
        if not result.set_running_or_notify_cancel():
            return  # whoever asked is gone
        try:
            result.set_result(self._store.tell(outcomes, told_at=self._now()))
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - a bug is told to who asked, and the writer goes on
            result.set_exception(error)

    def _prune(self) -> None:
        now = self._clock()
        if now < self._prune_at:
            return
        if self._store.prune(iso(now - self._keep), most=_PRUNE_ROWS) == _PRUNE_ROWS:
            self._wake.set()  # the next step, after the predictions of half a second
        else:
            self._prune_at = now + timedelta(seconds=_LOOK_S)

    def _fail(self, error: Exception, results: Sequence[Future[list[Fate]]]) -> None:
        """Keep what waits, and try again: a lock or a full disk may pass."""
        if self._error is None:
            log.error("what is served cannot be logged (%s); it is tried again", error)
        self._error = str(error)
        for each in results:
            if not each.done():
                each.set_exception(LedgerError(f"nothing can be written now ({error}); tell it again later."))
        self._wake.set()

    def _mended(self) -> None:
        if self._error is not None:
            log.info("what is served is logged again")
            self._error = None

    def _lose(self, rows: int) -> None:
        with self._counting:
            self._lost += rows

    def _now(self) -> str:
        return iso(self._clock())


def _file(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one at its place; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

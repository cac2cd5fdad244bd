"""The daemon: one loop, one turn at a time.

Events and the child's messages come through one queue, signal handlers only set flags, and `turn(now)` does what is
due and says when the next turn is. Between turns it sleeps: an idle daemon takes no CPU.
"""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from churnwatch.daemon.attention import DAEMON_LOCK
from churnwatch.daemon.settle import Settler
from churnwatch.daemon.systemd import Systemd
from churnwatch.daemon.watch import Watcher
from churnwatch.daemon.worker import Worker
from churnwatch.pipeline import files, scan, schedule, settings
from churnwatch.pipeline.clock import from_iso, utc_now
from churnwatch.pipeline.errors import ChurnwatchError, DataError, LedgerError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import MOST_BREAKDOWNS, Signature
from churnwatch.pipeline.served import due as served
from churnwatch.pipeline.settings import Home

log = logging.getLogger("churnwatch.daemon")
_DAY_S = 24 * 3600.0
_NOTIFY_EVERY_S = 300.0
_BACKOFF_S = (5.0, 15.0, 60.0, 300.0)
_SOON_S = 2.0  # an unreadable folder is looked at again this soon
_MOST_SLEEP_S = 3600.0


class Service:
    """The daemon of one home.

    Args:
        home: the home.
        poll_s: look this often and do not rely on file events (network file systems); None: events and scans.
        notifies: whether it sends alerts and mail; else somebody else does.
    """

    def __init__(self, home: Home, *, poll_s: float | None = None, notifies: bool = True) -> None:
        self._home, self._poll_s, self._notifies = home, poll_s, notifies
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._settler = Settler(home.settings.stability_s)
        self._watcher = self._listening(home)
        self._worker = Worker(home.path, self._inbox.put)
        self._systemd = Systemd()
        self._settings_mtime = self._settings_stamp()
        self._settled: set[Signature] | None = None
        self._pending: list[Signature] = []
        self._scan_at = 0.0
        self._resume = True  # a run may have been cut short before we started
        self._not_before = 0.0
        self._failures = 0
        self._ordered: frozenset[Signature] = frozenset()
        self._left: frozenset[Signature] = frozenset()  # files that a run left as they were, and
        self._left_until, self._times_left = 0.0, 0  # until when they are let be
        self._packages: subprocess.Popen[bytes] | None = None
        self._packages_at: float | None = None
        self._notifier: subprocess.Popen[bytes] | None = None
        self._notify_at = 0.0
        self._training_at: float | None = None  # when a model is due by the clock; inf: never
        self._served_due = False  # whether there is a batch to make of what was served
        self._folder_error: str | None = None
        self.stopping = False

    def _listening(self, home: Home) -> Watcher:
        return Watcher(home.source, lambda name: self._inbox.put({"hint": name}), deep=bool(home.subfolders))

    # -- life --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Watch until told to stop.

        Raises:
            BusyError: another daemon works on this home.
            LedgerError: the ledger is damaged.
        """
        pid = files.holder(self._home.state / DAEMON_LOCK)
        busy = f"{self._home.path}: a daemon is running already (process {pid}). Stop it first."
        with files.lock(self._home.state / DAEMON_LOCK, busy=busy), self._signals():
            for folder in self._home.folders():
                folder.mkdir(parents=True, exist_ok=True)
            _refuse_damaged(self._home)
            _bring_up_to_date(self._home)
            if self._poll_s is None:
                self._watcher.start()
            log.info("watching %s", self._home.source)
            self._systemd.ready(f"watching {self._home.source}")
            try:
                while not self.stopping:
                    self._sleep(self.turn(time.monotonic()))
            finally:
                self._systemd.stopping()
                self._stop()

    def _stop(self) -> None:
        self._watcher.stop()
        self._worker.stop()
        for beside in (self._packages, self._notifier):
            if beside is not None:
                beside.send_signal(signal.SIGINT)  # the one it takes its own children along with
                beside.wait()
        self._systemd.close()
        log.info("stopped")

    def _sleep(self, until: float) -> None:
        """Wait for the next message or the next thing that is due, whichever comes first; take in all messages."""
        wait = min(max(0.0, until - time.monotonic()), _MOST_SLEEP_S)
        if self._systemd.watchdog_s is not None:
            wait = min(wait, self._systemd.watchdog_s / 2)
        try:
            message = self._inbox.get(timeout=wait)
            while True:
                self._take(message, time.monotonic())
                message = self._inbox.get_nowait()
        except queue.Empty:
            return

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Handle signals by flags; the queue wakes the loop."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stopping = True
            self._inbox.put({})

        def look(_number: int, _frame: FrameType | None) -> None:
            self._inbox.put({"hint": None})

        former = {number: signal.signal(number, handler) for number, handler in
                  ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, look))}  # fmt: skip
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    # -- messages ----------------------------------------------------------------------------------------------

    def _take(self, message: dict[str, Any], now: float) -> None:
        if "hint" in message:
            self._hint(message["hint"], now)
        elif "step" in message:
            log.debug("  %s …", message["step"])
            self._systemd.status(f"run: {message['step']}")
        elif "ended" in message:
            self._ended(message["ended"], now)

    def _hint(self, name: str | None, now: float) -> None:
        self._scan_at = now
        if name is None:
            self._settled = None
        elif scan.is_ours(name):
            self._settler.hear(scan.shown(name), now)

    def _ended(self, code: int, now: float) -> None:
        """Take in the end of a child: after a failure wait longer each time, so that a lasting one does not spin."""
        self._worker.reap()
        self._settled = self._training_at = None
        self._scan_at = self._notify_at = now
        if code == 0:
            self._failures, self._resume = 0, False
            self._systemd.status(f"watching {self._home.source}")
        else:
            self._back_off(f"the run ended with code {code}", now)

    def _back_off(self, why: str, now: float) -> None:
        self._ordered = frozenset()
        delay = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._failures += 1
        self._not_before, self._resume = now + delay, True
        log.warning("%s; it is taken up again in %.0f s", why, delay)
        self._systemd.status("the last run failed; see `churnwatch status`")

    # -- one turn ----------------------------------------------------------------------------------------------

    def turn(self, now: float) -> float:
        """Do what is due at `now` (seconds of a monotonic clock); return when the next turn is due."""
        self._systemd.alive()
        if self._worker.busy:
            return self._while_busy(now)
        self._reload_settings()
        if now >= self._scan_at:
            self._scan(now)
        settled = self._settler.look(self._pending, now)
        waits = now < self._left_until
        let_be = waits and self._left.issuperset(self._pending)
        ready = settled.ready and not (waits and self._left.issuperset(settled.stable))
        training_at = self._next_training(now)
        due = now >= training_at or self._served_due
        if (ready or due or (self._resume and self._unfinished())) and now >= self._not_before:
            return self._order(settled.stable, now)
        self._resume = self._resume and now < self._not_before
        if not self._pending or let_be:
            self._worker.cool_down()
        elif now >= self._not_before:
            self._start(self._worker.warm_up, now)
        self._check_packages(now)
        self._notify(now)
        dues = [self._scan_at, settled.next_at, training_at, self._left_until if let_be else None,
                self._notify_at if self._tells_people else None,
                self._not_before if (self._pending or self._resume or due) else None]  # fmt: skip
        return min([each for each in dues if each is not None and each > now], default=now + _MOST_SLEEP_S)

    def _order(self, stable: frozenset[Signature], now: float) -> float:
        """Have a run made, unless the last one settled none of these files."""
        self._resume = self._served_due = False
        if stable and stable <= self._ordered:
            return self._let_be(stable, now)
        self._ordered = stable
        self._start(lambda: self._worker.order(stable, self._home.settings, reason="drop", now=now), now)
        return now + self._home.settings.run_timeout_s if self._worker.busy else self._not_before

    def _let_be(self, stable: frozenset[Signature], now: float) -> float:
        """Wait with files that a run left as they were, longer each time; what else comes is not held up by them."""
        delay = _BACKOFF_S[min(self._times_left, len(_BACKOFF_S) - 1)]
        self._times_left += 1
        self._ordered, self._left, self._left_until = frozenset(), stable, now + delay
        log.warning("the run left %d file(s) as they were; they are tried again in %.0f s", len(stable), delay)
        return self._left_until

    def _start(self, begin: Callable[[], None], now: float) -> None:
        """Start a child; where the machine has no room for one, the daemon goes on and tries again later."""
        try:
            begin()
        except OSError as error:
            self._worker.reap()
            self._back_off(f"no run could be started ({error.strerror})", now)

    def _while_busy(self, now: float) -> float:
        begun, limit = self._worker.ordered_at or now, self._home.settings.run_timeout_s
        if now - begun >= limit:
            self._worker.end(f"the run took longer than run_timeout_s ({limit:.0f} s); it is stopped")
            return now + 1.0
        return begun + limit

    def _scan(self, now: float) -> None:
        """Look at the folder; what needs work is whatever the ledger does not call settled."""
        every = self._poll_s or self._home.settings.scan_interval_s
        self._scan_at = now + every
        try:
            seen = scan.look(self._home.source, self._home.looked_into)
        except DataError as error:
            if self._folder_error is None:
                log.error("%s It is looked at again every few seconds.", error)  # noqa: TRY400
                self._systemd.status(str(error))
            self._folder_error, self._pending = str(error), []
            self._scan_at = now + min(_SOON_S, every)
            return
        if self._folder_error is not None:
            log.info("%s can be read again", self._home.source)
            self._folder_error = None
        if self._poll_s is None and self._watcher.renew():
            log.info("listening to %s again", self._home.source)
        if self._settled is None:
            self._settled = self._known()
        self._pending = [signature for signature in seen if signature not in self._settled]
        if self._left.isdisjoint(self._pending):
            self._left, self._times_left = frozenset(), 0
        self._served_due = self._is_batch_due()

    def _is_batch_due(self) -> bool:
        if not self._home.serving_log.exists():
            return False
        try:
            with Reader.open(self._home.ledger) as ledger:
                return served.is_due(self._home, ledger, now=utc_now())
        except LedgerError:
            return False  # there is no model yet; or `serving.db` is damaged, which `status` says

    def _known(self) -> set[Signature]:
        try:
            with Reader.open(self._home.ledger) as ledger:
                return scan.settled(ledger)
        except LedgerError as error:
            if self._home.ledger.exists():
                log.error("%s", error)  # noqa: TRY400 - expected: one line
            return set()

    def _next_training(self, now: float) -> float:
        """Return when a model is to be trained by the clock, though no file came."""
        if self._training_at is None:
            due = None
            with contextlib.suppress(LedgerError), Reader.open(self._home.ledger) as ledger:
                due = schedule.due(ledger, self._home.settings.retrain)
            self._training_at = math.inf if due is None else now + (due - utc_now()).total_seconds()
        return self._training_at

    def _unfinished(self) -> bool:
        try:
            with Reader.open(self._home.ledger) as ledger:
                return bool(ledger.open_attempts() or ledger.unfinished(MOST_BREAKDOWNS) or ledger.open_intent())
        except LedgerError:
            return False  # there is none yet

    # -- settings and packages ---------------------------------------------------------------------------------

    def _settings_stamp(self) -> int | None:
        try:
            return (self._home.path / settings.FILE_NAME).stat().st_mtime_ns
        except OSError:
            return None

    def _reload_settings(self) -> None:
        """Pick up changed settings between runs; broken ones are refused and the old ones kept."""
        stamp = self._settings_stamp()
        if stamp == self._settings_mtime:
            return
        self._settings_mtime = stamp
        try:
            home = settings.load(self._home.path)
        except ChurnwatchError as error:
            log.error("%s The settings before the change stay in force.", error)  # noqa: TRY400
            return
        log.info("settings.yaml changed; the new settings are in force")
        self._training_at = None
        moved = (home.source, home.subfolders) != (self._home.source, self._home.subfolders)
        self._home = home
        self._settler.stability_s = home.settings.stability_s
        if moved:
            self._watch_elsewhere()

    def _watch_elsewhere(self) -> None:
        self._watcher.stop()
        self._watcher = self._listening(self._home)
        if self._poll_s is None:
            self._watcher.start()
        self._settled, self._scan_at = None, 0.0

    def _check_packages(self, now: float) -> None:
        """Check packages at most once a day, in a process of its own, beside the runs."""
        if self._packages is not None and self._packages.poll() is not None:
            self._packages = None
        if self._home.settings.packages.check == "never" or self._packages is not None or self._pending:
            return
        if self._packages_at is None:
            self._packages_at = now + self._until_next_check()
        if now >= self._packages_at and self._home.ledger.exists():
            self._packages_at = now + _DAY_S
            self._packages = self._beside("packages")

    @property
    def _tells_people(self) -> bool:
        given = self._home.settings
        return self._notifies and bool(given.mail.to or given.alerts.channels)

    def _notify(self, now: float) -> None:
        """Tell people what is new after every run and every few minutes, in a process of its own, beside the runs."""
        if self._notifier is not None and self._notifier.poll() is not None:
            self._notifier = None
        if self._tells_people and self._notifier is None and now >= self._notify_at and self._home.ledger.exists():
            self._notify_at = now + _NOTIFY_EVERY_S
            self._notifier = self._beside("notify")

    def _beside(self, what: str) -> subprocess.Popen[bytes] | None:
        """Start a process beside the runs; None where the machine has no room for one: it is tried when due again."""
        command = [sys.executable, "-m", "churnwatch.daemon.child", str(self._home.path), what]
        try:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        except OSError as error:
            log.warning("`%s` could not be started beside the runs (%s)", what, error.strerror)
            return None

    def _until_next_check(self) -> float:
        try:
            with Reader.open(self._home.ledger) as ledger:
                check = ledger.package_check()
        except LedgerError:
            check = None
        if check is None:
            return 0.0
        age = (utc_now() - from_iso(check["checked_at"])).total_seconds()
        return min(max(0.0, _DAY_S - age), _DAY_S)  # a clock that was wrong then must not put it off for years


def _refuse_damaged(home: Home) -> None:
    """Look the whole ledger over once, before anything is built upon it."""
    if not home.ledger.exists():
        return
    with Reader.open(home.ledger) as ledger:
        problems = ledger.problems()
    if problems:
        raise LedgerError(f"{home.ledger}: damaged ({problems[0]}). Put back a backup: `churnwatch restore BACKUP` into"
                          " an empty folder, and make that the home.")  # fmt: skip


def _bring_up_to_date(home: Home) -> None:
    """Let a child migrate a ledger of an older version, so that it can be read before the next run.

    The child says what went wrong, if something did; the daemon goes on, as the next run tries again.
    """
    if home.ledger.exists():
        command = [sys.executable, "-m", "churnwatch.daemon.child", str(home.path), "migrate"]
        subprocess.run(command, stdin=subprocess.DEVNULL, start_new_session=True, check=False)


def run(home: Path, *, poll_s: float | None = None, notifies: bool = True) -> None:
    """Run the daemon of a home until it is told to stop."""
    Service(settings.load(home), poll_s=poll_s, notifies=notifies).run()

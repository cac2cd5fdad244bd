"""Word to systemd: ready, status, alive, stopping. Without systemd nothing is said and nothing is missing."""

from __future__ import annotations

import os

import sdnotify


class Systemd:
    """The service manager, if there is one (`NOTIFY_SOCKET` is set)."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        self.watchdog_s = _watchdog_s()

    def ready(self, status: str) -> None:
        """Say that start-up is done."""
        self._notifier.notify(f"READY=1\nSTATUS={_line(status)}")

    def status(self, text: str) -> None:
        """Say in a line what goes on."""
        self._notifier.notify(f"STATUS={_line(text)}")

    def alive(self) -> None:
        """Say that the loop turns; said from nowhere else, so that a stuck loop falls silent."""
        if self.watchdog_s is not None:
            self._notifier.notify("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._notifier.notify("STOPPING=1")


def _watchdog_s() -> float | None:
    """Return within which time systemd wants to hear from us, in seconds."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    meant_for = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(microseconds) / 1e6 if microseconds.isdigit() and meant_for == str(os.getpid()) else None


def _line(text: str) -> str:
    return " ".join(text.split())

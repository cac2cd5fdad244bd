"""Word to systemd: ready, status, alive, stopping. Without systemd nothing is said and nothing is missing."""

from __future__ import annotations

import os

import sdnotify


class Systemd:
    """The service manager, if there is one (`NOTIFY_SOCKET` is set)."""

    def __init__(self) -> None:
        # The library leaves an open socket behind where there is no address to send to.
        self._notifier = sdnotify.SystemdNotifier() if os.environ.get("NOTIFY_SOCKET") else None
        self.watchdog_s = _watchdog_s()

    def ready(self, status: str) -> None:
        """Say that start-up is done."""
        self._say(f"READY=1\nSTATUS={_line(status)}")

    def status(self, text: str) -> None:
        """Say in a line what goes on."""
        self._say(f"STATUS={_line(text)}")

    def alive(self) -> None:
        """Say that the loop turns; said from nowhere else, so that a stuck loop falls silent."""
        if self.watchdog_s is not None:
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._say("STOPPING=1")

    def close(self) -> None:
        """Say no more."""
        if self._notifier is not None and self._notifier.socket is not None:
            self._notifier.socket.close()

    def _say(self, text: str) -> None:
        if self._notifier is not None:
            # The library writes Latin-1 and drops in silence what does not fit; this way UTF-8 goes out.
            self._notifier.notify(text.encode("utf-8", "surrogateescape").decode("latin-1"))


def _watchdog_s() -> float | None:
    """Return within which time systemd wants to hear from us, in seconds."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    meant_for = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(microseconds) / 1e6 if microseconds.isdigit() and meant_for == str(os.getpid()) else None


def _line(text: str) -> str:
    return " ".join(text.split())

"""File events → hints. The scan is the truth: an event only says that a look is worth it, and where.

The kernel's queue can overflow, a folder can be removed and made again, a network file system says nothing at all:
so whoever listens here also scans now and then, and asks `alive` whether events still come.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify import InotifyObserver

Hint = Callable[[str | None], None]
_KINDS = [FileClosedEvent, FileCreatedEvent, FileDeletedEvent, FileModifiedEvent, FileMovedEvent]
log = logging.getLogger("churnwatch.watch")


class _Handler(FileSystemEventHandler):
    """Passes on the names of files. It must not raise: an exception here would end all events."""

    def __init__(self, folder: Path, hint: Hint) -> None:
        self._folder, self._hint = str(folder), hint

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Hint at a file that something happened to, by its name relative to the folder."""
        path = event.dest_path or event.src_path
        self._hint(os.path.relpath(os.fsdecode(path), self._folder))  # bytes or text, whichever came


class _Overflow(logging.Handler):
    """Hears watchdog's word of an overflow, which no event handler is told of."""

    def __init__(self, hint: Hint) -> None:
        super().__init__(logging.WARNING)
        self._hint = hint

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage().lower():
            self._hint(None)


class Watcher:
    """Listens to one folder and calls `hint(name)` from a thread; `hint(None)` means: look at everything.

    Args:
        folder: the folder.
        hint: what to call.
        deep: listen to the folders below it too.
    """

    def __init__(self, folder: Path, hint: Hint, *, deep: bool = False) -> None:
        self._folder, self._deep = folder, deep
        self._hint = hint
        self._observer: InotifyObserver | None = None
        self._inode: tuple[int, int] | None = None
        self._overflow = _Overflow(hint)
        self._warned = False

    def start(self) -> None:
        """Begin to listen. A folder that is not there is not an error: `alive` stays false."""
        observer = InotifyObserver(generate_full_events=True)
        try:
            status = self._folder.stat()
            handler = _Handler(self._folder, self._hint)
            observer.schedule(handler, str(self._folder), recursive=self._deep, event_filter=_KINDS)
            observer.start()
        except OSError as error:
            observer.unschedule_all()  # what was opened for it is closed
            if not self._warned:
                log.warning("no file events from %s (%s); it is scanned instead", self._folder, error.strerror)
            self._warned = True
            return
        self._warned = False
        logging.getLogger("watchdog").addHandler(self._overflow)
        self._observer, self._inode = observer, (status.st_dev, status.st_ino)

    def stop(self) -> None:
        """Listen no more; the thread has ended when this returns."""
        logging.getLogger("watchdog").removeHandler(self._overflow)
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None

    def alive(self) -> bool:
        """Tell whether events come from the folder that is there now, and not from one that was removed."""
        if self._observer is None or not self._observer.is_alive():
            return False
        try:
            status = self._folder.stat()
        except OSError:
            return False
        emitters = self._observer.emitters
        return (status.st_dev, status.st_ino) == self._inode and any(emitter.is_alive() for emitter in emitters)

    def renew(self) -> bool:
        """Listen again where listening broke off; return whether it had to."""
        if self.alive():
            return False
        self.stop()
        self.start()
        return self._observer is not None

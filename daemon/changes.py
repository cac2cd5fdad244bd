"""The commands that change something: retry, promote, approve, rollback, unpin. Each says in a line what it did."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
from pathlib import Path
from typing import Any

from churnwatch.daemon.attention import daemon_pid
from churnwatch.daemon.writing import ledger_of
from churnwatch.pipeline import promotion, scan, settings
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.errors import NotFoundError, UsageError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import FileEvent, FileState
from churnwatch.pipeline.settings import Home

_LATER = ". Report and predictions follow with the next run (the report at once: `churnwatch report`)."


def retry(folder: Path, path: str) -> str:
    """Have a file read again.

    Raises:
        NotFoundError: it was never seen.
        UsageError: it is gone, or reading it again would ingest its rows twice.
    """
    home = settings.load(folder)
    with ledger_of(home) as ledger:
        row = _newest(ledger, path)
        if not scan.located(home.source, row["path"]).exists():
            raise UsageError(f"{path} lies no longer in {home.source}; put it there, and it is read by itself.")
        if row["state"] == FileState.INGESTED and home.settings.dedup == "off":
            raise UsageError(f"{path} was ingested, and with `dedup: off` its rows would be ingested twice.")
        ledger.add(FileEvent(row["file"], None, iso(utc_now()), FileState.RETRY, reason=f"asked for by {who()}"))
    return f"{scan.on_one_line(row['path'])} is read again {_when(home)}"


def _newest(ledger: Reader, path: str) -> dict[str, Any]:
    """Return what is known of a path, given as the file is called, or as a list shows a name that is no text."""
    try:
        return ledger.file_by_path(scan.shown(path))
    except NotFoundError:
        if "\\" not in path:
            raise
        return ledger.file_by_path(path)


def promote(folder: Path, version: int, why: str) -> str:
    """Make a version the release by hand."""
    home = settings.load(folder)
    with ledger_of(home) as ledger:
        model = promotion.promote(home, ledger, version, actor=who(), why=why)
    _when(home)  # a request to score may have waited for this
    return f"{model.name} serves now{_LATER}"


def approve(folder: Path, version: int, why: str) -> str:
    """Release a candidate that waits for it."""
    home = settings.load(folder)
    with ledger_of(home) as ledger:
        model = promotion.approve(home, ledger, version, actor=who(), why=why)
    _when(home)  # a request to score may have waited for this
    return f"{model.name} serves now{_LATER}"


def reject(folder: Path, version: int, why: str) -> str:
    """Let a candidate wait no longer."""
    with ledger_of(settings.load(folder)) as ledger:
        model = promotion.reject(ledger, version, actor=who(), why=why)
    return f"{model.name} waits no longer; the model in use stays"


def rollback(folder: Path, version: int | None, why: str) -> str:
    """Go back to an earlier version and pin it."""
    home = settings.load(folder)
    with ledger_of(home) as ledger:
        model = promotion.rollback(home, ledger, version, actor=who(), why=why)
    return f"{model.name} serves now, and no run replaces it until `churnwatch unpin`{_LATER}"


def unpin(folder: Path, why: str | None) -> str:
    """Let the next run promote again."""
    home = settings.load(folder)
    with ledger_of(home) as ledger:
        version = promotion.unpin(ledger, actor=who(), why=why)
    return f"v{version} is no longer pinned; the next run may promote"


def who() -> str:
    """Return who types the command, as the ledger names them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _when(home: Home) -> str:
    """Wake the daemon; say when the file's turn is."""
    pid = daemon_pid(home)
    if not pid:
        return "by the next `churnwatch run`"
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it looks by itself within `scan_interval_s`
        os.kill(pid, signal.SIGHUP)
    return "now"

"""What lies in the source folder, and what of it still needs work. Light: the idle daemon lives on it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Signature

SUFFIX = ".csv"
_LEAST, _MOST = -(2**63), 2**63 - 1


def look(folder: Path) -> dict[Signature, Path]:
    """Return every regular CSV in a folder with its signature.

    Hidden and temporary names are left alone, as are folders, devices and pipes. A symlink counts as the file it
    leads to.

    Raises:
        DataError: the folder cannot be read.
    """
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.lower().endswith(SUFFIX):
                    continue
                seen = observe(folder, entry.name)
                if seen is not None:
                    found[seen] = Path(entry.path)
    except OSError as error:
        raise DataError(
            f"{folder}: the folder cannot be read ({error.strerror}). Mend its rights, or make it."
        ) from None
    return found


def observe(folder: Path, name: str) -> Signature | None:
    """Return a regular file's signature, None where there is none (any more)."""
    path = folder / name
    try:
        if not path.is_file():
            return None
        status = path.stat()
    except OSError:
        return None
    return Signature(shown(name), *stamp(status))


def stamp(status: os.stat_result) -> tuple[int, int, int]:
    """Return size, mtime and ctime as the ledger holds them: SQLite's integers end in the year 2262."""
    mtime, ctime = (max(_LEAST, min(_MOST, each)) for each in (status.st_mtime_ns, status.st_ctime_ns))
    return status.st_size, mtime, ctime


def shown(name: str) -> str:
    """Return a file name as text that the ledger can hold: bytes that are no UTF-8, and backslashes, are escaped."""
    return name.replace("\\", "\\\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def located(folder: Path, path: str) -> Path:
    """Return where a file lies that the ledger knows under this name; the other way round of `shown`."""
    if "\\" in path:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            return next((Path(entry.path) for entry in entries if shown(entry.name) == path), folder / path)
    return folder / path


def pending(ledger: Reader, seen: Iterable[Signature]) -> list[Signature]:
    """Return the observations that still need work, in order of their paths."""
    done = settled(ledger)
    return sorted((each for each in seen if each not in done), key=lambda each: each.path)


def settled(ledger: Reader) -> set[Signature]:
    """Return the observations that need no work now; a request to score needs none before there is a model."""
    waiting = ledger.waiting_signatures() if ledger.champion() is None else set()
    return ledger.settled_signatures() | waiting

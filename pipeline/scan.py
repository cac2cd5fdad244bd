"""What lies in the source folder, and what of it still needs work. Light: the idle daemon lives on it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Signature

SUFFIXES = (".csv", ".csv.gz", ".csv.zst", ".parquet")
_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160))}
_LEAST, _MOST = -(2**63), 2**63 - 1


def look(folder: Path, subfolders: Sequence[str] = ()) -> dict[Signature, Path]:
    """Return every regular file of rows in a folder, and in these folders below it, with its signature.

    Hidden and temporary names are left alone, as are folders, devices and pipes. A symlink counts as the file it
    leads to. A folder below that is not there yet is empty.

    Raises:
        DataError: a folder cannot be read.
    """
    found = _look(folder, "")
    for subfolder in subfolders:
        if (folder / subfolder).is_dir():
            found |= _look(folder, subfolder)
    return found


def _look(folder: Path, subfolder: str) -> dict[Signature, Path]:
    found = {}
    try:
        with os.scandir(folder / subfolder) as entries:
            for entry in entries:
                if not is_ours(entry.name):
                    continue
                seen = observe(folder, f"{subfolder}/{entry.name}" if subfolder else entry.name)
                if seen is not None:
                    found[seen] = Path(entry.path)
    except OSError as error:
        raise DataError(
            f"{folder / subfolder}: the folder cannot be read ({error.strerror}). Mend its rights, or make it."
        ) from None
    return found


def is_ours(name: str) -> bool:
    """Tell by its name whether a file may hold rows."""
    base = name.rpartition("/")[2]
    return not base.startswith(".") and base.lower().endswith(SUFFIXES)


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


def on_one_line(text: str) -> str:
    """Escape what would break a line or steer a terminal, in file names for instance."""
    return text.translate(_CONTROLS)


def located(folder: Path, path: str) -> Path:
    """Return where a file lies that the ledger knows under this name; the other way round of `shown`."""
    if "\\" in path:
        below, _, base = path.rpartition("/")
        with contextlib.suppress(OSError), os.scandir(folder / below) as entries:
            return next((Path(entry.path) for entry in entries if shown(entry.name) == base), folder / path)
    return folder / path


def pending(ledger: Reader, seen: Iterable[Signature]) -> list[Signature]:
    """Return the observations that still need work, in order of their paths."""
    done = settled(ledger)
    return sorted((each for each in seen if each not in done), key=lambda each: each.path)


def settled(ledger: Reader) -> set[Signature]:
    """Return the observations that need no work now; a request to score needs none before there is a model."""
    waiting = ledger.waiting_signatures() if ledger.champion() is None else set()
    return ledger.settled_signatures() | waiting

"""Paths → source files with a hash, and which of them are new content."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from churnwatch.pipeline import files
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.records import FileEvent, FileState, Signature, SourceFile

SUFFIX = ".csv"
_UNREADABLE = "unreadable"  # stands where the hash would, of a file that could not be opened


@dataclass(frozen=True)
class Taken:
    """What was taken in."""

    new: tuple[Source, ...]
    same_content: tuple[SourceFile, ...]
    unreadable: tuple[SourceFile, ...]


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
        raise DataError(f"{folder}: the folder cannot be read ({error.strerror}). Mend its rights, or make it.") from None
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
    return Signature(shown(name), status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def shown(name: str) -> str:
    """Return a file name as text that the ledger can hold: bytes that are no UTF-8 are escaped."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def pending(ledger: Reader, seen: Iterable[Signature]) -> list[Signature]:
    """Return the observations that still need work, in order of their paths."""
    settled = ledger.settled_signatures()
    waiting = ledger.waiting_signatures() if ledger.champion() is None else set()
    return sorted((each for each in seen if each not in settled and each not in waiting), key=lambda each: each.path)


def take(ledger: Ledger, folder: Path, seen: Sequence[tuple[Signature, Path]], *, at: str) -> Taken:
    """Hash files and tell new content from what was read before, under whatever name."""
    new: dict[str, Source] = {}
    same, unreadable = [], []
    for signature, path in seen:
        try:
            sha256 = files.sha256_of(path)
        except OSError as error:
            unreadable.append(_set_aside(ledger, signature, error, at))
            continue
        if observe(folder, path.name) != signature:
            continue  # it changed while we read it; it will be looked at again
        file = ledger.see_file(signature, sha256=sha256, at=at)
        owner = new[sha256].file if sha256 in new else ledger.content_owner(sha256, file.file)
        if owner is not None and owner.file != file.file:
            ledger.add(FileEvent(file.file, None, at, FileState.SAME_CONTENT, reason=f"the same bytes as {owner.path}"))
            same.append(file)
        else:
            new[sha256] = Source(file, path)
    return Taken(tuple(new.values()), tuple(same), tuple(unreadable))


def _set_aside(ledger: Ledger, seen: Signature, error: OSError, at: str) -> SourceFile:
    file = ledger.see_file(seen, sha256=_UNREADABLE, at=at)
    reason = f"cannot be read: {error.strerror}; it is read once its rights are mended"
    ledger.add(FileEvent(file.file, None, at, FileState.QUARANTINED, reason=reason))
    return file

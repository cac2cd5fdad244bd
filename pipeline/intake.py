"""Paths → source files with a hash, and which of them are new content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from churnwatch.pipeline import files
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.records import FileEvent, FileState, Signature, SourceFile
from churnwatch.pipeline.scan import observe

_UNREADABLE = "unreadable"  # stands where the hash would, of a file that could not be opened


@dataclass(frozen=True)
class Taken:
    """What was taken in."""

    new: tuple[Source, ...]
    same_content: tuple[SourceFile, ...]
    unreadable: tuple[SourceFile, ...]


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

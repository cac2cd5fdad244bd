"""Paths → source files with a hash, and which of them are new content."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from churnwatch.pipeline import files
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.records import UNREADABLE, FileEvent, FileState, Signature, SourceFile
from churnwatch.pipeline.scan import observe

_LEADS_OUT = "a link that leads out of the source folder is not followed; put the file itself there"


@dataclass(frozen=True)
class Taken:
    """What was taken in."""

    new: tuple[Source, ...]
    twins: tuple[tuple[Signature, Path, str], ...]  # a new file's bytes (their hash) again; known once that one is read
    same_content: tuple[SourceFile, ...]
    unreadable: tuple[SourceFile, ...]


def take(
    ledger: Ledger,
    folder: Path,
    seen: Sequence[tuple[Signature, Path]],
    *,
    at: str,
    held: Collection[str] = (),
    dataset_of: Callable[[str], str] = lambda _: "",
    reread: Collection[str] = (),
) -> Taken:
    """Hash files and tell new content from what was read before, under whatever name.

    Content counts as read once its rows were: a twin of a file that is still to be read waits for that, and so do
    files whose hash is `held` by an unfinished run. It counts as read in the data set it belongs to by its name
    (`dataset_of`), and never in those of which the newest rows count (`reread`): there the same bytes may say once more
    what was so before.
    """
    new: dict[str, Source] = {}
    twins, same, unreadable = [], [], []
    for signature, path in seen:
        try:
            if _leads_out(folder, path):
                unreadable.append(_set_aside(ledger, signature, _LEADS_OUT, at))
                continue
            sha256 = files.sha256_of(path)
        except FileNotFoundError:
            continue  # it is gone already
        except PermissionError as error:  # mended rights show in the signature
            reason = f"cannot be read: {error.strerror}; it is read once its rights are mended"
            unreadable.append(_set_aside(ledger, signature, reason, at))
            continue
        except OSError as error:  # of the disk, or the network: it may pass, and nothing shows in the signature then
            unreadable.append(_leave(ledger, signature, f"cannot be read: {error.strerror}; it is tried again", at))
            continue
        if observe(folder, str(path.relative_to(folder))) != signature:
            continue  # it changed while we read it; it will be looked at again
        if sha256 in held:
            continue
        if sha256 in new:
            twins.append((signature, path, sha256))
            continue
        file = ledger.see_file(signature, sha256=sha256, at=at)
        dataset = dataset_of(signature.path)
        owners = [] if dataset in reread else ledger.content_owners(sha256, file.file)
        owner = next((each for each in owners if dataset_of(each.path) == dataset), None)
        if owner is not None:
            ledger.add(FileEvent(file.file, None, at, FileState.SAME_CONTENT, reason=f"the same bytes as {owner.path}"))
            same.append(file)
        else:
            new[sha256] = Source(file, path)
    return Taken(tuple(new.values()), tuple(twins), tuple(same), tuple(unreadable))


def without_refused(
    ledger: Ledger, taken: Taken, *, run: int, at: str, alike: Callable[[str], object]
) -> list[tuple[Signature, Path]]:
    """Set twins of files that the run refused aside with them; return the other twins.

    What is refused under one name may be read under another that is not `alike`, such as one that says it is packed.
    """
    why = {row["file"]: row["reason"] for row in ledger.run_file_states(run) if row["state"] == FileState.QUARANTINED}
    refused = {(each.file.sha256, alike(each.file.path)): each.file for each in taken.new if each.file.file in why}
    left = []
    for signature, path, sha256 in taken.twins:
        first = refused.get((sha256, alike(signature.path)))
        if first is None:
            left.append((signature, path))
            continue
        file = ledger.see_file(signature, sha256=sha256, at=at)
        reason = f"the same bytes as {first.path}: {why[first.file]}"
        ledger.add(FileEvent(file.file, None, at, FileState.QUARANTINED, reason=reason))
    return left


def _leads_out(folder: Path, path: Path) -> bool:
    """Tell whether a link would have us read what nobody dropped into the folder."""
    return not path.resolve().is_relative_to(folder.resolve())


def _set_aside(ledger: Ledger, seen: Signature, reason: str, at: str) -> SourceFile:
    file = ledger.see_file(seen, sha256=UNREADABLE, at=at)
    ledger.add(FileEvent(file.file, None, at, FileState.QUARANTINED, reason=reason))
    return file


def _leave(ledger: Ledger, seen: Signature, reason: str, at: str) -> SourceFile:
    file = ledger.see_file(seen, sha256=UNREADABLE, at=at)
    if ledger.file_state(file.file) != FileState.RETRY:  # once, however often it is tried
        ledger.add(FileEvent(file.file, None, at, FileState.RETRY, reason=reason))
    return file

"""Files that survive: write beside, fsync, rename, fsync the folder; hashes; locks.

A reader sees the old file or the new one, never half of one, and what was acknowledged is still there after a
power cut. See docs/architecture.md for the order that the ledger adds to this.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from churnwatch.pipeline.errors import BusyError, ChurnwatchError

_CHUNK = 1 << 20


def fsync(path: Path) -> None:
    """Force a file or a folder to the disk."""
    with _opened(path) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on leaving without an error it becomes the target, durably."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", suffix=".tmp", dir=target.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o644)  # mkstemp makes files for their owner only; a release is for every program
        fsync(beside)
        beside.rename(target)
        fsync(target.parent)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_text(target: Path, text: str) -> None:
    """Replace a text file as a whole, durably."""
    with written_beside(target) as beside:
        beside.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def folder_written_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary folder; on leaving without an error it becomes the target, durably.

    A target that is already there is the remains of a crash (its row never came to be) and is replaced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=".tmp", dir=target.parent))
    try:
        yield beside
        beside.chmod(0o755)
        for file in sorted(beside.iterdir()):
            fsync(file)
        fsync(beside)
        if target.exists():
            shutil.rmtree(target)
        beside.rename(target)
        fsync(target.parent)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def remove(paths: Iterable[Path]) -> None:
    """Remove files that are no longer needed, durably; one that is gone already is no error."""
    gone = list(paths)
    for path in gone:
        path.unlink(missing_ok=True)
    for folder in sorted({path.parent for path in gone}):
        if folder.is_dir():
            fsync(folder)


def point(link: Path, to: str) -> None:
    """Make a symlink point somewhere else by one rename, so that it is never missing and never half."""
    beside = link.with_name(f".{link.name}-{os.getpid()}.tmp")
    beside.unlink(missing_ok=True)
    beside.symlink_to(to)
    beside.rename(link)
    fsync(link.parent)


def sweep(folder: Path, names: str) -> int:
    """Remove what interrupted writes left beside targets of these names (a glob); return how many there were."""
    left = list(folder.glob(f".{names}.tmp")) if folder.is_dir() else []
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return len(left)


@contextlib.contextmanager
def scratch(within: Path) -> Iterator[Path]:
    """Yield a folder that goes with its process: what one left behind is removed by the next that asks for one."""
    within.mkdir(parents=True, exist_ok=True)
    for left in within.glob("scratch-*"):
        with contextlib.suppress(FileNotFoundError, PermissionError), _opened(left) as descriptor:
            if _try_lock(descriptor):
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=".scratch-", dir=within))
    with _opened(folder) as descriptor:
        _try_lock(descriptor)  # before it has the name under which it is looked for
        ours = folder.rename(within / folder.name.removeprefix("."))
        try:
            yield ours
        finally:
            shutil.rmtree(ours, ignore_errors=True)


@contextlib.contextmanager
def lock(path: Path, *, busy: str, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on a file, in which the holder's process id stands.

    The lock goes with the process, however that ends; the file stays.

    Raises:
        BusyError: another process holds it and `wait` is false; `busy` is the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        if not _lock(file.fileno(), wait=wait):
            raise BusyError(busy)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        except (ChurnwatchError, KeyboardInterrupt):
            file.truncate(0)
            raise
        file.truncate(0)  # empty: whoever held it left in order


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Take a lock; without waiting, try for a moment, since `holder` looks by taking it too."""
    if wait:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    for _ in range(5):
        if _try_lock(descriptor):
            return True
        time.sleep(0.02)
    return False


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder(path: Path) -> int | None:
    """Return the process id of who holds a lock, None when nobody does (or nobody ever did)."""
    try:
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read().strip()
                return int(text) if text.isdigit() else 0
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    return None

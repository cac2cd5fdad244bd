"""A disk that remembers what was forced to it: a trace of system calls → what a power cut would leave of a folder.

A file has its content as programs see it and as it was last forced; a folder has its entries in both ways too. What
was not forced may be lost, in part or whole, in any order: `Cut` names the four ways that are tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

CALLS = ("open", "openat", "creat", "close", "read", "lseek", "write", "pwrite64", "sendfile", "rename", "renameat",
         "mkdir", "symlink", "unlink", "unlinkat", "rmdir", "ftruncate", "fsync", "fdatasync")  # fmt: skip
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)", re.DOTALL)
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_UNFINISHED = re.compile(r"^(\d+) +(\w+\(.*) <unfinished \.\.\.>$", re.DOTALL)
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"^(\d+)<")

State = dict[str, bytes | str | None]  # by path: a file's content, where a link leads, None for a folder


class Cut(StrEnum):
    """What of the things that were not forced a power cut leaves."""

    FORCED = "only what was forced"
    ENTRIES = "folder entries first"
    CONTENTS = "contents first"
    TORN = "torn last write"


@dataclass(eq=False)
class File:
    """A file, its content now and as it was last forced."""

    now: bytes = b""
    forced: bytes = b""
    torn: bytes | None = None  # with half of its last write, where that was not forced yet

    def put(self, offset: int, chunk: bytes) -> None:
        """Write at an offset."""
        before = self.now.ljust(offset, b"\0")
        half = chunk[: len(chunk) // 2]
        self.torn = before[:offset] + half + before[offset + len(half) :]
        self.now = before[:offset] + chunk + before[offset + len(chunk) :]

    def force(self) -> None:
        """Put it on the disk."""
        self.forced, self.torn = self.now, None


@dataclass(eq=False)
class Folder:
    """A folder, its entries now and as they were last forced."""

    now: dict[str, File | Folder | str] = field(default_factory=dict)
    forced: dict[str, File | Folder | str] = field(default_factory=dict)

    def force(self) -> None:
        """Put its entries on the disk."""
        self.forced = dict(self.now)


@dataclass(eq=False)
class _Opened:
    node: File | Folder
    offset: int = 0
    appends: bool = False


class Disk:
    """What a folder's disk holds while a trace goes by. All that was there at the beginning had been forced."""

    def __init__(self, top: Path) -> None:
        self._top = str(top)
        self.root = _loaded(top)
        self._opened: dict[int, _Opened] = {}
        self._written: File | None = None

    def apply(self, syscall: str, given: str, result: int) -> bool:
        """Take a call in that succeeded; return whether that changed what a power cut leaves."""
        method = getattr(self, f"_{syscall}", None)
        if method is None:
            return False
        descriptor = _DESCRIPTOR.match(given)
        texts = [_unescaped(text) for text in _TEXT.findall(given)]
        return bool(method(int(descriptor[1]) if descriptor else -1, texts, given, result))

    def after(self, cut: Cut) -> State:
        """Return what a power cut would leave now."""
        state: State = {}
        self._collect(self.root, "", cut, state)
        return state

    def now(self) -> State:
        """Return what programs see."""
        state: State = {}
        self._collect(self.root, "", None, state)
        return state

    def _collect(self, folder: Folder, path: str, cut: Cut | None, state: State) -> None:
        for name, node in (folder.forced if cut in (Cut.FORCED, Cut.CONTENTS) else folder.now).items():
            where = f"{path}{name}"
            if isinstance(node, Folder):
                state[where] = None
                self._collect(node, f"{where}/", cut, state)
            elif isinstance(node, str):
                state[where] = node
            elif not name.endswith("-shm"):  # SQLite makes it anew
                state[where] = self._content(node, cut)

    def _content(self, file: File, cut: Cut | None) -> bytes:
        if cut in (None, Cut.CONTENTS):
            return file.now
        if cut is Cut.TORN and file is self._written and file.torn is not None:
            return file.torn
        return file.forced

    # -- paths -------------------------------------------------------------------------------------------------

    def _place(self, path: str) -> tuple[Folder, str] | None:
        """Return the folder and the name that a path means; None outside of what is looked at."""
        if not path.startswith(f"{self._top}/"):
            return None
        *folders, name = path[len(self._top) + 1 :].rstrip("/").split("/")
        folder: File | Folder | str | None = self.root
        for each in folders:
            folder = folder.now.get(each) if isinstance(folder, Folder) else None
        return (folder, name) if isinstance(folder, Folder) else None

    def _found(self, path: str) -> File | Folder | None:
        if path == self._top:
            return self.root
        place = self._place(path)
        node = place[0].now.get(place[1]) if place else None
        return None if isinstance(node, str) else node

    # -- the calls: descriptor, texts, all that was given, result ------------------------------------------------

    def _open(self, _: int, texts: Sequence[str], given: str, result: int) -> bool:
        place, node = self._place(texts[0]), self._found(texts[0])
        if place is None and node is None:
            self._opened.pop(result, None)
            return False
        changed = False
        if node is None and place is not None and "O_CREAT" in given:
            place[0].now[place[1]] = node = File()
            changed = True
        if isinstance(node, File) and "O_TRUNC" in given and node.now:
            node.now, node.torn, changed = b"", None, True
        if node is not None:
            self._opened[result] = _Opened(node, appends="O_APPEND" in given)
        return changed

    _openat = _creat = _open

    def _close(self, descriptor: int, *_: object) -> bool:
        self._opened.pop(descriptor, None)
        return False

    def _read(self, descriptor: int, _: object, __: object, result: int) -> bool:
        if opened := self._opened.get(descriptor):
            opened.offset += result
        return False

    def _lseek(self, descriptor: int, _: object, __: object, result: int) -> bool:
        if opened := self._opened.get(descriptor):
            opened.offset = result
        return False

    def _write(self, descriptor: int, texts: Sequence[str], _: object, result: int) -> bool:
        opened = self._opened.get(descriptor)
        if opened is None or not isinstance(opened.node, File):
            return False
        if opened.appends:
            opened.offset = len(opened.node.now)
        self._put(opened.node, opened.offset, texts[-1].encode("latin-1")[:result])
        opened.offset += result
        return True

    def _pwrite64(self, descriptor: int, texts: Sequence[str], given: str, result: int) -> bool:
        opened = self._opened.get(descriptor)
        if opened is None or not isinstance(opened.node, File):
            return False
        self._put(opened.node, int(given.rpartition(", ")[2]), texts[-1].encode("latin-1")[:result])
        return True

    def _sendfile(self, descriptor: int, _: object, given: str, result: int) -> bool:
        target = self._opened.get(descriptor)
        source = self._opened.get(int(given.split(", ")[1].partition("<")[0]))
        if target is None or source is None or not isinstance(target.node, File) or not isinstance(source.node, File):
            return False
        self._put(target.node, target.offset, source.node.now[target.offset : target.offset + result])
        target.offset += result
        return result > 0

    def _put(self, file: File, offset: int, chunk: bytes) -> None:
        file.put(offset, chunk)
        self._written = file

    def _rename(self, _: int, texts: Sequence[str], *__: object) -> bool:
        old, new = self._place(texts[0]), self._place(texts[1])
        if old is None or new is None:
            return False
        new[0].now[new[1]] = old[0].now.pop(old[1])
        return True

    _renameat = _rename

    def _mkdir(self, _: int, texts: Sequence[str], *__: object) -> bool:
        if place := self._place(texts[0]):
            place[0].now[place[1]] = Folder()
        return place is not None

    def _symlink(self, _: int, texts: Sequence[str], *__: object) -> bool:
        if place := self._place(texts[1]):
            place[0].now[place[1]] = texts[0]
        return place is not None

    def _unlink(self, _: int, texts: Sequence[str], *__: object) -> bool:
        place = self._place(texts[0])
        return place is not None and place[0].now.pop(place[1], None) is not None

    _rmdir = _unlink

    def _unlinkat(self, descriptor: int, texts: Sequence[str], given: str, result: int) -> bool:
        if texts[0].startswith("/"):
            return self._unlink(descriptor, texts, given, result)
        opened = self._opened.get(descriptor)
        if opened is None or not isinstance(opened.node, Folder):
            return False
        return opened.node.now.pop(texts[0], None) is not None

    def _ftruncate(self, descriptor: int, _: object, given: str, __: int) -> bool:
        opened, size = self._opened.get(descriptor), int(given.rpartition(", ")[2])
        if opened is None or not isinstance(opened.node, File):
            return False
        opened.node.now, opened.node.torn = opened.node.now[:size].ljust(size, b"\0"), None
        return True

    def _fsync(self, descriptor: int, *_: object) -> bool:
        if opened := self._opened.get(descriptor):
            opened.node.force()
        return opened is not None

    _fdatasync = _fsync


def calls(lines: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    """Yield name, arguments and result of each call in a trace's lines, those that failed left out."""
    begun: dict[tuple[str, str], str] = {}
    for line in lines:
        if unfinished := _UNFINISHED.match(line):
            begun[unfinished[1], unfinished[2].partition("(")[0]] = unfinished[2]
            continue
        whole = line
        if resumed := _RESUMED.match(line):
            whole = f"{resumed[1]} {begun.pop((resumed[1], resumed[2]))}{resumed[3]}"
        call = _CALL.match(whole)
        if call is not None and int(call[4]) >= 0:
            yield call[2], call[3], int(call[4])


def write(state: State, folder: Path) -> None:
    """Make a folder of what a power cut left."""
    folder.mkdir(parents=True)
    for name, held in state.items():
        path = folder / name
        if held is None:
            path.mkdir()
        elif isinstance(held, str):
            path.symlink_to(held)
        else:
            path.write_bytes(held)


def _loaded(folder: Path) -> Folder:
    loaded = Folder()
    for path in folder.iterdir():
        if path.is_symlink():
            loaded.now[path.name] = str(path.readlink())
        elif path.is_dir():
            loaded.now[path.name] = _loaded(path)
        else:
            loaded.now[path.name] = File(path.read_bytes(), path.read_bytes())
    loaded.force()
    return loaded


def _unescaped(text: str) -> str:
    """Return the bytes of a text in strace's notation, each as the letter of its number."""
    return text.encode("latin-1").decode("unicode_escape")

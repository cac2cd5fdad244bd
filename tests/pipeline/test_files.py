from __future__ import annotations

import hashlib
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from churnwatch.pipeline import files
from churnwatch.pipeline.errors import BusyError


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 3_000_000)
    assert files.sha256_of(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_what_is_removed_is_gone_and_the_folder_is_forced_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[Path] = []
    monkeypatch.setattr(files, "fsync", forced.append)
    (tmp_path / "a").touch()
    files.remove([tmp_path / "a", tmp_path / "gone", tmp_path / "no folder" / "b"])
    assert _names(tmp_path) == []
    assert forced == [tmp_path]


# -- written beside, then renamed ------------------------------------------------------------------------------


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "a.txt"
    for text in ("one\n", "two: é\n"):
        files.write_text(target, text)
        assert target.read_text(encoding="utf-8") == text
    assert _names(target.parent) == ["a.txt"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write() -> None:
        with files.written_beside(target) as beside:
            beside.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert target.read_text() == "old"
    assert _names(tmp_path) == ["a.txt"]


def test_nothing_is_renamed_before_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bool]] = []
    whole = files.fsync

    def spy(path: Path) -> None:
        synced.append((path.name, (tmp_path / "a.txt").exists()))
        whole(path)

    monkeypatch.setattr(files, "fsync", spy)
    files.write_text(tmp_path / "a.txt", "x")
    assert [there for _, there in synced] == [False, True]
    assert synced[1][0] == tmp_path.name


def test_a_folder_appears_as_a_whole_and_replaces_remains(tmp_path: Path) -> None:
    target = tmp_path / "v1"
    target.mkdir()
    (target / "remains").touch()
    with files.folder_written_beside(target) as beside:
        (beside / "a").write_text("1")
        assert (target / "remains").exists()
    assert _names(target) == ["a"]
    assert _names(tmp_path) == ["v1"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with files.folder_written_beside(tmp_path / "v1") as beside:
            (beside / "a").write_text("1")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write()
    assert _names(tmp_path) == []


def test_a_link_is_pointed_elsewhere_by_one_rename(tmp_path: Path) -> None:
    link = tmp_path / "current"
    for name in ("v1", "v2"):
        files.point(link, name)
        assert link.readlink() == Path(name)
    (tmp_path / f".current-{os.getpid()}.tmp").symlink_to("left over")
    files.point(link, "v3")
    assert link.readlink() == Path("v3")
    assert _names(tmp_path) == ["current"]


def test_what_interrupted_writes_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in (".part.tmp", ".part-1.tmp", ".other.tmp", "part.tmp", ".hidden", "v1"):
        (tmp_path / name).touch()
    (tmp_path / ".v1-x.tmp").mkdir()
    (tmp_path / ".v1-x.tmp" / "inside").touch()
    (tmp_path / ".v2-x.tmp").symlink_to("v1")
    assert files.sweep(tmp_path, "v*") == 2
    assert files.sweep(tmp_path, "part*") == 2
    assert _names(tmp_path) == [".hidden", ".other.tmp", "part.tmp", "v1"]
    assert files.sweep(tmp_path / "no such folder", "*") == 0


# -- locks -----------------------------------------------------------------------------------------------------


def test_a_lock_is_held_by_one_and_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "lock"
    assert files.holder(path) is None
    with files.lock(path, busy="busy"):
        assert files.holder(path) == os.getpid()
        with pytest.raises(BusyError, match=r"^a daemon is running$"), files.lock(path, busy="a daemon is running"):
            pass
        assert path.read_text() == str(os.getpid())
    assert files.holder(path) is None
    assert path.read_text() == ""


def _die_holding(path: Path) -> None:
    with files.lock(path, busy=""):
        os._exit(9)


def test_a_lock_goes_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = multiprocessing.get_context("fork").Process(target=_die_holding, args=(path,))
    process.start()
    process.join(30)
    assert process.exitcode == 9
    assert path.read_text() == str(process.pid)
    assert files.holder(path) is None
    with files.lock(path, busy="busy"):
        assert files.holder(path) == os.getpid()


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    def fail() -> None:
        with files.lock(tmp_path / "lock", busy=""):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with files.lock(tmp_path / "lock", busy="busy"):
        pass


def test_nobody_holds_a_lock_in_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert files.holder(tmp_path / "file" / "lock") is None


def test_a_scratch_folder_goes_with_its_process_and_those_left_behind_are_removed(tmp_path: Path) -> None:
    left = tmp_path / "scratch-left"
    left.mkdir()
    (left / "file").touch()
    with files.scratch(tmp_path) as first:
        assert not left.exists()
        with files.scratch(tmp_path) as second:
            assert first.is_dir()
            assert second != first
        assert not second.exists()
    assert list(tmp_path.iterdir()) == []

from __future__ import annotations

import os
from pathlib import Path

import pytest

from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import FileEvent, FileState, Signature
from churnwatch.pipeline.scan import located, look, observe, pending, shown, stamp

AT = "2026-01-01T00:00:00.000Z"


def test_only_regular_csvs_are_seen(tmp_path: Path) -> None:
    for name in ("a.csv", "B.CSV", ".hidden.csv", "a.csv.part", "a.txt", "csv"):
        (tmp_path / name).touch()
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to("a.csv")
    (tmp_path / "dangling.csv").symlink_to("gone.csv")
    found = look(tmp_path)
    assert sorted(each.path for each in found) == ["B.CSV", "a.csv", "link.csv"]
    assert all(path == tmp_path / each.path for each, path in found.items())


def test_packed_csvs_and_parquet_are_seen(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "b.CSV.ZST", "c.parquet", "d.gz", "e.csv.bz2", ".f.parquet"):
        (tmp_path / name).touch()
    assert sorted(each.path for each in look(tmp_path)) == ["a.csv.gz", "b.CSV.ZST", "c.parquet"]


def test_folders_below_are_looked_into_only_where_asked(tmp_path: Path) -> None:
    for folder in ("logs", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").touch()
    (tmp_path / "logs" / os.fsdecode(b"b\xff.csv")).touch()
    found = look(tmp_path, ("logs", "later"))
    assert sorted(each.path for each in found) == ["logs/a.csv", "logs/b\\xff.csv"]
    assert all(located(tmp_path, each.path) == path for each, path in found.items())


def test_a_signature_changes_with_size_and_times(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a")
    first = observe(tmp_path, "a.csv")
    assert first == observe(tmp_path, "a.csv")
    os.utime(path, ns=(1, 2))
    second = observe(tmp_path, "a.csv")
    assert second is not None
    assert second.mtime_ns == 2
    path.write_text("ab")
    assert len({first, second, observe(tmp_path, "a.csv")}) == 3
    path.unlink()
    assert observe(tmp_path, "a.csv") is None


@pytest.mark.parametrize(
    "name", [b"a.csv", b"kunden-m\xe4rz.csv", "März ☃.csv".encode(), b"back\\slash.csv", b"new\nline.csv"]
)
def test_a_file_of_any_name_is_shown_as_text_and_found_again(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.touch()
    [(signature, where)] = look(tmp_path).items()
    signature.path.encode()  # any text that the ledger can hold
    assert where == path
    assert located(tmp_path, signature.path) == path
    assert located(tmp_path / "gone", signature.path) == tmp_path / "gone" / signature.path


def test_names_that_are_utf_8_are_shown_as_they_are() -> None:
    assert shown("März ☃.csv") == "März ☃.csv"


def test_a_folder_that_is_not_there_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: the folder cannot be read \(No such file or directory\)"):
        look(tmp_path / "gone")


def test_what_is_settled_needs_no_work_and_the_rest_comes_by_name(ledger: Ledger) -> None:
    seen = [Signature(name, 1, 1, 1) for name in ("c.csv", "b.csv", "a.csv")]
    file = ledger.see_file(seen[1], sha256="x", at=AT)
    ledger.add(FileEvent(file.file, None, AT, FileState.INGESTED))
    assert [each.path for each in pending(ledger, seen)] == ["a.csv", "c.csv"]
    changed = Signature("b.csv", 1, 2, 1)
    assert pending(ledger, [changed]) == [changed]
    ledger.add(FileEvent(file.file, None, AT, FileState.RETRY))
    assert seen[1] in pending(ledger, seen)


def test_a_request_waits_until_there_is_a_champion(ledger: Ledger) -> None:
    seen = Signature("a.csv", 1, 1, 1)
    file = ledger.see_file(seen, sha256="x", at=AT)
    ledger.add(FileEvent(file.file, None, AT, FileState.WAITING))
    assert pending(ledger, [seen]) == []


def test_names_that_only_look_escaped_are_told_apart() -> None:
    assert shown("\\xff.csv") != shown("\udcff.csv")


def test_times_beyond_the_ledgers_integers_are_held_at_its_bounds(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("1")
    os.utime(file, (0, 10_500_000_000))
    assert stamp(file.stat())[1] == 2**63 - 1

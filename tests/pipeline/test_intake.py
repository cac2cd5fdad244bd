from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from churnwatch.pipeline import files, intake
from churnwatch.pipeline.intake import Taken, take
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import FileEvent, FileState
from churnwatch.pipeline.scan import look

AT = "2026-01-01T00:00:00.000Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "sourcedata"
    made.mkdir()
    return made


def _take(ledger: Ledger, folder: Path) -> Taken:
    return take(ledger, folder, sorted(look(folder).items(), key=lambda each: each[0].path), at=AT)


def _names(files_: Sequence[object]) -> list[str]:
    return [getattr(each, "file", each).path for each in files_] if files_ else []


def test_new_content_is_taken_with_its_hash(ledger: Ledger, folder: Path) -> None:
    (folder / "a.csv").write_text("1")
    [source] = _take(ledger, folder).new
    assert (source.path, source.file.path, source.file.sha256) == (
        folder / "a.csv", "a.csv", files.sha256_of(folder / "a.csv"))  # fmt: skip
    assert ledger.rows("SELECT * FROM file_events") == []


def test_the_same_content_twice_in_one_drop_is_read_once(ledger: Ledger, folder: Path) -> None:
    for name, text in (("a.csv", "1"), ("b.csv", "1"), ("c.csv", "2")):
        (folder / name).write_text(text)
    taken = _take(ledger, folder)
    assert [each.file.path for each in taken.new] == ["a.csv", "c.csv"]
    assert [path.name for _, path, _ in taken.twins] == ["b.csv"]
    assert taken.same_content == ()


def test_a_twin_is_known_once_the_rows_of_its_first_copy_were_read(ledger: Ledger, folder: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("1")
    taken = _take(ledger, folder)
    twins = [(signature, path) for signature, path, _ in taken.twins]
    assert [each.file.path for each in take(ledger, folder, twins, at=AT).new] == ["b.csv"]
    ledger.add(FileEvent(taken.new[0].file.file, None, AT, FileState.INGESTED))
    assert [each.path for each in take(ledger, folder, twins, at=AT).same_content] == ["b.csv"]
    assert ledger.file_by_path("b.csv")["reason"] == "the same bytes as a.csv"


def test_content_that_an_unfinished_run_holds_waits_for_it(ledger: Ledger, folder: Path) -> None:
    (folder / "a.csv").write_text("1")
    [source] = _take(ledger, folder).new
    seen = list(look(folder).items())
    assert take(ledger, folder, seen, at=AT, held={source.file.sha256}).new == ()


def test_a_request_that_only_waits_owns_no_content(ledger: Ledger, folder: Path) -> None:
    (folder / "a.csv").write_text("1")
    [source] = _take(ledger, folder).new
    ledger.add(FileEvent(source.file.file, None, AT, FileState.WAITING))
    (folder / "a.csv").rename(folder / "moved.csv")
    assert [each.file.path for each in _take(ledger, folder).new] == ["moved.csv"]


def test_content_that_was_read_before_is_not_read_again(ledger: Ledger, folder: Path) -> None:
    (folder / "a.csv").write_text("1")
    [source] = _take(ledger, folder).new
    ledger.add(FileEvent(source.file.file, None, AT, FileState.INGESTED))
    (folder / "a.csv").rename(folder / "moved.csv")
    taken = _take(ledger, folder)
    assert taken.new == ()
    assert [each.path for each in taken.same_content] == ["moved.csv"]


def test_content_that_could_not_be_read_as_a_whole_is_tried_again(ledger: Ledger, folder: Path) -> None:
    (folder / "a.csv").write_text("1")
    [source] = _take(ledger, folder).new
    ledger.add(FileEvent(source.file.file, None, AT, FileState.QUARANTINED))
    (folder / "b.csv").write_text("1")
    (folder / "a.csv").unlink()
    assert [each.file.path for each in _take(ledger, folder).new] == ["b.csv"]


def test_a_file_that_changes_while_it_is_hashed_is_left_for_later(
    ledger: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.csv").write_text("1")
    whole = files.sha256_of

    def growing(path: Path) -> str:
        found = whole(path)
        path.write_text("12")
        return found

    monkeypatch.setattr(intake.files, "sha256_of", growing)
    assert _take(ledger, folder) == Taken((), (), (), ())
    assert ledger.rows("SELECT * FROM files") == []


def test_a_file_that_cannot_be_opened_is_set_aside_once(
    ledger: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(name)
    whole = files.sha256_of

    def refused(path: Path) -> str:
        if path.name == "a.csv":
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(intake.files, "sha256_of", refused)
    taken = _take(ledger, folder)
    assert [each.file.path for each in taken.new] == ["b.csv"]
    assert [each.path for each in taken.unreadable] == ["a.csv"]
    event = ledger.file_by_path("a.csv")
    assert (event["state"], event["reason"]) == (
        "quarantined", "cannot be read: Permission denied; it is read once its rights are mended")  # fmt: skip
    assert [each.path for each in ledger.settled_signatures()] == ["a.csv"]


def test_what_the_disk_does_not_give_just_then_is_said_once_and_tried_again(
    ledger: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.csv").write_text("1")

    def failing(_: Path) -> str:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(intake.files, "sha256_of", failing)
        for _ in range(3):
            assert [each.path for each in _take(ledger, folder).unreadable] == ["a.csv"]
    [event] = ledger.files()
    assert (event["state"], event["reason"]) == ("retry", "cannot be read: Input/output error; it is tried again")
    assert ledger.settled_signatures() == set()
    [source] = _take(ledger, folder).new
    assert source.file.sha256 == files.sha256_of(source.path)


def test_a_file_that_is_gone_before_it_is_read_leaves_nothing(ledger: Ledger, folder: Path) -> None:
    (folder / "a.csv").write_text("1")
    seen = list(look(folder).items())
    (folder / "a.csv").unlink()
    assert take(ledger, folder, seen, at=AT) == Taken((), (), (), ())
    assert ledger.rows("SELECT * FROM files") == []


def test_a_link_that_leads_out_of_the_folder_is_not_followed(ledger: Ledger, folder: Path) -> None:
    (folder.parent / "secret.csv").write_text("1")
    (folder / "inside.csv").write_text("2")
    (folder / "a.csv").symlink_to("../secret.csv")
    (folder / "b.csv").symlink_to("inside.csv")
    taken = _take(ledger, folder)
    assert [each.path for each in taken.unreadable] == ["a.csv"]
    assert [each.file.path for each in taken.new] == ["b.csv"]
    assert "leads out of the source folder" in ledger.file_by_path("a.csv")["reason"]


def test_a_source_folder_that_is_a_link_itself_is_read(ledger: Ledger, folder: Path) -> None:
    (folder / "a.csv").write_text("1")
    (folder.parent / "link").symlink_to(folder.name)
    assert [each.file.path for each in _take(ledger, folder.parent / "link").new] == ["a.csv"]

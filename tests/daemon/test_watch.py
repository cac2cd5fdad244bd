"""Watching: real inotify, real files."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from churnwatch.daemon.watch import Watcher

Eventually = Callable[..., Any]


class Heard:
    """Gathers hints; they come from another thread."""

    def __init__(self) -> None:
        self.hints: list[str | None] = []

    def __call__(self, name: str | None) -> None:
        self.hints.append(name)

    def of(self, name: str | None) -> Callable[[], bool]:
        return lambda: name in self.hints


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "watched"
    made.mkdir()
    return made


@pytest.fixture
def watcher(folder: Path, heard: Heard) -> Iterator[Watcher]:
    watching = Watcher(folder, heard)
    watching.start()
    yield watching
    watching.stop()


def test_a_new_file_gives_a_hint(watcher: Watcher, folder: Path, heard: Heard, eventually: Eventually) -> None:
    assert watcher.alive()
    (folder / "new.csv").write_text("a\n1\n")
    eventually(heard.of("new.csv"))


def test_a_write_to_a_file_that_was_there_gives_a_hint(folder: Path, heard: Heard, eventually: Eventually) -> None:
    (folder / "old.csv").write_text("a\n")
    watching = Watcher(folder, heard)
    watching.start()
    try:
        with (folder / "old.csv").open("a") as file:
            file.write("1\n")
            file.flush()
            eventually(heard.of("old.csv"))  # while it is still open for writing
    finally:
        watching.stop()


def test_a_file_in_a_folder_below_gives_a_hint_with_its_folder_where_that_is_asked(
    folder: Path, heard: Heard, eventually: Eventually
) -> None:
    (folder / "logs").mkdir()
    watching = Watcher(folder, heard, deep=True)
    watching.start()
    try:
        (folder / "logs" / "new.csv.gz").write_text("a\n1\n")
        eventually(heard.of("logs/new.csv.gz"))
    finally:
        watching.stop()


def test_a_rename_within_the_folder_gives_a_hint_at_the_new_name(
    watcher: Watcher, folder: Path, heard: Heard, eventually: Eventually
) -> None:
    (folder / ".part").write_text("a\n1\n")
    (folder / ".part").rename(folder / "whole.csv")
    eventually(heard.of("whole.csv"))


def test_a_file_moved_in_from_elsewhere_gives_a_hint(
    watcher: Watcher, folder: Path, tmp_path: Path, heard: Heard, eventually: Eventually
) -> None:
    (tmp_path / "elsewhere.csv").write_text("a\n1\n")
    (tmp_path / "elsewhere.csv").rename(folder / "moved.csv")
    eventually(heard.of("moved.csv"))


def test_a_hard_link_gives_a_hint(
    watcher: Watcher, folder: Path, tmp_path: Path, heard: Heard, eventually: Eventually
) -> None:
    (tmp_path / "elsewhere.csv").write_text("a\n1\n")
    (folder / "linked.csv").hardlink_to(tmp_path / "elsewhere.csv")
    eventually(heard.of("linked.csv"))


def test_a_removed_file_gives_a_hint(folder: Path, heard: Heard, eventually: Eventually) -> None:
    (folder / "gone.csv").write_text("a\n1\n")
    watching = Watcher(folder, heard)
    watching.start()
    try:
        (folder / "gone.csv").unlink()
        eventually(heard.of("gone.csv"))
    finally:
        watching.stop()


def test_a_name_that_is_no_text_gives_a_hint(
    watcher: Watcher, folder: Path, heard: Heard, eventually: Eventually
) -> None:
    (folder / "caf\udce9.csv").write_text("a\n")
    eventually(heard.of("caf\udce9.csv"))


def test_an_overflow_of_the_kernels_queue_means_look_at_everything(watcher: Watcher, heard: Heard) -> None:
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflow (%s)", "events lost")
    assert heard.hints == [None]


def test_other_words_of_the_library_mean_nothing(watcher: Watcher, heard: Heard) -> None:
    logging.getLogger("watchdog.observers.inotify_c").warning("something else")
    assert heard.hints == []


def test_a_stopped_watcher_hears_of_no_overflow(watcher: Watcher, heard: Heard) -> None:
    watcher.stop()
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflow")
    assert heard.hints == []


def test_a_folder_removed_and_made_again_is_listened_to_again(
    watcher: Watcher, folder: Path, heard: Heard, eventually: Eventually
) -> None:
    shutil.rmtree(folder)
    assert not watcher.alive()
    assert not watcher.renew()
    folder.mkdir()
    assert not watcher.alive()
    assert watcher.renew()
    assert watcher.alive()
    (folder / "after.csv").write_text("a\n")
    eventually(heard.of("after.csv"))


def test_a_folder_replaced_by_another_of_that_name_is_listened_to_again(
    watcher: Watcher, folder: Path, heard: Heard, eventually: Eventually
) -> None:
    folder.rename(folder.with_name("before"))
    folder.mkdir()
    assert not watcher.alive()
    assert watcher.renew()
    (folder / "after.csv").write_text("a\n")
    eventually(heard.of("after.csv"))


def test_where_all_is_well_nothing_is_renewed(watcher: Watcher) -> None:
    assert not watcher.renew()


def test_no_folder_is_a_warning_and_no_error(tmp_path: Path, heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    watching = Watcher(tmp_path / "missing", heard)
    watching.start()
    assert not watching.alive()
    assert not watching.renew()
    watching.stop()
    assert "no file events from" in caplog.text


def test_a_watcher_that_cannot_listen_leaves_nothing_behind_and_can_listen_later(
    tmp_path: Path, heard: Heard, eventually: Eventually
) -> None:
    watching = Watcher(tmp_path / "later", heard)
    watching.start()
    (tmp_path / "later").mkdir()
    try:
        assert watching.renew()
        (tmp_path / "later" / "a.csv").write_text("a\n")
        eventually(heard.of("a.csv"))
    finally:
        watching.stop()


def test_no_thread_is_left_after_stop(folder: Path, heard: Heard) -> None:
    before = set(threading.enumerate())
    watching = Watcher(folder, heard)
    watching.start()
    assert set(threading.enumerate()) > before
    watching.stop()
    assert set(threading.enumerate()) == before
    watching.stop()  # twice does no harm

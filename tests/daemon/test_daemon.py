"""The daemon as it runs: a process of its own, real files, real signals."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from churnwatch.daemon import attention
from churnwatch.pipeline import registry
from churnwatch.pipeline.backup import backup, restore
from churnwatch.pipeline.ledger.migrations import NAMES, ledger_migrations
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import Home

Ask = Callable[..., list[dict[str, Any]]]
Eventually = Callable[..., Any]
StateOf = Callable[[Home, str], str | None]
Start = Callable[..., Any]
RELEASE = ("trainedmodel.pkl", "latestscore.txt", "ingestedfiles.txt", "manifest.json")


def _lock(home: Home) -> Path:
    return home.state / attention.DAEMON_LOCK


def _runs(ask: Ask, home: Home) -> list[dict[str, Any]]:
    return ask(home, "SELECT run, attempt, status, decision FROM run_history ORDER BY run")


def test_a_dropped_file_becomes_a_release_and_its_copy_is_known_then_sigterm_ends_it_in_order(
    daemon: Start, home: Home, months: tuple[Path, ...], eventually: Eventually, state_of: StateOf, ask: Ask
) -> None:
    running = daemon(home)
    assert _lock(home).read_text() == str(running.process.pid)
    shutil.copy(months[0], home.source / "first.csv")
    assert eventually(lambda: state_of(home, "first.csv"), running.log) == "ingested"
    assert _runs(ask, home) == [{"run": 1, "attempt": 1, "status": "done", "decision": "first"}]
    with Reader.open(home.ledger) as ledger:
        champion = ledger.champion()
        assert champion is not None
        assert registry.release_problems(home.deployment, champion.model) == []
        assert ledger.row_totals() == {"read": 300, "accepted": 300, "duplicate": 0, "quarantined": 0}
    assert all((home.deployment / name).is_file() for name in RELEASE)
    eventually(home.report.exists)

    shutil.copy(months[0], home.source / "first again.csv")
    assert eventually(lambda: state_of(home, "first again.csv"), running.log) == "same_content"
    assert len(_runs(ask, home)) == 1
    assert ask(home, "SELECT reason FROM what_became_of_files WHERE state = 'same_content'") == [
        {"reason": "the same bytes as first.csv"}
    ]

    eventually(lambda: _children_of(running.process.pid) == [])
    assert running.stop() == 0
    assert _lock(home).read_text() == ""
    assert running.log.rstrip().endswith("stopped")
    assert "Traceback" not in running.log


def test_a_backup_made_while_the_daemon_works_restores_to_a_home_that_goes_on(
    daemon: Start,
    home: Home,
    months: tuple[Path, ...],
    eventually: Eventually,
    state_of: StateOf,
    ask: Ask,
    tmp_path: Path,
) -> None:
    running = daemon(home)
    shutil.copy(months[0], home.source / "first.csv")
    assert eventually(lambda: state_of(home, "first.csv"), running.log) == "ingested"
    shutil.copy(months[1], home.source / "second.csv")
    assert backup(home, tmp_path / "b.tar").problems == ()
    assert eventually(lambda: state_of(home, "second.csv"), running.log) == "ingested"
    assert running.stop() == 0

    restored, _ = restore(tmp_path / "b.tar", tmp_path / "restored")
    with Reader.open(restored.ledger) as ledger:
        champion = ledger.champion()
        assert ledger.problems() == []
        assert registry.release_problems(restored.deployment, champion.model if champion else None) == []
    again = daemon(restored)
    for name in ("first.csv", "second.csv"):
        shutil.copy(home.source / name, restored.source / name)
    assert eventually(lambda: state_of(restored, "second.csv"), again.log) in ("ingested", "same_content")
    assert again.stop() == 0
    with Reader.open(restored.ledger) as ledger, Reader.open(home.ledger) as original:
        assert ledger.row_totals() == original.row_totals()


def _children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_a_file_renamed_into_the_folder_is_taken_and_its_temporary_name_never_was(
    daemon: Start, home: Home, months: tuple[Path, ...], eventually: Eventually, state_of: StateOf, ask: Ask
) -> None:
    running = daemon(home)
    shutil.copy(months[0], home.source / ".first.csv.part")
    (home.source / ".first.csv.part").rename(home.source / "first.csv")
    assert eventually(lambda: state_of(home, "first.csv"), running.log) == "ingested"
    assert ask(home, "SELECT path FROM files") == [{"path": "first.csv"}]


def test_a_file_that_grows_is_taken_once_and_whole(
    daemon: Start,
    make_home: Callable[..., Home],
    months: tuple[Path, ...],
    eventually: Eventually,
    state_of: StateOf,
    ask: Ask,
) -> None:
    home = make_home()
    settings_file = home.path / "settings.yaml"
    settings_file.write_text(settings_file.read_text().replace("stability_s: 0.25", "stability_s: 1.5"))
    running = daemon(home)
    content = months[0].read_bytes()
    size = len(content) // 20 + 1
    with (home.source / "slow.csv").open("wb", buffering=0) as file:
        for begin in range(0, len(content), size):
            file.write(content[begin : begin + size])
            time.sleep(0.09)  # the writer's pace: a pause is far below the delay, all of them are above it
    assert eventually(lambda: state_of(home, "slow.csv"), running.log) == "ingested"
    assert ask(home, "SELECT path, rows_read, accepted FROM what_became_of_files") == [
        {"path": "slow.csv", "rows_read": 300, "accepted": 300}
    ]
    assert len(_runs(ask, home)) == 1


def test_a_burst_of_two_hundred_files_is_one_run(
    daemon: Start,
    make_home: Callable[..., Home],
    months: tuple[Path, ...],
    tmp_path: Path,
    eventually: Eventually,
    state_of: StateOf,
    ask: Ask,
) -> None:
    home = make_home()
    header, *lines = months[0].read_text().splitlines()
    (tmp_path / "burst").mkdir()
    for number in range(200):
        own = lines[number] if number % 2 else "\n".join((lines[number], lines[number - 1]))
        (tmp_path / "burst" / f"{number}.csv").write_text(f"{header}\n{own}\n")
    running = daemon(home)
    for file in sorted((tmp_path / "burst").iterdir()):
        shutil.copy(file, home.source)
    eventually(lambda: state_of(home, "199.csv"), running.log)
    assert len(_runs(ask, home)) == 1
    assert ask(home, "SELECT state, count(*) AS n FROM what_became_of_files GROUP BY state") == [
        {"state": "ingested", "n": 200}
    ]
    [rows] = ask(home, "SELECT sum(rows_read) AS r, sum(accepted) AS a, sum(duplicate) AS d FROM file_events")
    assert rows == {"r": 300, "a": 201, "d": 99}  # lines 0 to 199 and the 299th; every second line came twice


def test_a_second_daemon_on_the_same_home_is_refused_in_one_line(daemon: Start, home: Home) -> None:
    first = daemon(home)
    second = daemon(home)
    assert second.wait() == 1
    pid = first.process.pid
    assert second.log == f"churnwatch: {home.path}: a daemon is running already (process {pid}). Stop it first.\n"
    once = daemon(home, "--once")
    assert once.wait() == 1
    assert once.log.startswith(f"churnwatch: {home.path}: a daemon is running (process {pid})")
    assert first.process.poll() is None
    assert first.stop() == 0


def test_a_daemon_killed_in_the_middle_of_a_run_takes_it_up_and_ends_as_the_uninterrupted_one(
    daemon: Start,
    make_home: Callable[..., Home],
    months: tuple[Path, ...],
    hold: Any,
    eventually: Eventually,
    state_of: StateOf,
    ask: Ask,
) -> None:
    killed, calm = make_home("killed", extra=hold.settings), make_home("calm", extra=hold.settings)
    running = daemon(calm)
    shutil.copy(months[0], calm.source)
    eventually(lambda: state_of(calm, months[0].name), running.log)
    running.stop()

    hold.begin()
    running = daemon(killed)
    shutil.copy(months[0], killed.source)
    eventually(lambda: ask(killed, "SELECT 1 FROM steps WHERE step = 'ingest'"), running.log)
    running.signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert _lock(killed).read_text()  # whoever looks sees that it died without a word
    with Reader.open(killed.ledger) as ledger:
        assert any("died without a word" in line for line in attention.of(killed, ledger))
    hold.end()

    running = daemon(killed)
    eventually(lambda: _runs(ask, killed)[-1]["status"] == "done", running.log)
    assert running.stop() == 0
    assert _runs(ask, killed) == [{"run": 1, "attempt": 2, "status": "done", "decision": "first"}]
    assert [row["status"] for row in ask(killed, "SELECT status FROM attempt_ends ORDER BY attempt")] == [
        "interrupted", "done"]  # fmt: skip
    for question in (
        "SELECT path, state, rows_read, accepted, duplicate, quarantined FROM what_became_of_files",
        "SELECT state, count(*) FROM file_events GROUP BY state",
        "SELECT sha256, rows FROM parts",
        "SELECT version, sha256, threshold, train_rows, train_positives FROM models",
        "SELECT subject, split, name, value, rows FROM metrics ORDER BY rowid",
        "SELECT decision, candidate_value, rows, positives, sentence FROM decisions",
        "SELECT version, kind FROM releases JOIN intents USING (intent)",
        "SELECT path, rows, positives, sha256 FROM predictions",
    ):
        found = ask(killed, question)
        assert found, question
        assert found == ask(calm, question), question
    assert [p.name for p in sorted(killed.models.iterdir())] == ["v1"]


def test_after_an_upgrade_the_ledger_can_be_read_before_any_run(
    daemon: Start, home: Home, eventually: Eventually, churnwatch: Callable[..., Any]
) -> None:
    with contextlib.closing(sqlite3.connect(home.ledger)) as connection:
        later = [name for name in sorted(NAMES) if name > "m001_first_shape"]
        ledger_migrations.apply(Database(connection), stop_before=later)
    before = churnwatch("status", home=home)
    assert before.code == 4
    assert "made by an older churnwatch" in before.err
    running = daemon(home)
    eventually(lambda: "watching" in running.log)
    after = churnwatch("status", home=home)
    assert (after.code, after.err) == (0, "")
    assert home.ledger.with_name(f"{home.ledger.name}.before-m002_sources").exists()
    assert running.stop() == 0


def test_sighup_makes_it_look_at_once(
    daemon: Start,
    home: Home,
    months: tuple[Path, ...],
    tmp_path: Path,
    eventually: Eventually,
    state_of: StateOf,
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60.0)
        running = daemon(home, "--poll", "3600", NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="1000000")
        beats = 0
        while beats < 2:  # the second one begins the second turn: the look of the first is over
            beats += manager.recv(4096) == b"WATCHDOG=1"
    shutil.copy(months[0], home.source / "first.csv")  # nobody hears of it, and the next look is in an hour
    running.signal(signal.SIGHUP)
    assert eventually(lambda: state_of(home, "first.csv"), running.log) == "ingested"


def test_polling_finds_files_without_events(
    daemon: Start, home: Home, months: tuple[Path, ...], eventually: Eventually, state_of: StateOf
) -> None:
    running = daemon(home, "--poll", "0.3")
    assert not any("inotify" in str(each.readlink()) for each in Path(f"/proc/{running.process.pid}/fd").iterdir())
    shutil.copy(months[0], home.source / "first.csv")
    assert eventually(lambda: state_of(home, "first.csv"), running.log) == "ingested"


def test_sigterm_during_a_run_lets_it_finish(
    daemon: Start,
    make_home: Callable[..., Home],
    months: tuple[Path, ...],
    hold: Any,
    eventually: Eventually,
    ask: Ask,
) -> None:
    home = make_home(extra=hold.settings)
    hold.begin()
    running = daemon(home)
    shutil.copy(months[0], home.source)
    eventually(lambda: ask(home, "SELECT 1 FROM steps WHERE step = 'ingest'"), running.log)
    running.signal(signal.SIGTERM)
    hold.end()
    assert running.wait() == 0
    assert _runs(ask, home) == [{"run": 1, "attempt": 1, "status": "done", "decision": "first"}]
    assert _lock(home).read_text() == ""


def test_a_home_that_is_none_is_refused_in_one_line(daemon: Start, home: Home) -> None:
    (home.path / "settings.yaml").unlink()
    running = daemon(home)
    assert running.wait() == 1
    assert running.log.count("\n") == 1
    assert "is no home" in running.log

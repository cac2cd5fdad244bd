from __future__ import annotations

import dataclasses
import multiprocessing
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import _TABLES, Ledger
from churnwatch.pipeline.records import (
    FileEvent,
    FileState,
    Metric,
    Model,
    Profile,
    Signature,
    SourceFile,
    Status,
    Step,
)

AT = "2026-01-01T00:00:00.000Z"
SETTINGS = ("s" * 64, "{}")
Begun = Callable[..., tuple[int, list[SourceFile]]]


@pytest.mark.parametrize("record", _TABLES, ids=lambda record: str(record.__name__))
def test_a_record_has_the_fields_of_its_table(ledger: Ledger, record: type) -> None:
    columns = {row["name"] for row in ledger.rows(f"PRAGMA table_info({_TABLES[record]})")}
    assert {field.name for field in dataclasses.fields(record)} == columns - {"event"}


# -- transactions ----------------------------------------------------------------------------------------------


def test_an_error_takes_back_everything_in_the_transaction(ledger: Ledger) -> None:
    with pytest.raises(KeyError), ledger.transaction():  # noqa: PT012
        ledger.see_file(Signature("a.csv", 1, 1, 1), sha256="x", at=AT)
        raise KeyError
    assert ledger.rows("SELECT * FROM files") == []


def test_a_transaction_inside_another_is_part_of_that(ledger: Ledger) -> None:
    with pytest.raises(KeyError), ledger.transaction():  # noqa: PT012
        with ledger.transaction():
            ledger.see_file(Signature("a.csv", 1, 1, 1), sha256="x", at=AT)
        raise KeyError
    assert ledger.rows("SELECT * FROM files") == []


def test_what_is_refused_takes_the_records_before_it_along(ledger: Ledger, begun: Begun) -> None:
    run, [file] = begun("a.csv")
    good = FileEvent(file.file, run, AT, FileState.INGESTED, 1, 1, 0, 0)
    with pytest.raises(sqlite3.IntegrityError):
        ledger.add(good, dataclasses.replace(good, accepted=5))
    assert ledger.run_file_states(run) == []


def test_a_row_that_refers_to_nothing_is_refused(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        ledger.add(FileEvent(7, None, AT, FileState.FAILED))


def test_add_all_keeps_every_column_whichever_rows_have_it(ledger: Ledger, begun: Begun) -> None:
    run, _ = begun()
    without = Profile(run, "a", 3, 0, 0.0, 1, None, None, None, None, None)
    having = Profile(run, "b", 3, 0, 0.0, 1, 1.5, 1.5, 0.0, 1.5, 1.5)
    ledger.add_all([without, having])
    assert [Profile(**row) for row in ledger.profiles(run)] == [without, having]
    ledger.add_all([])


def _count_up(path: Path, turns: int) -> None:
    """Read a number and write the next one: what loses updates, or fails, where reading does not take the lock."""
    for _ in range(turns):
        with Ledger.open(path) as ledger, ledger.transaction():
            ledger.begin_attempt(1, at=AT, pid=1, settings=SETTINGS)


def test_many_processes_read_and_write_without_a_locked_database(tmp_path: Path) -> None:
    path = tmp_path / "churnwatch.db"
    with Ledger.open(path) as ledger:
        ledger.begin_run(run_id="r", reason="drop", at=AT, settings=SETTINGS, code_version="0", inputs=[])
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_count_up, args=(path, 20)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    with Ledger.open(path) as ledger:
        assert [row["attempt"] for row in ledger.attempts(1)] == list(range(1, 81))


def test_many_threads_make_a_ledger_once(tmp_path: Path) -> None:
    # thirty times: two that turn the write-ahead log on in the same instant meet in about one try of ten
    for attempt in range(30):
        path, errors = tmp_path / str(attempt) / "churnwatch.db", list[BaseException]()
        _add_a_pin_at_once(path, 6, errors)
        assert errors == []
        with Reader.open(path) as reader:
            assert reader.rows("SELECT count(*) AS n FROM pins") == [{"n": 6}]


def _add_a_pin_at_once(path: Path, number: int, errors: list[BaseException]) -> None:
    gate = threading.Barrier(number)

    def add() -> None:
        try:
            gate.wait(10)
            with Ledger.open(path) as ledger:
                ledger.add_pin(None, at=AT, actor="me", why=None)
        except BaseException as error:  # noqa: BLE001 - shown by the caller
            errors.append(error)

    threads = [threading.Thread(target=add) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_a_reader_sees_the_last_state_while_somebody_writes(tmp_path: Path) -> None:
    path = tmp_path / "churnwatch.db"
    with Ledger.open(path) as ledger, ledger.transaction():
        ledger.see_file(Signature("a.csv", 1, 1, 1), sha256="x", at=AT)
        with Reader.open(path) as reader:
            assert reader.rows("SELECT * FROM files") == []


def test_what_is_acknowledged_is_on_the_disk(ledger: Ledger) -> None:
    assert ledger.rows("PRAGMA synchronous") == [{"synchronous": 2}]
    assert ledger.rows("PRAGMA journal_mode") == [{"journal_mode": "wal"}]
    assert ledger.rows("PRAGMA foreign_keys") == [{"foreign_keys": 1}]


# -- opening ---------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_ledger_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "churnwatch.db"
    path.write_bytes(b"id,n,left\n" * 100)
    with pytest.raises(LedgerError, match=r"churnwatch\.db: not a ledger, or damaged"), Ledger.open(path):
        pass
    assert path.read_bytes() == b"id,n,left\n" * 100


def test_a_damaged_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "churnwatch.db"
    with Ledger.open(path) as ledger:
        ledger.rows("PRAGMA journal_mode=DELETE")
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * 3996  # the table of tables
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="not a ledger, or damaged"), Ledger.open(path):
        pass


def test_a_ledger_where_a_folder_lies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="unable to open database file"), Ledger.open(tmp_path):
        pass


# -- runs and attempts -----------------------------------------------------------------------------------------


def test_the_same_identity_never_makes_a_second_run(ledger: Ledger, begun: Begun) -> None:
    first, files = begun("a.csv")
    again, _ = begun("a.csv")
    other, _ = begun("b.csv", run_id="other")
    assert (first, again, other) == (1, 1, 2)
    assert ledger.run_files(first) == files


def test_attempts_are_counted_per_run_and_keep_the_settings_in_force(ledger: Ledger, begun: Begun) -> None:
    run, _ = begun("a.csv")
    other, _ = begun("b.csv", run_id="other")
    assert ledger.begin_attempt(run, at=AT, pid=1, settings=SETTINGS) == 1
    assert ledger.begin_attempt(run, at=AT, pid=2, settings=("t" * 64, '{"a":1}')) == 2
    assert ledger.begin_attempt(other, at=AT, pid=3, settings=SETTINGS) == 1
    assert [row["pid"] for row in ledger.attempts(run)] == [1, 2]
    assert ledger.settings_of("t" * 64) == '{"a":1}'


def test_an_attempt_ends_once(ledger: Ledger, begun: Begun) -> None:
    run, _ = begun()
    ledger.begin_attempt(run, at=AT, pid=1, settings=SETTINGS)
    ledger.end_attempt(run, 1, at=AT, status=Status.DONE, wall_s=0.5, note="fine")
    with pytest.raises(sqlite3.IntegrityError):
        ledger.end_attempt(run, 1, at=AT, status=Status.FAILED)
    assert ledger.run(run)["status"] == "done"


def test_a_step_is_recorded_once_an_attempt(ledger: Ledger, begun: Begun) -> None:
    run, _ = begun()
    ledger.begin_attempt(run, at=AT, pid=1, settings=SETTINGS)
    ledger.add(Step(run, 1, "train", AT, 1.5, 1.2, 100))
    with pytest.raises(sqlite3.IntegrityError):
        ledger.add(Step(run, 1, "train", AT, 1.5, 1.2, 100))
    assert [row["step"] for row in ledger.steps(run)] == ["train"]


def test_a_file_is_known_again_by_path_signature_and_content(ledger: Ledger) -> None:
    seen = Signature("a.csv", 1, 2, 3)
    first = ledger.see_file(seen, sha256="x", at=AT)
    assert ledger.see_file(seen, sha256="x", at="later") == first
    assert ledger.see_file(seen, sha256="y", at=AT).file == 2
    assert ledger.see_file(dataclasses.replace(seen, mtime_ns=9), sha256="x", at=AT).file == 3


# -- the rest --------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Finding:
    kind: str
    package: str
    installed: str
    latest: str | None = None
    advisory: str | None = None
    fixed_in: str | None = None
    reason: str | None = None


@dataclasses.dataclass
class _Check:
    checked_at: str
    packages: int = 3
    outdated: int | None = 1
    vulnerable: int | None = 0
    unknown: int = 0
    error: str | None = None
    findings: tuple[Any, ...] = ()


def test_package_checks_are_kept_with_their_findings(ledger: Ledger) -> None:
    ledger.add_package_check(_Check("2026-01-01", findings=(_Finding("outdated", "pip", "1", "2"),)))
    ledger.add_package_check(_Check("2026-01-02", outdated=None, unknown=2, error="offline"))
    ledger.add_package_check(_Check("2026-01-03", outdated=None, unknown=2, error="offline"))
    newest, good = ledger.package_check(), ledger.package_check(good_only=True)
    assert newest is not None
    assert good is not None
    assert (newest["checked_at"], good["checked_at"]) == ("2026-01-03", "2026-01-01")
    assert ledger.packages_unknown_since() == "2026-01-02"
    assert [row["package"] for row in ledger.package_findings(good["check_id"])] == ["pip"]
    ledger.add_package_check(_Check("2026-01-04"))
    assert ledger.packages_unknown_since() is None


def test_metrics_are_found_by_run_version_and_split(
    ledger: Ledger, begun: Begun, add_model: Callable[[int, int], Model]
) -> None:
    run, _ = begun()
    add_model(1, run)
    ledger.add(
        Metric(run, 1, "candidate", "train", "f1", 0.5, 10), Metric(run, None, "baseline", "holdout", "f1", 0.4, 10)
    )
    assert [row["value"] for row in ledger.metrics(version=1)] == [0.5]
    assert [row["value"] for row in ledger.metrics(run=run, split="holdout")] == [0.4]
    assert len(ledger.metrics()) == 2

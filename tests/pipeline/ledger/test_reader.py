from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from churnwatch.pipeline.errors import LedgerError, NotFoundError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Batch, FileEvent, FileState, Metric, Model, Signature, SourceFile, Status

AT = "2026-01-01T00:00:00.000Z"
SETTINGS = ("s" * 64, "{}")
Begun = Callable[..., tuple[int, list[SourceFile]]]
AddModel = Callable[[int, int], Model]


# -- opening ---------------------------------------------------------------------------------------------------


def test_no_ledger_yet_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"^churnwatch\.db: no ledger yet; it is made by the first run"):
        Reader.open(tmp_path / "churnwatch.db").__enter__()


@pytest.mark.parametrize("content", [b"", b"no ledger at all" * 100])
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "churnwatch.db"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="cannot be read as a ledger"), Reader.open(path):
        pass


def test_a_folder_where_the_ledger_should_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be read as a ledger"), Reader.open(tmp_path):
        pass


def test_a_reader_never_writes(tmp_path: Path) -> None:
    path = tmp_path / "churnwatch.db"
    with Ledger.open(path) as ledger:
        ledger.see_file(Signature("a.csv", 1, 1, 1), sha256="x", at=AT)
    before = path.read_bytes()
    with Reader.open(path) as reader:
        assert len(reader.rows("SELECT * FROM files")) == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.rows("DELETE FROM files")
    assert path.read_bytes() == before


def test_a_ledger_in_a_folder_of_any_name_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "50% off? #1" / "churnwatch.db"
    with Ledger.open(path):
        pass
    with Reader.open(path) as reader:
        assert reader.runs() == []


# -- files -----------------------------------------------------------------------------------------------------


def test_the_newest_event_of_a_file_is_its_state(ledger: Ledger, begun: Begun) -> None:
    run, [file] = begun("a.csv")
    ledger.add(
        FileEvent(file.file, run, AT, FileState.FAILED, reason="bad luck"),
        FileEvent(file.file, None, AT, FileState.RETRY),
    )
    assert [row["state"] for row in ledger.files()] == ["retry"]
    assert ledger.file_counts() == {"retry": 1}
    assert ledger.files("failed") == []
    assert ledger.file_by_path("a.csv")["state"] == "retry"


@pytest.mark.parametrize(("state", "settled"), [(state, state not in ("retry", "waiting")) for state in FileState])
def test_a_file_is_settled_unless_it_waits_or_is_to_be_read_again(
    ledger: Ledger, begun: Begun, state: FileState, settled: bool
) -> None:
    run, [file] = begun("a.csv")
    ledger.add(FileEvent(file.file, run, AT, state))
    assert ledger.settled_signatures() == ({Signature("a.csv", 1, 1, 1)} if settled else set())
    assert ledger.waiting_files() == ([file] if state is FileState.WAITING else [])


def test_only_a_file_whose_rows_were_read_owns_its_content(ledger: Ledger, begun: Begun) -> None:
    run, _ = begun()
    files = [ledger.see_file(Signature(path, 1, 1, 1), sha256="x", at=AT) for path in ("a.csv", "b.csv", "c.csv")]
    ledger.add(FileEvent(files[0].file, run, AT, FileState.QUARANTINED))
    assert ledger.content_owners("x", besides=files[2].file) == []
    ledger.add(FileEvent(files[1].file, run, AT, FileState.INGESTED))
    assert ledger.content_owners("x", besides=files[2].file) == [files[1]]
    assert ledger.content_owners("x", besides=files[1].file) == []


def test_rows_are_added_up_over_all_files(ledger: Ledger, begun: Begun) -> None:
    run, [one, two, three] = begun("a.csv", "b.csv", "c.csv")
    ledger.add(
        FileEvent(one.file, run, AT, FileState.INGESTED, 10, 7, 2, 1),
        FileEvent(two.file, run, AT, FileState.PREDICTED, 5, 5, 0, 0),
        FileEvent(three.file, run, AT, FileState.QUARANTINED),
    )
    assert ledger.row_totals() == {"read": 15, "accepted": 12, "duplicate": 2, "quarantined": 1}


def test_names_of_ingested_files_come_in_the_order_of_their_batches(ledger: Ledger, begun: Begun) -> None:
    run, [one, two] = begun("b.csv", "a.csv")
    ledger.add(Batch(1, run, two.file, 1, 1, 1, 0, 0, None, None), Batch(2, run, one.file, 1, 1, 1, 0, 0, None, None))
    assert ledger.ingested_files() == ["a.csv", "b.csv"]
    assert ledger.next_batch() == 3


def test_what_is_unknown_is_said_in_one_line(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match=r"^x\.csv: no file of that name was ever seen"):
        ledger.file_by_path("x.csv")
    with pytest.raises(NotFoundError, match=r"^run 7: there is no such run"):
        ledger.run(7)
    with pytest.raises(NotFoundError, match=r"^v7: there is no such model version"):
        ledger.model(7)


# -- runs ------------------------------------------------------------------------------------------------------


def _end(ledger: Ledger, run: int, *statuses: Status) -> None:
    for status in statuses:
        attempt = ledger.begin_attempt(run, at=AT, pid=1, settings=SETTINGS)
        ledger.end_attempt(run, attempt, at=AT, status=status)


def test_a_run_is_unfinished_until_it_is_done_or_broke_down_too_often(ledger: Ledger, begun: Begun) -> None:
    endings = {
        "done": (Status.FAILED, Status.DONE),
        "failed": (Status.FAILED,) * 5,
        "broken twice": (Status.BROKEN, Status.INTERRUPTED),
        "given up": (Status.BROKEN, Status.INTERRUPTED, Status.BROKEN),
        "done at last": (Status.BROKEN, Status.BROKEN, Status.BROKEN, Status.DONE),
    }
    runs = {name: begun(run_id=name)[0] for name in endings}
    for name, statuses in endings.items():
        _end(ledger, runs[name], *statuses)
    assert [row["run"] for row in ledger.unfinished(3)] == [runs["failed"], runs["broken twice"]]
    assert ledger.given_up(3) == [runs["given up"]]


def test_an_attempt_without_an_end_is_open(ledger: Ledger, begun: Begun) -> None:
    run, _ = begun()
    _end(ledger, run, Status.FAILED)
    ledger.begin_attempt(run, at=AT, pid=42, settings=SETTINGS)
    assert [(row["run"], row["attempt"]) for row in ledger.open_attempts()] == [(run, 2)]
    assert ledger.runs()[0]["status"] == "running"


def test_runs_come_newest_first(ledger: Ledger, begun: Begun) -> None:
    for name in "abc":
        _end(ledger, begun(run_id=name)[0], Status.DONE)
    assert [row["run"] for row in ledger.runs()] == [3, 2, 1]
    assert [row["run"] for row in ledger.runs(2)] == [3, 2]


# -- models ----------------------------------------------------------------------------------------------------


def _release(ledger: Ledger, version: int, at: str = AT) -> None:
    ledger.add_release(ledger.add_intent(version, at=at, run=None, kind="manual", actor="me", why="because"), at=at)


def test_the_champion_is_the_last_release(ledger: Ledger, begun: Begun, add_model: AddModel) -> None:
    run, _ = begun()
    assert ledger.champion() is None
    for version in (1, 2):
        add_model(version, run)
    ledger.add(Metric(run, 1, "candidate", "holdout", "f1", 0.75, 40))
    for version in (1, 2, 1):
        _release(ledger, version)
    champion = ledger.champion()
    assert champion is not None
    assert (champion.model.name, champion.value, champion.holdout_rows, champion.pinned) == ("v1", 0.75, 40, False)


def test_releases_come_in_their_order_also_when_the_clock_was_put_back(
    ledger: Ledger, begun: Begun, add_model: AddModel
) -> None:
    run, _ = begun()
    for version, at in ((1, "2026-01-03"), (2, "2026-01-02"), (3, "2026-01-01")):
        add_model(version, run)
        _release(ledger, version, at)
    assert [row["version"] for row in ledger.releases()] == [1, 2, 3]


def test_an_intent_is_open_until_its_release(ledger: Ledger, begun: Begun, add_model: AddModel) -> None:
    run, _ = begun()
    add_model(1, run)
    intent = ledger.add_intent(1, at=AT, run=run, kind="first", actor="gate")
    opened = ledger.open_intent()
    assert opened is not None
    assert opened["intent"] == intent
    ledger.add_release(intent, at=AT)
    assert ledger.open_intent() is None


def test_an_intent_that_a_later_release_overtook_is_not_open(ledger: Ledger, begun: Begun, add_model: AddModel) -> None:
    run, _ = begun()
    for version in (1, 2):
        add_model(version, run)
    ledger.add_intent(1, at=AT, run=run, kind="first", actor="gate")
    _release(ledger, 2)
    assert ledger.open_intent() is None


def test_the_newest_pin_counts(ledger: Ledger, begun: Begun, add_model: AddModel) -> None:
    run, _ = begun()
    add_model(1, run)
    assert ledger.pin() is None
    ledger.add_pin(1, at=AT, actor="me", why="complaints")
    pin = ledger.pin()
    assert pin is not None
    assert (pin["version"], pin["why"]) == (1, "complaints")
    ledger.add_pin(None, at=AT, actor="me", why=None)
    assert ledger.pin() is None


# -- health ----------------------------------------------------------------------------------------------------


def test_a_sound_ledger_has_no_problems(ledger: Ledger, begun: Begun) -> None:
    begun("a.csv")
    assert ledger.problems() == []


def test_a_row_that_refers_to_nothing_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "churnwatch.db"
    with Ledger.open(path):
        pass
    with sqlite3.connect(path) as other:  # any SQLite tool, which does not check foreign keys by itself
        other.execute("INSERT INTO pins (at, version, actor) VALUES ('now', 7, 'me')")
    other.close()
    with Reader.open(path) as reader:
        assert reader.problems() == ["pins: row 1 refers to nothing"]

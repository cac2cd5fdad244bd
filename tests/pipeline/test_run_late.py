"""Whole runs of a home whose labels arrive later: requests, their labels in any order, estimates and the truth."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import canonical
import pyarrow.parquet
import pytest

from churnwatch.pipeline import compaction, coverage, datasets, estimating, ingest, late_labels, run
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Status
from churnwatch.pipeline.run import Outcome
from churnwatch.pipeline.settings import Home, load

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
TELCO = """\
target: Churn
positive: Yes
id: customerID
date: month
labels: "labels-*.csv"
training:
  estimators: [logistic]
  folds: 2
gate:
  policy: better
  min_positives: 5
"""


def _work(home: Home) -> list[Outcome]:
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        return run.work(home, ledger, reason="drop")


def _done(home: Home) -> Outcome:
    [outcome] = _work(home)
    assert outcome.status is Status.DONE, outcome
    return outcome


def _ask(home: Home, question: str, *values: Any) -> list[dict[str, Any]]:
    with Ledger.open(home.ledger) as ledger:
        return ledger.rows(question, *values)


def _account(home: Home, path: str) -> tuple[Any, ...]:
    [row] = _ask(home, "SELECT * FROM what_became_of_files WHERE path = ?", path)
    return row["state"], row["rows_read"], row["accepted"], row["duplicate"], row["quarantined"]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: Iterable[dict[str, str]], columns: list[str]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _request(home: Home, month: Path) -> str:
    rows = _rows(month)
    name = f"customers-{month.stem[-7:]}.csv"
    _write(home.source / name, rows, [column for column in rows[0] if column != "Churn"])
    return name


def _labels(home: Home, month: Path, *, name: str = "", dated: bool = True, rows: slice = slice(None)) -> str:
    name = name or f"labels-{month.stem[-7:]}.csv"
    columns = ["customerID", "month", "Churn"] if dated else ["customerID", "Churn"]
    _write(home.source / name, _rows(month)[rows], columns)
    return name


def _learned(home: Home) -> list[tuple[Any, ...]]:
    """Return the rows of the main data set, without where they came from."""
    with Ledger.open(home.ledger) as ledger:
        parts = datasets.paths(home, ledger)
    found = [row for part in parts for row in pyarrow.parquet.read_table(part).to_pylist()]
    return sorted(tuple(str(row[name]) for name in sorted(row) if name not in ("_batch", "_line")) for row in found)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> Home:
    """Return a home that has released a model of the first month and has predicted the second."""
    folder = tmp_path_factory.mktemp("late")
    (folder / "settings.yaml").write_text(TELCO)
    home = load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    shutil.copy(telco[0], home.source)
    _done(home)
    _request(home, telco[1])
    _done(home)
    return home


@pytest.fixture
def home(once: Home, tmp_path: Path) -> Home:
    """Return a copy of that home."""
    return load(Path(shutil.copytree(once.path, tmp_path / "home", symlinks=True)))


@pytest.fixture(scope="module")
def labelled(once: Home, tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> Home:
    """Return a home to look at: that one, after the labels of the second month came."""
    home = load(Path(shutil.copytree(once.path, tmp_path_factory.mktemp("labelled") / "home", symlinks=True)))
    _labels(home, telco[1])
    _done(home)
    return home


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> list[tuple[Any, ...]]:
    """Return what the data set holds where both months came with their labels."""
    folder = tmp_path_factory.mktemp("ordinary")
    (folder / "settings.yaml").write_text(TELCO)
    home = load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    for month in telco[:2]:
        shutil.copy(month, home.source)
    _done(home)
    return _learned(home)


def test_labels_that_come_later_make_the_rows_that_a_labelled_drop_would_have(
    labelled: Home, ordinary: list[tuple[Any, ...]]
) -> None:
    assert _account(labelled, "labels-2026-02.csv") == ("ingested", 240, 240, 0, 0)
    assert _learned(labelled) == ordinary
    [batch] = _ask(labelled, "SELECT * FROM batches WHERE run = 3")
    assert (batch["accepted"], batch["labelled"]) == (240, 240)
    splits = {row["split"] for row in _ask(labelled, "SELECT DISTINCT split FROM metrics WHERE run = 3")}
    assert {"prequential", "estimated", "realised", "holdout"} <= splits
    assert _ask(labelled, "SELECT decision FROM decisions WHERE run = 3")


def test_an_estimate_is_recorded_with_the_predictions_and_the_truth_beside_it_when_the_labels_come(
    once: Home, labelled: Home
) -> None:
    with Ledger.open(once.ledger) as ledger:
        [before] = coverage.expected(ledger, "f1", run=2)
        assert coverage.coverage(ledger.compared_estimates("f1")).compared == 0
    assert before.truth is None
    assert before.value is not None
    assert before.low is not None
    assert before.high is not None
    assert 0 < before.low < before.value < before.high < 1
    with Ledger.open(labelled.ledger) as ledger:
        [after] = coverage.expected(ledger, "f1", run=2)
        assert coverage.coverage(ledger.compared_estimates("f1")).compared == 1
        prequential = {row["name"]: row["value"] for row in ledger.metrics(run=3, split="prequential")}
    assert (after.truth, after.truth_rows) == (pytest.approx(prequential["f1"]), 240)


def test_labels_that_come_before_their_request_wait_for_it(
    home: Home, telco: tuple[Path, ...], ordinary: list[tuple[Any, ...]]
) -> None:
    _labels(home, telco[1])
    early = _labels(home, telco[2])
    outcome = _done(home)
    assert any(f"{early}: 240 of 240 labels wait for a request" in warning for warning in outcome.warnings)
    assert _account(home, early) == ("ingested", 240, 240, 0, 0)
    assert _learned(home) == ordinary
    _request(home, telco[2])
    _done(home)
    [batch] = _ask(home, "SELECT f.path, b.accepted FROM batches b JOIN files f USING (file) WHERE b.run = 4")
    assert batch == {"path": early, "accepted": 240}
    assert _ask(home, "SELECT decision FROM decisions WHERE run = 4")


def test_every_label_is_accounted_for(home: Home, telco: tuple[Path, ...]) -> None:
    _labels(home, telco[1], rows=slice(0, 200), name="labels-first.csv")
    again = [{**row, "Churn": "Yes" if row["Churn"] == "No" else "No"} for row in _rows(telco[1])[:3]]
    again += [*_rows(telco[1])[100:220], {"customerID": "", "month": "2026-02-01", "Churn": "No"}]
    again += [{"customerID": "nobody", "month": "2026-02-01", "Churn": "No"}]
    _write(home.source / "labels-more.csv", again, ["customerID", "month", "Churn"])
    _done(home)
    assert _account(home, "labels-more.csv") == ("ingested", 125, 21, 100, 4)
    reasons = {row["reason"]: row["rows"] for row in _ask(home, "SELECT * FROM quarantines")}
    assert reasons == {
        "contradicts an earlier label of the same row; the earlier one counts": 3,
        "missing, but required": 1,
    }
    assert [row["accepted"] for row in _ask(home, "SELECT accepted FROM batches WHERE run = 3")] == [200, 20]
    kept = pyarrow.parquet.read_table(home.ingested / "quarantine" / "run-00003-late-labels.parquet")
    assert kept["_line"].to_pylist() == [2, 3, 4, 125]


def test_labels_that_come_bit_by_bit_come_to_the_same_also_where_parts_are_merged(
    home: Home, telco: tuple[Path, ...], ordinary: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FANOUT", 2)
    for rows in (slice(0, 120), slice(120, 240)):
        _labels(home, telco[1], name=f"labels-{rows.start}.csv", rows=rows)
        _done(home)
    assert _learned(home) == ordinary
    with Ledger.open(home.ledger) as ledger:
        assert len(ledger.parts(late_labels.LABELS)) == 1
        assert [row["truth_rows"] for row in ledger.estimates("f1")] == [240]
        assert ledger.ingested_files() == [telco[0].name, "labels-0.csv", "labels-120.csv"]


def test_labels_without_a_date_are_of_the_newest_request(home: Home, telco: tuple[Path, ...]) -> None:
    name = _labels(home, telco[1], dated=False)
    _write(home.source / "labels-unknown.csv", [{"customerID": "nobody", "Churn": "No"}], ["customerID", "Churn"])
    _done(home)
    assert _account(home, name) == ("ingested", 240, 240, 0, 0)
    assert _account(home, "labels-unknown.csv") == ("ingested", 1, 0, 0, 1)
    [quarantine] = _ask(home, "SELECT * FROM quarantines")
    assert quarantine["reason"].startswith("no request of this id before it")


def test_a_file_of_labels_without_the_target_is_refused(home: Home) -> None:
    (home.source / "labels-none.csv").write_text("customerID,month\na,2026-02-01\n")
    _done(home)
    [row] = _ask(home, "SELECT * FROM what_became_of_files WHERE path = 'labels-none.csv'")
    assert (row["state"], "no column `Churn`" in row["reason"]) == ("quarantined", True)


def test_where_the_model_may_have_learned_from_the_labels_nothing_is_compared(
    home: Home, telco: tuple[Path, ...]
) -> None:
    _request(home, telco[2])
    _labels(home, telco[2])
    _done(home)
    assert _ask(home, "SELECT * FROM metrics WHERE split IN ('estimated', 'realised') AND run = 3") == []


def test_a_labelled_drop_says_too_whether_estimates_hold(home: Home, telco: tuple[Path, ...]) -> None:
    shutil.copy(telco[3], home.source)
    _done(home)
    with Ledger.open(home.ledger) as ledger:
        [row] = ledger.compared_estimates("f1")
    assert (row["run"], row["file"], row["batch"]) == (3, None, 2)


# -- cut short and taken up again ------------------------------------------------------------------------------


def _second_drop(home: Home, telco: tuple[Path, ...]) -> None:
    """A request, its labels, those of a request that came before, and some that wait."""
    _request(home, telco[2])
    for month in telco[1:4]:
        _labels(home, month)


@pytest.fixture(scope="module")
def uninterrupted(once: Home, tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> canonical.Dump:
    """Return what that home comes to where nothing cuts the run short."""
    home = load(Path(shutil.copytree(once.path, tmp_path_factory.mktemp("whole") / "home", symlinks=True)))
    _second_drop(home, telco)
    _done(home)
    assert canonical.problems(home) == []
    return canonical.dump(home)


@pytest.mark.parametrize(
    ("owner", "function"),
    [(ingest, "write_query"), (estimating, "compare")],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_kill_right_after_anything_was_written_loses_no_label(
    home: Home,
    telco: tuple[Path, ...],
    uninterrupted: canonical.Dump,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    function: str,
) -> None:
    class KilledError(BaseException):
        pass

    whole: Callable[..., Any] = getattr(owner, function)

    def killed(*args: Any, **options: Any) -> Any:
        whole(*args, **options)
        raise KilledError

    _second_drop(home, telco)
    with monkeypatch.context() as patch:
        patch.setattr(owner, function, killed)
        with pytest.raises(KilledError):
            _work(home)
    _done(home)
    assert canonical.differences(canonical.dump(home), uninterrupted) == []


def test_a_kill_of_a_run_of_nothing_but_a_request_keeps_its_rows_once(
    home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(run.predicting, "predict_all", _broken)
        _request(home, telco[2])
        with pytest.raises(RuntimeError):
            _work(home)
    _done(home)
    assert _ask(home, "SELECT run, rows FROM requests") == [{"run": 2, "rows": 240}, {"run": 3, "rows": 240}]
    with Ledger.open(home.ledger) as ledger:
        assert sum(part.rows for part in ledger.parts(late_labels.REQUESTS)) == 480


def _broken(*_: Any) -> None:
    raise RuntimeError

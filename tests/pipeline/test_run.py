from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import canonical
import joblib
import pandas as pd
import pyarrow.parquet
import pytest
from run_steps import RUN_STEPS

from churnwatch.daemon import attention
from churnwatch.pipeline import (
    bucketing,
    customer_files,
    datasets,
    drift_step,
    explaining,
    files,
    learning,
    predicting,
    promotion,
    registry,
    run,
    scan,
    taking,
    windows,
)
from churnwatch.pipeline import load as load_step
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
training:
  estimators: [logistic]
  folds: 2
gate:
  policy: better
  min_positives: 5
"""
STEPS = {
    "ingest_files": taking,
    "test_champion": learning,
    "measure": drift_step,
    "train_candidate": learning,
    "decide": learning,
    "promote": learning,
    "predict_all": predicting,
    "explain_customers": explaining,
    "sort_customers": bucketing,
}
Work = Callable[..., list[Outcome]]


class BugError(Exception):
    """What nobody expects."""


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    return make_home(TELCO)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> Home:
    """Return a home that has released a first model of the first month, whose file is gone from the source folder."""
    home = _made(tmp_path_factory.mktemp("once"))
    path = _drop(home, telco[0])
    assert _one(_work(home)).status is Status.DONE
    path.unlink()
    return home


@pytest.fixture
def released(once: Home, tmp_path: Path) -> Home:
    """Return a copy of that home."""
    return load(Path(shutil.copytree(once.path, tmp_path / "released", symlinks=True)))


def _work(home: Home) -> list[Outcome]:
    """Do what one turn of the daemon does, without the report."""
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        return run.work(home, ledger, reason="drop")


def _drop(home: Home, source: Path, name: str | None = None) -> Path:
    return Path(shutil.copy(source, home.source / (name or source.name)))


def _one(outcomes: Sequence[Outcome]) -> Outcome:
    assert len(outcomes) == 1, outcomes
    return outcomes[0]


def _ask(home: Home, question: str, *values: Any) -> list[dict[str, Any]]:
    with Ledger.open(home.ledger) as ledger:
        return ledger.rows(question, *values)


def _states(home: Home) -> dict[str, str]:
    return {row["path"]: row["state"] for row in _ask(home, "SELECT path, state FROM what_became_of_files")}


# -- the whole way ---------------------------------------------------------------------------------------------


def test_a_first_drop_becomes_a_release_with_predictions(home: Home, telco: tuple[Path, ...]) -> None:
    _drop(home, telco[0])
    outcome = _one(_work(home))
    assert (outcome.run, outcome.status, outcome.warnings) == (1, Status.DONE, ())
    assert outcome.line.startswith("Released as the first model: F1 0.")
    with Ledger.open(home.ledger) as ledger:
        champion = ledger.champion()
        assert champion is not None
        assert registry.release_problems(home.deployment, champion.model) == []
        assert ledger.problems() == []
        assert ledger.row_totals() == {"read": 240, "accepted": 240, "duplicate": 0, "quarantined": 0}
        assert {row["step"] for row in ledger.steps(1)} == set(RUN_STEPS)
        [prediction] = ledger.predictions(1)
    stayed = pd.read_csv(telco[0]).query("Churn == 'No'")
    table = pyarrow.parquet.read_table(home.predictions / prediction["path"]).to_pandas()
    assert sorted(table["customerID"]) == sorted(stayed["customerID"])
    assert list(table["probability"]) == sorted(table["probability"], reverse=True)
    assert prediction["rows"] == len(stayed)
    assert prediction["positives"] == table["decision"].sum()
    assert (home.predictions / "run-00001.csv").exists()
    assert (home.ingested / "ingestedfiles.txt").read_text() == f"['{telco[0].name}']\n"


def test_of_too_many_rows_a_sample_is_learned_from_and_the_run_says_so(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    home = make_home(TELCO.replace("folds: 2", "folds: 2\n  max_rows: 60"))
    _drop(home, telco[0])
    warning = _one(_work(home)).warnings[0]
    assert warning.startswith("learned from a sample of ")
    assert "see training.max_rows" in warning
    [model] = _ask(home, "SELECT train_rows FROM models")
    assert 30 < model["train_rows"] < 90


def test_windows_that_were_compared_are_kept_and_the_one_that_was_chosen_is_told(
    make_home: Callable[..., Home], telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "choose", lambda compared: compared[-1].window)
    home = make_home(TELCO.replace("folds: 2", "folds: 2\n  window: compare\n  half_life: 1"))
    for path in telco:
        _drop(home, path)
    outcome = _one(_work(home))
    assert outcome.line.endswith(
        " It learned from a window (all, half-life 1 batches), since that would have predicted the newest batches"
        " better than all."
    )
    assert _ask(home, "SELECT subject, version FROM metrics WHERE split = 'window' AND name = 'log_loss'") == [
        {"subject": "all", "version": None},
        {"subject": "all, half-life 1 batches", "version": 1},
    ]
    baseline = _ask(home, "SELECT value FROM metrics WHERE split = 'cross_validation' AND subject = 'baseline'")
    told = json.loads((home.models / "v1" / "manifest.json").read_text())
    assert (told["window"], told["calibration"]) == ("all, half-life 1 batches", "sigmoid")
    assert [each["window"] for each in told["windows"]] == ["all", "all, half-life 1 batches"]
    assert [told["baseline"]] == [row["value"] for row in baseline]


def test_a_search_that_time_ended_and_a_model_no_better_than_none_are_told(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    home = make_home(TELCO.replace("folds: 2", "folds: 2\n  mode: search\n  search_s: 0.001"))
    table = pd.read_csv(telco[0], dtype="str")
    table["Churn"] = table["Churn"].sample(frac=1, random_state=0).to_numpy()
    table[["customerID", "month", "gender", "Churn"]].to_csv(home.source / "drop.csv", index=False)
    warnings = _one(_work(home)).warnings
    assert (
        "the search for parameters of logistic was stopped by training.search_s after 1 sets; a faster machine may"
        " find others"
    ) in warnings
    assert "by cross-validation no estimator is better than saying the same of everybody" in warnings
    told = json.loads((home.models / "v1" / "manifest.json").read_text())
    assert told["searches"] == [{"estimator": "logistic", "parameters": {}, "tried": 1, "stopped": True}]


def test_a_column_that_is_excluded_later_lets_the_next_model_be_the_first_again(
    released: Home, telco: tuple[Path, ...]
) -> None:
    text = (released.path / "settings.yaml").read_text()
    (released.path / "settings.yaml").write_text(f"{text}exclude: [Contract]\n")
    home = load(released.path)
    _drop(home, telco[1])
    outcome = _one(_work(home))
    assert any("v1 needs features that the settings no longer make or allow (Contract)" in w for w in outcome.warnings)
    [first, second] = _ask(home, "SELECT decision, champion FROM decisions ORDER BY run")
    assert (first["decision"], second["decision"]) == ("first", "first")


def test_who_wants_no_pickle_gets_none_and_one_of_before_lets_the_next_model_be_the_first_again(
    released: Home, telco: tuple[Path, ...]
) -> None:
    text = (released.path / "settings.yaml").read_text()
    (released.path / "settings.yaml").write_text(f"{text}model_format: skops\n")
    home = load(released.path)
    _drop(home, telco[1])
    outcome = _one(_work(home))
    assert any(each.startswith("v1 was kept as a pickle only") for each in outcome.warnings)
    assert [row["decision"] for row in _ask(home, "SELECT decision FROM decisions ORDER BY run")] == ["first", "first"]
    assert not list((home.models / "v2").glob("*.pkl"))
    assert not list(home.deployment.glob("*.pkl"))
    _drop(home, telco[2])
    assert _one(_work(home)).status is Status.DONE
    compared = _ask(home, "SELECT champion FROM decisions WHERE run = 3")
    assert compared == [{"champion": 2}]


def test_the_score_of_the_release_is_the_f1_that_the_gate_saw(released: Home, telco: tuple[Path, ...]) -> None:
    [decision] = _ask(released, "SELECT candidate_value, rows, positives FROM decisions")
    assert float((released.deployment / "latestscore.txt").read_text()) == decision["candidate_value"]
    manifest = json.loads((released.deployment / "manifest.json").read_text())
    assert manifest["metrics"]["holdout"]["f1"] == decision["candidate_value"]
    [held] = _ask(released, "SELECT holdout, holdout_positives, labelled FROM batches")
    assert (decision["rows"], decision["positives"]) == (held["holdout"], held["holdout_positives"])
    assert manifest["training_rows"] == held["labelled"] - held["holdout"]


def test_a_burst_is_one_run_of_many_batches_in_the_order_of_their_dates(home: Home, telco: tuple[Path, ...]) -> None:
    for name, month in zip(("c.csv", "b.csv", "a.csv"), telco, strict=False):
        _drop(home, month, name)
    assert _one(_work(home)).status is Status.DONE
    batches = _ask(home, "SELECT b.batch, f.path FROM batches b JOIN files f USING (file) ORDER BY batch")
    assert [row["path"] for row in batches] == ["c.csv", "b.csv", "a.csv"]
    assert len(_ask(home, "SELECT * FROM parts")) == 1
    assert len(list(home.ingested.glob("part-*.parquet"))) == 1


def test_the_champion_is_tested_on_each_new_batch_before_anything_learns_from_it(
    released: Home, telco: tuple[Path, ...]
) -> None:
    for month in telco[1:3]:
        _drop(released, month)
    _work(released)
    tested = _ask(released, "SELECT batch, rows, version FROM metrics WHERE split = 'prequential' AND name = 'f1'")
    assert tested == [{"batch": 2, "rows": 240, "version": 1}, {"batch": 3, "rows": 240, "version": 1}]


def test_champion_and_candidate_are_judged_on_the_same_rows_now(home: Home, telco: tuple[Path, ...]) -> None:
    for month in telco[:2]:
        _drop(home, month)
        _work(home)
    judged = _ask(
        home, "SELECT subject, version, rows FROM metrics WHERE run = 2 AND split = 'holdout' AND name = 'f1'"
    )
    [held] = _ask(home, "SELECT sum(holdout) AS n FROM batches")
    assert sorted(judged, key=lambda row: str(row["subject"])) == [
        {"subject": "baseline", "version": None, "rows": held["n"]},
        {"subject": "candidate", "version": 2, "rows": held["n"]},
        {"subject": "champion", "version": 1, "rows": held["n"]},
    ]
    [decision] = _ask(home, "SELECT * FROM decisions WHERE run = 2")
    assert sum(json.loads(decision["cells"])) == held["n"]
    assert (decision["candidate"], decision["champion"]) == (2, 1)


def test_customers_who_left_are_not_predicted_again(home: Home, telco: tuple[Path, ...]) -> None:
    for month in telco[:2]:
        _drop(home, month)
        _work(home)
    frames = pd.concat([pd.read_csv(month) for month in telco[:2]])
    newest = frames.sort_values("month", kind="stable").groupby("customerID").tail(1)
    table = pyarrow.parquet.read_table(home.predictions / "run-00002.parquet").to_pandas()
    assert sorted(table["customerID"]) == sorted(newest.query("Churn == 'No'")["customerID"])


def test_progress_is_told_step_by_step(home: Home, telco: tuple[Path, ...]) -> None:
    _drop(home, telco[0])
    told: list[str] = []
    with Ledger.open(home.ledger) as ledger:
        run.work(home, ledger, reason="drop", progress=told.append)
    assert told == list(RUN_STEPS)


def test_only_stable_files_are_taken(home: Home, telco: tuple[Path, ...]) -> None:
    for month in telco[:2]:
        _drop(home, month)
    stable = {each for each in scan.look(home.source) if each.path == telco[1].name}
    with Ledger.open(home.ledger) as ledger:
        assert len(run.work(home, ledger, reason="drop", stable=stable)) == 1
        assert run.work(home, ledger, reason="drop", stable=()) == []
    assert _states(home) == {telco[1].name: "ingested"}


# -- nothing is done twice -------------------------------------------------------------------------------------


def test_the_same_files_make_no_second_run(home: Home, telco: tuple[Path, ...]) -> None:
    _drop(home, telco[0])
    assert len(_work(home)) == 1
    assert _work(home) == []
    assert len(_ask(home, "SELECT * FROM attempts")) == 1


def test_the_same_content_under_a_new_name_is_not_read(released: Home, telco: tuple[Path, ...]) -> None:
    _drop(released, telco[0], "again.csv")
    assert _work(released) == []
    [event] = _ask(released, "SELECT * FROM what_became_of_files WHERE path = 'again.csv'")
    assert (event["state"], event["rows_read"], event["reason"]) == (
        "same_content",
        None,
        f"the same bytes as {telco[0].name}",
    )


def test_a_file_that_was_touched_is_the_same_content(home: Home, telco: tuple[Path, ...]) -> None:
    path = _drop(home, telco[0])
    _work(home)
    os.utime(path, ns=(1, 1))
    assert _work(home) == []
    assert len(_ask(home, "SELECT * FROM runs")) == 1


def test_a_file_of_nothing_but_duplicates_trains_nothing(released: Home, telco: tuple[Path, ...]) -> None:
    lines = telco[0].read_text().splitlines()
    (released.source / "again.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    outcome = _one(_work(released))
    assert outcome.line == "Nothing new to learn from: no labelled row that was not there before."
    assert outcome.warnings == ("again.csv: 240 of 240 rows are duplicates of rows ingested before",)
    assert _ask(released, "SELECT count(*) AS n FROM models") == [{"n": 1}]
    assert _ask(released, "SELECT count(*) AS n FROM parts") == [{"n": 1}]
    assert _ask(released, "SELECT duplicate FROM file_events WHERE run = 2") == [{"duplicate": 240}]
    assert {path.name[:9] for path in released.predictions.glob("*.parquet")} == {"run-00001"}


# -- what is not learned from ----------------------------------------------------------------------------------


def test_another_companys_file_is_quarantined_with_the_reason(released: Home, telco: tuple[Path, ...]) -> None:
    (released.source / "foreign.csv").write_text("sku,price,Churn\n1,2,Yes\n")
    outcome = _one(_work(released))
    assert (outcome.status, outcome.line) == (
        Status.DONE,
        "Nothing was ingested: see the reasons with `churnwatch files`.",
    )
    [event] = _ask(released, "SELECT * FROM what_became_of_files WHERE path = 'foreign.csv'")
    assert (event["state"], event["rows_read"]) == ("quarantined", None)
    assert "columns are missing" in event["reason"]
    assert _work(released) == []


def test_copies_of_a_file_that_cannot_be_read_are_set_aside_with_it_in_one_run(released: Home) -> None:
    for name in ("a.csv", "b.csv", "c.csv", "d.csv.gz"):
        (released.source / name).write_bytes(b"")
    first, packed = _work(released)  # what its name says to be packed may be good where the others are not
    assert (first.status, packed.status) == (Status.DONE, Status.DONE)
    with Ledger.open(released.ledger) as ledger:
        found = {row["path"]: row for row in ledger.files() if row["path"] != "telco-2026-01.csv"}
    assert {row["state"] for row in found.values()} == {"quarantined"}
    assert found["c.csv"]["reason"] == f"the same bytes as a.csv: {found['a.csv']['reason']}"
    assert _work(released) == []


def test_broken_rows_are_set_aside_and_the_others_learned_from(home: Home, telco: tuple[Path, ...]) -> None:
    lines = telco[0].read_text().splitlines()
    lines[5] += ",surplus"
    (home.source / "a.csv").write_text("\n".join(lines))
    assert _one(_work(home)).status is Status.DONE
    [event] = _ask(home, "SELECT rows_read, accepted, duplicate, quarantined FROM file_events")
    assert event == {"rows_read": 240, "accepted": 239, "duplicate": 0, "quarantined": 1}
    [row] = pyarrow.parquet.read_table(home.ingested / "quarantine" / "run-00001.parquet").to_pylist()
    assert (row["_line"], row["check_name"]) == (6, "row")


def test_one_class_only_trains_nothing_and_says_so(home: Home, telco: tuple[Path, ...]) -> None:
    frame = pd.read_csv(telco[0]).query("Churn == 'No'")
    frame.to_csv(home.source / "stayed.csv", index=False)
    outcome = _one(_work(home))
    assert outcome.status is Status.DONE
    assert outcome.line.startswith("Nothing was trained: the target has one class only: all ")
    assert len(outcome.warnings) == 1
    _drop(home, telco[1])
    assert _one(_work(home)).line.startswith("Released as the first model")


def _without_target(source: Path, target: Path) -> Path:
    pd.read_csv(source).drop(columns="Churn").to_csv(target, index=False)
    return target


def test_a_request_waits_for_the_first_model_and_is_predicted_by_the_run_that_makes_it(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    home = make_home(f"{TELCO}columns: {_declared(telco[0])}\n")
    _without_target(telco[1], home.source / "request.csv")
    assert _one(_work(home)).line == "A request to score; nothing was trained."
    assert _states(home) == {"request.csv": "waiting"}
    assert _work(home) == []
    _drop(home, telco[0])
    assert _one(_work(home)).status is Status.DONE
    assert _states(home) == {"request.csv": "predicted", telco[0].name: "ingested"}
    assert _work(home) == []
    [prediction] = _ask(home, "SELECT * FROM predictions WHERE file IS NOT NULL")
    assert (prediction["run"], prediction["rows"], prediction["version"]) == (2, 240, 1)
    table = pyarrow.parquet.read_table(home.predictions / prediction["path"])
    assert table["customerID"].to_pylist() == list(pd.read_csv(telco[1])["customerID"])
    assert "Churn" not in table.column_names


def _declared(source: Path) -> str:
    numbers = {"SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges"}
    columns = source.read_text().partition("\n")[0].split(",")
    kinds = {name: "number" if name in numbers else "date" if name == "month" else "text" for name in columns}
    return json.dumps(kinds)


def test_copies_of_a_request_wait_with_it(make_home: Callable[..., Home], telco: tuple[Path, ...]) -> None:
    home = make_home(f"{TELCO}columns: {_declared(telco[0])}\n")
    for name in ("a.csv", "b.csv", "c.csv"):
        _without_target(telco[1], home.source / name)
    assert {outcome.status for outcome in _work(home)} == {Status.DONE}
    assert set(_states(home).values()) == {"waiting"}
    assert _work(home) == []


def test_a_request_beside_a_champion_is_predicted_at_once_and_trains_nothing(
    released: Home, telco: tuple[Path, ...]
) -> None:
    request = _without_target(telco[1], released.source / "who leaves?.csv")
    with request.open("a") as file:
        file.write("only one cell\n")
    outcome = _one(_work(released))
    assert outcome.line == "A request to score; nothing was trained."
    [event] = _ask(released, "SELECT * FROM file_events WHERE state = 'predicted'")
    assert (event["rows_read"], event["accepted"], event["quarantined"]) == (241, 240, 1)
    [prediction] = _ask(released, "SELECT path FROM predictions WHERE run = 2")
    assert prediction["path"] == f"run-00002-{event['file']}-who_leaves_.parquet"
    [model] = _ask(released, "SELECT count(*) AS n FROM models")
    assert model["n"] == 1
    assert len(_ask(released, "SELECT * FROM quarantines WHERE run = 2")) == 1


def test_a_request_and_its_answers_agree_with_the_released_model(released: Home, telco: tuple[Path, ...]) -> None:
    _without_target(telco[1], released.source / "request.csv")
    _work(released)
    [prediction] = _ask(released, "SELECT path FROM predictions WHERE run = 2")
    table = pyarrow.parquet.read_table(released.predictions / prediction["path"]).to_pandas()
    model = joblib.load(released.deployment / "trainedmodel.pkl")
    frame = pd.read_csv(telco[1])
    frame = frame.astype(dict.fromkeys(frame.select_dtypes("int").columns, float))
    assert list(table["probability"]) == list(model.predict_proba(frame)[:, 1])
    assert list(table["decision"]) == list(model.predict(frame))


def test_a_request_that_stops_being_text_halfway_is_set_aside_once(released: Home, telco: tuple[Path, ...]) -> None:
    request = _without_target(telco[1], released.source / "request.csv")
    request.write_bytes(request.read_text().encode("utf-16")[:-1])
    assert _one(_work(released)).status is Status.DONE
    assert _states(released)["request.csv"] == "quarantined"
    assert _work(released) == []


def test_a_request_that_waits_when_a_version_is_promoted_by_hand_is_predicted_once(
    make_home: Callable[..., Home], telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(f"{TELCO}columns: {_declared(telco[0])}\n")
    _without_target(telco[1], home.source / "request.csv")
    _drop(home, telco[0])
    with monkeypatch.context() as patch:
        patch.setattr(learning, "promote", lambda _: None)
        _work(home)
    assert _states(home)["request.csv"] == "waiting"
    with Ledger.open(home.ledger) as ledger:
        promotion.promote(home, ledger, 1, actor="me", why="I know better")
    assert _one(_work(home)).status is Status.DONE
    assert _states(home)["request.csv"] == "predicted"
    assert len(_ask(home, "SELECT * FROM predictions WHERE file IS NOT NULL")) == 1


def test_a_file_whose_name_is_no_utf_8_is_ingested_once(home: Home, telco: tuple[Path, ...]) -> None:
    target = os.fsencode(home.source) + b"/kunden-m\xe4rz.csv"
    shutil.copy(telco[0], target)
    assert _one(_work(home)).line.startswith("Released as the first model")
    assert _states(home) == {"kunden-m\\xe4rz.csv": "ingested"}
    assert _work(home) == []


def test_columns_called_as_those_of_the_predictions_are_kept(make_home: Callable[..., Home]) -> None:
    home = make_home("target: left\npositive: yes\nid: name\ntraining: {estimators: [logistic], folds: 2}\n")
    rows = [f"c{i},{'old' if i % 3 else 'new'},{i % 7},{i % 5},{'yes' if i % 2 else 'no'}" for i in range(80)]
    (home.source / "a.csv").write_text("\n".join(["name,model,decision,probability,left", *rows]))
    _work(home)
    (home.source / "b.csv").write_text(
        "\n".join(["name,model,decision,probability", *(row.rpartition(",")[0] for row in rows)])
    )
    assert _one(_work(home)).status is Status.DONE
    assert _states(home)["b.csv"] == "predicted"
    [prediction] = _ask(home, "SELECT path, rows FROM predictions WHERE run = 2")
    table = pyarrow.parquet.read_table(home.predictions / prediction["path"])
    assert len(set(table.column_names)) == len(table.column_names)
    assert table.num_rows == 80


def test_files_are_read_as_the_one_before_and_a_change_is_told_once(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    home = make_home(TELCO)
    for number, month in enumerate(telco):
        text = month.read_text()
        (home.source / f"{number}.csv").write_text(text.replace(",", ";") if number > 1 else text)
        _work(home)
    with Ledger.open(home.ledger) as ledger:
        assert [(row["path"], json.loads(row["text"])["delimiter"]) for row in ledger.dialects()] == [
            ("0.csv", ","), ("2.csv", ";"),
        ]  # fmt: skip
        assert [(row["path"], row["text"]) for row in ledger.findings()] == [
            ("2.csv", "read otherwise than the file before it (delimiter `;`)")
        ]


def test_a_champion_of_which_nothing_can_be_read_stops_the_run_and_is_not_replaced_without_comparison(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    home = make_home(f"{TELCO}model_format: skops\n")
    _drop(home, telco[0])
    _work(home)
    with (home.models / "v1" / "manifest.json").open("a") as file:
        file.write(" ")
    _drop(home, telco[1])
    outcome = _one(_work(home))
    assert outcome.status is Status.FAILED
    assert "manifest.json: not the file that the ledger knows as v1" in outcome.line
    assert len(_ask(home, "SELECT * FROM models")) == 1


def test_a_request_is_read_as_the_labelled_files_and_what_was_guessed_is_told(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    home = make_home(TELCO)
    quoted = telco[0].read_text().replace("Electronic check", "'Check, electronic'")
    (home.source / "labelled.csv").write_text(quoted)
    _work(home)
    request = _request(home.source / "request.csv", telco[1].read_text().replace("Electronic check", "'Check'"))
    _work(home)
    with Ledger.open(home.ledger) as ledger:
        assert [row["text"] for row in ledger.findings() if row["path"] == request.name] == ["cells are quoted by `'`"]


def _request(path: Path, text: str) -> Path:
    """Write a file without its last column, which is the target."""
    path.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in text.splitlines()))
    return path


def test_what_a_request_looks_like_does_not_change_how_labelled_files_are_read(
    home: Home, telco: tuple[Path, ...]
) -> None:
    _drop(home, telco[0])
    _work(home)
    quoted = telco[1].read_text().replace("Electronic check", "'Check, electronic'")
    _request(home.source / "a request.csv", quoted)
    (home.source / "b labelled.csv").write_text(telco[2].read_text().replace("Mailed check", "'Mailed'"))
    _work(home)
    with Ledger.open(home.ledger) as ledger:
        assert [row["path"] for row in ledger.dialects()] == [telco[0].name]
        assert {row["path"] for row in ledger.findings()} == {"a request.csv"}


# -- cut short and taken up again ------------------------------------------------------------------------------


def _raise_after(patch: pytest.MonkeyPatch, step: str, error: BaseException) -> None:
    """Let a step do its work and then break down, once."""
    whole = getattr(STEPS[step], step)

    def broken(*args: Any) -> Any:
        whole(*args)
        patch.setattr(STEPS[step], step, whole)
        raise error

    patch.setattr(STEPS[step], step, broken)


def _raise_instead(patch: pytest.MonkeyPatch, step: str, error: BaseException) -> None:
    whole = getattr(STEPS[step], step)

    def broken(*_: Any) -> Any:
        patch.setattr(STEPS[step], step, whole)
        raise error

    patch.setattr(STEPS[step], step, broken)


def _always_promoted(found: learning.gate.Compared) -> learning.gate.Evidence:
    return learning.gate._evidence(found, learning.gate.Decision.PROMOTED, "Promoted.")


@pytest.fixture
def _promoting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning.gate, "_better", _always_promoted)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> canonical.Dump:
    """Return what a home comes to after two runs, the second with a request, that nothing cut short."""
    home = _made(tmp_path_factory.mktemp("uninterrupted"))
    _first_drop(home, telco)
    _work(home)
    _second_drop(home, telco)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning.gate, "_better", _always_promoted)
        _work(home)
    assert [row["decision"] for row in _ask(home, "SELECT decision FROM decisions")] == ["first", "promoted"]
    return canonical.dump(home)


def _made(folder: Path) -> Home:
    (folder / "settings.yaml").write_text(TELCO)
    home = load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    return home


def _first_drop(home: Home, telco: tuple[Path, ...]) -> None:
    (home.source / "a.csv").write_text("".join(telco[0].read_text().splitlines(keepends=True)[:120]))


def _second_drop(home: Home, telco: tuple[Path, ...]) -> None:
    _drop(home, telco[1])
    _without_target(telco[2], home.source / "request.csv")


@pytest.mark.usefixtures("_promoting")
def test_the_same_drops_give_the_same_home(home: Home, telco: tuple[Path, ...], uninterrupted: canonical.Dump) -> None:
    _first_drop(home, telco)
    _work(home)
    _second_drop(home, telco)
    _work(home)
    assert canonical.differences(canonical.dump(home), uninterrupted) == []


@pytest.mark.usefixtures("_promoting")
@pytest.mark.parametrize(("moment", "step"), [("before", "ingest_files"), *(("after", step) for step in STEPS)])
def test_a_run_that_broke_down_is_taken_up_and_ends_as_the_uninterrupted_one(
    home: Home,
    telco: tuple[Path, ...],
    uninterrupted: canonical.Dump,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    moment: str,
) -> None:
    broken = _raise_after if moment == "after" else _raise_instead
    for drop in (_first_drop, _second_drop):
        drop(home, telco)
        with monkeypatch.context() as patch:
            broken(patch, step, BugError("spilt coffee"))
            with pytest.raises(BugError):
                _work(home)
        assert _one(_work(home)).status is Status.DONE
    assert _work(home) == []
    assert canonical.differences(canonical.dump(home), uninterrupted) == []
    with Ledger.open(home.ledger) as ledger:
        assert [row["status"] for row in ledger.attempts(1)] == ["broken", "done"]
        assert ledger.problems() == []


CRASHES = [
    (registry, "write_version"), (registry, "write_ingested"), (files, "point"),
    (registry, "switch"), (datasets.ingest, "write_part"),
    (customer_files, "write"), (Ledger, "add_intent"), (Ledger, "add_release"),
]  # fmt: skip


@pytest.mark.usefixtures("_promoting")
@pytest.mark.parametrize(("owner", "function"), CRASHES, ids=[name for _, name in CRASHES])
def test_a_kill_right_after_anything_was_written_loses_nothing(
    home: Home,
    telco: tuple[Path, ...],
    uninterrupted: canonical.Dump,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    function: str,
) -> None:
    class Killed(BaseException):
        pass

    whole = getattr(owner, function)
    for drop in (_first_drop, _second_drop):
        drop(home, telco)
        with monkeypatch.context() as patch:

            def killed(*args: Any, **options: Any) -> Any:
                whole(*args, **options)
                raise Killed

            patch.setattr(owner, function, killed)
            with pytest.raises(Killed):
                _work(home)
        assert _one(_work(home)).status is Status.DONE
    assert canonical.differences(canonical.dump(home), uninterrupted) == []


def test_a_run_that_was_taken_up_has_the_warnings_of_the_uninterrupted_one(
    make_home: Callable[..., Home], telco: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TELCO.replace("[logistic]", "[sklearn.tree.DecisionTreeClassifier]\n  max_rows: 120")
    drop = tmp_path / "thrice.csv"
    pd.concat([pd.read_csv(telco[0], dtype=str)] * 3).to_csv(drop, index=False)
    whole, other = make_home(text, "whole"), make_home(text, "other")
    _drop(whole, drop)
    expected = _one(_work(whole))
    for said in ("are duplicates", "learned from a sample", "learned them by heart"):
        assert any(said in each for each in expected.warnings), said
    _drop(other, drop)
    for step in ("train_candidate", "decide"):
        with monkeypatch.context() as patch:
            _raise_after(patch, step, KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                _work(other)
    assert _one(_work(other)).warnings == expected.warnings
    asked = "SELECT warning FROM attempt_ends WHERE status = 'done'"
    assert _ask(other, asked) == _ask(whole, asked)


# -- failures --------------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_and_the_run_is_taken_up_by_the_next_turn(
    home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _drop(home, telco[0])
    with monkeypatch.context() as patch:
        _raise_instead(patch, "train_candidate", OSError(28, "No space left on device", "models/v1"))
        outcome = _one(_work(home))
    assert outcome.status is Status.FAILED
    assert outcome.line == "models/v1: No space left on device; the run is taken up again once that is mended"
    [record] = [each for each in caplog.records if each.name == "churnwatch.run"]
    assert record.exc_info is None
    assert record.getMessage() == f"run 1 failed: {outcome.line}"
    assert _ask(home, "SELECT status, error FROM run_history") == [{"status": "failed", "error": outcome.line}]
    assert _one(_work(home)).status is Status.DONE


@pytest.mark.parametrize("where", ["open_csv", "read_blocks"])
def test_a_file_that_the_disk_did_not_give_while_it_was_read_is_tried_again_by_itself(
    home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    _drop(home, telco[0])
    with monkeypatch.context() as patch:

        def broken(*_: Any, **__: Any) -> Any:
            raise OSError(5, "Input/output error")

        patch.setattr(load_step, where, broken)
        for _ in range(2):
            assert _one(_work(home)).status is Status.DONE
            [row] = _ask(home, "SELECT state, reason FROM what_became_of_files")
            assert row == {"state": "retry", "reason": "cannot be read: Input/output error; it is tried again"}
            with Ledger.open(home.ledger) as ledger:
                assert any(telco[0].name in line for line in attention.of(home, ledger))
    assert _one(_work(home)).status is Status.DONE
    assert _states(home) == {telco[0].name: "ingested"}
    with Ledger.open(home.ledger) as ledger:
        assert ledger.row_totals()["accepted"] == 240


def test_a_setting_that_cannot_be_met_fails_until_it_is_mended(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    home = make_home(TELCO.replace("[logistic]", "[sklearn.nothing.Here]"))
    _drop(home, telco[0])
    for _ in range(4):
        outcome = _one(_work(home))
        assert outcome.status is Status.FAILED
        assert outcome.line.startswith("settings.yaml: training.estimators: no `sklearn.nothing.Here`.")
    home = make_home(TELCO)
    assert _one(_work(home)).status is Status.DONE
    assert [row["status"] for row in _ask(home, "SELECT status FROM attempt_ends")] == ["failed"] * 4 + ["done"]


def test_a_bug_is_raised_recorded_and_given_up_after_three_times(
    home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _drop(home, telco[0])

    def broken(*_: object) -> None:
        raise BugError("with a value of a customer")

    with monkeypatch.context() as patch:
        patch.setattr(learning, "train_candidate", broken)
        for _ in range(3):
            with pytest.raises(BugError):
                _work(home)
    assert _ask(home, "SELECT status, error FROM attempt_ends") == [
        {"status": "broken", "error": "a bug: BugError; the log has more"}
    ] * 3  # fmt: skip
    assert _work(home) == []
    assert "value of a customer" not in caplog.text
    _drop(home, telco[1])
    assert _one(_work(home)).run == 2


def test_files_of_a_run_that_never_came_as_far_as_ingesting_are_given_up_with_a_word(
    home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    _drop(home, telco[0])

    def broken(*_: Any) -> None:
        raise BugError

    with monkeypatch.context() as patch:
        patch.setattr(taking, "ingest_files", broken)
        for _ in range(3):
            with pytest.raises(BugError):
                _work(home)
    assert _work(home) == []
    [file] = _ask(home, "SELECT state, reason FROM what_became_of_files")
    assert file == {"state": "failed", "reason": "run 1 broke down 3 times; see `churnwatch show 1`, then `retry`"}


def test_an_attempt_that_was_killed_is_interrupted_and_taken_up(
    home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _drop(home, telco[0])
    with monkeypatch.context() as patch:
        _raise_after(patch, "train_candidate", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            _work(home)
    assert [row["status"] for row in _ask(home, "SELECT status FROM run_history")] == ["running"]
    assert _one(_work(home)).status is Status.DONE
    assert [row["status"] for row in _ask(home, "SELECT status FROM attempt_ends ORDER BY attempt")] == [
        "interrupted",
        "done",
    ]
    assert "run 1 was interrupted: the process ended before the run did" in caplog.text


def test_columns_that_change_after_the_data_set_was_begun_are_refused_in_one_line(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    kinds = json.loads(_declared(telco[0]))
    _drop(make_home(f"{TELCO}columns: {json.dumps(kinds)}\n"), telco[0])
    assert _one(_work(make_home(f"{TELCO}columns: {json.dumps(kinds)}\n"))).status is Status.DONE
    home = make_home(f"{TELCO}columns: {json.dumps(kinds | {'tenure': 'text'})}\n")
    _drop(home, telco[1])
    outcome = _one(_work(home))
    assert outcome.status is Status.FAILED
    assert outcome.line == (
        "settings.yaml: columns: `tenure` became text (it was number) since the data set was begun. Names and types"
        " make the row keys, so they stay; checks may change. Put it back, or begin a new home."
    )
    home = make_home(f"{TELCO}columns: {json.dumps(kinds | {'tenure': {'type': 'number', 'min': 0}})}\n")
    assert _one(_work(home)).status is Status.DONE


def test_a_champion_that_was_tampered_with_stops_the_run_in_one_line(released: Home, telco: tuple[Path, ...]) -> None:
    model = released.models / "v1" / "trainedmodel.pkl"
    content = model.read_bytes()
    model.write_bytes(content + b"x")
    _drop(released, telco[1])
    outcome = _one(_work(released))
    assert outcome.status is Status.FAILED
    assert "not the file that the ledger knows as v1; it is not loaded" in outcome.line
    model.write_bytes(content)
    assert _one(_work(released)).status is Status.DONE


def test_no_cell_of_a_customer_gets_into_the_log(
    home: Home, telco: tuple[Path, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    frame = pd.read_csv(telco[0])
    frame["gender"] = [f"secret-{row}" for row in range(len(frame))]
    frame["MonthlyCharges"] = [
        f"{value}" if row % 9 else "confidential" for row, value in enumerate(frame["MonthlyCharges"])
    ]
    frame.to_csv(home.source / "a.csv", index=False)
    (home.source / "b.csv").write_text("top,secret\nconfidential,1\n")
    for outcome in _work(home):
        for text in (outcome.line, *outcome.warnings):
            assert "secret-" not in text
            assert "confidential" not in text
    for cell in ("secret-", "confidential", *frame["customerID"]):
        assert cell not in caplog.text


def _planted(source: Path) -> bytes:
    """Return a drop with values that occur nowhere else: in each column, in failing casts and in broken rows."""
    frame = pd.read_csv(source, dtype=str)
    for column in set(frame) - {"Churn", "month"}:
        is_number = pd.to_numeric(frame[column], errors="coerce").notna().any()
        planted = [f"zqz {column} {row % 7}" for row in range(len(frame))]
        every = pd.Series([row % 50 == 3 if is_number else True for row in range(len(frame))])
        frame[column] = frame[column].mask(every, pd.Series(planted))
    frame["customerID"] = [f"zqz-{row}" for row in range(len(frame))]
    frame.loc[5, "month"] = "zqz-01-2026"
    frame.loc[6, "Churn"] = "zqz perhaps"
    others = "," * (len(frame.columns) - 2)
    broken = ["zqz short,1", '"zqz open,2', f'"zqz"x,3,,{others}', f"zqz\0,{others}"]
    return (frame.to_csv(index=False) + "\n".join(broken) + "\n").encode()


def test_no_value_of_a_customer_gets_into_log_or_ledger_whatever_goes_wrong(
    make_home: Callable[..., Home], telco: tuple[Path, ...], caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    home = make_home(f"{TELCO}columns: {_declared(telco[0])}\n")
    (home.source / "a.csv").write_bytes(_planted(telco[0]))
    (home.source / "b.csv").write_bytes(b"zqz binary\0\x81\n")
    (home.source / "c.csv").write_bytes(_planted(telco[1]).decode().encode("utf-16")[:-1])
    (home.source / "d.parquet").write_bytes(b"PAR1zqz" * 100)
    told = [f"{outcome.line} {outcome.warnings}" for outcome in _work(home)]
    assert sum(row["quarantined"] or 0 for row in _ask(home, "SELECT * FROM what_became_of_files")) > 5

    def broken(*_: object) -> None:
        raise ValueError("could not convert 'zqz'")

    _drop(home, telco[2])
    monkeypatch.setattr(learning, "train_candidate", broken)
    with pytest.raises(ValueError, match="zqz"):
        _work(home)
    with closing(sqlite3.connect(home.ledger)) as connection:
        # What moved between categories that ten customers or more have is said by their names, and the top of the call
        # list stands there so that the report needs nothing else.
        meant = ('INSERT INTO "drifts"', 'INSERT INTO "call_list"')
        written = "\n".join(each for each in connection.iterdump() if not each.startswith(meant))
    assert "quarantine" in written
    for place in (caplog.text, "\n".join(told), written):
        assert "zqz" not in place


# -- while a version is pinned ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("_promoting")
def test_while_a_version_is_pinned_a_better_one_is_staged_and_after_unpinning_the_next_is_promoted(
    released: Home, telco: tuple[Path, ...]
) -> None:
    home = released
    _drop(home, telco[1])
    _work(home)
    with Ledger.open(home.ledger) as ledger:
        promotion.rollback(home, ledger, None, actor="me", why="complaints")
    _drop(home, telco[2])
    line = _one(_work(home)).line
    assert line.startswith("v3 passed the gate, but v1 is pinned (complaints). ")
    assert _ask(home, "SELECT decision FROM decisions ORDER BY run") == [
        {"decision": "first"}, {"decision": "promoted"}, {"decision": "staged"}]  # fmt: skip
    with Ledger.open(home.ledger) as ledger:
        champion = ledger.champion()
        assert champion is not None
        assert (champion.model.name, champion.pinned) == ("v1", True)
        promotion.unpin(ledger, actor="me", why=None)
    _drop(home, telco[3])
    _work(home)
    assert _ask(home, "SELECT version FROM which_model_served ORDER BY release DESC LIMIT 1") == [{"version": 4}]


# -- a fixed holdout -------------------------------------------------------------------------------------------


def test_a_test_folder_alone_judges(home: Home, telco: tuple[Path, ...]) -> None:
    home.tests.mkdir()
    shutil.copy(telco[3], home.tests)
    _drop(home, telco[0])
    assert _one(_work(home)).status is Status.DONE
    [decision] = _ask(home, "SELECT rows FROM decisions")
    [batch] = _ask(home, "SELECT holdout, labelled FROM batches")
    [model] = _ask(home, "SELECT train_rows FROM models")
    assert (decision["rows"], batch["holdout"], model["train_rows"]) == (240, 0, batch["labelled"])


def test_rows_of_the_test_folder_are_never_trained_on(home: Home, telco: tuple[Path, ...]) -> None:
    home.tests.mkdir()
    lines = telco[0].read_text().splitlines()
    (home.tests / "test.csv").write_text("\n".join(lines[:101]))
    _drop(home, telco[0])
    _work(home)
    assert _ask(home, "SELECT train_rows FROM models") == [{"train_rows": 140}]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("sku,price\n", "columns are missing"),
        (None, "it has no column `Churn`"),
        (b"\xff\xfe\x00", "columns are missing"),
    ],
)
def test_a_test_file_that_cannot_judge_stops_the_run(
    home: Home, telco: tuple[Path, ...], content: str | bytes | None, problem: str
) -> None:
    home.tests.mkdir()
    if content is None:
        _without_target(telco[3], home.tests / "test.csv")
    else:
        (home.tests / "test.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    _drop(home, telco[0])
    outcome = _one(_work(home))
    assert outcome.status is Status.FAILED
    assert outcome.line.startswith(f"test folder: {home.tests / 'test.csv'}: ")
    assert outcome.line.endswith("Mend the file or take it out.")
    (home.tests / "test.csv").unlink()
    assert _one(_work(home)).status is Status.DONE

"""Whole runs of a home that predicts amounts."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import amounts_world
import joblib
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from churnwatch.daemon import attention, commands, listings, status
from churnwatch.pipeline import experiment, history, run
from churnwatch.pipeline.clock import utc_now
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.run import Outcome
from churnwatch.pipeline.schema import LARGEST
from churnwatch.pipeline.settings import Home, load
from churnwatch.reports.build import build

SETTINGS = amounts_world.SETTINGS + "training: {estimators: [linear], folds: 2}\ngate: {min_positives: 20}\n"
MakeHome = Callable[..., Home]


def _run(home: Home, drop: Path) -> Outcome:
    shutil.copy(drop, home.source)
    with Ledger.open(home.ledger) as ledger:
        [outcome] = run.work(home, ledger, reason="drop")
    return outcome


def _ask(home: Home, question: str) -> list[dict[str, Any]]:
    with Reader.open(home.ledger) as reader:
        return reader.rows(question)


def _made(folder: Path) -> Home:
    folder.mkdir()
    (folder / "settings.yaml").write_text(SETTINGS)
    home = load(folder)
    for each in home.folders():
        each.mkdir(exist_ok=True)
    return home


@pytest.fixture(scope="module")
def drops(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return three months, of which the third is another world, and a request to score."""
    folder = tmp_path_factory.mktemp("drops")
    months = [amounts_world.write(folder, number, rows=rows, trend=trend)
              for number, rows, trend in ((1, 240, 0.0), (2, 60, 0.0), (3, 480, 4.0))]  # fmt: skip
    return [*months, amounts_world.write(folder, 4, rows=20, target=False)]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, drops: list[Path]) -> Home:
    """Return a home that has seen them all."""
    home = _made(tmp_path_factory.mktemp("amounts") / "home")
    for drop in drops:
        assert _run(home, drop).status == "done"
    return home


@pytest.fixture
def page(lived: Home, tmp_path: Path) -> Iterator[str]:
    with Reader.open(lived.ledger) as reader:
        yield build(lived, reader, now=utc_now(), output=tmp_path / "report.html").read_text()


def test_the_gate_decides_by_the_mean_absolute_error(lived: Home) -> None:
    first, second, third = _ask(lived, "SELECT * FROM decisions ORDER BY run")
    assert first["sentence"].startswith("Released as the first model: mean absolute error ")
    assert [row["metric"] for row in (first, second, third)] == ["mae"] * 3
    assert [row["decision"] for row in (first, second, third)] == ["first", "kept", "promoted"]
    assert third["sentence"].startswith("Promoted: mean absolute error ")
    assert third["cells"] is None
    assert third["delta"] == pytest.approx(third["champion_value"] - third["candidate_value"])


def test_the_champion_is_tested_before_anything_learns_and_so_is_the_dummy(lived: Home) -> None:
    rows = _ask(lived, "SELECT * FROM metrics WHERE split = 'prequential' AND name = 'mae' ORDER BY run, subject")
    assert [(row["run"], row["subject"], row["version"]) for row in rows] == [
        (2, "baseline", None), (2, "champion", 1), (3, "baseline", None), (3, "champion", 1)]  # fmt: skip
    month = pd.read_csv(lived.source / "amounts-2026-02.csv")
    assert rows[0]["value"] == pytest.approx(np.abs(month["lost"] - month["lost"].median()).mean())
    model = joblib.load(lived.models / "v1" / "trainedmodel.pkl")
    assert rows[1]["value"] == pytest.approx(np.abs(month["lost"] - model.predict(month)).mean())


def test_a_version_has_the_classic_files_but_no_confusion_matrix(lived: Home) -> None:
    files = ["ingestedfiles.txt", "latestscore.txt", "manifest.json", "reference.json", "trainedmodel.pkl"]
    assert sorted(path.name for path in (lived.models / "v3").iterdir()) == files
    [verdict] = _ask(lived, "SELECT * FROM decisions WHERE run = 3")
    assert float((lived.deployment / "latestscore.txt").read_text()) == verdict["candidate_value"]
    manifest = json.loads((lived.deployment / "manifest.json").read_text())
    assert manifest["target"] == {"column": "lost", "positive": None}
    assert manifest["metrics"]["holdout"]["mae"] == verdict["candidate_value"]


def test_every_customer_is_predicted_the_highest_amount_first(lived: Home) -> None:
    [customers] = _ask(lived, "SELECT * FROM predictions WHERE run = 3")
    table = pyarrow.parquet.read_table(lived.predictions / customers["path"])
    assert table.column_names == ["customer", "amount", "model"]
    amounts = table["amount"].to_numpy()
    assert len(amounts) == customers["rows"] == 240 + 60 + 480
    assert (np.diff(amounts) <= 0).all()
    assert customers["amount"] == pytest.approx(amounts.sum())
    assert customers["positives"] == (amounts > 0).sum()


def test_customers_are_sorted_by_amount_which_is_what_would_be_lost(lived: Home) -> None:
    a, b, c = _ask(lived, "SELECT * FROM buckets WHERE run = 3")
    table = pyarrow.parquet.read_table(lived.predictions / "run-00003-calls.parquet").to_pandas()
    assert (a["customers"], a["expected_leavers"], a["expected_profit"]) == (200, None, None)
    assert table["expected_loss"].is_monotonic_decreasing
    assert a["threshold"] == table["expected_loss"][199]
    assert b["threshold"] == pytest.approx(table["expected_loss"].mean())
    assert sum(row["expected_loss"] for row in (a, b, c)) == pytest.approx(table["expected_loss"].sum())
    head = (lived.predictions / "run-00003.csv").read_text().splitlines()[0]
    assert head == '"customer","bucket","amount","why","held back by","model"'


def test_a_request_to_score_is_answered_with_amounts(lived: Home, drops: list[Path], tmp_path: Path) -> None:
    [answer] = _ask(lived, "SELECT * FROM predictions WHERE file IS NOT NULL")
    table = pyarrow.parquet.read_table(lived.predictions / answer["path"])
    assert table.column_names == ["customer", "month", "plan", "price", "visits", "amount", "model"]
    said, told = commands.predict_csv(lived.path, drops[3], tmp_path / "out.csv")
    assert said == f"20 customers, {answer['amount']:,.2f} expected of them in all"
    assert told == []
    by_command = pd.read_csv(tmp_path / "out.csv")
    assert by_command["amount"].to_numpy() == pytest.approx(table["amount"].to_numpy())


def test_tenths_of_the_holdout_are_kept_for_both_models(lived: Home) -> None:
    rows = _ask(lived, "SELECT * FROM amount_tenths WHERE run = 3")
    [verdict] = _ask(lived, "SELECT * FROM decisions WHERE run = 3")
    for version in (1, 3):
        of_version = [row for row in rows if row["version"] == version]
        assert [row["tenth"] for row in of_version] == list(range(1, 11))
        assert sum(row["rows"] for row in of_version) == verdict["rows"]
        assert of_version[0]["expected_mean"] > of_version[-1]["expected_mean"]


def test_status_and_lists_speak_of_the_error(lived: Home) -> None:
    state = status.gather(lived.path)
    [verdict] = _ask(lived, "SELECT * FROM decisions WHERE run = 3")
    error = verdict["candidate_value"]
    assert state["champion"]["mae"] == error
    assert "f1" not in state["champion"]
    assert f"v3 (linear), mean absolute error {error:.2f} on {verdict['rows']} holdout rows" in status.as_text(state)
    with Reader.open(lived.ledger) as reader:
        versions = listings.models(reader.models(), reader.releases())
        shown = listings.run_text(listings.run(reader, 3))
    assert "mean absolute error on the holdout" in versions
    assert f"{error:.3f}" in versions
    assert "F1" not in versions + shown


def test_the_report_speaks_of_amounts(page: str) -> None:
    assert "It learned from " in page
    assert "what lost to expect of a customer." in page
    assert "expecting the same of everybody would have had" in page
    assert "Expected and real amount by tenths" in page
    assert "<strong>" in page
    assert "is expected in all." in page
    assert "Mean absolute percentage error" in page
    for word in ("F1", "leave", "Confusion", "Threshold", "Right and wrong", "of them left"):
        assert word not in page, word


def test_a_model_no_better_than_the_mean_needs_attention(lived: Home, tmp_path: Path) -> None:
    home = load(Path(shutil.copytree(lived.path, tmp_path / "copy", symlinks=True)))
    strange = amounts_world.month(5, rows=120)
    strange["lost"] = strange["lost"].sample(frac=1, random_state=0).to_numpy() * 3 + 5000
    strange.to_csv(tmp_path / "amounts-2026-05.csv", index=False)
    with Reader.open(home.ledger) as reader:
        assert "no better than expecting" not in "".join(attention.of(home, reader))
    _run(home, tmp_path / "amounts-2026-05.csv")
    with Reader.open(home.ledger) as reader:
        found = "".join(attention.of(home, reader))
    assert "on the new rows of run 5 the model in use was no better than expecting the mean of everybody (R² -" in found


def test_drift_is_told_of_columns_amounts_and_errors(lived: Home) -> None:
    rows = _ask(lived, "SELECT kind, column_name, band, cause FROM drifts WHERE run = 3 AND file IS NULL")
    found = {(row["kind"], row["column_name"]): row for row in rows}
    assert found.keys() == {("column", name) for name in ("plan", "price", "visits", "lost")} | {
        ("prediction", "probability"), ("concept", "mae")}  # fmt: skip
    assert found["concept", "mae"]["band"] == "search"
    assert "the model in use: mean absolute error " in found["concept", "mae"]["cause"]
    assert found["column", "lost"]["band"] == "search"
    assert found["column", "price"]["band"] in ("nothing", "unresolved", "watch")
    requests = _ask(lived, "SELECT kind FROM drifts WHERE file IS NOT NULL")
    assert {row["kind"] for row in requests} == {"column", "prediction"}
    assert _ask(lived, "SELECT * FROM metrics WHERE split = 'estimated'") == []


def test_what_is_of_classes_only_says_so(lived: Home) -> None:
    with (
        Ledger.open(lived.ledger) as ledger,
        duckdb_engine(lived.state / "spill") as engine,
    ):
        with pytest.raises(SettingsError, match="experiments are of classifications only"):
            experiment.conduct(lived, ledger, engine, experiment.Wanted(lived.settings.training))
        with pytest.raises(SettingsError, match="replay is of classifications only"):
            history.read(lived, ledger, engine)


# -- what goes wrong -------------------------------------------------------------------------------------------


def test_a_first_model_where_most_amounts_are_nought_is_told_of_squared_errors(
    make_home: MakeHome, tmp_path: Path
) -> None:
    month = amounts_world.month(1, rows=400)
    stays = np.random.default_rng(0).random(400) > np.where(month["plan"] == "full", 0.6, 0.2)
    month.loc[stays, "lost"] = 0.0
    month.to_csv(tmp_path / "drop.csv", index=False)
    line = _run(make_home(SETTINGS), tmp_path / "drop.csv").line
    assert line.startswith("Refused: mean absolute error ")
    assert line.endswith("Most amounts are 0, and absolute errors are least where 0 is expected of all:"
                         " see `gate.metric: rmse`.")  # fmt: skip
    by_squares = make_home(SETTINGS.replace("gate: {", "gate: {metric: rmse, "), "squares")
    assert _run(by_squares, tmp_path / "drop.csv").line.startswith(
        "Released as the first model: root mean squared error "
    )


def test_amounts_that_are_all_the_same_train_nothing(make_home: MakeHome, tmp_path: Path) -> None:
    amounts_world.month(1, rows=40).assign(lost=7).to_csv(tmp_path / "drop.csv", index=False)
    line = _run(make_home(SETTINGS), tmp_path / "drop.csv").line
    assert line.startswith("Nothing was trained: the target is the same in all ")


def test_a_target_of_texts_is_refused_in_a_line(make_home: MakeHome, drops: list[Path]) -> None:
    outcome = _run(make_home(SETTINGS.replace("target: lost", "target: plan")), drops[0])
    assert outcome.line == "settings.yaml: target: column `plan` is of type text; a regression needs `number`."


def test_the_largest_amounts_that_are_taken_are_predicted(make_home: MakeHome, tmp_path: Path) -> None:
    month = amounts_world.month(1, rows=200)
    month["lost"] *= LARGEST / month["lost"].max()
    month.to_csv(tmp_path / "drop.csv", index=False)
    line = _run(make_home(SETTINGS), tmp_path / "drop.csv").line
    assert re.match(r"Released as the first model: mean absolute error [0-9.]+e\+2[89] on ", line)


def test_the_answer_to_another_question_is_not_compared(make_home: MakeHome, drops: list[Path]) -> None:
    classes = SETTINGS.replace("task: regression\ntarget: lost", "target: left\npositive: 1\nexclude: [lost]")
    home = make_home(classes.replace("lost: number", "lost: number\n  left: integer").replace("[linear]", "[logistic]"))
    for drop in drops[:2]:
        month = pd.read_csv(drop)
        month.assign(left=(month["lost"] > 250).astype(int)).to_csv(home.path / drop.name, index=False)
    assert _run(home, home.path / drops[0].name).line.startswith("Released as the first model: F1 ")
    text = SETTINGS.replace("lost: number", "lost: number\n  left: integer") + "exclude: [left]\n"
    (home.path / "settings.yaml").write_text(text)
    changed = load(home.path)
    with pytest.raises(SettingsError, match="v1 predicts who leaves, and `task: regression` asks for amounts"):
        commands.predict_csv(changed.path, home.path / drops[1].name, home.path / "out.csv")
    outcome = _run(changed, home.path / drops[1].name)
    assert outcome.line.startswith("Released as the first model: mean absolute error ")
    assert any("the next model counts as the first" in warning for warning in outcome.warnings)
    assert "v2 (linear), mean absolute error " in status.as_text(status.gather(home.path))

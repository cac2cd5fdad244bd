"""The field's classic exercise, in the home that the repository's root is."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest

from churnwatch.pipeline import sample, settings
from churnwatch.pipeline.settings import Home

ROOT = Path(__file__).parents[2]
Churnwatch = Callable[..., Any]
Ask = Callable[..., list[dict[str, Any]]]
COIN_TOSS = 5  # rows of the exercise's own test set


@pytest.fixture
def exercise(tmp_path: Path) -> Home:
    """Return a copy of the root's home: only its settings are in git."""
    (tmp_path / "exercise").mkdir()
    shutil.copy(ROOT / settings.FILE_NAME, tmp_path / "exercise")
    home = settings.load(tmp_path / "exercise")
    home.source.mkdir()
    home.tests.mkdir()
    return home


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return tuple(sample.write(tmp_path_factory.mktemp("clients"), sample.Like.ATTRITION, months=3, rows=60, seed=5))


def _test_set(home: Home, source: Path) -> None:
    """Take a few rows of both classes, as few as the exercise has."""
    rows = pd.read_csv(source, dtype=str)
    few = pd.concat([rows[rows["exited"] == "1"].head(3), rows[rows["exited"] == "0"].head(2)])
    assert len(few) == COIN_TOSS
    few.to_csv(home.tests / "testdata.csv", index=False)


def test_two_drops_make_a_release_with_the_classic_files_and_every_decision_carries_its_warning(
    churnwatch: Churnwatch, exercise: Home, clients: tuple[Path, ...], ask: Ask
) -> None:
    _test_set(exercise, clients[2])
    shutil.copy(clients[0], exercise.source / "dataset1.csv")
    shutil.copy(clients[0], exercise.source / "dataset2.csv")
    first = churnwatch("run", "--once", home=exercise)
    assert first.code == 0, first
    assert first.out.startswith("run 1 done: Released as the first model")
    [decision] = ask(exercise, "SELECT decision, rows, positives, warning FROM decisions")
    assert (decision["decision"], decision["rows"], decision["positives"]) == ("first", COIN_TOSS, 3)
    assert f"attention: {decision['warning']}" in first.out
    told = churnwatch("status", home=exercise)
    assert told.code == 1
    assert decision["warning"] in told.out

    score = float((exercise.deployment / "latestscore.txt").read_text())
    assert 0.0 <= score <= 1.0
    assert ast.literal_eval((exercise.deployment / "ingestedfiles.txt").read_text()) == ["dataset1.csv"]
    states = ask(exercise, "SELECT path, state FROM what_became_of_files ORDER BY path")
    assert [row["state"] for row in states] == ["ingested", "same_content"]
    model = joblib.load(exercise.deployment / "trainedmodel.pkl")
    tests = pd.read_csv(exercise.tests / "testdata.csv")
    assert set(model.predict(tests)) <= {0, 1}
    former = (exercise.deployment / "current").readlink()

    shutil.copy(clients[1], exercise.source / "dataset3.csv")
    second = churnwatch("run", "--once", home=exercise)
    assert second.code == 0, second
    last = ask(exercise, "SELECT * FROM decisions")[-1]
    assert (last["run"], last["policy"], last["rows"]) == (2, "better", COIN_TOSS)
    assert last["decision"] in {"promoted", "kept"}
    assert "coin toss" in last["warning"]
    assert (last["decision"] == "promoted") == (last["candidate_value"] > last["champion_value"])
    assert ((exercise.deployment / "current").readlink() != former) == (last["decision"] == "promoted")


def test_the_root_is_a_home_for_the_generated_clients_of_that_exercise(
    churnwatch: Churnwatch, exercise: Home, clients: tuple[Path, ...], ask: Ask
) -> None:
    header = clients[0].read_text().splitlines()[0].split(",")
    assert set(exercise.settings.columns) <= set(header)
    shutil.copy(clients[0], exercise.source)
    assert churnwatch("run", "--once", home=exercise).code == 0
    [rows] = ask(exercise, "SELECT rows_read, accepted FROM what_became_of_files")
    assert rows == {"rows_read": 60, "accepted": 60}


def test_the_settings_of_init_for_the_exercise_are_those_of_the_root(churnwatch: Churnwatch, tmp_path: Path) -> None:
    config = {
        "input_folder_path": "sourcedata", "output_folder_path": "ingesteddata", "test_data_path": "testdata",
        "output_model_path": "models", "prod_deployment_path": "production_deployment",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert churnwatch("init", tmp_path / "new", "--from-config", tmp_path / "config.json").code == 0
    made, root = settings.load(tmp_path / "new").settings, settings.load(ROOT).settings
    for name in ("target", "positive", "id", "gating", "source_folder", "deployment_folder"):
        assert getattr(made, name) == getattr(root, name), name
    assert set(made.columns) == set(root.columns)

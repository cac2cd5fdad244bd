from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from churnwatch.daemon import experiment_lists, experiments
from churnwatch.daemon.experiment_lists import Listed
from churnwatch.daemon.experiments import Asked
from churnwatch.pipeline import learning_curve
from churnwatch.pipeline.errors import UsageError
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Experiment, ExperimentMetric
from churnwatch.pipeline.settings import Home, Training

Churnwatch = Callable[..., Any]
GIVEN = Training(estimators=("logistic", "boosting"), parameters={"logistic": {"tol": 0.1}}, seed=7)


# -- what is asked for -----------------------------------------------------------------------------------------


def test_the_options_of_the_classic_exercise_are_parameters_of_logistic() -> None:
    asked = Asked(parameters=["logistic.C=0.1"], folds=4, solver="lbfgs", max_iter="100")
    found = experiments.training(GIVEN, asked)
    assert found.estimators == ("logistic",)
    assert found.parameters == {"logistic": {"tol": 0.1, "C": 0.1, "solver": "lbfgs", "max_iter": 100}}
    assert (found.folds, found.seed, found.mode) == (4, 7, "compare")
    assert GIVEN.parameters == {"logistic": {"tol": 0.1}}


def test_nothing_asked_for_is_training_as_in_the_settings() -> None:
    assert experiments.training(GIVEN, Asked()) == GIVEN


def test_a_parameter_of_an_import_path_has_its_name_behind_the_last_dot() -> None:
    found = experiments.training(GIVEN, Asked(parameters=["sklearn.svm.SVC.probability=true"], mode="refit"))
    assert found.estimators == ("sklearn.svm.SVC",)
    assert found.parameters["sklearn.svm.SVC"] == {"probability": True}
    assert found.mode == "refit"


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (Asked(parameters=["C=0.1"]), "-p C=0.1: must look like logistic.C=0.1"),
        (Asked(parameters=["logistic.C"]), "-p logistic.C: must look like"),
        (Asked(max_iter=""), "-p logistic.max_iter=: must look like"),
        (Asked(parameters=["logistic.C=1"], estimators=("boosting",)), "-p logistic.…: it is not one of the"),
        (Asked(folds=1), "--cv: Expected `int` >= 2."),
        (Asked(mode="best"), "--mode: Invalid enum value 'best'."),
        (Asked(estimators=("",)), "--estimator: Expected `str` of length >= 1."),
    ],
)  # fmt: skip
def test_what_no_settings_could_be_is_refused_with_its_option(asked: Asked, line: str) -> None:
    with pytest.raises(UsageError) as error:
        experiments.training(GIVEN, asked)
    assert str(error.value).startswith(line)


# -- the commands ----------------------------------------------------------------------------------------------


def test_experiments_are_made_listed_and_compared(
    own: Home, churnwatch: Churnwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_curve, "SHARES", (0.4, 1.0))
    home = ("--home", str(own.path))
    assert churnwatch(*home, "experiments").out == "No experiments yet; see `churnwatch experiment --help`.\n"
    asked = ("experiment", "-p", "logistic.C=0.01", "--cv", "3", "--note", "less free")
    made = churnwatch(*home, *asked)
    assert made.code == 0, made.err
    assert made.out.startswith("experiment 1: logistic, logistic.C=0.01\nF1 ")
    assert f"Never released; its files: {own.models}/experiments/e1\n" in made.out
    assert churnwatch(*home, *asked).out == f"The same as experiment 1; nothing was trained.\n{made.out}"
    curve = churnwatch(*home, "experiment", "--solver", "liblinear", "--learning-curve")
    assert "learned from" in curve.out
    assert "experiment 2: logistic, logistic.solver=liblinear\n" in curve.out
    listed = churnwatch(*home, "experiments").out
    assert "logistic.C=0.01 (less free)" in listed
    assert "2 of them were judged on the present holdout." in listed
    compared = churnwatch(*home, "experiments", "1", "2").out
    assert any(line.split() == ["logistic.C", "0.01"] for line in compared.splitlines())
    assert any(line.split() == ["logistic.solver", "liblinear"] for line in compared.splitlines())
    assert "cannot be compared" not in compared
    [row] = json.loads(churnwatch(*home, "experiments", "2", "--json").out)
    assert row["changed"] == {"parameters.logistic.solver": "liblinear"}
    assert {"name": "f1", "split": "gap"}.items() <= next(m for m in row["metrics"] if m["split"] == "gap").items()


def test_what_cannot_be_tried_is_one_line(own: Home, churnwatch: Churnwatch) -> None:
    home = ("--home", str(own.path))
    wrong = churnwatch(*home, "experiment", "-p", "logistic.D=1")
    assert (wrong.code, "LogisticRegression takes no `D`" in wrong.line) == (1, True)
    usage = churnwatch(*home, "experiment", "--cv", "1")
    assert (usage.code, usage.line) == (2, "churnwatch: --cv: Expected `int` >= 2.")
    none = churnwatch(*home, "experiments", "9")
    assert (none.code, none.line) == (
        1,
        f"churnwatch: experiment 9: there is none. See them all: churnwatch --home {own.path} experiments",
    )


# -- how they are shown ----------------------------------------------------------------------------------------


def _listed(number: int = 1, **other: Any) -> Listed:
    known: dict[str, Any] = {
        "experiment": number, "experiment_id": "i", "at": "2026-01-01T00:00:00.000Z", "note": None, "changed": "{}",
        "settings_sha256": "s", "code_version": "1", "data_sha256": "d", "holdout": "h", "champion": None,
        "estimator": "logistic", "parameters": "{}", "threshold": 0.5, "train_rows": 10, "train_positives": 5,
        "folder": f"experiments/e{number}", "sha256": "a", "manifest_sha256": "b", "sentence": "F1 0.500.",
        "learning_curve": None, "warning": None,
    }  # fmt: skip
    metrics = [
        ExperimentMetric(number, "logistic", "cross_validation", None, "f1", 0.5, None, None, 0.02, 10),
        ExperimentMetric(number, "candidate", "holdout", None, "f1", 0.4, 0.3, 0.5, None, 1234),
    ]
    return Listed(Experiment(**{**known, **other}), metrics)


def test_experiments_on_other_rows_are_not_held_against_each_other(own: Home) -> None:
    with Ledger.open(own.ledger) as ledger:
        for other in ({"data_sha256": "other"}, {"holdout": "other"}):
            told = experiment_lists.side_by_side(ledger, [_listed(1), _listed(2, **other)])
            assert "They were not judged on the same rows: metrics on the holdout cannot be compared." in told
    assert "The last one was judged on the present holdout." in experiment_lists.overview(
        [_listed(1, data_sha256="other"), _listed(2)]
    )


def test_an_overview_has_value_and_error_of_the_cross_validation() -> None:
    shown = experiment_lists.overview([_listed()])
    assert "0.500 ± 0.020" in shown
    assert "1234" in shown


def test_what_nobody_knows_is_left_empty(tmp_path: Any) -> None:
    unknown = ExperimentMetric(1, "logistic", "cross_validation", None, "f1", None, None, None, None, 10)
    bare = Listed(_listed().made, [unknown])
    assert experiment_lists.with_error(bare.cross_validated) is None
    assert "logistic" in experiment_lists.overview([bare])
    assert experiment_lists.in_words(bare, tmp_path).startswith("experiment 1: logistic, as in the settings\nF1 0.500.")

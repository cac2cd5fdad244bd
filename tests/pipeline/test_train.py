from __future__ import annotations

import pickletools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import pandas as pd
import pytest

from churnwatch.pipeline import fitting, validation
from churnwatch.pipeline.errors import DataError, SettingsError
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.thresholds import best_threshold, steady_threshold
from churnwatch.pipeline.train import Candidate, Untrainable, probabilities, train

LOGISTIC = Training(estimators=("logistic",), folds=3, threads=1)


def _rows(n: int = 120, *, seed: int = 0, customers: int | None = None, **columns: Any) -> Rows:
    """Return rows in which a high `amount` and the plan `a` make a customer leave."""
    rng = np.random.default_rng(seed)
    amount, plan = rng.normal(size=n), rng.choice(["a", "b", "c"], size=n)
    y = (amount + (plan == "a") + rng.normal(scale=0.5, size=n) > 0.7).astype(np.int64)
    frame = pd.DataFrame({"amount": amount, "plan": pd.Series(plan, dtype="str"), **columns})
    ids = pd.Series([f"c{i % (customers or n)}" for i in range(n)], dtype="str")
    return Rows(frame, y, ids)


def _train(
    rows: Rows,
    training: Training = LOGISTIC,
    numeric: Sequence[str] = ("amount",),
    categorical: Sequence[str] = ("plan",),
) -> Candidate:
    found = train(rows, training, numeric=tuple(numeric), categorical=tuple(categorical))
    assert isinstance(found, Candidate), found
    return found


def _pipeline(candidate: Candidate) -> Any:
    """Return the pipeline within a calibrated model."""
    [calibrated] = candidate.model.estimator.estimator.calibrated_classifiers_
    return calibrated.estimator.estimator


# -- what cannot be trained ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "word"), [(0, "negative"), (1, "positive")])
def test_one_class_is_untrainable(label: int, word: str) -> None:
    rows = _rows()
    found = train(Rows(rows.X, np.full(len(rows), label), rows.ids), LOGISTIC, numeric=("amount",), categorical=())
    assert found == Untrainable(
        f"the target has one class only: all 120 training rows are {word}."
        " Check `target` and `positive` in settings.yaml"
    )


def test_no_rows_are_untrainable() -> None:
    found = train(_rows(0), LOGISTIC, numeric=("amount",), categorical=("plan",))
    assert isinstance(found, Untrainable)
    assert found.reason.startswith("no labelled row is left to train on")


def test_nothing_but_constant_columns_is_untrainable() -> None:
    rows = _rows()
    flat = Rows(pd.DataFrame({"amount": np.ones(120), "empty": np.full(120, np.nan)}), rows.y, rows.ids)
    found = train(flat, LOGISTIC, numeric=("amount", "empty"), categorical=())
    assert found == Untrainable("every column to learn from is constant in the training rows")


def test_what_another_library_cannot_fit_is_a_data_error() -> None:
    pytest.importorskip("lightgbm")
    training = Training(estimators=("lightgbm",), parameters={"lightgbm": {"num_leaves": 0}}, folds=2)
    with pytest.raises(DataError, match=r"LGBMClassifier cannot be trained on these rows: .*num_leaves"):
        train(_rows(), training, numeric=("amount",), categorical=("plan",))


def test_what_scikit_learn_cannot_fit_is_a_data_error() -> None:
    training = Training(estimators=("logistic",), parameters={"logistic": {"l1_ratio": 0.5}}, folds=2)
    with pytest.raises(DataError, match=r"LogisticRegression cannot be trained on these rows: Solver lbfgs supports"):
        _train(_rows(), training)


# -- what enters a model ---------------------------------------------------------------------------------------


def test_constant_columns_never_enter() -> None:
    rows = _rows(flat=np.ones(120), empty=np.full(120, np.nan), same=pd.Series(["x"] * 120, dtype="str"))
    candidate = _train(rows, numeric=("amount", "flat", "empty"), categorical=("plan", "same"))
    assert candidate.columns == ("amount", "plan")
    assert list(candidate.model.feature_names_in_) == ["amount", "plan"]


def test_a_column_that_is_sometimes_missing_tells_rows_apart() -> None:
    rows = _rows(flag=np.where(np.arange(120) % 2, 1.0, np.nan))
    assert "flag" in _train(rows, numeric=("amount", "flag")).columns


def test_only_the_columns_named_are_learned_from() -> None:
    rows = _rows(leak=np.arange(120.0))
    candidate = _train(Rows(rows.X[["amount", "plan"]], rows.y, rows.ids))
    assert candidate.columns == ("amount", "plan")


def test_missing_values_and_categories_never_seen_are_predicted() -> None:
    rows = _rows()
    holes = rows.X.copy()
    holes.loc[::5, "amount"] = np.nan
    holes.loc[::7, "plan"] = np.nan
    for estimator in ("logistic", "boosting"):
        training = Training(
            estimators=(estimator,), folds=2, threads=1,
            parameters={"boosting": {"max_iter": 5}} if estimator == "boosting" else {},
        )  # fmt: skip
        candidate = _train(Rows(holes, rows.y, rows.ids), training)
        new = pd.DataFrame({"amount": [np.nan, 1.0], "plan": pd.Series(["never seen", None], dtype="str")})
        found = probabilities(candidate.model, Rows(new, np.empty(0, dtype=np.int64), None))
        assert ((found > 0) & (found < 1)).all()


# -- the same input gives the same model -----------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["logistic", "boosting", "sklearn.ensemble.RandomForestClassifier"])
def test_the_same_rows_give_the_same_bytes(tmp_path: Path, estimator: str) -> None:
    training = Training(
        estimators=(estimator,), folds=2, threads=2,
        parameters={"boosting": {"max_iter": 5}, "sklearn.ensemble.RandomForestClassifier": {"n_estimators": 5}},
    )  # fmt: skip
    for name in ("one", "two"):
        joblib.dump(_train(_rows(), training).model, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


PROGRAM = """
import sys, warnings
warnings.simplefilter("error")
import joblib, numpy as np, pandas as pd
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.train import train
rng = np.random.default_rng(0)
X = pd.DataFrame({"n": rng.normal(size=150), "t": pd.Series(rng.choice(list("abc"), size=150), dtype="str")})
y = (X["n"].to_numpy() + rng.normal(size=150) > 0.5).astype(np.int64)
training = Training(folds=2, parameters={"boosting": {"max_iter": 5}}, estimators=("boosting", "logistic"))
joblib.dump(train(Rows(X, y, None), training, numeric=("n",), categorical=("t",)).model, sys.argv[1])
"""


def test_two_processes_make_the_same_bytes(tmp_path: Path) -> None:
    made = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / name)], env={"PYTHONHASHSEED": seed})
        for name, seed in (("one", "1"), ("two", "2"))
    ]
    assert [process.wait(120) for process in made] == [0, 0]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_another_seed_makes_another_model() -> None:
    made = [_train(_rows(), Training(estimators=("sklearn.ensemble.RandomForestClassifier",), folds=2, seed=seed,
                                     parameters={"sklearn.ensemble.RandomForestClassifier": {"n_estimators": 5}}))
            for seed in (0, 1)]  # fmt: skip
    rows = _rows(seed=9)
    assert list(made[0].probabilities(rows)) != list(made[1].probabilities(rows))


def test_a_model_holds_no_class_of_ours(tmp_path: Path) -> None:
    joblib.dump(_train(_rows()).model, tmp_path / "model.pkl")
    words = [str(argument) for _, argument, _ in pickletools.genops((tmp_path / "model.pkl").read_bytes())]
    assert any("sklearn" in word for word in words)
    assert not any("churnwatch" in word for word in words)


# -- the threshold ---------------------------------------------------------------------------------------------


def test_predict_is_the_probability_at_or_above_the_threshold(tmp_path: Path) -> None:
    candidate = _train(_rows())
    joblib.dump(candidate.model, tmp_path / "model.pkl")
    loaded = joblib.load(tmp_path / "model.pkl")
    rows = _rows(seed=1)
    assert candidate.threshold != 0.5
    expected = (candidate.probabilities(rows) >= candidate.threshold).astype(int)
    assert list(loaded.predict(rows.X)) == list(expected)
    assert loaded.threshold == candidate.threshold


def test_the_threshold_is_tuned_by_cross_validation_and_sees_each_row_from_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tuned = {}

    def spy(y: Any, probability: Any, *others: Any) -> tuple[float, float]:
        tuned["y"], tuned["p"] = y, probability
        return steady_threshold(y, probability, *others)

    monkeypatch.setattr(validation, "steady_threshold", spy)
    rows = _rows()
    candidate = _train(rows)
    assert list(tuned["y"]) == list(rows.y)
    assert candidate.threshold == best_threshold(tuned["p"], tuned["p"])[0]
    assert list(tuned["p"]) != list(candidate.probabilities(rows))


def test_too_few_rows_of_a_class_for_folds_have_the_usual_threshold() -> None:
    rows = _rows(30)
    y = np.zeros(30, dtype=np.int64)
    y[3] = 1
    candidate = _train(Rows(rows.X, y, rows.ids))
    assert (candidate.threshold, candidate.comparisons[0].value) == (0.5, None)


def test_as_many_folds_as_the_smaller_class_has_rows() -> None:
    rows = _rows(30)
    y = np.zeros(30, dtype=np.int64)
    y[[3, 9]] = 1
    assert (
        _train(Rows(rows.X, y, rows.ids), Training(estimators=("logistic",), folds=20)).comparisons[0].value is not None
    )


@pytest.mark.parametrize("customers", [1, 2, 3])
def test_too_few_customers_for_folds_have_the_usual_threshold(customers: int) -> None:
    rows = _rows(30)
    y = (np.arange(30) % customers == 0).astype(
        np.int64
    )  # of each customer one class, so that a fold may lack the other
    y[0] = 0
    candidate = _train(Rows(rows.X, y, pd.Series([f"c{row % customers}" for row in range(30)], dtype="str")))
    assert (candidate.threshold, candidate.comparisons[0].value) == (0.5, None)


# -- which estimator -------------------------------------------------------------------------------------------


def test_refit_trains_the_first_listed_only() -> None:
    training = Training(mode="refit", folds=2, estimators=("logistic", "no.such.Class"))
    candidate = _train(_rows(), training)
    assert candidate.estimator == "logistic"
    assert [each.estimator for each in candidate.comparisons] == ["logistic"]


def test_parameters_reach_the_classifier() -> None:
    training = Training(
        estimators=("logistic",), folds=2, parameters={"logistic": {"C": 0.25}}, class_weight="balanced"
    )
    candidate = _train(_rows(), training)
    classifier = _pipeline(candidate).named_steps["classifier"]
    assert (classifier.C, classifier.class_weight, classifier.random_state) == (0.25, "balanced", 0)
    assert candidate.parameters == {"C": 0.25}


def test_a_classifier_without_probabilities_is_a_setting_to_mend() -> None:
    with pytest.raises(SettingsError, match="no classifier with probabilities"):
        _train(_rows(), Training(estimators=("sklearn.svm.LinearSVC",)))


def test_the_dummy_is_compared_too() -> None:
    rows = _rows()
    shown = _train(rows)
    share = rows.y.mean()
    assert shown.baseline == pytest.approx(2 * share / (1 + share))
    assert _train(rows, Training(estimators=("logistic",), metric="accuracy", folds=3)).baseline == max(
        share, 1 - share
    )


# -- calibration -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "none"])
def test_the_threshold_is_one_of_calibrated_probabilities(method: Any) -> None:
    rows = _rows(600)
    candidate = _train(rows, Training(estimators=("logistic",), folds=3, class_weight="balanced", calibration=method))
    assert candidate.calibration == method
    share = candidate.probabilities(rows).mean()
    assert (abs(share - rows.y.mean()) < 0.01) == (method != "none")  # balanced weights alone say too much
    assert (candidate.probabilities(rows) >= candidate.threshold).mean() == pytest.approx(rows.y.mean(), abs=0.1)


def test_the_calibrated_log_odds_are_a_line_over_the_margin() -> None:
    rows = _rows()
    candidate = _train(rows, Training(estimators=("boosting",), folds=3, parameters={"boosting": {"max_iter": 20}}))
    margins = _pipeline(candidate).decision_function(rows.X)
    probability = candidate.probabilities(rows)
    log_odds = np.log(probability / (1 - probability))
    slope, intercept = np.polyfit(margins, log_odds, 1)
    assert slope > 0
    assert log_odds == pytest.approx(slope * margins + intercept)


def test_margins_that_tell_nothing_leave_probabilities_as_they_are() -> None:
    rows = _rows()
    chance = Rows(rows.X, np.random.default_rng(0).permutation(np.tile([0, 1], 60)), rows.ids)
    plain = Training(estimators=("logistic",), folds=3, calibration="none")
    found, expected = _train(chance), _train(chance, plain)
    assert found.calibration == "none"
    assert list(found.probabilities(chance)) == list(expected.probabilities(chance))


# -- the window ------------------------------------------------------------------------------------------------


def _changed(n: int = 600) -> Rows:
    """Return six batches, in the last two of which a high amount makes customers stay."""
    rows = _rows(n)
    batches = np.arange(n) * 6 // n
    X = rows.X.assign(amount=np.where(batches > 3, -1, 1) * rows.X["amount"])
    return Rows(X, rows.y, rows.ids, batches)


def test_only_the_rows_in_the_window_are_learned_from() -> None:
    training = Training(estimators=("logistic",), folds=3, window="last 2 batches")
    candidate = _train(_changed(), training)
    assert (candidate.rows, candidate.window.name) == (200, "last 2 batches")
    assert _pipeline(candidate).named_steps["classifier"].coef_[0, 0] < 0


def test_a_column_that_is_constant_within_the_window_does_not_enter() -> None:
    rows = _changed()
    flagged = Rows(rows.X.assign(flag=(rows.batches < 4) * 1.0), rows.y, rows.ids, rows.batches)
    training = Training(estimators=("logistic",), folds=3, window="last 2 batches")
    assert "flag" not in _train(flagged, training, numeric=("amount", "flag")).columns


def test_a_window_without_rows_of_both_classes_is_named() -> None:
    rows = _changed()
    y = np.where(rows.batches > 3, 0, rows.y)
    training = Training(estimators=("logistic",), window="last 2 batches")
    found = train(Rows(rows.X, y, None, rows.batches), training, numeric=("amount",), categorical=())
    assert isinstance(found, Untrainable)
    assert "all 200 training rows in the window (last 2 batches) are negative" in found.reason


def test_the_window_that_predicts_the_newest_batches_is_found() -> None:
    rows = _changed(1800)
    again = Rows(rows.X, rows.y, rows.ids, np.arange(1800) // 100)
    training = Training(estimators=("logistic",), folds=3, window="compare")
    candidate = _train(again, training)
    assert candidate.window.name == "last 3 batches"
    assert [each.window.name for each in candidate.windows] == [
        "all", "last 3 batches", "last 6 batches", "last 12 batches", "all, half-life 6 batches",
    ]  # fmt: skip
    assert candidate.rows == 300


def test_young_rows_count_more_with_a_half_life() -> None:
    training = Training(estimators=("logistic",), folds=3, half_life=0.5)
    assert _pipeline(_train(_changed(), training)).named_steps["classifier"].coef_[0, 0] < 0
    assert _pipeline(_train(_changed())).named_steps["classifier"].coef_[0, 0] > 0


def test_an_estimator_that_takes_no_weights_cannot_have_a_half_life() -> None:
    training = Training(estimators=("sklearn.neighbors.KNeighborsClassifier",), half_life=2.0)
    with pytest.raises(SettingsError, match="KNeighborsClassifier takes no weights of rows"):
        _train(_changed(), training)


def test_weights_by_age_are_not_compared_where_an_estimator_takes_none() -> None:
    rows = _changed(1800)
    training = Training(estimators=("logistic", "sklearn.neighbors.KNeighborsClassifier"), folds=2, window="compare")
    candidate = _train(rows, training)
    assert "all, half-life 6 batches" not in [each.window.name for each in candidate.windows]
    assert len(candidate.windows) > 1
    with pytest.raises(SettingsError, match="KNeighborsClassifier takes no weights of rows"):
        _train(rows, msgspec.structs.replace(training, half_life=2.0))


# -- search ----------------------------------------------------------------------------------------------------


def test_what_a_search_finds_is_trained() -> None:
    rows = _rows(noise=np.random.default_rng(1).normal(size=120))
    training = Training(mode="search", estimators=("logistic",), folds=2, search_candidates=4,
                        parameters={"logistic": {"C": 1e-4, "tol": 0.01}})  # fmt: skip
    given = _train(rows, training, numeric=("amount", "noise"))
    assert given.parameters == {"C": 1e-4, "tol": 0.01}  # what is given is not searched for
    free = msgspec.structs.replace(training, parameters={"logistic": {"tol": 0.01}})
    candidate = _train(rows, free, numeric=("amount", "noise"))
    [found] = candidate.searches
    assert (found.tried, found.stopped, found.parameters) == (5, False, candidate.parameters)
    classifier = _pipeline(candidate).named_steps["classifier"]
    assert {name: getattr(classifier, name) for name in candidate.parameters} == candidate.parameters


# -- on a cluster ----------------------------------------------------------------------------------------------


def test_a_cluster_of_real_workers_gives_the_same_model_as_this_process_alone() -> None:
    from distributed import Client, LocalCluster  # noqa: PLC0415 - a second to import

    rows = _rows(400)
    training = Training(mode="search", search_candidates=1, search_s=600, estimators=("logistic",), folds=2)
    alone = _train(rows, training)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        spread = _train(rows, msgspec.structs.replace(training, cluster=address))
        with Client(address) as client:
            done = client.run(lambda dask_worker: dask_worker.state.transition_counter)
    assert len(done) == 2
    assert sum(done.values()) > 0  # the folds were fitted there
    assert spread.comparisons == alone.comparisons
    assert spread.searches == alone.searches
    assert list(probabilities(spread.model, rows)) == list(probabilities(alone.model, rows))


def test_a_cluster_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_CONNECT_S", 0.5)
    with pytest.raises(DataError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler answers there"):
        _train(_rows(), Training(estimators=("logistic",), folds=3, cluster="tcp://127.0.0.1:9"))

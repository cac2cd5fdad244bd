from __future__ import annotations

import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from churnwatch.pipeline import model_files, train_amounts
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.folds import folds_of_amounts
from churnwatch.pipeline.settings import ModelFormat, Training
from churnwatch.pipeline.train import Candidate, Untrainable
from churnwatch.pipeline.validation import Comparison

LINEAR = Training(estimators=("linear",), folds=3, threads=1)


def _rows(n: int = 120, *, seed: int = 0, customers: int | None = None) -> Rows:
    """Return rows whose amount grows with `price`, and more so in plan `a`."""
    rng = np.random.default_rng(seed)
    price, plan = rng.uniform(1, 10, n), rng.choice(["a", "b"], n)
    y = price * np.where(plan == "a", 3.0, 1.0) + rng.normal(0, 0.5, n)
    frame = pd.DataFrame({"price": price, "plan": pd.Series(plan, dtype="str")})
    frame.loc[0, "price"] = np.nan
    return Rows(frame, y, pd.Series([f"c{i % (customers or n)}" for i in range(n)], dtype="str"))


def _train(rows: Rows, training: Training = LINEAR, metric: str = "mae") -> Candidate:
    found = train_amounts.train_amounts(rows, training, metric=metric, numeric=("price",), categorical=("plan",))
    assert isinstance(found, Candidate), found
    return found


@pytest.mark.parametrize("estimator", ["linear", "boosting", "sklearn.tree.DecisionTreeRegressor"])
def test_an_estimator_learns_amounts(estimator: str) -> None:
    rows = _rows(200)
    candidate = _train(rows, Training(estimators=(estimator,), folds=2, parameters=_parameters(estimator)))
    expected = train_amounts.amounts(candidate.model, rows)
    assert np.abs(expected - rows.y).mean() < 0.5 * np.abs(rows.y - np.median(rows.y)).mean()
    assert (candidate.threshold, candidate.positives, candidate.estimator) == (0.0, 200, estimator)


def _parameters(estimator: str) -> dict[str, dict[str, Any]]:
    return {estimator: {"max_iter": 60}} if estimator == "boosting" else {}


def test_a_model_expects_something_of_customers_unlike_any_it_has_seen() -> None:
    model = _train(_rows()).model
    frame = pd.DataFrame({"price": [np.nan, 1e6], "plan": pd.Series([None, "new"], dtype="str")})
    assert np.isfinite(train_amounts.amounts(model, Rows(frame, np.empty(0), None))).all()
    assert len(train_amounts.amounts(model, Rows(frame[:0], np.empty(0), None))) == 0


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (Rows(_rows().X[:0], np.empty(0), None), "no labelled row is left to train on"),
        (Rows(_rows().X, np.full(120, 3.0), None), "the target is the same in all 120 training rows"),
        (Rows(pd.DataFrame({"price": np.ones(9)}), np.arange(9.0), None), "every column to learn from is constant"),
    ],
)
def test_what_cannot_be_learned_is_said(rows: Rows, why: str) -> None:
    found = train_amounts.train_amounts(rows, LINEAR, metric="mae", numeric=("price",), categorical=())
    assert isinstance(found, Untrainable)
    assert found.reason.startswith(why)


@pytest.mark.parametrize(
    ("training", "said"),
    [
        (Training(estimators=("logistic",)), "no `logistic`. Use linear, boosting, or the import path"),
        (Training(estimators=("sklearn.svm.SVC",)), "`sklearn.svm.SVC` is no regressor."),
        (Training(estimators=("json.dumps",)), "`json.dumps` is no regressor."),
        (Training(estimators=("linear",), parameters={"linear": {"C": 1}}), "Ridge takes no `C`; it takes alpha, "),
        (
            Training(estimators=("linear",), parameters={"linear": {"alpha": -1}}),
            "linear.alpha: it must be a float in ",
        ),
    ],
)
def test_an_estimator_that_does_not_fit_is_refused(training: Training, said: str) -> None:
    with pytest.raises(SettingsError, match=r"settings\.yaml: training") as caught:
        _train(_rows(), training)
    assert said in str(caught.value)


def _of(estimator: str, *by_fold: float) -> train_amounts._Validated:
    known = Comparison(estimator, 0.0, float(np.mean(by_fold)), 0.1, None)
    return train_amounts._Validated(known, Pipeline([]), np.array(by_fold))


def test_estimators_are_compared_by_the_metric_and_the_simpler_wins_within_one_standard_error() -> None:
    def chosen(*found: train_amounts._Validated, sign: int = -1) -> str:
        return train_amounts._choose(found, sign).comparison.estimator

    assert chosen(_of("linear", 10.3, 12.0, 9.1), _of("boosting", 10.0, 12.2, 9.0)) == "linear"
    assert chosen(_of("linear", 10.3, 12.4, 9.3), _of("boosting", 10.0, 12.1, 9.0)) == "boosting"
    assert chosen(_of("linear", 0.3, 0.4), _of("boosting", 0.5, 0.7), sign=1) == "boosting"
    unknown = train_amounts._Validated(Comparison("third", 0.0, None, None, None), Pipeline([]), np.empty(0))
    assert chosen(_of("linear", 2.0, 2.0), _of("boosting", 1.0, 1.0), unknown) == "linear"


def test_the_dummy_and_each_estimator_are_judged_by_cross_validation() -> None:
    candidate = _train(_rows(), metric="r2")
    [comparison] = candidate.comparisons
    assert comparison.value is not None
    assert 0.5 < comparison.value < 1.0
    assert candidate.baseline == pytest.approx(0.0)
    few = _train(_rows(8, customers=1))
    assert (few.comparisons[0].value, few.baseline) == (None, None)


def test_a_customers_rows_stay_in_one_fold() -> None:
    rows = _rows(90, customers=30)
    folds = folds_of_amounts(rows, 3, seed=0)
    assert folds is not None
    assert rows.ids is not None
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(90))
    for learned, tested in folds:
        assert not set(rows.ids.iloc[learned]) & set(rows.ids.iloc[tested])
    assert folds_of_amounts(_rows(8, customers=1), 3, seed=0) is None


def test_the_same_rows_give_the_same_bytes_and_they_hold_nothing_of_ours(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        model_files.write(tmp_path / name, _train(_rows()).model, ModelFormat.PICKLE)
        files.append((tmp_path / name / model_files.PICKLE).read_bytes())
    assert files[0] == files[1]
    texts = {arg for _, arg, _ in pickletools.genops(files[0]) if isinstance(arg, str)}
    assert not {text for text in texts if text.startswith("churnwatch")}
    expected = pickle.loads(files[0]).predict(_rows().X)  # noqa: S301 - our own
    assert expected == pytest.approx(train_amounts.amounts(_train(_rows()).model, _rows()))


def test_a_model_of_amounts_can_be_kept_without_a_pickle(tmp_path: Path) -> None:
    candidate = _train(_rows(), Training(estimators=("boosting",), folds=2, parameters={"boosting": {"max_iter": 5}}))
    model_files.write(tmp_path, candidate.model, ModelFormat.SKOPS)
    read = model_files.read(model_files.SKOPS, (tmp_path / model_files.SKOPS).read_bytes())
    assert read.predict(_rows().X) == pytest.approx(candidate.model.predict(_rows().X))

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import FixedThresholdClassifier

from churnwatch.pipeline import estimators, model_files
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.model_files import PICKLE, SKOPS
from churnwatch.pipeline.settings import ModelFormat, Training
from churnwatch.pipeline.train import Candidate, train


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    chance = np.random.default_rng(0)
    return pd.DataFrame(
        {"n": chance.normal(size=300), "c": chance.choice(["a", "b", "rare"], 300, p=[0.6, 0.39, 0.01])}
    )


def _model(estimator: str, rows: pd.DataFrame) -> FixedThresholdClassifier:
    pipeline = estimators.build(estimator, numeric=["n"], categorical=["c"], parameters={}, class_weight="none", seed=0)
    return FixedThresholdClassifier(pipeline, threshold=0.3).fit(rows, rows["n"] + (rows["c"] == "a") > 0.5)


@pytest.mark.parametrize("estimator", ["logistic", "boosting", "sklearn.ensemble.RandomForestClassifier"])
def test_a_model_is_the_same_in_both_formats(estimator: str, rows: pd.DataFrame, tmp_path: Path) -> None:
    model = _model(estimator, rows)
    assert list(model_files.write(tmp_path, model, ModelFormat.BOTH)) == [PICKLE, SKOPS]
    for name in (PICKLE, SKOPS):
        again = model_files.read(name, (tmp_path / name).read_bytes())
        assert np.array_equal(again.predict_proba(rows), model.predict_proba(rows))
        assert np.array_equal(again.predict(rows), model.predict(rows))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_calibrated_model_is_the_same_in_both_formats(method: Any, rows: pd.DataFrame, tmp_path: Path) -> None:
    y = (rows["n"] > 0.5).to_numpy(dtype=np.int64)
    training = Training(estimators=("logistic",), folds=2, calibration=method)
    candidate = train(Rows(rows, y, None), training, numeric=("n",), categorical=("c",))
    assert isinstance(candidate, Candidate)
    model_files.write(tmp_path, candidate.model, ModelFormat.BOTH)
    for name in (PICKLE, SKOPS):
        again = model_files.read(name, (tmp_path / name).read_bytes())
        assert np.array_equal(again.predict_proba(rows), candidate.model.predict_proba(rows))


@pytest.mark.parametrize(("wanted", "names"), [(ModelFormat.PICKLE, [PICKLE]), (ModelFormat.SKOPS, [SKOPS])])
def test_only_what_is_wanted_is_written(
    wanted: ModelFormat, names: list[str], rows: pd.DataFrame, tmp_path: Path
) -> None:
    model_files.write(tmp_path, _model("logistic", rows), wanted)
    assert [path.name for path in tmp_path.iterdir()] == names


class Stranger(DummyClassifier):
    """A classifier of nobody's library."""


def test_a_class_of_neither_scikit_learn_nor_numpy_is_not_written_as_skops(tmp_path: Path) -> None:
    model = Stranger().fit([[0], [1]], [0, 1])
    with pytest.raises(SettingsError, match=r"this model has .*Stranger. Use `pickle`, or another estimator"):
        model_files.write(tmp_path, model, ModelFormat.SKOPS)
    assert list(tmp_path.iterdir()) == []


def test_without_skops_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(SettingsError, match=r"model_format: needs skops: pip install 'churnwatch\[skops\]'"):
        model_files.write(tmp_path, DummyClassifier(), ModelFormat.BOTH)


def test_a_pickle_is_what_any_program_reads(rows: pd.DataFrame, tmp_path: Path) -> None:
    model_files.write(tmp_path, _model("logistic", rows), ModelFormat.PICKLE)
    assert pickle.loads((tmp_path / PICKLE).read_bytes()).predict(rows).dtype == bool  # noqa: S301 - our own


def test_the_bytes_of_a_pickle_do_not_depend_on_which_texts_are_one_object_in_the_process(tmp_path: Path) -> None:
    shared, beside = "most_frequent", "most_frequent "[:-1]  # made anew
    found = [
        model_files.write(tmp_path, DummyClassifier(strategy=one, constant=other), ModelFormat.PICKLE)
        for one, other in ((shared, shared), (shared, beside))
    ]
    assert found[0] == found[1]

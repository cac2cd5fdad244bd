from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline

from churnwatch.pipeline.ensembles import ENSEMBLES
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.estimators import build, fitted_parts, with_many_categories


def _classifier(estimator: str, class_weight: str = "none", **parameters: Any) -> Any:
    made = build(estimator, numeric=["n"], categorical=["t"], parameters=parameters, class_weight=class_weight, seed=7)
    return made.named_steps["classifier"]


def test_a_classifier_is_made_of_its_import_path() -> None:
    found = _classifier("sklearn.ensemble.RandomForestClassifier", class_weight="balanced", n_estimators=3)
    assert isinstance(found, RandomForestClassifier)
    assert (found.n_estimators, found.random_state, found.class_weight) == (3, 7, "balanced")


def test_a_classifier_that_knows_no_seed_and_no_weights_gets_none() -> None:
    assert isinstance(_classifier("sklearn.naive_bayes.GaussianNB", class_weight="balanced"), GaussianNB)


def test_parameters_overrule_the_defaults() -> None:
    assert _classifier("boosting").max_iter == 200
    assert _classifier("boosting", max_iter=3, random_state=1).max_iter == 3
    assert _classifier("logistic", random_state=1).random_state == 1


@pytest.mark.parametrize(
    "path",
    ["forest", "sklearn.ensemble.NoForest", "no.such.Module", "", ".relative.Class", "..", "sklearn.ensemble",
     "sklearn.", "os.path.join"],
)  # fmt: skip
def test_a_path_that_leads_nowhere_is_a_setting_to_mend(path: str) -> None:
    with pytest.raises(SettingsError, match=r"^settings\.yaml: training\.estimators: "):
        _classifier(path)


@pytest.mark.parametrize(
    "path",
    ["sklearn.ensemble.RandomForestRegressor", "sklearn.svm.LinearSVC", "sklearn.svm.SVC", "pathlib.Path",
     "sklearn.ensemble.VotingClassifier", "sklearn.preprocessing.StandardScaler"],
)  # fmt: skip
def test_what_is_no_classifier_with_probabilities_is_a_setting_to_mend(path: str) -> None:
    with pytest.raises(SettingsError, match=rf"`{path}` is no classifier with probabilities"):
        _classifier(path)


@pytest.mark.parametrize("estimator", ["logistic", "boosting", "sklearn.ensemble.RandomForestClassifier"])
def test_a_parameter_that_a_classifier_does_not_take_is_a_setting_to_mend(estimator: str) -> None:
    with pytest.raises(SettingsError, match=r"training\.parameters: \w+ takes no `depth`; it takes .*random_state"):
        _classifier(estimator, depth=3)


@pytest.mark.parametrize(
    ("estimator", "parameter", "told"),
    [("logistic", {"C": -1.0}, r"logistic\.C: it must be a float in the range \(0\.0, inf\], not -1\.0\.$"),
     ("boosting", {"max_iter": "x"}, r"boosting\.max_iter: it must be an int in the range \[1, inf\), not 'x'\.$"),
     ("sklearn.naive_bayes.GaussianNB", {"var_smoothing": -1}, r"sklearn\.naive_bayes\.GaussianNB\.var_smoothing: ")],
)  # fmt: skip
def test_a_value_that_a_parameter_cannot_have_is_a_setting_to_mend(
    estimator: str, parameter: dict[str, Any], told: str
) -> None:
    with pytest.raises(SettingsError, match=rf"^settings\.yaml: training\.parameters: {told}"):
        _classifier(estimator, **parameter)


def test_an_unknown_estimator_is_told_all_names() -> None:
    with pytest.raises(SettingsError) as raised:
        _classifier("forest")
    for name in ("logistic", "deep_boosting", "catboost", *ENSEMBLES):
        assert f"{name}," in str(raised.value)


# -- texts -----------------------------------------------------------------------------------------------------


def _rows(n: int = 400) -> tuple[pd.DataFrame, Any]:
    """Return rows with holes, in which customers of the towns t10 and above leave."""
    rng = np.random.default_rng(0)
    town, n_ = rng.integers(20, size=n), rng.normal(size=n)
    X = pd.DataFrame({
        "n[1]": np.where(rng.random(n) < 0.1, np.nan, n_),
        "t": pd.Series(rng.choice(["a", "b"], n), dtype="str").mask(rng.random(n) < 0.1),
        "town": pd.Series([f"t{each}" for each in town], dtype="str"),
    })  # fmt: skip
    return X, (town >= 10).astype(np.int64)


def _built(estimator: str, many: Sequence[str] = ("town",), resampling: str = "none", **parameters: Any) -> Pipeline:
    return build(estimator, numeric=["n[1]"], categorical=["t", "town"], parameters=parameters, class_weight="none",
                 seed=0, many=many, resampling=resampling)  # fmt: skip


def test_a_text_with_many_categories_is_one_column_of_their_shares() -> None:
    X, y = _rows()
    pipeline = _built("logistic").fit(X, y)
    names = list(pipeline[:-1].get_feature_names_out())
    assert [name for name in names if "town" in name] == ["many__town"]
    assert np.mean((pipeline.predict_proba(X)[:, 1] > 0.5) == y) == 1.0
    unseen = X.assign(town=pd.Series(["elsewhere"] * len(X), dtype="str"))
    assert 0.3 < pipeline.predict_proba(unseen)[:, 1].mean() < 0.7


def test_texts_have_many_categories_only_where_rows_can_tell_their_shares() -> None:
    X, y = _rows()
    assert with_many_categories(X, y) == ("town",)
    assert with_many_categories(X[["n[1]", "t"]], y) == ()
    assert with_many_categories(X, np.arange(len(y)) // 351) == ()  # 49 positives


# -- libraries beside scikit-learn -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "module", "trees"),
    [("lightgbm", "lightgbm", "n_estimators"), ("xgboost", "xgboost", "n_estimators"),
     ("catboost", "catboost", "iterations")],
)  # fmt: skip
def test_another_library_learns_from_the_same_columns(
    estimator: str, module: str, trees: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(module)
    X, y = _rows()
    pipeline = clone(_built(estimator, **{trees: 40})).fit(X, y)
    assert capfd.readouterr().out == ""
    assert np.mean((pipeline.predict_proba(X)[:, 1] > 0.5) == y) > 0.95
    with pytest.raises(SettingsError, match=r"takes no `dpeth`; it takes .*learning_rate"):
        _built(estimator, dpeth=3)


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(SettingsError, match=r"`lightgbm` needs its library: pip install 'churnwatch\[lightgbm\]'"):
        _built("lightgbm")


# -- resampling ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resampling", "size"), [("smote", 700), ("oversample", 700), ("undersample", 100)])
@pytest.mark.parametrize("estimator", ["logistic", "boosting"])
def test_both_classes_are_as_large_where_rows_are_resampled(resampling: str, size: int, estimator: str) -> None:
    X, _ = _rows()
    y = (np.arange(400) < 50).astype(np.int64)
    pipeline = _built(estimator, resampling=resampling, many=())
    seen: list[int] = []
    classifier = type(pipeline[-1])

    class Counting(classifier):  # type: ignore[misc, valid-type]
        def fit(self, X: Any, y: Any) -> Any:
            seen.extend([len(y), int(y.sum())])
            return super().fit(X, y)

    pipeline.steps[-1] = ("classifier", Counting(**pipeline[-1].get_params()))
    pipeline.fit(X, y)
    assert seen == [size, size // 2]


def test_what_resampled_is_no_part_of_the_trained_pipeline() -> None:
    X, y = _rows()
    trained = _built("boosting", resampling="smote", max_iter=5).fit(X, y)
    kept = fitted_parts(trained)
    assert type(kept) is Pipeline
    assert list(kept.named_steps) == ["columns", "classifier"]
    assert list(kept.predict_proba(X)[:, 1]) == list(trained.predict_proba(X)[:, 1])


def test_resampling_without_its_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imblearn", None)
    with pytest.raises(SettingsError, match=r"training\.resampling: needs imbalanced-learn: pip install"):
        _built("logistic", resampling="smote")

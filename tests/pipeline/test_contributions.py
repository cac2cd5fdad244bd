from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import small_models
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from small_models import CATEGORICAL, NUMERIC, STRANGE, X, Y
from subsets import by_subsets, of_tree

from churnwatch.pipeline import bins, estimators, regressors
from churnwatch.pipeline.contributions import Explainer, Unexplained, explainer


def _explainer(model: Any) -> Explainer:
    found = explainer(model, bins.of_frame(X))
    assert isinstance(found, Explainer), found
    return found


def _shown(model: Any, frame: pd.DataFrame) -> Any:
    return logit(model.predict_proba(frame)[:, 1])


# -- sums ------------------------------------------------------------------------------------------------------


EXACT = ["logistic", "boosting", "deep_boosting", "stacking", "voting", "lightgbm"]


@pytest.mark.parametrize("calibration", ["sigmoid", "none"])
@pytest.mark.parametrize("kind", EXACT)
def test_contributions_and_base_sum_to_the_log_odds_as_shown(kind: str, calibration: str) -> None:
    model = small_models.model(kind, [*NUMERIC, *CATEGORICAL], calibration)
    found = _explainer(model)
    assert found.columns == ("n[1]", "m", "t", "town")
    for frame in (X, STRANGE):
        summed = found.base + found.contributions(frame).sum(axis=1)
        np.testing.assert_allclose(summed, _shown(model, frame), atol=1e-9)
    alone = np.vstack([found.contributions(STRANGE[place : place + 1]) for place in range(len(STRANGE))])
    np.testing.assert_allclose(alone, found.contributions(STRANGE), atol=1e-12)
    assert found.contributions(X[:0]).shape == (0, 4)


NUMBERS = st.none() | st.floats(-1e3, 1e3)
TEXTS = st.none() | st.sampled_from(["a", "b", "rare", "t3", "\x00", "=1+1"]) | st.text(max_size=3)


@pytest.fixture(scope="module")
def stacked() -> tuple[Any, Explainer]:
    model = small_models.model("stacking", [*NUMERIC, *CATEGORICAL])
    return model, _explainer(model)


@settings(max_examples=10, deadline=None)
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS, TEXTS, TEXTS), min_size=1, max_size=5))
def test_they_sum_whatever_stands_in_a_row(stacked: tuple[Any, Explainer], rows: list[Any]) -> None:
    model, found = stacked
    frame = pd.DataFrame(rows, columns=list(X)).astype(X.dtypes.to_dict())
    margin = model.estimator_.estimator.decision_function(frame)  # log-odds, also where the probability is 0 or 1
    np.testing.assert_allclose(found.base + found.contributions(frame).sum(axis=1), margin, atol=1e-6)


def test_columns_are_found_whatever_they_are_called() -> None:
    names = {"n[1]": "t__rare", "m": "number__n[1]", "t": "columns", "town": "t"}
    frame = X.rename(columns=names)
    made = estimators.build("logistic", numeric=["t__rare", "number__n[1]"], categorical=["columns", "t"],
                            parameters={}, class_weight="none", seed=0, many=["t"]).fit(frame, Y)  # fmt: skip
    found = explainer(made, bins.of_frame(frame))
    assert isinstance(found, Explainer)
    assert found.columns == ("t__rare", "number__n[1]", "columns", "t")
    np.testing.assert_allclose(found.base + found.contributions(frame).sum(axis=1), made.decision_function(frame))


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
@pytest.mark.parametrize("estimator", ["linear", "boosting"])
def test_of_amounts_they_sum_to_the_amount(estimator: str, loss: str) -> None:
    parameters = {"max_iter": 5, "loss": loss} if estimator == "boosting" else {}
    made = regressors.build(estimator, numeric=NUMERIC, categorical=CATEGORICAL, parameters=parameters, seed=0)
    model = made.fit(X, 100.0 * Y + X["m"])
    found = _explainer(model)
    np.testing.assert_allclose(found.base + found.contributions(STRANGE).sum(axis=1), model.predict(STRANGE))


@pytest.mark.parametrize("resampling", ["smote", "undersample"])
def test_rows_that_were_made_for_training_change_nothing(resampling: str) -> None:
    model = small_models.model("boosting", [*NUMERIC, *CATEGORICAL], resampling=resampling)
    found = _explainer(model)
    np.testing.assert_allclose(found.base + found.contributions(STRANGE).sum(axis=1), _shown(model, STRANGE))


# -- all subsets -----------------------------------------------------------------------------------------------


def test_of_a_linear_model_they_are_those_of_all_subsets_over_the_training_rows() -> None:
    model = small_models.model("logistic", ["n[1]", "m", "t"])
    found = _explainer(model)

    def said(row: Any, known: frozenset[int]) -> float:
        frame = X[["n[1]", "m", "t"]].copy()
        for place in known:
            column = frame.columns[place]
            frame[column] = pd.Series([row.iloc[place]] * len(frame), dtype=frame[column].dtype)
        return float(_shown(model, frame).mean())

    for frame in (X[:2], STRANGE[:2]):
        expected = [
            by_subsets(lambda known, r=row: said(r, known), 3) for _, row in frame[["n[1]", "m", "t"]].iterrows()
        ]
        np.testing.assert_allclose(found.contributions(frame), expected, atol=1e-9)
    assert found.base == pytest.approx(_shown(model, X[["n[1]", "m", "t"]]).mean())


def test_of_stacked_models_they_are_the_weighted_ones_of_all_subsets_of_each_part() -> None:
    columns = ["m", "t"]
    model = small_models.model("stacking", columns)
    inner = model.estimator_.estimator
    frame = pd.concat([X[:3], STRANGE])[columns]
    expected = np.zeros((len(frame), 2))
    for weight, part in zip(inner.final_estimator_.estimator.coef_[0], inner.estimators_, strict=True):
        encoded = np.asarray(part[0].transform(frame))
        if hasattr(part[-1], "coef_"):
            single = encoded * part[-1].coef_[0] - (np.asarray(part[0].transform(X[columns])) * part[-1].coef_[0]).mean(
                0
            )
        else:
            nodes = [predictor.nodes for [predictor] in part[-1]._predictors]
            single = np.array([sum(of_tree(each, row) for each in nodes) for row in encoded])
        expected += weight * np.column_stack([single[:, 0], single[:, 1:].sum(axis=1)])
    np.testing.assert_allclose(_explainer(model).contributions(frame), expected, atol=1e-9)


# -- what cannot be explained, and other libraries -------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "calibration", "why"),
    [("logistic", "isotonic", "isotonic"),
     ("sklearn.ensemble.RandomForestClassifier", "sigmoid", "those of RandomForestClassifier, .*calibration: none"),
     ("sklearn.ensemble.RandomForestClassifier", "none", "no exact way is known for RandomForestClassifier")],
)  # fmt: skip
def test_what_cannot_be_explained_exactly_is_not_explained(kind: str, calibration: str, why: str) -> None:
    found = explainer(small_models.model(kind, [*NUMERIC, *CATEGORICAL], calibration), bins.of_frame(X))
    assert isinstance(found, Unexplained)
    assert re.search(why, found.why)


def test_a_mean_of_probabilities_as_of_former_versions_is_not_explained() -> None:
    parts = [(name, FrozenEstimator(small_models.pipeline(name, ["m", "t"]))) for name in ("logistic", "boosting")]
    found = explainer(VotingClassifier(parts, voting="soft").fit(X[["m", "t"]], Y), bins.of_frame(X))
    assert isinstance(found, Unexplained)
    assert "mean of probabilities" in found.why


def test_amounts_that_are_products_are_not_explained() -> None:
    made = regressors.build("boosting", numeric=NUMERIC, categorical=CATEGORICAL,
                            parameters={"max_iter": 3, "loss": "poisson"}, seed=0)  # fmt: skip
    found = explainer(made.fit(X, X["m"] + 1), bins.of_frame(X))
    assert isinstance(found, Unexplained)
    assert "poisson" in found.why


def test_without_its_reference_a_linear_model_cannot_be_explained_and_trees_can() -> None:
    lost = explainer(small_models.model("logistic", ["m", "t"]), None)
    assert isinstance(lost, Unexplained)
    assert "reference.json" in lost.why
    assert isinstance(explainer(small_models.model("boosting", ["m", "t"]), None), Explainer)


@pytest.mark.parametrize("library", ["xgboost", "catboost"])
def test_other_libraries_explain_themselves(library: str) -> None:
    pytest.importorskip(library)
    model = small_models.model(library, [*NUMERIC, *CATEGORICAL], "none")
    found = _explainer(model)
    np.testing.assert_allclose(found.base + found.contributions(STRANGE).sum(axis=1), _shown(model, STRANGE), atol=1e-6)

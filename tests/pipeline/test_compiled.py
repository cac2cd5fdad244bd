from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import small_models
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer
from sklearn.tree import DecisionTreeClassifier
from small_models import CATEGORICAL, NUMERIC, STRANGE, X, Y

from churnwatch.pipeline import bins, compiled, regressors
from churnwatch.pipeline.compiled import Compiled, Original
from churnwatch.pipeline.encoding import columns_of, frame_of
from churnwatch.pipeline.records import CompiledForm

ALL = [*NUMERIC, *CATEGORICAL]
FOREST = "sklearn.ensemble.RandomForestClassifier"
ALONE = ["logistic", "boosting", "deep_boosting", "lightgbm", FOREST]
KINDS = [("stacking", "none"), ("voting", "none"), *product(ALONE, ["sigmoid", "none", "isotonic"])]
SAME = CompiledForm(1, "2026", 10, 0.0, None)
KNOWN = bins.of_frame(X)


def _both(model: Any, known: Any = KNOWN) -> tuple[Compiled, Original]:
    form, itself = compiled.predictor(model, known, SAME), compiled.predictor(model, known, None)
    assert isinstance(form, Compiled), form
    assert isinstance(itself, Original)
    return form, itself


def _alike(form: Compiled, itself: Original, frame: pd.DataFrame) -> None:
    columns = columns_of(frame)
    for some in (columns, {column: values[:1] for column, values in columns.items()}):
        np.testing.assert_allclose(form.predictions(some), itself.predictions(some), rtol=1e-12, atol=1e-12)
        assert form.unexplained == itself.unexplained
        assert form.base == itself.base
        added, expected = form.contributions(some), itself.contributions(some)
        if expected is None:
            assert added is None
        else:
            assert added is not None
            np.testing.assert_allclose(added, expected, atol=1e-10)


@pytest.mark.parametrize(("kind", "calibration"), KINDS)
def test_a_form_says_what_the_model_says(kind: str, calibration: str) -> None:
    model = small_models.model(kind, ALL, calibration)
    form, itself = _both(model)
    for frame in (X, STRANGE):
        _alike(form, itself, frame)
    none: dict[str, Any] = {column: values[:0] for column, values in columns_of(X).items()}
    assert form.predictions(none).shape == itself.predictions(none).shape == (0,)
    if form.unexplained is None:
        assert np.shape(form.contributions(none)) == (0, 4)


@pytest.mark.parametrize("kind", ["boosting", "deep_boosting"])
def test_values_at_the_splits_of_trees_go_the_same_way(kind: str) -> None:
    model = small_models.model(kind, ALL, "none")
    nodes = [node for [tree] in model.estimator_.estimator[-1]._predictors for node in tree.nodes]
    cuts = [(node["feature_idx"], node["num_threshold"]) for node in nodes if not node["is_leaf"]]
    rows = [{NUMERIC[place]: value} for place, cut in cuts if place < 2 for value in (cut, np.nextafter(cut, np.inf))]
    assert len(rows) > 10
    _alike(*_both(model), pd.DataFrame(rows, columns=ALL).astype(X.dtypes.to_dict()))


@pytest.mark.parametrize("library", ["xgboost", "catboost"])
def test_other_libraries_are_asked_themselves(library: str) -> None:
    pytest.importorskip(library)
    found = compiled.predictor(small_models.model(library, ALL, "none"), KNOWN, SAME)
    if library == "catboost":  # it takes texts as they are
        assert isinstance(found, Original)
        assert found.why_not == "its columns go through SimpleImputer, which is not known here"
    else:
        _alike(*_both(small_models.model(library, ALL, "none")), STRANGE)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("estimator", ["linear", "boosting", "sklearn.linear_model.HuberRegressor"])
def test_a_form_says_what_a_model_of_amounts_says(estimator: str, loss: str) -> None:
    parameters = {"max_iter": 5, "loss": loss} if estimator == "boosting" else {}
    made = regressors.build(estimator, numeric=NUMERIC, categorical=CATEGORICAL, parameters=parameters, seed=0)
    form, itself = _both(made.fit(X, 100.0 * Y + X["m"] + 1))
    for frame in (X, STRANGE):
        _alike(form, itself, frame)


def test_many_rows_go_through_in_pieces() -> None:
    form, itself = _both(small_models.model("stacking", ALL))
    many = columns_of(pd.concat([X] * 25, ignore_index=True))
    np.testing.assert_allclose(form.predictions(many), itself.predictions(many), atol=1e-12)
    added = form.contributions(many)
    assert added is not None
    np.testing.assert_allclose(added, itself.contributions(many), atol=1e-10)


NUMBERS = st.none() | st.floats(-1e300, 1e300)
TEXTS = st.none() | st.sampled_from(["a", "b", "rare", "t3", "nan", "None", "infrequent_sklearn"]) | st.text(max_size=3)


@pytest.fixture(scope="module")
def stacked() -> tuple[Compiled, Original]:
    return _both(small_models.model("stacking", ALL))


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS, TEXTS, TEXTS), min_size=1, max_size=5))
def test_a_form_says_what_the_model_says_whatever_stands_in_a_row(stacked: Any, rows: list[Any]) -> None:
    form, itself = stacked
    columns = columns_of(pd.DataFrame(rows, columns=ALL).astype(X.dtypes.to_dict()))
    np.testing.assert_allclose(form.predictions(columns), itself.predictions(columns), atol=1e-9)
    np.testing.assert_allclose(form.contributions(columns), itself.contributions(columns), rtol=1e-9, atol=1e-9)


def test_without_its_reference_a_form_predicts_and_explains_nothing() -> None:
    form, itself = _both(small_models.model("stacking", ALL), None)
    assert form.unexplained is not None
    _alike(form, itself, STRANGE)


# -- the model itself ------------------------------------------------------------------------------------------


def test_a_form_that_was_not_compared_or_differed_is_not_used() -> None:
    model = small_models.model("logistic", ALL)
    found = compiled.predictor(model, KNOWN, None)
    assert isinstance(found, Original)
    assert found.why_not == "its compiled form was not compared with it yet; the next run that trains does"
    found = compiled.predictor(model, KNOWN, CompiledForm(1, "2026", 10, 0.1, "they differ"))
    assert isinstance(found, Original)
    assert found.why_not == "they differ"


def test_a_mean_of_probabilities_as_of_former_versions_answers_itself() -> None:
    parts = [(name, FrozenEstimator(small_models.pipeline(name, ALL))) for name in ("logistic", "boosting")]
    found = compiled.predictor(VotingClassifier(parts, voting="soft").fit(X, Y), KNOWN, SAME)
    assert isinstance(found, Original)
    assert found.why_not == "VotingClassifier is not known here"
    assert found.predictions(columns_of(STRANGE)).shape == (4,)
    assert found.contributions(columns_of(STRANGE)) is None


def test_columns_and_frames_are_the_same() -> None:
    for frame in (X, STRANGE):
        pd.testing.assert_frame_equal(frame_of(columns_of(frame), list(X)), frame)
    assert columns_of(STRANGE)["t"].tolist() == [None, "new", "rare", ""]


def test_an_encoder_that_is_not_known_leaves_the_model_to_answer() -> None:
    binned = ColumnTransformer([("bins", KBinsDiscretizer(encode="ordinal", quantile_method="linear"), ["m"])])
    Z = binned.fit_transform(X)
    other = Pipeline([("columns", binned), ("classifier", DecisionTreeClassifier(max_depth=1).fit(Z, Y))])
    found = compiled.predictor(other, KNOWN, SAME)
    assert isinstance(found, Original)
    assert found.why_not == "its columns go through KBinsDiscretizer, which is not known here"

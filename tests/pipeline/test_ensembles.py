from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from churnwatch.pipeline.ensembles import ENSEMBLES, held_out_log_odds, parts, stacked, stacking, voting


@pytest.mark.parametrize(
    ("listed", "expected"),
    [(("logistic", "a.Forest", "stacking"), ("logistic", "a.Forest")), (("a.Forest",), ("a.Forest",)),
     (("stacking",), ("logistic", "boosting", "deep_boosting")),
     (("voting", "logistic"), ("logistic", "boosting", "deep_boosting"))],
)  # fmt: skip
def test_an_ensemble_is_made_of_the_others_that_are_listed(listed: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert parts(listed) == expected


def _data() -> tuple[pd.DataFrame, np.ndarray, dict[str, object]]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("abc"))
    y = (X["a"] + X["b"] * X["c"] + rng.normal(size=300) > 0).to_numpy(dtype=np.int64)
    fitted = {
        "line": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y),
        "bayes": make_pipeline(StandardScaler(), GaussianNB()).fit(X, y),
    }
    return X, y, fitted


@pytest.mark.parametrize("name", ENSEMBLES)
def test_the_log_odds_of_an_ensemble_are_a_weighted_sum_of_each_parts_own_margin(name: str) -> None:
    X, y, fitted = _data()
    margins = np.column_stack([fitted["line"].decision_function(X), fitted["bayes"].predict_proba(X)[:, 1]])
    blended = ENSEMBLES[name](margins, y, None)
    made = stacked(fitted, blended, X, y)
    expected = margins @ blended.coef_[0] + blended.intercept_
    assert made.decision_function(X) == pytest.approx(expected)
    assert made.predict_proba(X)[:, 1] == pytest.approx(1 / (1 + np.exp(-expected)))
    assert list(made.feature_names_in_) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ENSEMBLES)
def test_a_row_of_no_weight_says_nothing_of_how_much_a_part_counts(name: str) -> None:
    X, y, fitted = _data()
    margins = fitted["line"].decision_function(X)[:, None]
    weights, blend = (np.arange(300) < 200) * 1.0, ENSEMBLES[name]
    assert blend(margins, y, weights).coef_ == pytest.approx(blend(margins[:200], y[:200], None).coef_, rel=1e-3)


def test_a_vote_is_the_calibrated_mean_of_log_odds_on_whatever_scale_a_part_has_its_margins() -> None:
    X, y, fitted = _data()
    margin = fitted["line"].decision_function(X)
    other = X["b"].to_numpy()
    made = voting(np.column_stack([margin, other]), y)
    scaled = voting(np.column_stack([margin, 0.5 + 10 * other]), y)
    said = (margin[:, None] * made.coef_[:, :1] + other[:, None] * made.coef_[:, 1:]).ravel() + made.intercept_
    again = margin * scaled.coef_[0, 0] + (0.5 + 10 * other) * scaled.coef_[0, 1] + scaled.intercept_
    assert again == pytest.approx(said, abs=0.01)
    alone = [stacking(each[:, None], y).coef_.item() for each in (margin, other)]
    assert made.coef_[0, 0] / made.coef_[0, 1] == pytest.approx(alone[0] / alone[1])
    assert (1 / (1 + np.exp(-said))).mean() == pytest.approx(y.mean(), rel=0.01)


def test_what_is_said_of_a_row_that_is_held_out_does_not_depend_on_its_label() -> None:
    rng = np.random.default_rng(0)
    margins, y, fold_of = rng.normal(size=(40, 3)), np.tile([0, 1], 20), np.arange(40) // 2 % 4
    folds = [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(4)]
    said = held_out_log_odds(stacking, margins, y, None, folds)
    again = held_out_log_odds(stacking, margins, np.where(fold_of == 0, 1 - y, y), None, folds)
    assert list(again[fold_of == 0]) == list(said[fold_of == 0])
    assert not np.isclose(again[fold_of == 1], said[fold_of == 1]).any()

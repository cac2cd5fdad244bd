from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from churnwatch.pipeline.ensembles import blend, parts, stacked, voting


@pytest.mark.parametrize(
    ("listed", "expected"),
    [(("logistic", "a.Forest", "stacking"), ("logistic", "a.Forest")), (("stacking",), ("logistic", "boosting")),
     (("voting", "logistic"), ("logistic", "boosting")), (("a.Forest",), ("a.Forest",))],
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


def test_stacked_log_odds_are_a_weighted_sum_of_each_parts_own_margin() -> None:
    X, y, fitted = _data()
    margins = np.column_stack([fitted["line"].decision_function(X), fitted["bayes"].predict_proba(X)[:, 1]])
    blended = blend(margins, y)
    made = stacked(fitted, blended, X, y)
    expected = margins @ blended.coef_[0] + blended.intercept_
    assert made.decision_function(X) == pytest.approx(expected)
    assert made.predict_proba(X)[:, 1] == pytest.approx(1 / (1 + np.exp(-expected)))
    assert list(made.feature_names_in_) == ["a", "b", "c"]


def test_a_row_of_no_weight_says_nothing_of_how_much_a_part_counts() -> None:
    X, y, fitted = _data()
    margins = fitted["line"].decision_function(X)[:, None]
    weights = (np.arange(300) < 200) * 1.0
    assert blend(margins, y, weights).coef_ == pytest.approx(blend(margins[:200], y[:200]).coef_, rel=1e-3)


def test_a_vote_is_the_mean_of_probabilities() -> None:
    X, y, fitted = _data()
    made = voting(fitted, X, y)
    expected = np.mean([part.predict_proba(X) for part in fitted.values()], axis=0)
    assert made.predict_proba(X) == pytest.approx(expected)
    assert list(made.feature_names_in_) == ["a", "b", "c"]
    assert isinstance(made.estimators_[0], FrozenEstimator)  # nothing was trained again

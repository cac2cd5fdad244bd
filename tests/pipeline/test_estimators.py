from __future__ import annotations

from typing import Any

import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB

from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.estimators import build


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
    assert _classifier("boosting").max_iter == 250
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

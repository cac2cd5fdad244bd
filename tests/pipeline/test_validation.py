from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import StackingClassifier
from sklearn.metrics import log_loss

from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.fitting import Table
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.validation import Comparison, HeldOut, Validated, choose, validate

SMALL = {"boosting": {"max_iter": 20}}


def _table(n: int = 300, weights: Any = None) -> Table:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    y = (X["a"] + X["b"] * X["c"] + rng.normal(scale=0.5, size=n) > 0.5).to_numpy(dtype=np.int64)
    return Table.of(Rows(X, y, None), ("a", "b", "c"), (), weights)


def _training(*estimators: str, **other: Any) -> Training:
    return Training(estimators=estimators, folds=3, parameters=SMALL, **other)


def _said(estimator: str, losses: list[float]) -> Validated:
    known = HeldOut(np.empty(0), np.empty(0), np.array(losses))
    return Validated({}, Comparison(estimator, 0.5, 0.5, 0.1, 0.5), known, "sigmoid", None, dict)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("simple", "other", "expected"),
    [
        ([0.40, 0.50, 0.30], [0.39, 0.49, 0.29], "other"),  # as much better in each fold, however folds differ
        ([0.40, 0.50, 0.30], [0.36, 0.51, 0.30], "simple"),  # better in one of them: may be luck
        ([0.40, 0.50, 0.30], [0.40, 0.50, 0.30], "simple"),
        ([0.40, 0.50, 0.30], [0.42, 0.52, 0.33], "simple"),
    ],
)
def test_a_simpler_estimator_is_taken_unless_another_is_better_fold_by_fold(
    simple: list[float], other: list[float], expected: str
) -> None:
    chosen = choose({"simple": _said("simple", simple), "other": _said("other", other)})
    assert chosen.comparison.estimator == expected


def test_an_ensemble_is_judged_on_held_out_rows_and_is_what_is_trained() -> None:
    table = _table()
    found = validate(
        ("logistic", "boosting", "voting", "stacking"), table, _training("logistic", "boosting", "voting", "stacking")
    )
    parts = [found[name].known.probability for name in ("logistic", "boosting")]
    y = table.rows.y
    least = min(log_loss(y, part) for part in parts)
    assert log_loss(y, found["stacking"].known.probability) <= least + 0.01
    for name in ("voting", "stacking"):
        trained = found[name].trained()
        assert isinstance(trained, StackingClassifier)
        fresh = _table(600).rows
        assert 0.3 < trained.predict_proba(fresh.X)[:, 1].mean() / fresh.y.mean() < 3
        assert found[name].comparison.log_loss is not None


def test_the_parts_of_an_ensemble_have_their_own_parameters_and_are_no_candidates() -> None:
    table = _table()
    found = validate(("stacking",), table, _training("stacking"))
    assert list(found) == ["stacking"]
    assert found["stacking"].trained().estimators_[1][-1].max_iter == 20


def test_too_few_rows_for_folds_are_too_few_for_an_ensemble() -> None:
    rows = _table(60).rows
    one = Rows(rows.X, (np.arange(60) == 7).astype(np.int64), None)
    found = validate(("stacking",), Table.of(one, ("a", "b", "c"), ()), _training("stacking"))
    assert choose(found).comparison == Comparison("logistic", 0.5, None, None, None)


def test_an_ensemble_takes_the_weights_of_rows() -> None:
    plain, weighed = _table(), _table(weights=np.where(np.arange(300) < 150, 1.0, 0.01))
    training = _training("stacking", calibration="isotonic")
    said = [validate(("stacking",), table, training)["stacking"].known.probability for table in (plain, weighed)]
    assert np.abs(said[0] - said[1]).max() > 0.01


def test_only_the_rows_that_are_learned_from_are_resampled() -> None:
    table = _table()
    rare = table.where((table.rows.y == 0) | (np.arange(300) % 4 == 0))
    training = _training("logistic", resampling="smote", calibration="none")
    found = validate(("logistic",), rare, training)["logistic"]
    plain = validate(("logistic",), rare, _training("logistic", calibration="none"))["logistic"]
    assert len(found.known.probability) == len(rare.rows)
    assert found.known.probability.mean() > plain.known.probability.mean() + 0.1
    assert [name for name, _ in found.trained().steps] == ["columns", "classifier"]

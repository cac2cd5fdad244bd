from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from churnwatch.pipeline import search as search_module
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.fitting import Table
from churnwatch.pipeline.search import SPACES, Found, search
from churnwatch.pipeline.settings import Training

LATER = 1e12


def _table(n: int = 150, columns: int = 20) -> Table:
    """Return rows of which two columns tell something, and many tell nothing: a C of 100 learns those by heart."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n, columns)), columns=[f"x{i}" for i in range(columns)])
    y = (X["x0"] + X["x1"] + 2 * rng.normal(size=n) > 1).to_numpy(dtype=np.int64)
    return Table.of(Rows(X, y, None), tuple(X.columns), ())


def _training(**rest: Any) -> Training:
    return Training(**{"mode": "search", "folds": 3, "search_candidates": 4, **rest})


def test_better_parameters_are_found_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = "sklearn.tree.DecisionTreeClassifier"  # one without a limit learns everything by heart
    monkeypatch.setitem(SPACES, tree, {"max_depth": [2, 20, 30]})
    training = _training(parameters={tree: {"splitter": "best"}}, search_candidates=3)
    one, other = (search(tree, _table(400, columns=6), training, until=LATER) for _ in range(2))
    assert one == other == Found(tree, {"splitter": "best", "max_depth": 2}, 4, stopped=False)


def test_another_seed_tries_other_parameters() -> None:
    one, other = (search_module._drawn("logistic", {}, _training(seed=seed)) for seed in (0, 1))
    assert one == search_module._drawn("logistic", {}, _training(seed=0))
    assert one != other


def test_what_is_given_is_not_searched_for() -> None:
    training = _training(parameters={"logistic": {"C": 0.5}})
    assert search("logistic", _table(), training, until=LATER) == Found("logistic", {"C": 0.5}, 0, stopped=False)


def test_an_estimator_without_a_space_stays_as_it_is() -> None:
    found = search("sklearn.naive_bayes.GaussianNB", _table(), _training(), until=LATER)
    assert found == Found("sklearn.naive_bayes.GaussianNB", {}, 0, stopped=False)


@pytest.mark.parametrize(("values", "found"), [([0.9, 0.75, 0.85], {"C": 2.0}), ([0.72, 0.66, 0.8], {})])
def test_what_is_given_stays_where_nothing_is_better_by_a_standard_error(values: list[float], found: Any) -> None:
    tried = [search_module._Tried({}, np.array([0.6, 0.7, 0.8])), search_module._Tried({"C": 2.0}, np.array(values))]
    assert search_module._best(tried) == found


def test_folds_without_anybody_who_left_do_not_rank() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd"))
    customer = np.repeat(np.arange(30), 10)
    y = (np.isin(customer, [3, 7]) & (X["a"] > -1)).to_numpy(dtype=np.int64)
    table = Table.of(Rows(X, y, pd.Series(customer.astype(str), dtype="str")), tuple(X.columns), ())
    tried = search_module._evaluated("logistic", [{}, {"C": 0.1}], table, _training(folds=5), until=LATER)
    assert [len(each.by_fold) for each in tried] == [2, 2]
    assert all(np.isfinite(each.by_fold).all() for each in tried)


def test_out_of_time_the_search_stops_and_says_so() -> None:
    assert search("logistic", _table(), _training(), until=time.monotonic() - 1) == Found(
        "logistic", {}, 1, stopped=True
    )


def test_what_a_round_found_stays_where_time_ends_the_next_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "_FEWEST_ROWS", 30)
    by_fold = [np.array([0.5, 0.6]), np.array([0.8, 0.9]), np.array([0.4, 0.5])]
    rounds = [[search_module._Tried({"C": value}, each) for value, each in enumerate(by_fold)],
              [search_module._Tried({"C": 0}, by_fold[0])]]  # fmt: skip
    monkeypatch.setattr(search_module, "_drawn", lambda *_: [{"C": 1}, {"C": 2}])
    monkeypatch.setattr(search_module, "_evaluated", lambda *_: rounds.pop(0))
    found = search("logistic", _table(90, columns=2), _training(parameters={"logistic": {"C": 0}}), until=0.0)
    assert found == Found("logistic", {"C": 1}, 3, stopped=True)


def test_a_third_goes_on_to_three_times_as_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "_FEWEST_ROWS", 30)
    seen = []

    def spy(pipelines: list[Any], table: Table, parts: Any, *, until: float) -> Any:
        seen.append((len(pipelines), len(table.rows), round(float(table.rows.y.mean()), 2)))
        return side_by_side(pipelines, table, parts, until=until)

    side_by_side = search_module.side_by_side
    monkeypatch.setattr(search_module, "side_by_side", spy)
    table = _table(270, columns=2)
    search("logistic", table, _training(), until=LATER)
    share = table.rows.y.mean()
    assert [(number, rows) for number, rows, _ in seen] == [(5, 30), (3, 90), (2, 270)]
    assert all(abs(each - share) < 0.02 for _, _, each in seen)


@pytest.mark.parametrize("estimator", SPACES)
def test_every_parameter_of_a_space_is_one_of_the_estimator(estimator: str) -> None:
    if estimator in {"catboost", "xgboost"}:
        pytest.importorskip(estimator, reason="an extra that CI does without")
    table, training = _table(60, 2), _training()
    for drawn in search_module._drawn(estimator, {}, training):
        assert drawn.keys() == SPACES[estimator].keys()
        table.pipeline(estimator, training, drawn)


def test_weights_of_rows_count_in_a_search() -> None:
    table = _table()
    weighted = Table(table.rows, table.numeric, table.categorical, np.linspace(0, 1, 150) ** 3)
    plain, other = (
        search_module._evaluated("logistic", [{}], each, _training(), LATER)[0].by_fold for each in (table, weighted)
    )
    assert list(plain) != list(other)

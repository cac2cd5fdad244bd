from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from churnwatch.pipeline import explaining, files, reasons, run, schemas
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.ledger import explanations
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Explanation
from churnwatch.pipeline.settings import FILE_NAME, Home, load
from churnwatch.pipeline.workspace import Surroundings, Workspace

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
SETTINGS = """\
target: Churn
positive: Yes
id: customerID
date: month
names: {tenure: months as a customer}
training: {estimators: [logistic], mode: refit, folds: 2}
gate: {policy: always, min_positives: 5}
"""


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> Home:
    """Return a home after two runs: the first with a logistic model, the second with what cannot be explained."""
    folder = tmp_path_factory.mktemp("explaining")
    for text, drop in (
        (SETTINGS, telco[0]),
        (SETTINGS.replace("folds: 2", "folds: 2, calibration: isotonic"), telco[1]),
    ):
        (folder / FILE_NAME).write_text(text, encoding="utf-8")
        home = load(folder)
        for each in home.folders():
            each.mkdir(parents=True, exist_ok=True)
        shutil.copy(drop, home.source)
        with Ledger.open(home.ledger) as ledger:
            assert [each.status.value for each in run.work(home, ledger, reason="once")] == ["done"]
    return home


@contextmanager
def _ledger(home: Home) -> Iterator[Ledger]:
    with Ledger.open(home.ledger) as ledger:
        yield ledger


def _of_run(home: Home, number: int) -> Explanation:
    with _ledger(home) as ledger:
        found = explanations.of_run(ledger, number)
    assert found is not None
    return found


def test_contributions_lie_beside_the_predictions_row_by_row(worked: Home) -> None:
    known = _of_run(worked, 1)
    assert (known.version, known.explains, known.path) == (1, "exact", "run-00001-reasons.parquet")
    path = worked.predictions / "run-00001-reasons.parquet"
    assert files.sha256_of(path) == known.sha256
    found, predicted = pd.read_parquet(path), pd.read_parquet(worked.predictions / "run-00001.parquet")
    assert list(found["customerID"]) == list(predicted["customerID"])
    assert list(found)[:2] == ["customerID", "base"]
    assert len(found) == known.rows
    assert set(found["base"]) == {known.base}
    summed = found.drop(columns="customerID").sum(axis=1)
    np.testing.assert_allclose(summed, logit(predicted["probability"]), atol=1e-6)


def test_importances_are_of_every_column_that_the_model_looks_at(worked: Home) -> None:
    found = pd.read_parquet(worked.predictions / "run-00001-reasons.parquet")
    with _ledger(worked) as ledger:
        first, second = (explanations.importances(ledger, number) for number in (1, 2))
    assert {row["column_name"] for row in first} == set(found.columns[2:])
    for row in first:
        assert row["mean_absolute"] == pytest.approx(found[row["column_name"]].abs().mean())
        assert row["low"] <= row["permutation"] <= row["high"]
        assert row["former_version"] is None
    assert [row["mean_absolute"] for row in first] == sorted((row["mean_absolute"] for row in first), reverse=True)
    before = {row["column_name"]: row["mean_absolute"] for row in first}
    for row in second:
        assert row["mean_absolute"] is None
        assert row["permutation"] is not None
        assert (row["former_version"], row["former_mean_absolute"]) == (1, before[row["column_name"]])


def test_what_cannot_be_explained_is_said_to_be_so(worked: Home) -> None:
    known = _of_run(worked, 2)
    assert (known.version, known.explains, known.path, known.base) == (2, "none", None, None)
    assert known.why is not None
    assert "isotonic" in known.why
    assert not (worked.predictions / "run-00002-reasons.parquet").exists()


def test_a_run_that_was_explained_is_not_explained_again(worked: Home) -> None:
    with _ledger(worked) as ledger:
        at = Workspace.__new__(Workspace)
        at.ledger, at.run = ledger, 1
        explaining.explain_customers(at)  # it asks the ledger, and nothing else


def test_customers_are_told_why_in_words(
    make_home: Callable[..., Home], telco: tuple[Path, ...], engine: DuckDB
) -> None:
    home = make_home(SETTINGS)
    shutil.copy(telco[0], home.source)
    with Ledger.open(home.ledger) as ledger:
        run.work(home, ledger, reason="once")
        at = Surroundings(home, ledger, engine, engine, schemas.current(home, ledger))
        predicted = pd.read_parquet(home.predictions / "run-00001.parquet")
        ids = [*predicted["customerID"][:3], "nobody", "it's"]
        found = reasons.of_customers(at, ids, top=2)
        assert set(found) == set(ids[:3])
        contributions = pd.read_parquet(home.predictions / "run-00001-reasons.parquet").set_index("customerID")
        for customer, said in found.items():
            own = contributions.loc[customer].drop("base").sort_values()
            assert f"({own.iloc[-1]:+.1f}; " in said.raises
            names = {"tenure": "months as a customer"}
            assert said.raises.startswith(f"{names.get(own.index[-1], own.index[-1])}: ")
            assert said.raises.count("(") <= 2
        assert reasons.of_customers(at, []) == {}
        assert reasons.of_customers(at, ids, top=2, run=1) == found
        assert reasons.of_customers(at, ids, run=2) == {}
        calls = pd.read_parquet(home.predictions / "run-00001-calls.parquet").iloc[:200]
        said = reasons.of_customers(at, list(calls["id"]))
        assert list(calls["raises"].fillna("")) == [said[each].raises for each in calls["id"]]
        assert list(calls["lowers"].fillna("")) == [said[each].lowers for each in calls["id"]]


def test_where_nothing_is_explained_no_reasons_are_told(worked: Home, engine: DuckDB) -> None:
    with _ledger(worked) as ledger:
        at = Surroundings(worked, ledger, engine, engine, schemas.current(worked, ledger))
        assert (
            reasons.of_customers(at, list(pd.read_parquet(worked.predictions / "run-00002.parquet")["customerID"]))
            == {}
        )

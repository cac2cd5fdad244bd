from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from churnwatch.pipeline.csv_file import write_csv
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.features import Featured, Rows
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.predict import predict
from churnwatch.pipeline.predict_file import open_file, predict_opened
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Csv, Training
from churnwatch.pipeline.train import Candidate, train

MakeSchema = Callable[..., Schema]


@pytest.fixture(scope="module")
def model() -> Any:
    """Return a model by which a customer leaves the more likely the higher `n` is."""
    n = np.linspace(-1, 1, 60)
    frame = pd.DataFrame({"n": n, "t": pd.Series(["x", "y"] * 30, dtype="str")})
    rows = Rows(frame, (n > 0.2).astype(np.int64), None)
    made = train(rows, Training(estimators=("logistic",), folds=2), numeric=("n",), categorical=("t",))
    assert isinstance(made, Candidate)
    return made.model


@pytest.fixture
def schema(make_schema: MakeSchema) -> Schema:
    return make_schema({"id": "text", "n": "number", "t": "text", "left": "text"}, id="id")


QUERY = "SELECT 'c' || i AS id, i / 10.0 AS n, 'x' AS t FROM range(5) AS r(i)"


# -- predictions -----------------------------------------------------------------------------------------------


def test_rows_are_predicted_in_their_order_with_decision_and_version(
    engine: DuckDB, schema: Schema, model: Any
) -> None:
    found = predict(model, schema, engine, QUERY, keep=["id"], version="v7")
    assert found.table.column_names == ["id", "probability", "decision", "model"]
    assert found.table["id"].to_pylist() == ["c0", "c1", "c2", "c3", "c4"]
    frame = pd.DataFrame({"n": np.arange(5) / 10.0, "t": pd.Series(["x"] * 5, dtype="str")})
    assert found.table["probability"].to_pylist() == list(model.predict_proba(frame)[:, 1])
    assert found.table["decision"].to_pylist() == list(model.predict(frame))
    assert set(found.table["model"].to_pylist()) == {"v7"}
    assert found.positives == sum(found.table["decision"].to_pylist())


class _Flat:
    """What thinks the same of everybody."""

    feature_names_in_ = ("n", "t")
    threshold = 0.5

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        return np.full((len(frame), 2), 0.5)


def test_ranked_rows_have_the_highest_probability_first(engine: DuckDB, schema: Schema, model: Any) -> None:
    table = predict(model, schema, engine, QUERY, keep=["id"], version="v1", ranked=True).table
    assert table["id"].to_pylist() == ["c4", "c3", "c2", "c1", "c0"]


def test_who_is_ranked_alike_comes_by_name(engine: DuckDB, schema: Schema) -> None:
    query = f"SELECT * FROM ({QUERY}) ORDER BY id DESC"
    table = predict(_Flat(), schema, engine, query, keep=["id"], version="v1", ranked=True).table  # type: ignore[arg-type]
    assert table["id"].to_pylist() == ["c0", "c1", "c2", "c3", "c4"]
    assert table["decision"].to_pylist() == [1] * 5


def test_columns_in_another_order_are_the_same_customers(engine: DuckDB, schema: Schema, model: Any) -> None:
    turned = f"SELECT t, n, id, 'spare' AS spare FROM ({QUERY})"
    one = predict(model, schema, engine, QUERY, keep=["id"], version="v1").table
    assert predict(model, schema, engine, turned, keep=["id"], version="v1").table == one


def test_nobody_gives_an_empty_table_of_the_same_shape(engine: DuckDB, schema: Schema, model: Any) -> None:
    found = predict(model, schema, engine, f"{QUERY} WHERE false", keep=["id"], version="v1", ranked=True)
    assert found.table.column_names == ["id", "probability", "decision", "model"]
    assert (len(found.table), found.positives) == (0, 0)


def test_a_column_called_as_ours_keeps_its_values_under_another_name(
    engine: DuckDB, make_schema: MakeSchema, model: Any
) -> None:
    schema = make_schema({"Model": "text", "decision": "text", "n": "number", "t": "text", "left": "text"})
    query = "SELECT 'S9' AS \"Model\", 'late' AS decision, 0.5 AS n, 'x' AS t"
    table = predict(model, schema, engine, query, keep=["Model", "decision", "n"], version="v1").table
    assert table.column_names == ["Model (input)", "decision (input)", "n", "probability", "decision", "model"]
    assert table["Model (input)"].to_pylist() == ["S9"]
    assert table["model"].to_pylist() == ["v1"]


# -- files of predictions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_text_that_a_spreadsheet_would_run_is_made_inert(tmp_path: Path, text: str) -> None:
    write_csv(pa.table({"id": [text, "fine", None], "n": [-1.5, 2.0, None]}), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["id", "n"], [f"'{text}", "-1.5"], ["fine", "2"], ["", ""]]


def test_a_name_that_a_spreadsheet_would_run_is_made_inert(tmp_path: Path) -> None:
    write_csv(pa.table({"=cmd|' /C calc'!A0": ["a"], "@SUM(A1)": [1], "n": ["b"]}), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["'=cmd|' /C calc'!A0", "'@SUM(A1)", "n"]


def test_dates_without_times_stay_dates(tmp_path: Path) -> None:
    day = 86_400_000_000
    table = pa.table({
        "day": pa.array([0, day, None], pa.timestamp("us")),
        "moment": pa.array([0, day + 1_000_000, None], pa.timestamp("us")),
        "none": pa.array([None, None, None], pa.timestamp("us")),
    })  # fmt: skip
    write_csv(table, tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ['"day"', "1970-01-01", "1970-01-02", ""]
    assert lines[2].split(",")[1].startswith("1970-01-02 00:00:01")


# -- a file that somebody names --------------------------------------------------------------------------------


def test_a_file_is_predicted_in_its_order_and_broken_rows_are_told(
    engine: DuckDB, schema: Schema, model: Any, make_source: Callable[..., Source]
) -> None:
    source = make_source("t,id,n\nx,a,1\ny,b,broken\nnever seen,c,\n")
    found, loaded = predict_opened(
        open_file(source.path, schema, Csv()), model, schema, Csv(), engine, Featured(schema, engine), version="v1"
    )
    assert found.table.column_names == ["id", "n", "t", "probability", "decision", "model"]
    assert found.table["id"].to_pylist() == ["a", "c"]
    assert [(each.check_name, each.rows, each.first_line) for each in loaded.quarantines] == [("type", 1, 3)]


def test_a_file_with_the_target_is_predicted_without_it(
    engine: DuckDB, schema: Schema, model: Any, make_source: Callable[..., Source]
) -> None:
    source = make_source("id,n,t,left\na,1,x,no\n")
    opened = open_file(source.path, schema, Csv())
    assert opened.findings == ("column `left` left out: it is what is predicted",)
    found, _ = predict_opened(opened, model, schema, Csv(), engine, Featured(schema, engine), version="v1")
    assert "left" not in found.table.column_names


def test_a_file_that_is_not_ours_is_a_data_error(
    tmp_path: Path, schema: Schema, make_source: Callable[..., Source]
) -> None:
    source = make_source("sku\n1\n")
    with pytest.raises(DataError, match=r"part1\.csv: line 1: 3 of 3 columns are missing"):
        open_file(source.path, schema, Csv())
    with pytest.raises(DataError, match=r"gone\.csv: cannot be read \(No such file or directory\)"):
        open_file(tmp_path / "gone.csv", schema, Csv())
    with pytest.raises(DataError, match="cannot be read"):
        open_file(tmp_path, schema, Csv())

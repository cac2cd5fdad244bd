from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from churnwatch.pipeline import reference
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.schema import Schema


def rows(n: int) -> Rows:
    X = pd.DataFrame({"fee": np.arange(float(n)), "plan": pd.Series(["basic"] * n, dtype="str")})
    return Rows(X, (np.arange(n) % 4 == 0).astype(np.int64), None)


def test_a_reference_is_read_as_it_was_written() -> None:
    made = reference.of(rows(100), rows(40), np.linspace(0.1, 0.9, 40))
    assert (made.rows, made.positives, len(made.columns)) == (100, 25, 2)
    assert reference.decode(reference.encode(made).encode()) == made


def test_the_log_loss_is_described_row_by_row() -> None:
    made = reference.of(rows(100), rows(8), np.array([0.9, 0.1] * 4))
    assert made.log_loss is not None
    losses = -np.log(np.where(rows(8).y == 1, [0.9, 0.1] * 4, [0.1, 0.9] * 4))
    assert made.log_loss.rows == 8
    assert made.log_loss.mean == pytest.approx(losses.mean())
    assert made.log_loss.std == pytest.approx(losses.std())
    assert made.log_loss.skewness == pytest.approx(((losses - losses.mean()) ** 3).mean() / losses.std() ** 3)


def test_a_certain_mistake_is_a_finite_loss_and_equal_losses_have_no_skewness() -> None:
    made = reference.of(rows(100), rows(1), np.array([0.0]))
    assert made.log_loss is not None
    assert 30 < made.log_loss.mean < 40
    assert (made.log_loss.std, made.log_loss.skewness) == (0.0, 0.0)


def test_without_a_holdout_nothing_is_said_of_predictions() -> None:
    made = reference.of(rows(100), rows(0), np.empty(0))
    assert (made.probability, made.log_loss) == (None, None)


@pytest.mark.parametrize(("month", "expected"), [(1, (2, 1)), (12, (1, 0)), (3, (0, 0))])
def test_one_month_of_the_data_takes_the_place_of_the_training_rows(
    engine: DuckDB, make_schema: Callable[..., Schema], month: int, expected: tuple[int, int]
) -> None:
    schema = make_schema({"day": "date", "fee": "number", "left": "text"}, date="day")
    days = [dt.datetime(2025, 1, 1), dt.datetime(2025, 1, 31, 23), dt.datetime(2025, 2, 1), dt.datetime(2025, 12, 31)]  # noqa: DTZ001
    engine.table("past", pa.table({"day": days, "fee": [1.0, 2.0, 3.0, None], "left": ["yes", "no", "no", "no"]}))
    known = reference.of(Rows(rows(100).X[["fee"]], rows(100).y, None), rows(0), np.empty(0))
    found = reference.of_month(known, schema, engine, '"past"', first=dt.date(2025, month, 1), besides="false")
    assert (found.rows, found.positives) == expected
    assert sum(found.columns[0].rows) == expected[0]
    assert found.columns[0].cuts == known.columns[0].cuts

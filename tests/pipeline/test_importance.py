from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from churnwatch.pipeline import importance
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.importance import permuted


def _rows(n: int = 500) -> Rows:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({
        "counts": rng.normal(size=n),
        "text": pd.Series(rng.choice(["a", "b"], n), dtype="str").mask(rng.random(n) < 0.2),
    })  # fmt: skip
    return Rows(X, (X["counts"] > 0).to_numpy(dtype=np.int64), None)


def _predict(rows: Rows) -> Any:
    assert rows.X["text"].dtype == "str"
    return np.where(rows.X["counts"] > 0, 0.9, 0.1)


def test_a_column_that_is_not_looked_at_costs_nothing_and_one_that_is_costs_what_it_must() -> None:
    found = permuted(_predict, _rows(), ["counts", "text"], amounts=False, seed=1)
    assert (found["text"].rise, found["text"].low, found["text"].high) == (0.0, 0.0, 0.0)
    expected = (np.log(0.9) - np.log(0.1)) / 2  # half of the rows are told the other way round
    assert found["counts"].low < expected < found["counts"].high
    assert found["counts"].high - found["counts"].low < 0.4
    assert found == permuted(_predict, _rows(), ["counts", "text"], amounts=False, seed=1)


def test_of_amounts_the_absolute_error_rises() -> None:
    rows = _rows()
    of_amounts = Rows(rows.X, rows.X["counts"].to_numpy(), None)
    found = permuted(lambda each: each.X["counts"].to_numpy(), of_amounts, ["counts"], amounts=True, seed=0)
    assert found["counts"].rise == pytest.approx(2 / np.sqrt(np.pi), rel=0.15)  # of two normal numbers


def test_what_it_costs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "_MOST_PREDICTED", 400)
    asked: list[int] = []

    def counted(rows: Rows) -> Any:
        asked.append(len(rows))
        return _predict(rows)

    found = permuted(counted, _rows(), ["counts", "text"], amounts=False, seed=1)
    assert sum(asked) <= 400 + 400 // 3
    assert list(found) == ["counts"]  # of two columns there would be fewer than a hundred rows of each


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_rows_tell_nothing(n: int) -> None:
    assert permuted(_predict, _rows(n), ["counts", "text"], amounts=False, seed=1) == {}

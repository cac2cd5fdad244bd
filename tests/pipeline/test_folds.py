from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from churnwatch.pipeline import folds as folds_module
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.folds import Folds, folds


def _rows(n: int, customers: int) -> Rows:
    y = (np.random.default_rng(0).random(n) < 0.4).astype(np.int64)
    return Rows(pd.DataFrame({"n": np.arange(n)}), y, pd.Series([f"c{i % customers}" for i in range(n)], dtype="str"))


def _made(rows: Rows) -> Folds:
    found = folds(rows, 3, seed=0)
    assert found is not None
    return found


def test_folds_keep_a_customer_together() -> None:
    rows = _rows(120, customers=30)
    assert rows.ids is not None
    found = _made(rows)
    assert len(found) == 3
    for learned, tested in found:
        assert not set(rows.ids.iloc[learned]) & set(rows.ids.iloc[tested])


def test_rows_without_an_id_are_customers_of_their_own() -> None:
    rows = _rows(120, customers=20)
    assert rows.ids is not None
    ids = rows.ids.copy()
    ids.iloc[::2] = None
    nameless = set(range(0, 120, 2))
    for learned, tested in _made(Rows(rows.X, rows.y, ids)):
        assert nameless & set(tested)
        assert nameless & set(learned)


def test_very_many_customers_are_dealt_out_whole_and_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds_module, "_MANY_CUSTOMERS", 100)
    rows = _rows(3000, customers=700)
    assert rows.ids is not None
    found = _made(rows)
    assert sorted(np.concatenate([test for _, test in found])) == list(range(3000))
    for learned, tested in found:
        assert not set(rows.ids.iloc[learned]) & set(rows.ids.iloc[tested])
        assert abs(len(tested) - 1000) < 40
        assert abs(rows.y[tested].mean() - rows.y.mean()) < 0.02
    assert all((one[1] == other[1]).all() for one, other in zip(found, _made(rows), strict=True))

"""What is read of some customers, and no more."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sources_world

from churnwatch.pipeline import bins, customer_files, schemas, settings
from churnwatch.pipeline.errors import NotFoundError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.settings import ColumnType, Home
from churnwatch.serving import customer_rows, fields

WANTED = {"visits_count_all": ColumnType.INTEGER, "visits_minutes_sum_all": ColumnType.NUMBER,
          "plans_plan_last": ColumnType.TEXT, "gone": ColumnType.NUMBER}  # fmt: skip


@pytest.fixture
def of_sources(tmp_path: Path) -> Home:
    (tmp_path / settings.FILE_NAME).write_text(sources_world.SETTINGS)
    home = settings.load(tmp_path)
    home.ingested.mkdir()
    with Ledger.open(home.ledger):
        pass
    return home


def test_features_of_sources_are_read_as_the_model_sees_them(of_sources: Home) -> None:
    customer_files.write(pa.table({
        "id": ["a", "it's b", "c"], "visits_count_all": pa.array([3, 0, None], pa.int64()),
        "visits_minutes_sum_all": pa.array([Decimal("1.5"), None, Decimal(2)], pa.decimal128(38, 9)),
        "plans_plan_last": ["x", None, "z"],
    }), of_sources.ingested / "customers.parquet")  # fmt: skip
    with Reader.open(of_sources.ledger) as ledger, customer_rows.opened(of_sources, ledger) as rows:
        assert rows.values(WANTED, ["it's b", "a", "nobody"]) == {
            "a": {"visits_count_all": 3, "visits_minutes_sum_all": 1.5, "plans_plan_last": "x"},
            "it's b": {"visits_count_all": 0, "visits_minutes_sum_all": None, "plans_plan_last": None},
        }
        assert set(rows.values(WANTED)) == {"a", "it's b", "c"}
        assert rows.values(WANTED, []) == {}


def test_before_there_are_features_it_says_what_makes_them(of_sources: Home) -> None:
    with (
        Reader.open(of_sources.ledger) as ledger,
        customer_rows.opened(of_sources, ledger) as rows,
        pytest.raises(NotFoundError, match="rows of every source"),
    ):
        rows.values(WANTED, ["a"])


def test_the_newest_row_of_a_customer_is_read(home: Home) -> None:
    with Reader.open(home.ledger) as ledger, customer_rows.opened(home, ledger) as rows:
        columns = schemas.current(home, ledger).columns
        all_ = rows.values({"tenure": columns["tenure"].type})
        some = list(all_)[:3]
        assert rows.values({"tenure": columns["tenure"].type}, some) == {id_: all_[id_] for id_ in some}
        assert all(isinstance(each["tenure"], int) for each in all_.values())


def test_the_range_of_a_feature_begins_at_nought_and_not_just_below(home: Home) -> None:
    known = bins.of_numbers("n", np.repeat([0.0, 1.0, 5.0], 10))
    with Reader.open(home.ledger) as ledger:
        found = fields.of_model(["n"], [known], schemas.current(home, ledger), {}, ())
    assert (found["n"].low, found["n"].high) == (0.0, 5.0)

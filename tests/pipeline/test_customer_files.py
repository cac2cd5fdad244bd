from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from churnwatch.pipeline import customer_files, files

TABLE = pa.table({"id": ["a", "b"], "probability": [0.25, 0.5], "decision": [0, 1], "model": ["v1", "v1"]})


def test_predictions_are_written_as_parquet(tmp_path: Path) -> None:
    target = tmp_path / "run-00001.parquet"
    assert customer_files.write(TABLE, target) == files.sha256_of(target)
    assert pyarrow.parquet.read_table(target) == TABLE


def test_the_same_predictions_are_the_same_bytes(tmp_path: Path) -> None:
    one, two = (customer_files.write(TABLE, tmp_path / name) for name in ("one.parquet", "two.parquet"))
    assert one == two


def test_some_customers_are_read_by_the_first_column(tmp_path: Path) -> None:
    customer_files.write(TABLE, tmp_path / "run.parquet")
    assert customer_files.read(tmp_path / "run.parquet", ("b", "nobody")) == TABLE.slice(1)

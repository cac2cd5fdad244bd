"""Parquet files of customers: one row each, the id in the first column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from churnwatch.pipeline import files
from churnwatch.pipeline.errors import DataError


def write(table: pa.Table, target: Path) -> str:
    """Write a table under its name when it is whole, and return the file's hash."""
    with files.written_beside(target) as beside:
        pyarrow.parquet.write_table(table, beside)
        return files.sha256_of(beside)


def read(path: Path, ids: Sequence[str]) -> pa.Table:
    """Return the rows of some customers, at least of one.

    Raises:
        OSError: the file is gone.
        pa.ArrowInvalid: it is damaged.
    """
    id_ = pyarrow.parquet.read_schema(path).names[0]
    return pyarrow.parquet.read_table(path, filters=[(id_, "in", list(ids))])


def told(path: Path, **options: Any) -> pa.Table:
    """Return what a file holds, by pyarrow's options for a part of it, for somebody who asks.

    Raises:
        DataError: it is gone or damaged.
    """
    try:
        return pyarrow.parquet.read_table(path, **options)
    except (OSError, pa.ArrowInvalid):
        raise DataError(f"{path}: gone or damaged; the next run that brings rows writes a new one.") from None

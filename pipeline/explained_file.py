"""The Parquet of contributions: the id, `base`, then one column of numbers for each that the model looks at."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

BASE = "base"
_OURS = f"{BASE} (input)"  # what a column of the user's is called that has our name


def shape(id_: str, columns: Sequence[str]) -> pa.Schema:
    """Return the file's columns.

    Args:
        id_: the column that names a customer.
        columns: the model's, in its order.
    """
    fields = [(_named(id_), pa.string()), (BASE, pa.float64()), *((_named(each), pa.float64()) for each in columns)]
    return pa.schema(fields)


def columns(shape: pa.Schema) -> list[str]:
    """Return the names of the model's columns in a file of that shape."""
    return [each.removesuffix(" (input)") if each.lower() == _OURS else each for each in shape.names[2:]]


def _named(column: str) -> str:
    return f"{column} (input)" if column.lower() == BASE else column

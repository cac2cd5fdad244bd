"""Customers as they were sent → columns as the model sees them, or what is wrong with which field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline.schema import LARGEST
from churnwatch.serving.fields import Field, Value
from churnwatch.serving.problems import LONGEST_NAME, MOST_PROBLEMS, FieldProblem

Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Inputs:
    """Customers of whom each field is known, or assumed.

    Attributes:
        customers: as understood: every field the model looks at, in its order.
        assumed: of each, the fields that were not sent.
        ids: of each, the id, where one was sent.
        sent: what they were made of.
    """

    customers: Sequence[Mapping[str, Value]]
    assumed: Sequence[Sequence[str]]
    ids: Sequence[str | None]
    sent: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.customers)

    def columns(self, fields: Mapping[str, Field]) -> Columns:
        """Return each field's values, shape (n,): numbers as float64 with nan, texts as objects with None."""
        return {
            name: np.array([each[name] for each in self.customers], dtype=np.float64 if field.is_number else object)
            for name, field in fields.items()
        }

    def numbers(self, column: str) -> npt.NDArray[np.float64]:
        """Return a column's numbers, shape (n,), not a number where none was sent; the model may look at it or not."""
        found = (each.get(column, sent.get(column)) for each, sent in zip(self.customers, self.sent, strict=True))
        return np.array([each if isinstance(each, int | float) else np.nan for each in found], dtype=np.float64)


def understood(
    sent: Sequence[Mapping[str, Any]], fields: Mapping[str, Field], others: frozenset[str], id_: str | None
) -> Inputs | list[FieldProblem]:
    """Return what was sent with what is assumed in place of fields that were not, or what is wrong.

    Args:
        sent: customers as dicts. A null is a value that is missing, as an empty cell of a CSV is, and so is a
            text that counts as missing there.
        fields: what the model looks at.
        others: further columns of the customers' rows: they may be sent, and count for nothing.
        id_: the column of the id.
    """
    customers, assumed, ids, problems = [], [], [], list[FieldProblem]()
    for row, each in enumerate(sent):
        problems += islice(_wrong(each, fields, others, row if len(sent) > 1 else None), MOST_PROBLEMS)
        if len(problems) >= MOST_PROBLEMS:
            break
        customers.append({name: field.meant(each.get(name, field.typical)) for name, field in fields.items()})
        assumed.append([name for name in fields if name not in each])
        ids.append(_id_of(each, id_))
    return problems or Inputs(customers, assumed, ids, sent)


def _wrong(
    customer: Mapping[str, Any], fields: Mapping[str, Field], others: frozenset[str], row: int | None
) -> Iterator[FieldProblem]:
    for name, value in customer.items():
        if name in fields:
            wrong = fields[name].wrong(value)
            if wrong is not None:
                yield FieldProblem(name, wrong, row)
        elif name not in others:
            yield FieldProblem(name[:LONGEST_NAME], "no such field", row)
        elif not _is_plain(value):
            yield FieldProblem(name, f"neither a text nor a number up to {LARGEST:g}", row)


def _is_plain(value: object) -> bool:
    """Tell whether a value could be a cell of a file."""
    return abs(value) <= LARGEST if isinstance(value, int | float) else value is None or isinstance(value, str)


def _id_of(customer: Mapping[str, Any], id_: str | None) -> str | None:
    value = None if id_ is None else customer.get(id_)
    return None if value is None else str(value)

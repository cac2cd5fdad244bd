"""The ledger → what the report says of a model's curves, and of groups of customers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from churnwatch.pipeline.ledger import curves as kept
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Curve, GroupCount, Model
from churnwatch.pipeline.shares import f1_interval, wilson
from churnwatch.reports.listed import Listed
from churnwatch.reports.model_facts import Bin, Curves, GroupRow

MOST_GROUPS = 40
_MOST_BINS, _FEWEST_BINS, _FEWEST_ROWS = 10, 3, 20  # and so many rows in each, or the intervals say nothing


def curves(reader: Reader, model: Model, run: int | None) -> Curves | None:
    """Return what the curves of a model on a run's holdout are drawn from; None where nothing was kept."""
    cuts = kept.curve(reader, run, model.version) if run is not None else []
    return Curves(model.version, run, model.threshold, tuple(cuts), bins(cuts)) if run is not None and cuts else None


def bins(cuts: Sequence[Curve]) -> tuple[Bin, ...]:
    """Return up to ten groups of about as many rows each, those of the highest probabilities first."""
    rows = cuts[-1].rows
    number = min(_MOST_BINS, rows // _FEWEST_ROWS)
    if number < _FEWEST_BINS:
        return ()
    edges = {min(cuts, key=lambda cut: abs(cut.rows - rows * step / number)).place for step in range(1, number + 1)}
    chosen = [Curve(0, 0, -1, 1.0, 0, 0, 0.0), *(cuts[place] for place in sorted(edges))]
    return tuple(_bin(before, after) for before, after in pairwise(chosen))


def _bin(before: Curve, after: Curve) -> Bin:
    rows, left = after.rows - before.rows, after.leavers - before.leavers
    expected = (after.expected_leavers - before.expected_leavers) / rows
    return Bin(rows, expected, left / rows, *wilson(left, rows))


def groups(reader: Reader, version: int, run: int | None) -> Listed[GroupRow]:
    """Return how a model does on groups of customers, column by column; those whose groups differ most first."""
    by_column: dict[str, list[GroupRow]] = {}
    for count in kept.group_counts(reader, run, version) if run is not None else []:
        by_column.setdefault(count.column_name, []).append(_group(count))
    found = [row for column in sorted(by_column.values(), key=_unlike) for row in column]
    return Listed(tuple(found[:MOST_GROUPS]), len(found))


def _group(count: GroupCount) -> GroupRow:
    either = count.leavers + count.named - count.hits
    shares = (count.leavers / count.rows, count.named / count.rows)
    f1 = 2 * count.hits / (count.leavers + count.named) if either else None
    low, high = f1_interval(count.hits, either) if either else (None, None)
    return GroupRow(count.column_name, count.value, count.rows, *shares, f1, low, high)


def _unlike(rows: Sequence[GroupRow]) -> float:
    """Return by how much the F1 of a column's groups differs, negative, so that the largest comes first."""
    known = list(_known(rows))
    return min(known) - max(known) if known else 0.0


def _known(rows: Sequence[GroupRow]) -> Iterator[float]:
    return (row.f1 for row in rows if row.f1 is not None)

"""Why customers came into bucket A or left it: how contributions changed between two runs.

Only means over those who moved are kept; whose they are stands in the two Parquets of contributions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churnwatch.pipeline import customer_files, explained_file
from churnwatch.pipeline.ledger import explanations
from churnwatch.pipeline.records import MoveReason
from churnwatch.pipeline.workspace import Workspace

_FIRST = "A"


@dataclass(frozen=True)
class Changes:
    """By how much each column's contribution changed on average, in log-odds or as an amount, and over how many."""

    customers: int
    by_column: dict[str, float]


def mean_changes(before: pa.Table, now: pa.Table) -> Changes:
    """Return how contributions changed on average, over the customers who are in both tables.

    Args:
        before: contributions as `explained_file` has them, of the former run.
        now: of this one; no id stands twice in either. A column that only one of the two models looks at
            contributes nothing to what the other says.
    """
    places = pc.index_in(now.column(0), value_set=before.column(0).combine_chunks())
    here = places.is_valid()
    now, before = now.filter(here), before.take(places.filter(here))
    if not len(now):
        return Changes(0, {})
    earlier, later = _means(before), _means(now)
    return Changes(len(now), {each: later.get(each, 0.0) - earlier.get(each, 0.0) for each in earlier | later})


def _means(table: pa.Table) -> dict[str, float]:
    return {
        column: float(np.mean(values.to_numpy()))
        for column, values in zip(explained_file.columns(table.schema), table.columns[2:], strict=True)
    }


def of_run(at: Workspace, table: pa.Table, former_run: int | None) -> Iterator[MoveReason]:
    """Yield what moved those who came into A since the former run, and those who left it, column by column.

    Args:
        at: a run after its step `explain`.
        table: all customers with `id`, `bucket`, `former_bucket`.
        former_run: against which it is told who moved; None: nobody knows.

    Nothing is said where either model cannot be explained. Of a file that is gone a warning is left.
    """
    paths = [] if former_run is None else [_contributions(at, run) for run in (former_run, at.run)]
    found = [path for path in paths if path is not None]
    if not found or len(found) < len(paths):
        return
    stayed, was = pc.equal(table["bucket"], _FIRST), pc.equal(table["former_bucket"], _FIRST)
    for direction, moved in (("into", pc.and_not(stayed, was)), ("out of", pc.and_not(was, stayed))):
        ids = table["id"].filter(moved).to_pylist()  # a new customer was in no bucket: missing, and left out
        if not ids:
            continue
        try:
            changes = mean_changes(*(customer_files.read(path, ids) for path in found))
        except (OSError, pa.ArrowInvalid):
            at.warnings.append(f"{found[0].name} is gone or damaged, so nobody knows why customers moved since then")
            return
        for column, change in changes.by_column.items():
            yield MoveReason(at.run, direction, column, changes.customers, change)


def _contributions(at: Workspace, run: int) -> Path | None:
    known = explanations.of_run(at.ledger, run)
    return None if known is None or known.path is None else at.home.predictions / known.path

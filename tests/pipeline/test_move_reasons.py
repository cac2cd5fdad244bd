"""Why customers came into A and left it: values, and the words."""

from __future__ import annotations

import pyarrow as pa
import pytest

from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.move_reasons import mean_changes
from churnwatch.pipeline.move_words import why_moved
from churnwatch.pipeline.records import Bucketing, MoveReason

ROWS = (
    "INSERT INTO settings VALUES ('s', '{}', '2026')",
    "INSERT INTO runs VALUES (1, 'r1', 'drop', '2026-01-01T08:00:00.000Z', 's', '1')",
    "INSERT INTO runs VALUES (2, 'r2', 'drop', '2026-02-01T08:00:00.000Z', 's', '1')",
    "INSERT INTO models VALUES (1, 1, 'logistic', '{}', 0.5, 'v1', 'x', 'y', 9, 3, '2026')",
    "INSERT INTO models VALUES (2, 2, 'logistic', '{}', 0.5, 'v2', 'x', 'y', 9, 3, '2026')",
)


def _contributions(ids: list[str], **columns: list[float]) -> pa.Table:
    return pa.table({"id": ids, "base": [0.0] * len(ids), **columns})


def test_changes_are_means_over_those_who_were_explained_both_times() -> None:
    before = _contributions(["b", "a", "gone"], fee=[1.0, 2.0, 9.0])
    now = _contributions(["a", "new", "b"], fee=[2.5, 9.0, 2.0])
    found = mean_changes(before, now)
    assert found.customers == 2
    assert found.by_column == {"fee": pytest.approx(0.75)}


def test_a_column_that_one_model_does_not_look_at_contributes_nothing_to_what_it_says() -> None:
    before, now = _contributions(["a"], fee=[1.0], old=[0.5]), _contributions(["a"], fee=[1.0], new=[0.25])
    assert mean_changes(before, now).by_column == {"fee": 0.0, "old": -0.5, "new": 0.25}


def test_where_nobody_was_explained_both_times_nothing_changed() -> None:
    assert mean_changes(_contributions(["a"], fee=[1.0]), _contributions(["b"], fee=[2.0])).customers == 0


def _said(ledger: Ledger, *reasons: MoveReason, version: int = 1, amounts: bool = False) -> str:
    for row in ROWS:
        ledger.rows(row)
    former, newest = (
        Bucketing(run, model, "2026", "x", "x", 9, "capacity", None, None, 0, before)
        for run, model, before in ((1, 1, None), (2, version, 1))
    )
    ledger.add(former, newest, *reasons)
    return why_moved(ledger, newest, {"fee": "monthly fee"}, amounts=amounts)


def test_the_columns_that_moved_most_are_named_by_direction(ledger: Ledger) -> None:
    into = [("contract", 0.62), ("fee", 0.31), ("age", -0.9), ("a", 0.01)]
    reasons = [MoveReason(2, "into", column, 41, change) for column, change in into]
    reasons += [MoveReason(2, "out of", "fee", 1, -0.4), MoveReason(2, "out of", "age", 1, 0.1)]
    assert _said(ledger, *reasons) == (
        "41 customers came into A, mostly by contract (+0.6) and monthly fee (+0.3); 1 left it, mostly by monthly fee"
        " (−0.4)."
    )


def test_another_model_has_its_part_and_no_column_may_have_moved_anybody(ledger: Ledger) -> None:
    assert _said(ledger, MoveReason(2, "out of", "age", 3, 0.2), version=2) == (
        "3 customers left A, by no column of their own. The model changed since (v1 → v2), so a part of this is the"
        " model's."
    )


def test_amounts_are_told_in_their_unit(ledger: Ledger) -> None:
    assert _said(ledger, MoveReason(2, "into", "fee", 2, 0.03), amounts=True) == (
        "2 customers came into A, mostly by monthly fee (+0.03)."
    )


def test_nobody_moved_nothing_is_said(ledger: Ledger) -> None:
    assert _said(ledger) == ""

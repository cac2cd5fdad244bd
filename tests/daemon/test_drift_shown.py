"""Drift in `status`, `show` and `doctor`, from what the ledger has of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from churnwatch.daemon import attention, doctor, listings, status
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Band, Drift, DriftKind
from churnwatch.pipeline.settings import Home, load

MOVED = Drift(2, 1, "v1's training rows", DriftKind.COLUMN, "Contract", 300, 210, 11.2, 2.4, Band.SEARCH,
              "Contract: 11 % of customers moved from two-year to monthly")  # fmt: skip
QUIET = replace(MOVED, column_name="tenure", deviation_percent=0.0, band=Band.NOTHING, cause=None)


@pytest.fixture
def known(own: Home) -> Callable[..., Home]:
    """Return what puts deviations in place of those that the home's second run measured."""

    def make(*drifts: Drift) -> Home:
        with Ledger.open(own.ledger) as ledger:
            ledger.rows("DELETE FROM drifts")
            ledger.add(*drifts)
        return own

    return make


def _shown(home: Home, run: int) -> tuple[str, dict[str, Any]]:
    with Ledger.open(home.ledger) as ledger:
        found = listings.run(ledger, run)
        return listings.run_text(found), found


def _attention(home: Home) -> list[str]:
    with Ledger.open(home.ledger) as ledger:
        return [each for each in attention.of(home, ledger) if "Contract" in each]


def test_status_says_what_moved(known: Callable[..., Home]) -> None:
    state = status.gather(known(QUIET, MOVED).path)
    assert state["drift"]["band"] == "search"
    said = "Contract: 11 % of customers moved from two-year to monthly (deviation 11 %, floor 2.4 %)"
    assert f"drift      run 2: {said}\n" in status.as_text(state)
    assert json.loads(status.as_json(state))["drift"]["sentence"] == said


def test_a_category_neither_breaks_a_line_of_status_nor_steers_a_terminal(known: Callable[..., Home]) -> None:
    hostile = replace(MOVED, cause="Contract: 11 % of customers moved from two\nlines to \x1b[2J")
    text = status.as_text(status.gather(known(hostile).path))
    assert "\x1b" not in text
    assert "two\nlines" not in text


def test_status_says_that_nothing_moved_and_nothing_where_nothing_was_measured(known: Callable[..., Home]) -> None:
    text = status.as_text(status.gather(known(QUIET).path))
    assert "drift      run 2: no column deviates by 5 % or more (floor 2.4 %)\n" in text
    assert "drift" not in status.as_text(status.gather(known().path))


def test_rows_that_want_experiments_raise_attention_until_a_model_was_trained(known: Callable[..., Home]) -> None:
    assert _attention(known(MOVED)) == []  # run 2 trained one
    home = known()
    with Ledger.open(home.ledger) as ledger:
        later = ledger.begin_run(
            run_id="later", reason="drop", at="2026-01-01", settings=("x", "{}"), code_version="1", inputs=[]
        )
        ledger.add(replace(MOVED, run=later))
    [said] = _attention(home)
    assert said.startswith(f"run {later}: Contract: 11 % of customers moved from two-year to monthly (deviation 11 %)")
    assert said.endswith("; no model was trained on such rows yet")


def test_a_run_is_shown_with_what_deviates_and_how_much_does_not(known: Callable[..., Home]) -> None:
    text, found = _shown(known(MOVED, QUIET), 2)
    assert "Contract  column  11.2 %     2.4 %  search" in text
    assert "1 within what chance does (the highest floor: 2.4 %)" in text
    assert [row["column_name"] for row in found["drift"]] == ["Contract", "tenure"]
    quiet, _ = _shown(known(QUIET), 2)
    assert "\n\nDrift\n1 within what chance does" in quiet


def test_doctor_recommends_to_refresh_where_there_is_drift(known: Callable[..., Home]) -> None:
    home = known(MOVED)
    [hint] = [check for check in doctor.examine(home.path) if "drift" in check.what]
    assert hint.ok
    assert hint.what.startswith("drift in 1 of the last 1 runs that could tell: with `gate.max_age_runs`")
    path = home.path / "settings.yaml"
    path.write_text(path.read_text().replace("gate: {", "gate: {max_age_runs: 5, "))
    assert load(home.path).settings.gating.max_age_runs == 5
    assert not [check for check in doctor.examine(home.path) if "drift" in check.what]

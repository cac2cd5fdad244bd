from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from estimated import request

from churnwatch.daemon import listings, status
from churnwatch.pipeline import settings
from churnwatch.pipeline.ledger.writer import Ledger

ASSUMED = "assuming that the relation to churn is unchanged"


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], str]]:
    """Return what writes requests with these truths, and gives status as values and as text."""
    (tmp_path / settings.FILE_NAME).write_text("target: left\npositive: yes\n")

    def tell(*truths: float | None) -> tuple[dict[str, Any], str]:
        with Ledger.open(tmp_path / "churnwatch.db") as ledger:
            for number, truth in enumerate(truths):
                request(ledger, number, truth=truth)
        state = status.gather(tmp_path)
        lines = [line for line in status.as_text(state).splitlines() if line.startswith("estimate")]
        return json.loads(status.as_json(state)), "".join(lines)

    return tell


def test_the_newest_request_is_estimated_with_the_assumption_and_how_that_held_so_far(
    told: Callable[..., tuple[dict[str, Any], str]],
) -> None:
    state, line = told(0.61, None)
    assert line == (
        "estimate   F1 0.60 (0.55 to 0.65) on 500 customers without outcome (request-1.csv),"
        f" {ASSUMED}; not checked yet; 1 of 1 so far held the truth"
    )
    assert (state["estimate"]["f1"], state["estimate"]["rows"]) == (0.6, 500)


def test_a_muted_estimate_is_a_reason_and_no_number(told: Callable[..., tuple[dict[str, Any], str]]) -> None:
    state, line = told(*[0.61] * 6, *[0.4] * 4, None)
    assert line == (
        "estimate   F1 on 500 customers without outcome (request-10.csv):"
        " muted: 6 of the last 10 estimates held the truth"
    )
    assert state["estimate"]["f1"] is None


def test_where_the_truth_of_the_newest_request_is_known_nothing_is_estimated(
    told: Callable[..., tuple[dict[str, Any], str]],
) -> None:
    state, line = told(0.61)
    assert (state["estimate"], line) == (None, "")


def test_a_run_shows_what_it_expected_and_the_truth_once_it_is_there(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "churnwatch.db") as ledger:
        run = request(ledger, 1, truth=0.4)
        text = listings.run_text(listings.run(ledger, run))
        muted = [request(ledger, number, truth=0.4) for number in range(2, 6)]
        silent = request(ledger, 7)
        assert "muted: 0 of the last 5" in listings.run_text(listings.run(ledger, silent))
        assert "0.600" in listings.run_text(listings.run(ledger, muted[0]))
    title, row = text[text.index("Estimates") :].splitlines()[0], text.splitlines()[-1]
    assert title == f"Estimates, {ASSUMED}"
    assert row.split() == ["request-1.csv", "f1", "500", "0.600", "0.550", "0.650", "0.400"]

from __future__ import annotations

import pytest

from churnwatch.pipeline import schedule
from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Batch, Model, Signature
from churnwatch.pipeline.settings import Retrain

WEEKLY = Retrain(when="drift", every="7d")


def _run(ledger: Ledger, day: int, *, reason: str = "drop", trains: bool = False, labelled: int = 0) -> int:
    at = f"2026-01-{day:02d}T00:00:00.000Z"
    run = ledger.begin_run(run_id=f"r{day}", reason=reason, at=at, settings=("s", "{}"), code_version="1", inputs=[])
    file = ledger.see_file(Signature(f"{day}.csv", 1, day, day), sha256=f"{day}", at=at).file
    ledger.add(Batch(run, run, file, labelled, labelled, 1, labelled // 2, 0, None, None))
    if trains:
        ledger.add(Model(run, run, "logistic", "{}", 0.5, f"v{run}", "0", "0", 9, 3, at))
    return run


def _due(ledger: Ledger, retrain: Retrain = WEEKLY, besides: int | None = None) -> str | None:
    found = schedule.due(ledger, retrain, besides=besides)
    return None if found is None else iso(found)[:10]


def test_nothing_is_due_before_a_first_model_or_where_no_row_waits(ledger: Ledger) -> None:
    assert _due(ledger) is None
    _run(ledger, 1, labelled=10)
    assert _due(ledger) is None
    _run(ledger, 2, labelled=10, trains=True)
    assert _due(ledger) is None


def test_rows_that_wait_are_due_so_many_days_after_the_last_training(ledger: Ledger) -> None:
    _run(ledger, 1, labelled=10, trains=True)
    _run(ledger, 5, labelled=10)
    assert _due(ledger) == "2026-01-08"


def test_a_run_by_the_clock_that_came_to_nothing_is_not_due_again_at_once(ledger: Ledger) -> None:
    _run(ledger, 1, labelled=10, trains=True)
    _run(ledger, 5, labelled=10)
    run = _run(ledger, 8, reason="clock")
    ledger.begin_attempt(run, at="2026-01-08T00:00:01.000Z", pid=1, settings=("s", "{}"))
    assert _due(ledger) == "2026-01-15"


def test_a_run_by_the_clock_that_was_killed_before_its_first_attempt_is_still_due(ledger: Ledger) -> None:
    _run(ledger, 1, labelled=10, trains=True)
    _run(ledger, 5, labelled=10)
    _run(ledger, 8, reason="clock")
    assert _due(ledger) == "2026-01-08"


def test_a_further_attempt_finds_what_the_first_found(ledger: Ledger) -> None:
    _run(ledger, 1, labelled=10, trains=True)
    run = _run(ledger, 9, labelled=10, trains=True)
    assert _due(ledger) is None
    assert _due(ledger, besides=run) == "2026-01-08"


@pytest.mark.parametrize("retrain", [Retrain(), Retrain(every="7d"), Retrain(when="drift")])
def test_without_an_interval_or_where_every_drop_is_learned_from_nothing_is_due(
    ledger: Ledger, retrain: Retrain
) -> None:
    _run(ledger, 1, labelled=10, trains=True)
    _run(ledger, 5, labelled=10)
    assert _due(ledger, retrain) is None

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from served_world import NOW, outcome, served

from churnwatch.daemon import attention_served
from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Metric, Model, Prediction, Signature
from churnwatch.pipeline.served.writer import Store
from churnwatch.pipeline.settings import Home, load

AT = iso(NOW)
BATCH = "served/predictions-1f0c3a9e-1-1000.parquet"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home with a release that has F1 0.6 on its holdout, and a log of what it served."""
    (tmp_path / "settings.yaml").write_text("target: left\npositive: yes\n")
    home = load(tmp_path)
    with Ledger.open(home.ledger) as ledger:
        run = ledger.begin_run(run_id="a", reason="drop", at=AT, settings=("s", "{}"), code_version="0", inputs=[])
        ledger.add(Model(1, run, "logistic", "{}", 0.5, "v1", "sha", "sha", 10, 5, AT),
                   Metric(run, 1, "candidate", "holdout", "f1", 0.6, 300))  # fmt: skip
        ledger.add_release(ledger.add_intent(1, at=AT, run=run, kind="first", actor="gate"), at=AT)
    Store.connect(home.serving_log).close()
    return home


@pytest.fixture
def said(home: Home) -> Callable[..., list[str]]:
    """Return what tells what needs attention so many hours later."""

    def say(hours: float = 0.0) -> list[str]:
        with Ledger.open(home.ledger) as ledger:
            return list(attention_served.of(home, ledger, NOW + timedelta(hours=hours)))

    return say


def _serve(home: Home, rows: int, *, right: int, version: str = "v1") -> None:
    """Log predictions with their outcomes, half of them of who left; so many of each half are right."""
    with Store.opened(home.serving_log) as store:
        store.add([served(n, version=version, decision=int(n % rows < right) ^ (n >= rows)) for n in range(2 * rows)],
                  lost=0, at=AT)  # fmt: skip
        store.tell([outcome(n, float(n < rows)) for n in range(2 * rows)], told_at=AT)


def test_nothing_needs_attention_where_nothing_was_served(home: Home, said: Callable[..., list[str]]) -> None:
    assert said() == []
    home.serving_log.unlink()
    assert said() == []


def test_outcomes_worse_than_the_holdout_beyond_doubt_are_said(home: Home, said: Callable[..., list[str]]) -> None:
    _serve(home, 100, right=30)
    assert said() == [
        (
            "what v1 served had F1 0.30 (0.24 to 0.37) by the newest 200 outcomes, where it has 0.60 on its holdout;"
            " see GET /performance"
        )
    ]


@pytest.mark.parametrize(
    ("rows", "right", "version"), [(29, 0, "v1"), (100, 55, "v1"), (100, 100, "v1"), (100, 0, "v2")]
)
def test_few_good_and_other_versions_outcomes_need_nobody(
    home: Home, said: Callable[..., list[str]], rows: int, right: int, version: str
) -> None:
    _serve(home, rows, right=right, version=version)
    assert said() == []


@pytest.mark.parametrize(("high", "path", "expected"), [(0.5, BATCH, 1), (0.56, BATCH, 0), (0.5, "other.csv", 0)])
def test_a_batch_of_which_worse_is_to_be_expected_is_said(
    home: Home, said: Callable[..., list[str]], high: float, path: str, expected: int
) -> None:
    with Ledger.open(home.ledger) as ledger:
        file = ledger.see_file(Signature(path, 1, 1, 1), sha256="sha", at=AT).file
        ledger.add(Prediction(1, file, 1, "p.parquet", "sha", 1000, 10, AT, None),
                   Metric(1, 1, "champion", "estimated", "f1", 0.45, 1000, None, 0.4, high, file))  # fmt: skip
    found = said()
    assert len(found) == expected
    if found:
        assert found == [
            (
                f"of the 1,000 predictions in {BATCH}, F1 0.45 (0.40 to 0.50) is to be expected, where v1 has 0.60"
                " on its holdout"
            )
        ]


def test_what_could_not_be_logged_is_said_for_a_day(home: Home, said: Callable[..., list[str]]) -> None:
    with Store.opened(home.serving_log) as store:
        store.add([], lost=7, at=AT)
    assert said(23) == [
        "7 served predictions could not be logged, the last on 2026-03-01 12:00 UTC; is there room on the disk?"
    ]
    assert said(25) == []


def test_what_no_run_takes_in_is_said(home: Home, said: Callable[..., list[str]]) -> None:
    with Store.opened(home.serving_log) as store:
        store.add([served(1)], lost=0, at=AT)
    assert said(24.9) == []
    assert said(25.1) == [
        (
            "1 served predictions wait since 2026-03-01 for a run to take them in; start the daemon, or churnwatch run"
            " --once"
        )
    ]


def test_a_log_that_cannot_be_read_is_said(home: Home, said: Callable[..., list[str]]) -> None:
    home.serving_log.write_text("no database at all, but long enough to look like one" * 20)
    [line] = said()
    assert "cannot be read (file is not a database). Move it away; a new one is begun." in line

"""Whole runs of a home with campaigns: rows that add up, effects beside the truth, months and cohorts."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from churnwatch.pipeline import compaction, run
from churnwatch.pipeline.campaigns import CAMPAIGNS
from churnwatch.pipeline.ledger import follow_up as known
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import CampaignEffect, FileState, Status
from churnwatch.pipeline.run import Outcome
from churnwatch.pipeline.settings import Home, load

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
SETTINGS = """\
target: left
positive: 1
id: who
date: day
columns: {who: text, day: date, n: number, left: integer}
campaigns: {files: "campaign*.csv", days: 60}
goal: {less_churn: 0.02, months: 1}
training: {estimators: [logistic], folds: 2}
gate: {policy: better, min_positives: 5}
retrain: {when: drift}
"""


def _work(home: Home) -> list[Outcome]:
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        found = run.work(home, ledger, reason="drop")
    assert all(each.status is Status.DONE for each in found), found
    return found


def _drop_month(home: Home, month: str, left: dict[str, int]) -> None:
    lines = [f"{who},{month}-20,{number % 7},{gone}" for number, (who, gone) in enumerate(left.items())]
    (home.source / f"customers-{month}.csv").write_text("\n".join(["who,day,n,left", *lines]) + "\n")


def _drop_campaign(home: Home, name: str, lines: list[str], *, told: bool = True) -> None:
    header = "who,date,action,treated" if told else "who,date,action"
    (home.source / f"campaign-{name}.csv").write_text("\n".join([header, *lines]) + "\n")


def _account(home: Home, name: str) -> tuple[Any, ...]:
    with Ledger.open(home.ledger) as ledger:
        row = ledger.file_by_path(name)
    return row["state"], row["rows_read"], row["accepted"], row["duplicate"], row["quarantined"]


def _effects(home: Home) -> dict[tuple[str, str], CampaignEffect]:
    with Ledger.open(home.ledger) as ledger:
        return {(each.action, each.month): each for each in known.campaign_effects(ledger)}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home that has seen one month of 300 customers, every fourth of whom left."""
    folder = tmp_path_factory.mktemp("campaigns")
    (folder / "settings.yaml").write_text(SETTINGS)
    home = load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    _drop_month(home, "2026-01", {f"c{number}": int(number % 4 == 0) for number in range(300)})
    _work(home)
    return folder


@pytest.fixture
def home(once: Path, tmp_path: Path) -> Home:
    """Return a copy of that home."""
    return load(Path(shutil.copytree(once, tmp_path / "home", symlinks=True)))


def test_rows_of_campaigns_are_counted_like_any_other(home: Home) -> None:
    _drop_campaign(home, "a", ["c1,2026-02-01,call,1", "c2,2026-02-01,call,0", "c2,2026-02-01,call,0",
                               "c3,2026-02-01,call,2", ",2026-02-01,call,1", "c4,soon,call,1"])  # fmt: skip
    [first] = _work(home)
    assert first.line == "New rows of campaigns, and no new label to learn from."
    assert _account(home, "campaign-a.csv") == (FileState.INGESTED, 6, 2, 1, 3)
    _drop_campaign(home, "b", ["c1,2026-02-01,call,1", "c5,2026-02-01,call,1"])
    _work(home)
    assert _account(home, "campaign-b.csv") == (FileState.INGESTED, 2, 1, 1, 0)
    found = _effects(home)["call", "2026-02"]
    assert (found.treated, found.control, found.treated_known) == (2, 1, 0)
    assert found.note == "no outcome of the treated is known yet"


def test_a_file_that_is_no_campaign_is_refused_with_the_reason(home: Home) -> None:
    (home.source / "campaign-x.csv").write_text("who,day\nc1,2026-02-01\n")
    _work(home)
    with Ledger.open(home.ledger) as ledger:
        found = ledger.file_by_path("campaign-x.csv")
    assert found["state"] == FileState.QUARANTINED
    assert "2 of 3 columns are missing (`date`, `action`)" in found["reason"]


def test_outcomes_within_the_window_are_joined_and_nothing_else(home: Home) -> None:
    _drop_campaign(home, "a", ["c1,2026-02-25,call,1", "c2,2026-02-25,call,1", "c3,2026-02-25,call,0",
                               "c5,2026-02-25,call,0", "c6,2026-02-25,call,0", "c6,2026-02-26,call,1"])  # fmt: skip
    _drop_month(home, "2026-02", {"c1": 1, "c3": 1})  # before the action
    _drop_month(home, "2026-03", {"c1": 0, "c3": 0, "c5": 1, "c6": 1})
    _work(home)
    _drop_month(home, "2026-05", {"c1": 1, "c2": 1})  # after the window
    _work(home)
    found = _effects(home)["call", "2026-02"]
    assert (found.treated, found.treated_known, found.treated_churned) == (2, 1, 0)
    assert (found.control, found.control_known, found.control_churned) == (2, 2, 1)
    assert (found.contradicting, found.is_over) == (1, 1)


def test_what_happened_on_the_day_of_a_label_that_looks_ahead_counts(make_home: Callable[..., Home]) -> None:
    home = make_home(SETTINGS.replace("days: 60", "days: 60, label_days: 45"))
    _drop_month(home, "2026-01", {f"c{number}": 1 for number in range(50)})  # known before, and not the newest
    _drop_month(home, "2026-02", {f"c{number}": number % 2 for number in range(100)})
    _drop_campaign(home, "a", [f"c{number},2026-02-25,call,{int(number < 50)}" for number in range(100)])
    _work(home)
    found = _effects(home)["call", "2026-02"]
    assert (found.treated_known, found.control_known) == (50, 50)
    assert (found.treated_churned, found.control_churned) == (25, 25)


def test_without_a_control_nothing_is_said(home: Home) -> None:
    _drop_campaign(home, "a", ["c1,2026-02-01,letter", "c2,2026-02-01,letter"], told=False)
    _drop_month(home, "2026-02", {"c1": 1, "c2": 0})
    _work(home)
    found = _effects(home)["letter", "2026-02"]
    assert (found.treated_known, found.treated_churned, found.less_churn) == (2, 1, None)
    assert str(found.note).startswith("no control: nothing can be said about the effect")


def test_where_rows_have_no_date_the_day_counts_on_which_they_came(make_home: Callable[..., Home]) -> None:
    text = SETTINGS.replace("date: day\n", "").replace("day: date, ", "").replace("goal:", "#")
    home = make_home(text)
    rows = [f"c{number},{number % 7},{number % 2}" for number in range(100)]
    (home.source / "customers.csv").write_text("\n".join(["who,n,left", *rows]) + "\n")
    _drop_campaign(home, "a", ["c1,2026-01-01,call,1", "c2,2026-01-01,call,0"])
    _drop_campaign(home, "b", ["c1,2999-01-01,call,1"])
    _work(home)
    found = _effects(home)
    assert {each.treated_known for each in found.values()} == {0}
    today = _today(home)
    _drop_campaign(home, "c", [f"c1,{today},mail,1", f"c2,{today},mail,0"])
    _work(home)
    found = _effects(home)
    assert (found["mail", today[:7]].treated_known, found["mail", today[:7]].control_known) == (1, 1)
    assert found["call", "2999-01"].treated_known == 0


def _today(home: Home) -> str:
    with Ledger.open(home.ledger) as ledger:
        return str(ledger.run(1)["created_at"])[:10]


def test_effects_follow_a_truth_that_is_known(home: Home) -> None:
    drawn = random.Random(0)  # noqa: S311 - no secret
    customers = {f"n{number}": drawn.random() < 0.5 for number in range(2000)}
    left = {who: int(drawn.random() < (0.15 if treated else 0.25)) for who, treated in customers.items()}
    _drop_campaign(home, "a", [f"{who},2026-02-01,call,{int(treated)}" for who, treated in customers.items()])
    _drop_month(home, "2026-02", left)
    _work(home)
    found = _effects(home)["call", "2026-02"]
    assert found.less_churn_low is not None
    assert found.less_churn_high is not None
    assert 0 < found.less_churn_low < 0.1 < found.less_churn_high
    assert found.saved == pytest.approx((found.less_churn or 0) * found.treated_known)


@pytest.mark.parametrize(
    ("value", "each"),
    [("10", 120), ("n", 12 * (3 + 5) / 2), ("{column: n, per: year, months: 24}", 2 * (3 + 5) / 2)],
)
def test_the_saved_are_worth_what_the_treated_were_at_the_action(home: Home, value: str, each: float) -> None:
    """Those are worth 3 and 5 a month who were treated, as of the last row before it, or the first after it."""
    text = SETTINGS.replace("training:", f"value: {value}\ntraining:")
    (home.path / "settings.yaml").write_text(text)
    valued = load(home.path)
    rows = ["c1,2026-01-25,3,", "new,2026-02-03,5,0", "c1,2026-02-03,90,0", "new,2026-02-20,90,0", "c3,2026-02-03,90,1"]
    (home.source / "customers-x.csv").write_text("\n".join(["who,day,n,left", *rows]) + "\n")
    _drop_campaign(valued, "a", ["c1,2026-02-01,call,1", "new,2026-02-01,call,1", "c3,2026-02-01,call,0"])
    _work(valued)
    found = _effects(valued)["call", "2026-02"]
    assert found.customer_value == each
    assert found.money == pytest.approx((found.saved or 0) * each)


@pytest.mark.parametrize("chosen", [True, False])
def test_no_effect_is_claimed_where_the_likely_leavers_were_chosen(home: Home, chosen: bool) -> None:
    """The customers were predicted before the action, and anew after it, once its outcomes were known."""
    with Ledger.open(home.ledger) as ledger:
        [made] = ledger.predictions()
        ledger.rows("UPDATE predictions SET at = '2026-01-25T08:00:00.000Z'")
    table = pyarrow.parquet.read_table(home.predictions / made["path"])
    order = np.argsort(table["probability"].to_numpy(), kind="stable")
    places = np.arange(len(order))
    treated = places >= len(order) // 2 if chosen else places % 2 == 0
    who = [table["who"][int(place)].as_py() for place in order]
    _drop_campaign(home, "a", [f"{each},2026-02-01,call,{int(done)}" for each, done in zip(who, treated, strict=True)])
    _drop_month(home, "2026-02", {each: int(number % 3 == 0) for number, each in enumerate(who)})
    _work(home)
    found = _effects(home)["call", "2026-02"]
    assert found.treated_known + found.control_known == len(order)
    assert (found.less_churn is None) == chosen
    assert ("not alike before" in str(found.note)) == chosen


def test_months_and_cohorts_are_kept_and_only_recorded_where_they_changed(home: Home) -> None:
    _drop_month(home, "2026-02", {f"c{number}": int(number < 10) for number in range(50, 250)} | {"new": 0})
    _work(home)
    with Ledger.open(home.ledger) as ledger:
        months = [(each.month, each.active, each.churned) for each in known.monthly_churn(ledger)]
        cohorts = [(each.cohort, each.month, each.active, each.churned) for each in known.cohorts(ledger)]
        rows = ledger.rows("SELECT count(*) AS n FROM monthly_churn")[0]["n"]
        goal = known.goal(ledger)
    assert months == [("2026-01", 300, 75), ("2026-02", 201, 0)]
    assert cohorts == [("2026-01", "2026-01", 300, 75), ("2026-01", "2026-02", 200, 0), ("2026-02", "2026-02", 1, 0)]
    assert rows == 2
    assert goal is not None
    assert (goal.state, goal.why) == ("no evidence", "it takes 1 month(s) and two before them")


def test_a_mistyped_year_is_neither_the_newest_month_nor_the_end_of_a_window(home: Home) -> None:
    _drop_campaign(home, "a", ["c1,2026-01-25,call,1", "c2,2026-01-25,call,0"])
    _drop_month(home, "2026-02", {"c1": 0, "c2": 1})
    _drop_month(home, "2999-02", {"c1": 0, "c3": 0})
    _work(home)
    with Ledger.open(home.ledger) as ledger:
        assert [each.month for each in known.monthly_churn(ledger)] == ["2026-01", "2026-02"]
        goal = known.goal(ledger)
    assert goal is not None
    assert goal.month == "2026-02"
    assert _effects(home)["call", "2026-01"].is_over == 0


def test_a_run_that_is_taken_up_again_records_nothing_twice(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    _drop_campaign(home, "a", ["c1,2026-02-01,call,1", "c2,2026-02-01,call,0"])
    _drop_month(home, "2026-02", {"c1": 0, "c2": 1})

    def broken(*_: object) -> None:
        raise OSError(5, "no disk")

    with monkeypatch.context() as patch:
        patch.setattr(run.taking, "compact_parts", broken)
        with Ledger.open(home.ledger) as ledger:
            [failed] = run.work(home, ledger, reason="drop")
    assert failed.status is Status.FAILED
    _work(home)
    with Ledger.open(home.ledger) as ledger:
        counted = [ledger.rows(f"SELECT count(*) AS n FROM {table} WHERE run = 2")[0]["n"]
                   for table in ("monthly_churn", "cohorts", "campaign_effects")]  # fmt: skip
    assert counted == [1, 1, 1]


def test_parts_of_campaigns_are_merged_and_left_overs_removed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "FANOUT", 2)
    (home.ingested / CAMPAIGNS).mkdir()
    stray = home.ingested / CAMPAIGNS / ".part.tmp"
    stray.write_bytes(b"cut short")
    for number in range(2):
        _drop_campaign(home, str(number), [f"c{number},2026-02-01,call,{number}"])
        _work(home)
    with Ledger.open(home.ledger) as ledger:
        assert [part.rows for part in ledger.parts(CAMPAIGNS)] == [2]
    assert not stray.exists()
    _drop_month(home, "2026-02", {"c0": 1, "c1": 0})
    _work(home)
    found = _effects(home)["call", "2026-02"]
    assert (found.treated_churned, found.control_churned) == (0, 1)


def test_a_folder_of_campaigns_is_looked_into(make_home: Callable[..., Home]) -> None:
    home = make_home(SETTINGS.replace('"campaign*.csv"', '"crm/*.csv"'))
    assert home.subfolders == ("crm",)

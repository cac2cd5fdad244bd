"""Whole runs of a home whose campaigns say what offers do, or cannot say it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest

from churnwatch.pipeline import bucketing, run, uplift
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Status, UpliftModel
from churnwatch.pipeline.run import Outcome
from churnwatch.pipeline.settings import Home, load
from churnwatch.pipeline.uplift import Trial
from churnwatch.pipeline.uplift_step import NOT_TOLD
from churnwatch.pipeline.uplift_words import decided_by

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
SETTINGS = """\
target: left
positive: 1
id: who
date: day
columns: {who: text, day: date, n: number, plan: text, left: integer}
campaigns: {files: "campaign*.csv", days: 30}
value: 50
call_capacity: 5
offers:
  call: {discount: 10%, cost: 5, call: true}
  letter: {discount: 1%, cost: 1, save_rate: 0.3}
  gift: {cost: 1, save_rate: 0.1}
  visit: {cost: 1, save_rate: 0.1}
  other: {cost: 1, save_rate: 0.1}
  none: {cost: 1, save_rate: 0.1}
  mail: {save_rate: 0.1, uplift: off}
training: {estimators: [logistic], folds: 2}
gate: {policy: better, min_positives: 5}
retrain: {when: drift}
"""
CUSTOMERS = 900


def _work(home: Home) -> Outcome:
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        [outcome] = run.work(home, ledger, reason="drop")
    assert outcome.status is Status.DONE, outcome.line
    return outcome


def _drop(home: Home, name: str, header: str, rows: list[str]) -> None:
    (home.source / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")


def _models(home: Home, number: int) -> dict[str, UpliftModel]:
    with Ledger.open(home.ledger) as ledger:
        return {each.offer: each for each in customers.uplift_models(ledger, number)}


def _calls(home: Home, number: int) -> pd.DataFrame:
    return pyarrow.parquet.read_table(home.predictions / f"run-{number:05d}-calls.parquet").to_pandas()


def _drop_world(home: Home) -> None:
    """Drop two months and campaigns between them: a call keeps whoever has the plan `a`, and nobody else."""
    drawn = random.Random(0)  # noqa: S311 - no secret
    plans = ["a" if drawn.random() < 0.5 else "b" for _ in range(CUSTOMERS)]
    treated = [drawn.random() < 0.5 for _ in range(CUSTOMERS)]
    likely = [0.8 if i % 7 > 3 else 0.2 for i in range(CUSTOMERS)]
    left = [int(drawn.random() < (0.05 if call and plan == "a" else p))
            for p, plan, call in zip(likely, plans, treated, strict=True)]  # fmt: skip
    header = "who,day,n,plan,left"
    _drop(home, "jan", header, [f"c{i:04d},2026-01-20,{i % 7},{plan}," for i, plan in enumerate(plans)])
    _drop(home, "feb", header, [f"c{i:04d},2026-02-20,{i % 7},later,{gone}" for i, gone in enumerate(left)])
    _drop(
        home,
        "mar",
        header,
        [f"m{i},2026-03-20,{i % 7},{'ab'[i % 2]},{int(drawn.random() < likely[i])}" for i in range(200)],
    )
    said = "who,date,action,treated"
    _drop(home, "campaign-call", said, [f"c{i:04d},2026-02-01,call,{int(call)}" for i, call in enumerate(treated)])
    _drop(home, "campaign-gift", said, [f"c{i:04d},2026-02-01,gift,{i % 2}" for i in range(40)])
    _drop(home, "campaign-mail", said, [f"c{i:04d},2026-02-01,mail,{i % 2}" for i in range(40)])
    gone = [f"x{i},2026-02-01,visit,0" for i in range(20)]  # of whom nothing more is heard
    _drop(home, "campaign-visit", said, [*gone, *(f"c{i:04d},2026-02-01,visit,{int(i < 40)}" for i in range(60))])
    new = [f"m{i},2026-02-18,other,{i % 2}" for i in range(200)]  # of whom nothing was known before
    _drop(home, "campaign-other", said, new)
    _drop(home, "campaign-letter", "who,date,action", [f"c{i:04d},2026-02-01,letter" for i in range(CUSTOMERS)])


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[Trial]]:
    """Return a home that has worked off that world, and what its models learned from."""
    folder = tmp_path_factory.mktemp("uplift")
    (folder / "settings.yaml").write_text(SETTINGS)
    home = load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    _drop_world(home)
    return home, _watched(home, uplift.learn)


def _watched(home: Home, learn: Callable[..., uplift.Uplift]) -> list[Trial]:
    """Work off what there is, learning so; return what was learned from."""
    trials = []

    def watched(trial: Trial, *rest: Any, **given: Any) -> uplift.Uplift:
        trials.append(trial)
        return learn(trial, *rest, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uplift, "learn", watched)
        _work(home)
    return trials


@pytest.fixture
def worked(seen: tuple[Home, list[Trial]]) -> Home:
    return seen[0]


def test_where_the_lot_decided_who_is_treated_a_model_says_whom_to_call(worked: Home) -> None:
    found, calls = _models(worked, 1)["call"], _calls(worked, 1)
    assert (found.decides, found.why, found.campaigns) == (1, None, 1)
    assert found.treated + found.control == CUSTOMERS
    assert (found.qini_low or 0) > 0
    called = calls[calls["offer"] == "call"]
    assert len(called) == 5
    assert called["effect"].between(0, called["probability"]).all()
    assert (called["effect"] > 0.1).all()
    p, effect = called["probability"], called["effect"]
    assert list(called["expected_profit"]) == pytest.approx(list(effect * 540 - (1 - p) * 60 - 5))
    assert calls.loc[calls["offer"] != "call", "effect"].isna().all()


def test_the_call_list_for_people_and_the_ledger_have_the_effect(worked: Home) -> None:
    first = _calls(worked, 1).iloc[0]
    shown = pd.read_csv(worked.predictions / "run-00001.csv").iloc[0]
    assert shown["effect of the offer"] == pytest.approx(first["effect"], abs=1e-4)
    with Ledger.open(worked.ledger) as ledger:
        assert customers.call_list(ledger, 1)[0]["effect"] == first["effect"]
        [call] = [row for row in customers.offers(ledger, 1) if row["offer"] == "call"]
    assert call["customers"] == 5
    assert call["threshold_at_median"] is None


def test_it_learns_from_customers_as_they_were_on_the_day_of_the_action(seen: tuple[Home, list[Trial]]) -> None:
    [trial] = seen[1]
    assert set(trial.rows.X.columns) == {"n", "plan"}
    assert set(trial.rows.X["plan"]) == {"a", "b"}
    assert trial.rows.y.sum() > 100
    assert set(trial.share) == {trial.treated.mean()}


@pytest.mark.parametrize(
    ("offer", "why"),
    [
        ("letter", "2026-02: no control: nothing can be said about the effect; nobody is said to have been left alone"),
        ("none", "no campaign's action is `none`"),
        ("other", "of the treated 0 left and 0 stayed, and it takes 50 of each"),
        ("visit", "2026-02: outcomes are known of 100% of the treated and 50% of the control; who is missing may have"),
        ("gift", "of the treated "),
    ],
)
def test_else_the_save_rate_stays_and_the_reason_is_said(worked: Home, offer: str, why: str) -> None:
    found = _models(worked, 1)[offer]
    assert found.decides == 0
    assert str(found.why).startswith(why)
    told = decided_by(found, has_save_rate=True)
    assert told.startswith(f"{offer}: decided by its save rate. No uplift model decides: {why}")


def test_an_offer_that_is_switched_off_is_not_looked_at(worked: Home) -> None:
    assert set(_models(worked, 1)) == {"call", "letter", "gift", "visit", "other", "none"}


def _again(home: Home, to: Path, text: str = SETTINGS) -> Home:
    """Return a copy of a home that has seen some customers more, who are sorted anew."""
    copied = Path(shutil.copytree(home.path, to / "home", symlinks=True))
    (copied / "settings.yaml").write_text(text)
    found = load(copied)
    _drop(found, "apr", "who,day,n,plan,left", [f"m{i},2026-04-20,3,a,{i % 2}" for i in range(20)])
    return found


def test_a_model_that_does_not_tell_beyond_doubt_does_not_decide(worked: Home, tmp_path: Path) -> None:
    home = _again(worked, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uplift.Uplift, "tells_apart", False)
        _work(home)
    found = _models(home, 2)["call"]
    assert (found.decides, found.why) == (0, NOT_TOLD)
    assert found.effect is not None
    told = decided_by(found, has_save_rate=False)
    assert "made to nobody, without a save rate" in told
    assert f"{100 * found.effect:.2f} (" in told
    assert "call" not in set(_calls(home, 2)["offer"])


def test_a_step_that_is_made_again_says_the_same(worked: Home, tmp_path: Path) -> None:
    """A kill before the ledger knows of it leaves files only; the same models are made of the same rows."""
    home = _again(worked, tmp_path)

    def killed(*_: object) -> None:
        raise OSError(5, "no disk")

    with pytest.MonkeyPatch.context() as patch, Ledger.open(home.ledger) as ledger:
        patch.setattr(bucketing, "_sums", killed)
        [failed] = run.work(home, ledger, reason="drop")
    assert failed.status is Status.FAILED
    first = _calls(home, 2)
    assert _models(home, 2) == {}
    _work(home)
    pd.testing.assert_frame_equal(_calls(home, 2), first)
    assert _models(home, 2)["call"].decides == 1


WITH_SOURCES = SETTINGS.replace("campaigns:", """\
sources:
  calls: {files: "calls*.csv", key: who, time: at, columns: {who: text, at: date, minutes: number},
          windows: [all], features: {minutes: [sum]}}
  people: {files: "people*.csv", key: who, columns: {who: text, town: text}, features: {town: [last]}}
expressions: {twice: "n * 2"}
campaigns:""")  # fmt: skip


def test_features_are_those_of_then_and_what_is_known_of_now_only_is_left_out(tmp_path: Path) -> None:
    """Each customer called for a minute before the action, and for a hundred after it; towns are those of now."""
    (tmp_path / "settings.yaml").write_text(WITH_SOURCES)
    home = load(tmp_path)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    _drop_world(home)
    who = [f"c{i:04d}" for i in range(CUSTOMERS)]
    times = (("2026-01-02", 1), ("2026-02-03", 100))
    _drop(home, "calls", "who,at,minutes", [f"{each},{at},{minutes}" for each in who for at, minutes in times])
    _drop(home, "people", "who,town", [f"{each},here" for each in who])

    def refused(*_: object, **__: object) -> uplift.Uplift:
        raise DataError("these rows cannot be learned from")

    [trial] = _watched(home, refused)
    assert set(trial.rows.X.columns) == {"n", "plan", "calls_minutes_sum_all"}
    assert set(trial.rows.X["calls_minutes_sum_all"]) == {1.0}
    assert _models(home, 1)["call"].why == "these rows cannot be learned from"  # and the run goes on

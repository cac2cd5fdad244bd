"""What becomes of a candidate beside the gate: sample customers, approval, an old champion, a holdout in the future."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from churnwatch.daemon import attention
from churnwatch.pipeline import learning, promotion, run
from churnwatch.pipeline.errors import NotFoundError, ReleaseError
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.run import Outcome
from churnwatch.pipeline.settings import Home, load

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
TELCO = """\
target: Churn
positive: Yes
id: customerID
date: month
training:
  estimators: [logistic]
  folds: 2
gate:
  policy: better
  min_positives: 5
"""
MakeHome = Callable[..., Home]


def _run(home: Home, drop: Path) -> Outcome:
    shutil.copy(drop, home.source)
    with Ledger.open(home.ledger) as ledger:
        [outcome] = run.work(home, ledger, reason="drop")
    return outcome


def _ask(home: Home, question: str) -> list[dict[str, Any]]:
    with Ledger.open(home.ledger) as ledger:
        return ledger.rows(question)


def _serving(home: Home) -> str | None:
    with Ledger.open(home.ledger) as ledger:
        champion = ledger.champion()
    return champion.model.name if champion else None


def _attention(home: Home) -> str:
    with Ledger.open(home.ledger) as ledger:
        return "\n".join(attention.of(home, ledger))


# -- approval --------------------------------------------------------------------------------------------------


def test_a_candidate_that_passed_waits_for_approval_and_then_serves(
    make_home: MakeHome, telco: tuple[Path, ...]
) -> None:
    home = make_home(TELCO + "approval: manual\n")
    line = _run(home, telco[0]).line
    assert line.startswith("v1 passed the gate and waits for `churnwatch approve v1 --why …`. Released as the first")
    assert _serving(home) is None
    assert "v1 passed the gate and waits since " in _attention(home)
    with Ledger.open(home.ledger) as ledger:
        promotion.approve(home, ledger, 1, actor="the board", why="looked at the list")
        assert ledger.approval(1) is not None
        assert [row["actor"] for row in ledger.releases()] == ["the board"]
        with pytest.raises(NotFoundError, match=r"v1 does not wait for approval\."):
            promotion.approve(home, ledger, 1, actor="the board", why="again")
    assert _serving(home) == "v1"
    assert "waits since" not in _attention(home)


def test_a_rejected_candidate_waits_no_longer(make_home: MakeHome, telco: tuple[Path, ...]) -> None:
    home = make_home(TELCO.replace("better", "always") + "approval: manual\n")
    _run(home, telco[0])
    _run(home, telco[1])
    with Ledger.open(home.ledger) as ledger:
        assert [row["version"] for row in ledger.staged()] == [2, 1]
        promotion.reject(ledger, 2, actor="me", why="calls the wrong people")
        with pytest.raises(NotFoundError, match=r"v2 does not wait for approval; there waits v1\."):
            promotion.approve(home, ledger, 2, actor="me", why="after all")
        promotion.reject(ledger, 1, actor="me", why="old")
        with pytest.raises(NotFoundError, match=r"v1 does not wait for approval\."):
            promotion.reject(ledger, 1, actor="me", why="again")
    assert _serving(home) is None
    assert "waits since" not in _attention(home)


def test_a_candidate_waits_no_longer_once_another_serves(make_home: MakeHome, telco: tuple[Path, ...]) -> None:
    home = make_home(TELCO.replace("better", "always") + "approval: manual\n")
    _run(home, telco[0])
    _run(home, telco[1])
    with Ledger.open(home.ledger) as ledger:
        promotion.approve(home, ledger, 2, actor="the board", why="newer")
        assert ledger.staged() == []
        with pytest.raises(NotFoundError, match=r"v1 does not wait for approval\."):
            promotion.approve(home, ledger, 1, actor="the board", why="too")
    assert "waits since" not in _attention(home)


def test_nothing_is_approved_while_another_version_is_pinned(make_home: MakeHome, telco: tuple[Path, ...]) -> None:
    home = make_home(TELCO.replace("better", "always"))
    _run(home, telco[0])
    _run(home, telco[1])
    with Ledger.open(home.ledger) as ledger:
        promotion.rollback(home, ledger, None, actor="me", why="complaints")
    _run(home, telco[2])
    with Ledger.open(home.ledger) as ledger:
        with pytest.raises(ReleaseError, match=r"v1 is pinned \(complaints\)\. First: churnwatch unpin"):
            promotion.approve(home, ledger, 3, actor="me", why="now")
        promotion.unpin(ledger, actor="me", why=None)
        promotion.approve(home, ledger, 3, actor="me", why="now")
    assert _serving(home) == "v3"


# -- sample customers ------------------------------------------------------------------------------------------


def _cases(home: Home, drop: Path, expected: list[str]) -> None:
    rows = pd.read_csv(drop, dtype=str).head(len(expected)).drop(columns="Churn").assign(expected=expected)
    rows.to_csv(home.path / "cases.csv", index=False)


def test_a_candidate_that_is_wrong_about_a_sample_customer_is_refused(
    make_home: MakeHome, telco: tuple[Path, ...]
) -> None:
    home = make_home(TELCO + "acceptance: cases.csv\n")
    _cases(home, telco[0], ["0-1", "0.999-1", "0 - 1.0"])
    line = _run(home, telco[0]).line
    assert line.startswith(
        "Refused: 1 of 3 sample customers are not as expected (lines 3). Else: Released as the first"
    )
    assert _serving(home) is None
    found = _ask(home, "SELECT * FROM acceptance_cases")
    assert [(row["line"], row["expected"], row["met"]) for row in found] == [
        (2, "0-1", 1), (3, "0.999-1", 0), (4, "0 - 1.0", 1)]  # fmt: skip
    assert found[1]["customer"] == pd.read_csv(telco[0], dtype=str)["customerID"][1]
    _cases(home, telco[0], ["0-1"])
    _run(home, telco[1])
    assert _serving(home) == "v2"


def test_what_a_sample_customer_is_expected_to_do_may_be_a_decision(
    make_home: MakeHome, telco: tuple[Path, ...]
) -> None:
    home = make_home(TELCO + "acceptance: cases.csv\n")
    _cases(home, telco[0], ["leaves", "Stays"])
    _run(home, telco[0])
    threshold = _ask(home, "SELECT threshold FROM models")[0]["threshold"]
    found = {row["expected"]: row for row in _ask(home, "SELECT * FROM acceptance_cases")}
    assert found["leaves"]["met"] == (found["leaves"]["probability"] >= threshold)
    assert found["Stays"]["met"] == (found["Stays"]["probability"] < threshold)


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (
            ["0-1", "perhaps"],
            "cases.csv, line 3: `expected` must be leaves, stays, or a range such as 0.2-0.6. Mend it.",
        ),
        (["0.6-0.2"], "cases.csv, line 2: `expected` must be leaves, stays, or a range such as 0.2-0.6. Mend it."),
        (["0-1", ""], "cases.csv, line 3: expected: "),
    ],
)
def test_sample_customers_that_cannot_be_understood_fail_the_run_in_one_line(
    make_home: MakeHome, telco: tuple[Path, ...], expected: list[str], said: str
) -> None:
    home = make_home(TELCO + "acceptance: cases.csv\n")
    _cases(home, telco[0], expected)
    outcome = _run(home, telco[0])
    assert outcome.status == "failed"
    assert said in outcome.line
    (home.path / "cases.csv").unlink()
    with Ledger.open(home.ledger) as ledger:
        [again] = run.work(home, ledger, reason="drop")
    assert "cases.csv: cannot be read (No such file or directory)." in again.line


# -- an old champion, and which rows judge ---------------------------------------------------------------------


def test_a_champion_is_refreshed_at_its_age_in_runs(
    make_home: MakeHome, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(TELCO + "  max_age_runs: 2\n  not_worse: 1\n")
    monkeypatch.setattr(learning.gate, "_better", lambda found: learning.gate._evidence(
        found, learning.gate.Decision.KEPT, "Kept."))  # fmt: skip
    for month in telco[:4]:
        _run(home, month)
    assert [row["decision"] for row in _ask(home, "SELECT decision FROM decisions ORDER BY run")] == [
        "first", "kept", "refreshed", "kept"]  # fmt: skip
    assert _serving(home) == "v3"
    assert [row["kind"] for row in _ask(home, "SELECT kind FROM which_model_served ORDER BY release")] == [
        "first", "refreshed"]  # fmt: skip


def test_how_often_the_rows_of_a_batch_have_judged_is_counted(make_home: MakeHome, telco: tuple[Path, ...]) -> None:
    home = make_home(TELCO + "holdout_batches: 2\n")
    for month in telco[:4]:
        _run(home, month)
    decided = _ask(home, "SELECT holdout_first_batch, holdout_last_batch FROM decisions ORDER BY run")
    assert [tuple(row.values()) for row in decided] == [(1, 1), (1, 2), (2, 3), (3, 4)]
    with Ledger.open(home.ledger) as ledger:
        assert [(row["batch"], row["decisions"]) for row in ledger.holdout_uses()] == [(1, 1), (2, 2), (3, 2), (4, 1)]


def test_forward_in_time_only_the_newest_days_judge_and_nobody_learns_from_them(
    make_home: MakeHome, telco: tuple[Path, ...]
) -> None:
    home = make_home(TELCO + "holdout_days: 40\n")
    _run(home, telco[0])
    assert _ask(home, "SELECT * FROM models") == []  # there is no past yet
    for month in telco[1:4]:
        _run(home, month)
    batches = _ask(home, "SELECT * FROM batches ORDER BY batch")
    trained = [row["train_rows"] for row in _ask(home, "SELECT train_rows FROM models ORDER BY version")]
    free = [row["labelled"] - row["holdout"] for row in batches]
    assert trained[-1] == sum(free[:2])
    [judged] = _ask(home, "SELECT * FROM decisions ORDER BY run DESC LIMIT 1")
    assert judged["rows"] == sum(row["holdout"] for row in batches[2:])
    assert (judged["holdout_first_batch"], judged["holdout_last_batch"]) == (3, 4)


def test_a_champion_that_has_learned_from_the_days_that_judge_is_warned_of(
    make_home: MakeHome, telco: tuple[Path, ...]
) -> None:
    text = TELCO.replace("policy: better", "policy: always")
    home = make_home(text)
    _run(home, telco[0])
    _run(home, telco[1])
    home = make_home(text + "holdout_days: 40\n")
    outcome = _run(home, telco[2])
    _run(home, telco[3])
    batches = _ask(home, "SELECT * FROM batches ORDER BY batch")
    free = batches[1]["labelled"] - batches[1]["holdout"]
    warnings = [row["warning"] for row in _ask(home, "SELECT warning FROM decisions ORDER BY run")]
    assert (
        warnings[2]
        == outcome.warnings[0]
        == (
            f"v2 has learned from {free} rows of the days that judge, after 2026-01-20, and the candidate from none:"
            " the champion looks better here than it is"
        )
    )
    assert (warnings[1], warnings[3]) == (None, None)  # v3 was trained as the candidate was


def test_another_metric_may_decide(make_home: MakeHome, telco: tuple[Path, ...]) -> None:
    home = make_home(TELCO + "  metric: log_loss\n")
    _run(home, telco[0])
    _run(home, telco[1])
    [first, second] = _ask(home, "SELECT metric, sentence FROM decisions ORDER BY run")
    assert (first["metric"], second["metric"]) == ("f1", "log_loss")
    assert " log loss" in second["sentence"]
    assert load(home.path).settings.gating.metric == "log_loss"


# -- overfitting -----------------------------------------------------------------------------------------------


def test_a_candidate_that_learned_by_heart_is_warned_of_and_its_gap_is_kept(
    make_home: MakeHome, telco: tuple[Path, ...]
) -> None:
    tree = "sklearn.tree.DecisionTreeClassifier"
    home = make_home(TELCO.replace("[logistic]", f"[{tree}]"))
    outcome = _run(home, telco[0])
    told = next(each for each in outcome.warnings if "it has learned them by heart" in each)
    assert told.startswith("v1 has F1 0.99 on the rows it learned from")
    assert f"more regularisation of {tree}" in told
    gaps = {row["name"]: row for row in _ask(home, "SELECT * FROM metrics WHERE split = 'gap'")}
    assert gaps.keys() == {"f1", "roc_auc", "log_loss"}
    assert all(row["low"] < row["value"] < row["high"] and row["version"] == 1 for row in gaps.values())
    assert gaps["f1"]["low"] > home.settings.training.max_gap


# -- compiled forms --------------------------------------------------------------------------------------------


def test_every_version_is_held_against_its_compiled_form_and_one_from_before_when_it_is_judged(
    make_home: MakeHome, telco: tuple[Path, ...]
) -> None:
    home = make_home(TELCO)
    _run(home, telco[0])
    [before] = _ask(home, "SELECT * FROM compiled_forms")
    assert (before["version"], before["why_not"]) == (1, None)
    assert before["rows"] > 100
    assert before["largest_difference"] < 1e-12
    _ask(home, "DELETE FROM compiled_forms")  # as a ledger has it that was brought up to date
    _run(home, telco[1])
    after = _ask(home, "SELECT version, why_not FROM compiled_forms ORDER BY version")
    assert after == [{"version": 1, "why_not": None}, {"version": 2, "why_not": None}]

"""A home's past as it is read back is held against what the ledger wrote down at the time."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from churnwatch.pipeline import history, promotion, replay, run, sample_kkbox, settings
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.errors import NotFoundError, SettingsError
from churnwatch.pipeline.history import Past
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import AcceptanceCase
from churnwatch.pipeline.replay import Swap
from churnwatch.pipeline.run import Outcome
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.pipeline.settings import Home

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
MakeHome = Callable[..., Home]
TELCO = """\
target: Churn
positive: Yes
id: customerID
date: month
holdout_batches: 2
training: {mode: refit, estimators: [logistic], folds: 2}
gate: {policy: better, min_positives: 5}
"""


def _run(home: Home, drop: Path) -> Outcome:
    shutil.copy(drop, home.source)
    with Ledger.open(home.ledger) as ledger:
        [outcome] = run.work(home, ledger, reason="drop")
    return outcome


def _read(home: Home) -> Past:
    with Reader.open(home.ledger) as ledger, duckdb_engine(home.state / "spill", threads=1) as engine:
        return history.read(home, ledger, engine)


def _ask(home: Home, question: str, *values: object) -> list[dict[str, Any]]:
    with Reader.open(home.ledger) as ledger:
        return ledger.rows(question, *values)


def _replayed(home: Home, past: Past, policy: str) -> replay.Line:
    gating, seed = home.settings.gating, home.settings.training.seed
    return replay.play(past.history, replay.rule_of(policy, gating, seed=seed))


def _as_it_was(home: Home, past: Past) -> None:
    """Hold a replay of the home's own policy against its ledger: what judged, by what values, what came of it."""
    line = _replayed(home, past, home.settings.gating.policy.value)
    assert line == past.truth
    verdicts = {row["run"]: row for row in _ask(home, "SELECT * FROM decisions")}
    assert verdicts
    for turn, served in zip(past.history.turns, line.served, strict=True):
        verdict = verdicts.get(turn.run)
        if verdict is None:
            assert turn.candidate is None
            continue
        y = past.history.y[turn.judges]
        assert (len(y), int(y.sum())) == (verdict["rows"], verdict["positives"])
        if served is not None and len(y):
            found = past.history.compared("f1", served, verdict["candidate"], turn.judges)
            assert found.delta == pytest.approx(verdict["delta"])
    tests = replay.tested(past.history, line)
    told = _ask(home, "SELECT run, version, sum(rows) AS rows FROM metrics WHERE split = 'prequential' AND name = 'f1'"
                      " GROUP BY run, version ORDER BY run")  # fmt: skip
    assert [(test.run, test.version, test.rows) for test in tests] == [tuple(row.values()) for row in told]


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...], fewer_thresholds: None) -> Home:
    """Return a home with four runs behind it. To look at only: who changes it takes `own`."""
    folder = tmp_path_factory.mktemp("worked")
    (folder / settings.FILE_NAME).write_text(TELCO)
    home = settings.load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    for month in telco:
        _run(home, month)
    return home


@pytest.fixture
def own(worked: Home, tmp_path: Path) -> Home:
    folder = tmp_path / "own"
    shutil.copytree(worked.path, folder, symlinks=True)
    return settings.load(folder)


# -- as it was -------------------------------------------------------------------------------------------------


def test_the_homes_own_policy_gives_what_served(worked: Home) -> None:
    past = _read(worked)
    assert past.notes == ()
    assert [turn.candidate for turn in past.history.turns] == [1, 2, 3, 4]
    _as_it_was(worked, past)


def test_nothing_is_written(worked: Home) -> None:
    def state() -> dict[str, str]:
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in worked.path.rglob("*")
            if path.is_file() and not path.name.endswith(("-wal", "-shm"))
        }

    before = state()
    _read(worked)
    assert state() == before


def test_of_several_files_in_one_run_all_are_tested_before_any_is_learned_from(
    make_home: MakeHome, telco: tuple[Path, ...]
) -> None:
    home = make_home(TELCO)
    _run(home, telco[0])
    shutil.copy(telco[2], home.source)
    _run(home, telco[1])
    past = _read(home)
    assert [len(turn.new) for turn in past.history.turns] == [240, 480]
    _as_it_was(home, past)


def test_a_row_judges_as_long_as_no_newer_one_of_its_key_has_come(make_home: MakeHome, tmp_path: Path) -> None:
    home = make_home(
        TELCO.replace("id: customerID", "id: customerID\nkey: [customerID]\non_conflict: latest")
        + "columns: {customerID: text, month: date, spend: number, plan: text, Churn: text}\n"
    )
    for number, drop in enumerate(_same_customers(tmp_path), start=1):
        assert _run(home, drop).status == "done", number
    past = _read(home)
    _as_it_was(home, past)
    judged = [set(turn.judges.tolist()) for turn in past.history.turns]
    assert judged[0] - judged[1], "rows of the first month were replaced"


def _same_customers(folder: Path) -> Iterator[Path]:
    """Yield three months of the same customers; the last has some old dates, which replace nothing."""
    rng = np.random.default_rng(2)
    for month in range(3):
        spend = rng.normal(size=300).round(4)
        dates = np.where(np.arange(300) % 3 == 0, "2025-12-01", f"2026-0{month + 1}-01")
        frame = pd.DataFrame({
            "customerID": [f"c{number + 40 * month}" for number in range(300)],
            "month": dates if month == 2 else f"2026-0{month + 1}-01",
            "spend": spend,
            "plan": rng.choice(["a", "b"], 300),
            "Churn": np.where(spend + rng.normal(size=300) > 0.5, "Yes", "No"),
        })  # fmt: skip
        path = folder / f"same-{month}.csv"
        frame.to_csv(path, index=False)
        yield path


def test_a_holdout_forward_in_time_is_that_of_then(make_home: MakeHome, telco: tuple[Path, ...]) -> None:
    home = make_home(TELCO + "holdout_days: 20\n")
    for month in telco[:2]:
        outcome = _run(home, month)
    assert not any("ahead" in each for each in outcome.warnings)
    _as_it_was(home, _read(home))


def test_a_row_dated_ahead_judged_no_run(make_home: MakeHome, telco: tuple[Path, ...], tmp_path: Path) -> None:
    home = make_home(TELCO + "holdout_days: 20\n")
    (tmp_path / "drops").mkdir()
    for number, month in enumerate(telco[:2]):
        frame = pd.read_csv(month, dtype=str)
        frame.loc[number::40, "month"] = "2206-03-01"
        frame.to_csv(tmp_path / "drops" / month.name, index=False)
        outcome = _run(home, tmp_path / "drops" / month.name)
    assert any("12 labelled row(s) are dated ahead of the run" in each for each in outcome.warnings)
    past = _read(home)
    assert len(past.history.turns[1].judges) > 20
    _as_it_was(home, past)


def test_a_test_folder_judges_every_run(make_home: MakeHome, telco: tuple[Path, ...]) -> None:
    home = make_home(TELCO)
    home.tests.mkdir()
    shutil.copy(telco[3], home.tests)
    _run(home, telco[0])
    _run(home, telco[1])
    past = _read(home)
    assert [len(turn.judges) for turn in past.history.turns] == [240, 240]
    assert not set(past.history.turns[1].judges) & set(np.concatenate([turn.new for turn in past.history.turns]))
    _as_it_was(home, past)


def test_rows_of_sources_bring_their_features(make_home: MakeHome, tmp_path: Path) -> None:
    home = make_home(f"{settings_for('kkbox')}\ntraining: {{mode: refit, estimators: [logistic], folds: 2}}\n"
                     "gate: {policy: better, min_positives: 5}\n")  # fmt: skip
    files = sample_kkbox.write(tmp_path / "kkbox", months=4, rows=200, seed=5)
    *_, last = sorted(path for path in files if path.name.startswith("labels"))
    for path in files:
        if path != last:
            shutil.copy(path, home.source)
    with Ledger.open(home.ledger) as ledger:
        run.work(home, ledger, reason="drop")
    _run(home, last)
    _as_it_was(home, _read(home))
    (home.ingested / "features.parquet").unlink()  # no backup has it
    with pytest.raises(SettingsError, match=r"^features\.parquet: not made by these settings; the next run"):
        _read(home)


# -- what is out of the usual ----------------------------------------------------------------------------------


def test_a_run_without_a_candidate_is_a_turn_without_one(make_home: MakeHome, telco: tuple[Path, ...]) -> None:
    home = make_home(TELCO)
    stayed = pd.read_csv(telco[0], dtype=str).query("Churn == 'No'").head(40)
    stayed.to_csv(home.source / "stayed.csv", index=False)
    with Ledger.open(home.ledger) as ledger:
        run.work(home, ledger, reason="drop")
    _run(home, telco[1])
    past = _read(home)
    assert [(turn.candidate, len(turn.new)) for turn in past.history.turns] == [(None, 40), (1, 240)]
    _as_it_was(home, past)


def test_a_version_that_is_gone_is_left_out_with_a_word(own: Home) -> None:
    (own.models / "v2" / "trainedmodel.pkl").write_bytes(b"another file")
    past = _read(own)
    [note] = past.notes
    assert note.startswith("v2 is left out: ")
    assert "not the file that the ledger knows as v2" in note
    assert [turn.candidate for turn in past.history.turns] == [1, None, 3, 4]
    assert 2 not in past.truth.served
    assert replay.price(past.history, past.truth, own.settings.gating, seed=0).rows > 0


def test_a_version_whose_features_the_settings_forbid_is_left_out(own: Home) -> None:
    (own.path / settings.FILE_NAME).write_text(TELCO + "forbidden: [gender]\n")
    past = _read(settings.load(own.path))
    assert len(past.notes) == 4
    assert past.notes[0] == "v1 is left out: the settings no longer make or allow gender"
    assert [turn.candidate for turn in past.history.turns] == [None] * 4


def test_what_was_done_by_hand_is_in_the_truth_and_in_no_policy(own: Home) -> None:
    before = _read(own)
    newest = before.truth.swaps[-1].new
    with Ledger.open(own.ledger) as ledger:
        promotion.promote(own, ledger, 1, actor="me", why="it was better")
        promotion.rollback(own, ledger, newest, actor="me", why="it was not")
    past = _read(own)
    assert [_replayed(own, past, policy) for policy in replay.POLICIES] == [
        _replayed(own, before, policy) for policy in replay.POLICIES
    ]
    assert past.truth.swaps == (*before.truth.swaps, Swap(3, newest, 1), Swap(3, 1, newest))


def test_a_model_that_was_made_after_that_of_a_later_run_is_no_candidate(worked: Home) -> None:
    with Reader.open(worked.ledger) as ledger:
        first, second, third, last = (ledger.model(version) for version in (1, 2, 3, 4))
    overtaken = [first, replace(second, run=3), replace(third, run=2), last]
    assert [history._knows_the_future(model, overtaken) for model in overtaken] == [False, False, True, False]


def test_a_candidate_that_was_wrong_about_a_sample_customer_is_none(own: Home) -> None:
    with Ledger.open(own.ledger) as ledger:
        ledger.add(AcceptanceCase(2, 2, 2, "c1", "stays", 0.1, met=True))
        ledger.add(AcceptanceCase(3, 3, 2, "c1", "stays", 0.1, met=True))
        ledger.add(AcceptanceCase(3, 3, 3, "c2", "leaves", 0.2, met=False))
    assert [turn.candidate for turn in _read(own).history.turns] == [1, 2, None, 4]


def test_without_a_model_there_is_nothing_to_replay(make_home: MakeHome) -> None:
    home = make_home(TELCO)
    with Ledger.open(home.ledger):
        pass
    with pytest.raises(NotFoundError, match="no run has trained a model yet"):
        _read(home)

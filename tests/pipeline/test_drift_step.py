from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from churnwatch.pipeline import learning, promotion, run
from churnwatch.pipeline.clock import utc_now
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Band, Drift, DriftKind, Status
from churnwatch.pipeline.run import Outcome
from churnwatch.pipeline.settings import Home, load

SETTINGS = """\
target: Churn
positive: Yes
id: customerID
date: month
training: {estimators: [logistic], folds: 2, search_candidates: 2}
gate: {policy: better, min_positives: 5}
retrain: {when: drift, every: 7d}
"""
pytestmark = pytest.mark.usefixtures("fewer_thresholds")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> Home:
    """Return a home that has released a first model of the first month and trains when there is drift."""
    folder = tmp_path_factory.mktemp("once")
    (folder / "settings.yaml").write_text(SETTINGS, encoding="utf-8")
    home = load(folder)
    home.source.mkdir()
    shutil.copy(telco[0], home.source)
    assert _work(home)[0].status is Status.DONE
    (home.source / telco[0].name).unlink()
    return home


@pytest.fixture
def home(once: Home, tmp_path: Path) -> Home:
    """Return a copy of that home."""
    return load(Path(shutil.copytree(once.path, tmp_path / "home", symlinks=True)))


def _work(home: Home) -> list[Outcome]:
    for folder in home.folders():
        folder.mkdir(parents=True, exist_ok=True)
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        return run.work(home, ledger, reason="drop")


def _drop(home: Home, source: Path, **changed: Any) -> Outcome:
    """Drop a file with some of its columns changed, and make the one run of it."""
    frame = pd.read_csv(source, dtype="str").assign(**changed)
    frame.to_csv(home.source / source.name, index=False)
    [outcome] = _work(home)
    assert outcome.status is Status.DONE
    return outcome


def _set(home: Home, before: str, after: str) -> Home:
    path = home.path / "settings.yaml"
    path.write_text(path.read_text().replace(before, after))
    return load(home.path)


def _ask(home: Home, question: Callable[[Ledger], Any]) -> Any:
    with Ledger.open(home.ledger) as ledger:
        return question(ledger)


def _drifts(home: Home, number: int, **wanted: Any) -> list[Drift]:
    found: list[Drift] = _ask(home, lambda ledger: ledger.drifts(number, **wanted))
    return found


def _models(home: Home) -> int:
    return len(_ask(home, lambda ledger: ledger.models()))


def test_new_rows_are_held_against_what_the_model_in_use_was_trained_on(home: Home, telco: tuple[Path, ...]) -> None:
    _drop(home, telco[1])
    assert _drifts(home, 1) == []
    found = _drifts(home, 2)
    kinds = [each.kind for each in found]
    assert [kinds.count(kind) for kind in (DriftKind.TARGET, DriftKind.PREDICTION, DriftKind.CONCEPT)] == [1, 1, 1]
    columns = {each.column_name for each in found if each.kind is DriftKind.COLUMN}
    assert columns == set(pd.read_csv(telco[0])) - {"customerID", "month", "Churn"}
    assert {each.rows for each in found} == {240}
    assert {each.reference for each in found} == {"v1's training rows"}


def test_a_drop_without_drift_is_tested_and_predicted_and_nothing_is_trained(
    home: Home, telco: tuple[Path, ...]
) -> None:
    outcome = _drop(home, telco[1])
    assert outcome.line.startswith("Not retrained: no column deviates by 5 % or more (")
    assert outcome.line.endswith(": too few rows to tell).")
    assert outcome.warnings == ()
    assert _models(home) == 1
    assert len(_ask(home, lambda ledger: ledger.metrics(run=2, split="prequential"))) > 5
    assert len(_ask(home, lambda ledger: ledger.predictions(2))) == 1


def test_drift_trains_a_model_and_is_named_by_its_cause_but_not_in_the_log(
    home: Home, telco: tuple[Path, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        outcome = _drop(home, telco[1], Contract="Forever yours")
    assert "Drift, so trained in mode `search`: Contract deviates by 100 % (floor" in outcome.line
    assert any(each.startswith("drift: Contract deviates by 100 %") for each in outcome.warnings)
    assert "Forever" not in f"{outcome} {caplog.text}"
    assert _drifts(home, 2)[0].cause == "Contract: 100 % have values not seen before"
    assert _drifts(home, 2)[0].band is Band.SEARCH
    assert _models(home) == 2


def test_a_search_is_made_once_for_what_deviates_from_a_model(home: Home, telco: tuple[Path, ...]) -> None:
    given = _set(home, "retrain:", "approval: manual\nretrain:")
    assert "so trained in mode `search`: Contract" in _drop(given, telco[1], Contract="other").line
    again = _drop(given, telco[2], Contract="other")
    assert "Drift: Contract deviates by 100 % (floor" in again.line
    assert again.line.endswith("; run 2 searched because of it.")
    assert any(each.startswith("drift: Contract deviates by 100 %") for each in again.warnings)
    more = _drop(given, telco[3], Contract="other", gender="other")
    assert "so trained in mode `search`: gender deviates by 100 %" in more.line
    assert _models(given) == 4


def test_a_search_is_made_again_for_another_model(home: Home, telco: tuple[Path, ...]) -> None:
    given = _set(home, "gate: {policy: better, min_positives: 5}\n", "approval: manual\ngate: always\n")
    _drop(given, telco[1], Contract="other")
    with Ledger.open(given.ledger) as ledger:
        promotion.approve(given, ledger, 2, actor="ann", why="it knows")
    assert "so trained in mode `search`: Contract" in _drop(given, telco[2], Contract="yet another").line


def test_a_search_that_was_cut_short_is_made(
    home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = _set(home, "retrain:", "approval: manual\nretrain:")
    for step in ("train_candidate", "decide"):
        with monkeypatch.context() as patch:
            patch.setattr(learning, step, _killed)
            with pytest.raises(KeyboardInterrupt):
                _work(given) if step == "decide" else _drop(given, telco[1], Contract="other")
    [outcome] = _work(given)
    assert "so trained in mode `search`: Contract" in outcome.line
    assert "searched because of it" in _drop(given, telco[2], Contract="other").line


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_model_is_trained_on_every_drop_where_that_is_the_rule(home: Home, telco: tuple[Path, ...]) -> None:
    given = _set(home, "when: drift", "when: drop")
    assert "Drift" not in _drop(given, telco[1]).line
    assert _models(given) == 2
    assert len(_drifts(given, 2)) > 10


def test_rows_too_few_to_tell_are_taken_with_those_that_nothing_learned_from_yet(
    home: Home, telco: tuple[Path, ...]
) -> None:
    _drop(home, telco[1])
    _drop(home, telco[2])
    assert {each.rows for each in _drifts(home, 3)} == {480}


def test_a_target_that_is_turned_round_is_asked_about(home: Home, telco: tuple[Path, ...]) -> None:
    turned = pd.read_csv(telco[1])["Churn"].map({"Yes": "No", "No": "Yes"})
    warnings = _drop(home, telco[1], Churn=turned).warnings
    [asked] = [each for each in warnings if each.startswith("the share of leavers went from ")]
    assert asked.endswith(" %: is the target turned round?")


def test_a_run_that_was_cut_short_after_the_measurement_does_not_measure_again(
    home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(learning, "train_candidate", killed)
        with pytest.raises(KeyboardInterrupt):
            _drop(home, telco[1], Contract="other")
    before = _drifts(home, 2)
    assert before
    [outcome] = _work(home)
    assert "Contract deviates" in outcome.line
    assert _drifts(home, 2) == before


def test_what_was_trained_before_a_kill_is_decided_about_though_by_now_nothing_would_be_trained(
    home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(learning, "decide", killed)
        with pytest.raises(KeyboardInterrupt):
            _drop(_set(home, "when: drift", "when: drop"), telco[1])
    [outcome] = _work(_set(home, "when: drop", "when: drift"))
    assert outcome.status is Status.DONE
    assert _models(home) == 2
    assert _ask(home, lambda ledger: ledger.verdict(2)) is not None


def _later(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    now = utc_now() + timedelta(days=days)

    def moved() -> datetime:
        return now

    monkeypatch.setattr(run, "utc_now", moved)


def test_rows_that_wait_are_learned_from_once_it_is_time_though_no_file_came(
    home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    _drop(home, telco[1])
    _later(monkeypatch, 6.9)
    assert _work(home) == []
    _later(monkeypatch, 7.1)
    [outcome] = _work(home)
    assert outcome.status is Status.DONE
    assert "Trained by the clock: the last training was on " in outcome.line
    assert _ask(home, lambda ledger: ledger.run(3))["reason"] == "clock"
    assert _models(home) == 2
    assert len(_ask(home, lambda ledger: ledger.predictions(3))) == 1
    _later(monkeypatch, 20)
    assert _work(home) == []  # nothing waits to be learned from


def test_a_drop_after_long_trains_a_model_whatever_the_drift(
    home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    _later(monkeypatch, 8)
    assert "(retrain.every)" in _drop(home, telco[1]).line
    assert _models(home) == 2


def test_a_request_to_score_is_held_against_the_reference_too(home: Home, telco: tuple[Path, ...]) -> None:
    frame = pd.read_csv(telco[1], dtype="str").drop(columns="Churn").assign(Contract="other")
    frame.to_csv(home.source / "who.csv", index=False)
    _work(home)
    found = _drifts(home, 2, requests=True)
    assert (found[0].column_name, found[0].band, found[0].rows) == ("Contract", Band.SEARCH, 240)
    assert {each.kind for each in found} == {DriftKind.COLUMN, DriftKind.PREDICTION}
    assert _drifts(home, 2) == []


def test_rows_can_be_held_against_those_of_the_same_month_a_year_ago(home: Home, telco: tuple[Path, ...]) -> None:
    given = _set(home, "retrain:", "drift: {reference: last_year}\nretrain:")
    _drop(given, telco[1])
    [said] = {each.reference for each in _drifts(given, 2)}
    assert said == "v1's training rows, as there are too few rows of February 2025"
    frame = pd.read_csv(telco[2], dtype="str")
    _drop(given, telco[2], month=frame["month"].str.replace("2026-03", "2027-01"), Contract="other")
    found = _drifts(given, 3)
    assert {each.reference for each in found} == {"rows of January 2026"}
    assert (found[0].column_name, found[0].reference_rows) == ("Contract", 240)


def test_a_model_that_does_not_say_what_it_was_trained_on_lets_the_next_one_be_trained(
    home: Home, telco: tuple[Path, ...]
) -> None:
    (home.models / "v1" / "reference.json").write_text("{}")  # not what the manifest names
    _drop(home, telco[1])
    assert _drifts(home, 2) == []
    assert _models(home) == 2

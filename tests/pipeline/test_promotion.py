from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from churnwatch.pipeline import files, promotion, registry
from churnwatch.pipeline.errors import NotFoundError, ReleaseError
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Decision, Model, Verdict
from churnwatch.pipeline.settings import Home

TELCO = "target: Churn\npositive: Yes\n"
AT = "2026-01-01T00:00:00.000Z"
AddVersion = Callable[[int], Model]


class Crash(BaseException):
    """What no code catches, like a kill."""


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    return make_home()


@pytest.fixture
def add(home: Home, ledger: Ledger) -> AddVersion:
    """Return what writes a version and records it, as a run does."""
    run = ledger.begin_run(run_id="r", reason="drop", at=AT, settings=("s", "{}"), code_version="0", inputs=[])

    def added(version: int) -> Model:
        found = registry.write_version(
            home.models / f"v{version}",
            DummyClassifier().fit(np.zeros((2, 1)), np.array([0, 1])),
            score=0.5,
            ingested=[],
            manifest={"version": version},
        )
        model = Model(version, run, "dummy", "{}", 0.5, f"v{version}", found.sha256, found.manifest_sha256, 1, 1, AT)
        ledger.add(model)
        return model

    return added


def _release(home: Home, ledger: Ledger, model: Model) -> None:
    promotion.release(home, ledger, model, run=None, kind="manual", actor="me", why="because")


def _serving(home: Home, ledger: Ledger) -> tuple[str | None, str | None, list[str]]:
    """Return who serves by the ledger, who by the files, and what does not agree."""
    champion, folder = ledger.champion(), registry.released_folder(home.deployment)
    model = champion.model if champion else None
    problems = registry.release_problems(home.deployment, model)
    return model.name if model else None, folder.name if folder else None, problems


def test_a_release_is_switched_and_recorded(home: Home, ledger: Ledger, add: AddVersion) -> None:
    _release(home, ledger, add(1))
    assert _serving(home, ledger) == ("v1", "v1", [])
    assert [(row["version"], row["kind"], row["actor"], row["why"]) for row in ledger.releases()] == [
        (1, "manual", "me", "because")
    ]
    assert ledger.open_intent() is None


@pytest.mark.parametrize("moment", ["before the switch", "copied", "pointed", "before the row"])
def test_a_crash_anywhere_after_the_intent_is_rolled_forward(
    home: Home, ledger: Ledger, add: AddVersion, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    _release(home, ledger, add(1))
    model = add(2)

    def crash(*_: Any, **__: Any) -> None:
        raise Crash

    def point_and_crash(link: Path, to: str) -> None:
        point(link, to)
        raise Crash

    point = files.point
    with monkeypatch.context() as patch:
        if moment == "before the switch":
            patch.setattr(registry, "switch", crash)
        elif moment == "copied":
            patch.setattr(files, "point", crash)
        elif moment == "pointed":
            patch.setattr(files, "point", point_and_crash)
        else:
            patch.setattr(ledger, "add_release", crash)
        with pytest.raises(Crash):
            _release(home, ledger, model)
    intent = ledger.open_intent()
    assert intent is not None
    assert intent["version"] == 2
    assert promotion.roll_forward(home, ledger) == model
    assert _serving(home, ledger) == ("v2", "v2", [])
    assert {path.name for path in home.deployment.glob("v*")} == {"v1", "v2"}
    assert [row["version"] for row in ledger.releases()] == [1, 2]


def test_a_crash_before_the_intent_leaves_the_former_release(
    home: Home, ledger: Ledger, add: AddVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    _release(home, ledger, add(1))
    model = add(2)

    def crash(*_: Any, **__: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "add_intent", crash)
        with pytest.raises(Crash):
            _release(home, ledger, model)
    assert promotion.roll_forward(home, ledger) is None
    assert _serving(home, ledger) == ("v1", "v1", [])


def test_a_crash_in_the_very_first_release_is_rolled_forward(
    home: Home, ledger: Ledger, add: AddVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = add(1)

    def point_once(link: Path, to: str) -> None:
        if link.name != registry.CURRENT:
            raise Crash
        point(link, to)

    point = files.point
    with monkeypatch.context() as patch:
        patch.setattr(files, "point", point_once)
        with pytest.raises(Crash):
            _release(home, ledger, model)
    assert promotion.roll_forward(home, ledger) == model
    assert _serving(home, ledger) == ("v1", "v1", [])
    assert (home.deployment / "trainedmodel.pkl").readlink() == Path("current/trainedmodel.pkl")


def test_rolling_forward_twice_does_it_once(home: Home, ledger: Ledger, add: AddVersion) -> None:
    model = add(1)
    ledger.add_intent(1, at=AT, run=None, kind="manual", actor="me")
    assert promotion.roll_forward(home, ledger) == model
    assert promotion.roll_forward(home, ledger) is None
    assert len(ledger.releases()) == 1


def test_a_version_that_is_not_whole_leaves_no_intent_behind(home: Home, ledger: Ledger, add: AddVersion) -> None:
    _release(home, ledger, add(1))
    model = add(2)
    (home.models / "v2" / "manifest.json").unlink()
    with pytest.raises(ReleaseError, match="not the files that the ledger knows as v2"):
        _release(home, ledger, model)
    assert promotion.roll_forward(home, ledger) is None
    assert _serving(home, ledger) == ("v1", "v1", [])


# -- by hand ---------------------------------------------------------------------------------------------------


def test_a_version_is_promoted_by_hand(home: Home, ledger: Ledger, add: AddVersion) -> None:
    add(1)
    assert promotion.promote(home, ledger, 1, actor="me", why="I know better").name == "v1"
    champion = ledger.champion()
    assert champion is not None
    assert (champion.kind, champion.why, champion.pinned) == ("manual", "I know better", False)


def test_a_version_that_serves_already_is_not_promoted_again(home: Home, ledger: Ledger, add: AddVersion) -> None:
    _release(home, ledger, add(1))
    with pytest.raises(ReleaseError, match=r"^v1 serves already, since 2"):
        promotion.promote(home, ledger, 1, actor="me", why="again")
    with pytest.raises(NotFoundError):
        promotion.promote(home, ledger, 2, actor="me", why="unknown")
    assert len(ledger.releases()) == 1


def test_a_rollback_goes_to_the_version_that_served_before_and_pins_it(
    home: Home, ledger: Ledger, add: AddVersion
) -> None:
    for version in (1, 2, 3):
        _release(home, ledger, add(version))
    assert promotion.rollback(home, ledger, None, actor="me", why="complaints").name == "v2"
    assert _serving(home, ledger) == ("v2", "v2", [])
    pin = ledger.pin()
    assert pin is not None
    assert (pin["version"], pin["actor"], pin["why"]) == (2, "me", "complaints")


def test_a_second_rollback_goes_further_back_and_never_to_what_was_fled_from(
    home: Home, ledger: Ledger, add: AddVersion
) -> None:
    for version in (1, 2, 3):
        _release(home, ledger, add(version))
    assert promotion.rollback(home, ledger, None, actor="me", why="complaints").name == "v2"
    assert promotion.rollback(home, ledger, None, actor="me", why="still").name == "v1"
    with pytest.raises(NotFoundError, match="no version served before this one"):
        promotion.rollback(home, ledger, None, actor="me", why="and again")


def test_a_rollback_goes_to_the_version_named(home: Home, ledger: Ledger, add: AddVersion) -> None:
    for version in (1, 2, 3):
        _release(home, ledger, add(version))
    assert promotion.rollback(home, ledger, 1, actor="me", why="complaints").name == "v1"
    assert _serving(home, ledger) == ("v1", "v1", [])


def test_the_clock_does_not_decide_which_version_served_before(home: Home, ledger: Ledger, add: AddVersion) -> None:
    for version in (1, 2, 3):
        add(version)
        intent = ledger.add_intent(version, at=AT, run=None, kind="manual", actor="me")
        ledger.add_release(intent, at=f"2026-01-0{9 - version}")
    assert promotion.rollback(home, ledger, None, actor="me", why="complaints").name == "v2"


def test_there_is_nothing_to_go_back_to_before_a_second_version(home: Home, ledger: Ledger, add: AddVersion) -> None:
    with pytest.raises(NotFoundError, match="no version served before"):
        promotion.rollback(home, ledger, None, actor="me", why="x")
    _release(home, ledger, add(1))
    with pytest.raises(NotFoundError, match="no version served before"):
        promotion.rollback(home, ledger, None, actor="me", why="x")
    with pytest.raises(ReleaseError, match="v1 serves already; nothing to roll back to"):
        promotion.rollback(home, ledger, 1, actor="me", why="x")
    assert ledger.pin() is None


def test_a_rollback_to_a_version_that_is_not_whole_changes_nothing(home: Home, ledger: Ledger, add: AddVersion) -> None:
    for version in (1, 2):
        _release(home, ledger, add(version))
    (home.models / "v1" / "trainedmodel.pkl").unlink()
    with pytest.raises(ReleaseError):
        promotion.rollback(home, ledger, None, actor="me", why="x")
    assert ledger.pin() is None
    assert promotion.roll_forward(home, ledger) is None
    assert _serving(home, ledger) == ("v2", "v2", [])


def test_a_crash_in_a_rollback_ends_pinned_and_switched(
    home: Home, ledger: Ledger, add: AddVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 2):
        _release(home, ledger, add(version))

    def crash(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(registry, "switch", crash)
        with pytest.raises(Crash):
            promotion.rollback(home, ledger, None, actor="me", why="x")
    promotion.roll_forward(home, ledger)
    pin = ledger.pin()
    assert pin is not None
    assert pin["version"] == 1
    assert _serving(home, ledger) == ("v1", "v1", [])


def test_a_pin_is_taken_out_once(home: Home, ledger: Ledger, add: AddVersion) -> None:
    for version in (1, 2):
        _release(home, ledger, add(version))
    promotion.rollback(home, ledger, None, actor="me", why="x")
    assert promotion.unpin(ledger, actor="me", why="mended") == 1
    assert ledger.pin() is None
    with pytest.raises(NotFoundError, match="nothing is pinned"):
        promotion.unpin(ledger, actor="me", why=None)


def test_the_lock_of_the_release_is_free_afterwards(home: Home, ledger: Ledger, add: AddVersion) -> None:
    _release(home, ledger, add(1))
    lock = home.state / "release.lock"
    assert files.holder(lock) is None
    with files.lock(lock, busy="busy"):
        assert files.holder(lock) == os.getpid()


def test_the_gate_does_not_override_what_was_done_by_hand_since_its_decision(
    home: Home, ledger: Ledger, add: AddVersion
) -> None:
    for version in (1, 2):
        _release(home, ledger, add(version))
    add(3)
    verdict = Verdict(3, "2026-01-01T00:00:00.000Z", Decision.PROMOTED, "proven", "f1", 3, 2, 100, 50, 0.6, 0.5, 0.1,
                      0.01, 0.2, 0.01, None, "Promoted.", None)  # fmt: skip
    promotion.rollback(home, ledger, None, actor="me", why="complaints")
    assert "v1 was pinned after the decision" in str(promotion.release_by_gate(home, ledger, verdict))
    promotion.unpin(ledger, actor="me", why=None)
    assert "another version was released" in str(promotion.release_by_gate(home, ledger, verdict))
    assert _serving(home, ledger) == ("v1", "v1", [])


@pytest.mark.parametrize("by_hand", [promotion.promote, promotion.rollback])
def test_a_version_that_the_settings_do_not_let_be_read_is_not_released_by_hand(
    make_home: Callable[..., Home], ledger: Ledger, add: AddVersion, by_hand: Callable[..., Model]
) -> None:
    for version in (1, 2):
        add(version)
    strict = make_home(f"{TELCO}model_format: skops\n")
    with pytest.raises(ReleaseError, match="v1 was kept as a pickle only, and model_format: skops reads none"):
        by_hand(strict, ledger, 1, actor="me", why="because")
    assert ledger.open_intent() is None
    assert ledger.pin() is None

from __future__ import annotations

import logging
import shutil
from typing import Any

import pytest
from starlette.testclient import TestClient

from churnwatch.pipeline import registry
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Model
from churnwatch.pipeline.settings import Home
from churnwatch.serving import app
from churnwatch.serving.release import Current


def _champion(home: Home) -> Model:
    with Reader.open(home.ledger) as ledger:
        champion = ledger.champion()
    assert champion is not None
    return champion.model


def test_a_new_release_is_taken_up_and_requests_keep_theirs(home: Home) -> None:
    current = Current(home)
    current.look()
    first = current.release
    assert first is not None
    assert first.name == "v1"
    model = _champion(home)
    folder = home.models / "v2"
    shutil.copytree(home.models / model.folder, folder)
    second = Model(**{**{f: getattr(model, f) for f in model.__dataclass_fields__}, "version": 2, "folder": "v2"})
    with Ledger.open(home.ledger) as ledger:
        ledger.add(second)
    registry.switch(home.deployment, home.models, second)
    current.look()
    assert current.release is not None
    assert (current.release.name, first.name) == ("v2", "v1")


def test_nothing_is_loaded_anew_while_nothing_has_changed(home: Home) -> None:
    current = Current(home)
    current.look()
    first = current.release
    current.look()
    assert current.release is first


def test_the_ledger_is_asked_only_when_something_has_changed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    current = Current(home)
    asked: list[int] = []
    load = current._load
    monkeypatch.setattr(current, "_load", lambda: asked.append(load() or 1))
    current.look()
    current.look()  # the first one may have made the log beside the ledger
    asked.clear()
    for _ in range(5):
        current.look()
    assert asked == []
    with Ledger.open(home.ledger) as ledger, ledger.transaction():
        ledger.add(Model(**_another(home)))
    current.look()
    assert asked == [1]


def _another(home: Home) -> dict[str, Any]:
    model = _champion(home)
    return {**{f: getattr(model, f) for f in model.__dataclass_fields__}, "version": 2, "folder": "v2"}


@pytest.mark.parametrize("damage", ["link", "model"])
def test_whatever_is_wrong_with_the_newest_release_the_one_in_use_goes_on(
    home: Home, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    current = Current(home)
    current.look()
    first = current.release
    if damage == "link":
        (home.deployment / "current").unlink()
        (home.deployment / "current").symlink_to("elsewhere")
    else:
        monkeypatch.setattr(current, "_state", lambda _: ("v2", 9))
        monkeypatch.setattr("churnwatch.serving.release.load", lambda *_: {}["x"])
        (home.deployment / "current").unlink()
        (home.deployment / "current").symlink_to("v1")
    current.look()
    assert current.release is first
    assert current.problem is not None
    assert "cannot be loaded" in current.problem


def test_a_model_that_the_ledger_does_not_know_is_not_loaded(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    file = home.deployment / "v1" / "trainedmodel.pkl"
    file.write_bytes(file.read_bytes() + b"x")
    current = Current(home)
    with caplog.at_level(logging.WARNING, "churnwatch"):
        current.look()
        current.look()
    assert current.release is None
    assert current.problem is not None
    assert "not the file that the ledger knows" in current.problem
    assert len(caplog.records) == 1  # not again each time it looks


def test_without_a_release_the_answer_says_what_to_do(home: Home, customer: dict[str, Any]) -> None:
    shutil.rmtree(home.deployment)
    home.deployment.mkdir()
    with TestClient(app.create(home, keep=print), base_url="http://localhost") as client:
        answer = client.post("/predict", json=customer)
        ready = client.get("/readyz")
        alive = client.get("/healthz")
    assert answer.status_code == ready.status_code == 503
    assert "drop a labelled CSV" in answer.json()["detail"]
    assert alive.json() == {"status": "ok"}


def test_who_asks_is_told_which_release_answers(client: TestClient) -> None:
    answer = client.get("/readyz").json()
    assert (answer["status"], answer["model"], answer["problem"]) == ("ready", "v1", None)

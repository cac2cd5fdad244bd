"""Outcomes and performance over a log with its thread, in an app that has nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from served_world import NOW, outcome, served
from starlette.testclient import TestClient

from churnwatch.pipeline.served.reader import Reader
from churnwatch.pipeline.settings import Column, ColumnType, Settings
from churnwatch.serving import outcomes, problems
from churnwatch.serving.outcomes import Target
from churnwatch.serving.served import Log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serving.db"


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    """Return a log that holds ten predictions of v1 and five of v2, an hour between two of them."""
    opened = Log(path, clock=lambda: NOW + timedelta(days=1))
    for number in range(15):
        sure = number % 2
        opened.add(served(number, at=NOW + timedelta(hours=number), version="v1" if number < 10 else "v2",
                          probability=0.6 + 0.02 * number if sure else 0.05 * number, decision=sure))  # fmt: skip
    opened.start()
    opened.tell([]).result(5)
    yield opened
    opened.close()


def _client(log: Log, path: Path, target: Target) -> TestClient:
    app = FastAPI()
    problems.install(app)
    app.include_router(outcomes.router(log, path, target))
    return TestClient(app, base_url="http://localhost")


@pytest.fixture
def client(log: Log, path: Path) -> TestClient:
    return _client(log, path, Target("Yes"))


def _metrics(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in found["metrics"]}


def test_one_outcome_is_joined_and_known_from_then_on(client: TestClient, path: Path) -> None:
    sent = {"id": "3", "target": "Yes", "at": "2026-03-05T10:00:00+02:00"}
    answer = client.post("/outcomes", json=sent)
    assert (answer.status_code, answer.json()) == (200, {"id": "3", "target": 1.0, "state": "joined"})
    assert client.post("/outcomes", json=sent).json()["state"] == "already known"
    with Reader.open(path) as reader:
        assert reader.rows("SELECT at, target FROM outcomes") == [("2026-03-05T08:00:00.000Z", 1.0)]


def test_a_list_is_answered_by_a_list(client: TestClient) -> None:
    answer = client.post("/outcomes", json=[{"id": "3", "target": 1}, {"id": "4", "target": "No"}])
    assert [(each["id"], each["target"]) for each in answer.json()] == [("3", 1.0), ("4", 0.0)]
    assert client.post("/outcomes", json=[]).json() == []


def test_an_id_that_is_not_in_the_log_is_refused_by_its_place(client: TestClient, path: Path) -> None:
    answer = client.post("/outcomes", json=[{"id": "3", "target": 1}, {"id": "nobody", "target": 1}])
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].endswith("1 of 2 are refused, so none was joined.")
    assert [(each["field"], each["row"]) for each in answer.json()["fields"]] == [("id", 1)]
    assert "nobody" not in answer.text
    with Reader.open(path) as reader:
        assert reader.rows("SELECT * FROM outcomes") == []


def test_what_contradicts_is_refused_and_recorded(client: TestClient, path: Path) -> None:
    client.post("/outcomes", json={"id": "3", "target": 1})
    answer = client.post("/outcomes", json={"id": "3", "target": 0})
    assert answer.status_code == 409
    assert "which counts; this one is recorded" in answer.json()["detail"]
    with Reader.open(path) as reader:
        assert reader.rows("SELECT target FROM contradictions") == [(0.0,)]


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({}, ["id", "target"]),
        ({"id": 3, "target": 1}, ["id"]),
        ({"id": "3", "target": None}, ["target"]),
        ({"id": "3", "target": 2}, ["target"]),
        ({"id": "3", "target": 10**400}, ["target"]),
        ({"id": "3", "target": "yes"}, ["target"]),
        ({"id": "3", "target": ""}, ["target"]),
        ({"id": "3", "target": [1]}, ["target"]),
        ({"id": "3", "target": 1, "at": "yesterday"}, ["at"]),
        ({"id": "3", "target": 1, "at": 17}, ["at"]),
        ({"id": "3", "target": 1, "at": "0001-01-01T00:00:00+14:00"}, ["at"]),
        ({"id": "3", "target": 1, "why": "so", "and": 1}, ["and", "why"]),
    ],
)
def test_what_is_wrong_is_refused_by_field(client: TestClient, sent: dict[str, Any], fields: list[str]) -> None:
    answer = client.post("/outcomes", json=sent)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["fields"]] == fields


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b'"3"', b"\xff", b'{"id": "\\ud800", "target": 1}'])
def test_a_body_that_holds_no_outcomes_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/outcomes", content=body)
    assert answer.status_code in (400, 422)
    assert "/docs" in answer.json()["detail"]


def test_where_nothing_can_be_written_the_answer_says_so(log: Log, client: TestClient, path: Path) -> None:
    log.tell([outcome(1)]).result(5)
    log._store.rows("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = client.post("/outcomes", json={"id": "3", "target": 1})
        other.execute("ROLLBACK")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "nothing can be written now (database is locked); tell it again later."


@pytest.mark.parametrize(
    ("positive", "told", "expected"),
    [
        ("Yes", "Yes", 1.0),
        ("Yes", "No", 0.0),
        ("Yes", True, 1.0),
        ("Yes", 0, 0.0),
        ("Yes", "1", 1.0),
        ("Yes", "0", 0.0),
        ("1", 1, 1.0),
        ("1", "1.0", 1.0),
        ("2", "2.0", 1.0),
        ("2", "1", 0.0),
        ("Yes", "7", 0.0),
        ("1", 0, 0.0),
        ("0", 0, 1.0),
        ("0", 1, 0.0),
        (None, 41.5, 41.5),
        (None, -3, -3.0),
        (None, True, "not a number"),
        (None, 10**400, "not a number"),
        (None, "41.5", "not a number"),
        (None, float("nan"), "not a number"),
        ("Yes", float("inf"), "not a number"),
        ("Yes", 0.5, "neither 1 nor 0"),
        ("Yes", "YES", "written otherwise than `positive` in the settings"),
    ],
)
def test_a_target_is_told_as_1_or_0_as_its_own_value_or_as_an_amount(
    positive: str | None, told: object, expected: float | str
) -> None:
    assert Target(positive).understood(told) == expected


def test_only_allowed_values_of_the_target_hold() -> None:
    column = Column(type=ColumnType.TEXT, allowed=("Yes", "No"))
    target = Target.of(Settings(target="left", positive="Yes", columns={"left": column}))
    assert [target.understood(told) for told in ("No", "Maybe", 0)] == [0.0, "none of the allowed values", 0.0]
    assert Target.of(Settings(target="left", positive="Yes")) == Target("Yes")


def test_performance_is_told_by_model_and_in_all(client: TestClient) -> None:
    told = [{"id": str(number), "target": number % 2 if number < 10 else 1 - number % 2} for number in range(14)]
    assert client.post("/outcomes", json=told).status_code == 200
    found = client.get("/performance").json()
    assert (found["served"], found["outcomes"], found["positives"]) == (15, 14, 7)
    first, second = found["models"]
    assert (first["model"], second["model"]) == ("v1", "v2")
    assert (first["served"], first["outcomes"], second["served"], second["outcomes"]) == (10, 10, 5, 4)
    assert _metrics(first)["f1"]["value"] == 1.0
    assert _metrics(second)["f1"]["value"] == 0.0
    assert _metrics(found)["accuracy"]["value"] == 10 / 14
    for metric in ("f1", "precision", "recall", "accuracy", "roc_auc", "log_loss", "brier"):
        interval = _metrics(found)[metric]
        assert interval["low"] <= interval["value"] <= interval["high"]


def test_a_window_begins_with_its_start_and_ends_before_its_end(client: TestClient) -> None:
    found = client.get("/performance", params={"start": "2026-03-01T14:00:00Z", "end": "2026-03-01T17:00:00+01:00"})
    assert found.json()["served"] == 2
    assert client.get("/performance", params={"start": "2026-03-02"}).json()["served"] == 3
    empty = client.get("/performance", params={"end": "2025-01-01"}).json()
    assert (empty["served"], empty["outcomes"], empty["metrics"], empty["models"]) == (0, 0, [], [])


@pytest.mark.parametrize("start", ["soon", "0001-01-01T00:00:00+14:00"])
def test_a_window_of_no_time_is_refused_by_name(client: TestClient, start: str) -> None:
    answer = client.get("/performance", params={"start": start})
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["fields"]] == ["start"]


def test_of_amounts_the_errors_are_told(log: Log, path: Path) -> None:
    client = _client(log, path, Target(None))
    client.post("/outcomes", json=[{"id": "1", "target": 1.62}, {"id": "3", "target": 0.66}, {"id": "5", "target": 2}])
    metrics = _metrics(client.get("/performance").json())
    assert metrics["mae"]["value"] == pytest.approx((1 + 0 + 1.3) / 3)
    assert set(metrics) == {"mae", "mape", "rmse", "r2"}


def test_amounts_beyond_all_squares_have_no_figures_that_are_none(log: Log, path: Path) -> None:
    client = _client(log, path, Target(None))
    client.post("/outcomes", json=[{"id": "1", "target": 1e300}, {"id": "3", "target": -1e300}])
    with np.errstate(over="ignore", invalid="ignore"):
        answer = client.get("/performance")
    assert answer.status_code == 200
    assert _metrics(answer.json())["mae"]["value"] == 1e300


def test_a_log_that_cannot_be_read_is_said(client: TestClient, log: Log, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_text("no database at all, but long enough to look like one" * 20)
    answer = _client(log, tmp_path / "other.db", Target("Yes")).get("/performance")
    assert answer.status_code == 503
    assert "cannot be read" in answer.json()["detail"]

from __future__ import annotations

import json
import math
import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from churnwatch.pipeline import registry
from churnwatch.pipeline.ledger import compiled_forms
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.served.reader import Reader as Served
from churnwatch.pipeline.settings import FILE_NAME, Home, load
from churnwatch.serving import answers, app, bodies


def test_a_customer_gets_what_the_model_itself_says(client: TestClient, home: Home, customer: dict[str, Any]) -> None:
    answer = client.post("/predict", json=customer).json()
    with Reader.open(home.ledger) as ledger:
        champion = ledger.champion()
    assert champion is not None
    model = registry.load(home.models, champion.model)
    row = pd.DataFrame([customer])[list(model.feature_names_in_)]
    numbers = row.select_dtypes("number").columns
    expected = model.predict_proba(row.astype(dict.fromkeys(numbers, "float64")))[0, 1]
    assert answer["probability"] == pytest.approx(expected, abs=1e-9)
    assert answer["decision"] == int(expected >= model.threshold)
    assert answer["model"] == champion.model.name
    assert answer["data"] == {key: value for key, value in customer.items() if key != "customerID"}
    assert answer["assumed"] == []
    assert answer["bucket"] in {"A", "B", "C"}


def test_contributions_add_up_to_the_log_odds_of_the_probability(client: TestClient, customer: dict[str, Any]) -> None:
    answer = client.post("/predict", json=customer).json()
    total = answer["base"] + sum(answer["explanation"].values())
    assert 1 / (1 + math.exp(-total)) == pytest.approx(answer["probability"], abs=1e-9)


def test_fields_that_are_not_sent_are_assumed_and_said_so(client: TestClient, customer: dict[str, Any]) -> None:
    del customer["tenure"], customer["Contract"]
    answer = client.post("/predict", json=customer).json()
    assert answer["assumed"] == ["tenure", "Contract"]
    assert answer["data"]["Contract"] == "Month-to-month"
    assert isinstance(answer["data"]["tenure"], int)


def test_a_null_is_a_value_that_is_missing_and_not_assumed(client: TestClient, customer: dict[str, Any]) -> None:
    answer = client.post("/predict", json=customer | {"TotalCharges": None}).json()
    assert answer["data"]["TotalCharges"] is None
    assert answer["assumed"] == []


@pytest.mark.parametrize(
    ("field", "value", "detail"),
    [
        ("tenure", "three", "not a number"),
        ("tenure", 3.5, "not a whole number"),
        ("tenure", -1, "below 0"),
        ("tenure", True, "not a number"),
        ("MonthlyCharges", 10**400, "beyond 1e+30, either way"),
        ("TotalCharges", -1e300, "beyond 1e+30, either way"),
        ("tenure", int(1e30) + 1, "beyond 1e+30, either way"),
        ("Contract", 3, "not a text"),
        ("colour", "red", "no such field"),
        ("customerID", ["7590"], "neither a text nor a number up to 1e+30"),
        ("month", 10**400, "neither a text nor a number up to 1e+30"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    client: TestClient, customer: dict[str, Any], field: str, value: object, detail: str
) -> None:
    answer = client.post("/predict", json=customer | {field: value})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["fields"] == [{"field": field, "detail": detail}]
    assert str(value) not in answer.json()["detail"]


def test_a_list_gets_a_list_in_its_order(client: TestClient, customer: dict[str, Any]) -> None:
    sent = [customer | {"tenure": tenure} for tenure in range(150)]
    answers = client.post("/predict", json=sent).json()
    assert [each["data"]["tenure"] for each in answers] == list(range(150))
    one = client.post("/predict", json=sent[7]).json()
    assert answers[7]["probability"] == pytest.approx(one["probability"], abs=1e-12)
    assert len({each["id"] for each in answers}) == 150
    assert client.post("/predict", json=[]).json() == []


def test_what_is_wrong_in_a_list_is_named_with_its_row(client: TestClient, customer: dict[str, Any]) -> None:
    answer = client.post("/predict", json=[customer, customer | {"tenure": "x"}])
    assert answer.json()["fields"] == [{"field": "tenure", "detail": "not a number", "row": 1}]


@pytest.mark.parametrize("text", ["", " \t", "NA"])
def test_a_text_that_counts_as_missing_in_files_does_so_here(
    home: Home, bugs: list[Exception], customer: dict[str, Any], text: str
) -> None:
    with (home.path / FILE_NAME).open("a") as file:
        file.write("csv: {missing: [NA]}\n")
    with TestClient(app.create(load(home.path), keep=bugs.append), base_url="http://localhost") as client:
        answer, expected = (client.post("/predict", json=customer | {"Contract": each}).json() for each in (text, None))
    assert answer["data"]["Contract"] is None
    assert answer["assumed"] == []
    assert answer["probability"] == expected["probability"]


def test_more_than_a_list_may_hold_is_refused_before_it_is_answered(client: TestClient) -> None:
    answer = client.post("/predict", content=b"[" + b"{}," * bodies.MOST + b"{}]")
    assert answer.status_code == 413
    assert "text/csv" in answer.json()["detail"]
    assert client.post("/outcomes", content=b"[" + b"{}," * bodies.MOST + b"{}]").status_code == 413


@pytest.mark.parametrize("path", ["/predict", "/outcomes"])
def test_however_much_is_wrong_the_answer_is_short(client: TestClient, path: str) -> None:
    many = {"x" * 300 + str(each): 1 for each in range(2_000)}
    answer = client.post(path, json=[many] * 3)
    assert answer.status_code == 422
    assert len(answer.content) < 10_000


def test_reasons_are_left_out_where_nobody_wants_them(client: TestClient, customer: dict[str, Any]) -> None:
    answer = client.post("/predict?explain=false", json=customer).json()
    assert "explanation" not in answer
    assert "base" not in answer


@pytest.mark.parametrize("body", [b"", b"{", b"3", b"[3]", b'"x"', b"\xff", b'{"tenure": NaN}',
                                  b'{"customerID": ' + b"[" * 5000 + b"]" * 5000 + b"}"])  # fmt: skip
def test_a_body_that_is_no_customer_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/predict", content=body)
    assert answer.status_code == 400
    assert "JSON" in answer.json()["detail"]


def test_what_breaks_down_says_nothing_of_itself(
    client: TestClient, customer: dict[str, Any], bugs: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("secret")

    monkeypatch.setattr("churnwatch.serving.answers.answer", broken)
    answer = client.post("/predict", json=customer)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert [str(each) for each in bugs] == ["secret"]
    bugs.clear()


def test_errors_of_the_framework_are_problems_too(client: TestClient) -> None:
    assert client.get("/nowhere").json()["status"] == 404
    assert client.get("/predict").headers["allow"] == "POST"
    wrong = client.post("/predict?explain=perhaps", json={})
    assert wrong.status_code == 422
    assert wrong.json()["fields"][0]["field"] == "explain"


def test_numbers_come_back_as_they_were_understood(client: TestClient, customer: dict[str, Any]) -> None:
    assert np.isclose(client.post("/predict", json=customer).json()["data"]["MonthlyCharges"], 80.5)


def test_what_was_answered_is_logged_as_it_was_sent(client: TestClient, home: Home, customer: dict[str, Any]) -> None:
    del customer["tenure"]
    first, second = client.post("/predict", json=[customer, {"Contract": "Two year"}]).json()
    told = client.post("/outcomes", json=[{"id": first["id"], "target": "No"}, {"id": second["id"], "target": 1}])
    assert told.status_code == 200
    with Served.open(home.serving_log) as log:
        rows = log.rows("SELECT uuid, customer, version, probability, decision, inputs FROM served ORDER BY row")
        assert all(0 < row[0] < 5 for row in log.rows("SELECT latency_s FROM served"))
    sent = {key: value for key, value in customer.items() if key != "customerID"}
    assert [(row[:5], json.loads(row[5])) for row in rows] == [
        ((first["id"], "A-1", "v1", first["probability"], first["decision"]), sent),
        ((second["id"], None, "v1", second["probability"], second["decision"]), {"Contract": "Two year"}),
    ]
    assert client.get("/readyz").json()["log"] == {"logged": 2, "not_logged": 0, "waiting": 0, "error": None}
    assert client.get("/performance").json()["models"][0]["outcomes"] == 2


def test_a_model_that_is_not_compiled_answers_beside_other_requests(
    home: Home, customer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_forms, "of_version", lambda *_: None)
    whole, threads = answers.answer, set[str]()

    def told(*given: Any, **options: Any) -> Any:
        threads.add(threading.current_thread().name)
        return whole(*given, **options)

    monkeypatch.setattr(answers, "answer", told)
    with TestClient(app.create(home, keep=print), base_url="http://localhost") as client:
        assert 0 < client.post("/predict", json=customer).json()["probability"] < 1
    assert all(name.startswith("asyncio_") for name in threads), threads
    assert len(threads) == 1

"""The API held against its own document, by hand and by schemathesis."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as how
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient

from churnwatch.pipeline.schema import LARGEST
from churnwatch.pipeline.settings import Column, ColumnType, Home
from churnwatch.serving import app, openapi, schemas
from churnwatch.serving.fields import Field
from churnwatch.serving.release import Current

Document = dict[str, Any]
SENDS = (
    "POST /predict",
    "POST /outcomes",
    "GET /performance",
    "GET /customers/{id}",
)  # what else there is takes nothing that could be wrong
HERE = {"host": "localhost"}
EXAMPLES = {"POST /predict": 25, "POST /outcomes": 25, "GET /performance": 10, "GET /customers/{id}": 15}


@pytest.fixture
def document(client: TestClient) -> Document:
    found: Document = client.get("/openapi.json").json()
    return found


@pytest.fixture
def empty(home: Home) -> Iterator[TestClient]:
    """Return a client of a home without ledger and release."""
    shutil.rmtree(home.deployment)
    home.ledger.unlink()
    with TestClient(app.create(home, keep=print), base_url="http://localhost") as found:
        yield found


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path}", operation


# -- the document ----------------------------------------------------------------------------------------------


def test_every_route_has_a_summary_a_tag_and_says_what_it_answers(document: Document) -> None:
    tags = {each["name"] for each in document["tags"]}
    for route, operation in _operations(document):
        assert operation["tags"][0] in tags, route
        assert operation["description"], route
        for kind, told in operation["responses"]["200"]["content"].items():
            assert told.get("schema") or kind.startswith("text/plain"), route
        for status, answer in operation["responses"].items():
            if status != "200":
                assert answer["content"].keys() == {"application/problem+json"}, (route, status)


def test_what_the_guards_answer_is_documented_but_where_everybody_may_ask(document: Document) -> None:
    for route, operation in _operations(document):
        guarded = {"401", "403", "429"} <= operation["responses"].keys()
        assert guarded == (route not in ("GET /healthz", "GET /readyz")), route
    assert {"400", "413", "415", "422", "503"} <= document["paths"]["/predict"]["post"]["responses"].keys()


def test_the_fields_are_those_of_the_release(document: Document, customer: dict[str, Any]) -> None:
    found = document["components"]["schemas"]["Customer"]
    assert found["additionalProperties"] is False
    assert found["properties"].keys() >= customer.keys()
    tenure = found["properties"]["tenure"]
    assert (tenure["type"], tenure["minimum"], tenure["maximum"]) == (["integer", "null"], 0, LARGEST)
    assert isinstance(tenure["default"], int)
    assert set(found["properties"]["Contract"]["examples"]) == {"Month-to-month", "One year", "Two year"}
    assert found["properties"]["customerID"]["type"] == ["string", "number", "boolean", "null"]


def test_what_the_settings_allow_is_documented(home: Home) -> None:
    current = Current(home)
    current.look()
    assert current.release is not None
    checks = Column(type=ColumnType.INTEGER, required=True, allowed=(1, 2, 9), min=1, max=9)
    fields = {
        "plan": Field("plan", ColumnType.INTEGER, 3, (), 1, 9, checks),
        "tone": Field(
            "tone", ColumnType.TEXT, "a", ("a",), None, None, Column(type=ColumnType.TEXT, allowed=("a", "b"))
        ),
    }
    found = schemas.customer(replace(current.release, fields=fields))["properties"]
    assert (found["plan"]["enum"], found["plan"]["type"]) == ([1, 2, 9], "integer")
    assert (found["plan"]["minimum"], found["plan"]["maximum"]) == (1, 9)
    assert "default" not in found["plan"]  # a median that nobody may have is assumed, but not to be sent
    assert (found["tone"]["enum"], found["tone"]["default"]) == (["a", "b", None], "a")


def test_its_examples_are_what_it_answers(client: TestClient, document: Document) -> None:
    operation = document["paths"]["/predict"]["post"]
    sent = operation["requestBody"]["content"]["application/json"]["examples"]
    said = operation["responses"]["200"]["content"]["application/json"]["examples"]
    assert sent.keys() == said.keys() == {"one", "assumed", "list"}
    for name, example in sent.items():
        answer = client.post("/predict", json=example["value"]).json()
        both = answer if name == "list" else [answer]
        expected = said[name]["value"] if name == "list" else [said[name]["value"]]
        assert [{**each, "id": expected[0]["id"]} for each in both] == expected
    refused = client.post("/predict", json={"colour": "red"}).json()
    assert operation["responses"]["422"]["content"]["application/problem+json"]["example"] == refused


def test_of_amounts_an_amount_is_documented(home: Home) -> None:
    current = Current(home)
    current.look()
    assert current.release is not None
    found = schemas.answer(replace(current.release, amounts=True))
    assert "amount" in found["required"]
    assert "probability" not in found["properties"]


def test_it_is_written_anew_for_another_release_and_not_otherwise(home: Home) -> None:
    current = Current(home)
    made = openapi.documents(app.create(home, keep=print), current)
    before = made()
    assert before["components"]["schemas"]["Customer"] == {"type": "object"}
    current.look()
    after = made()
    assert "tenure" in after["components"]["schemas"]["Customer"]["properties"]
    assert made() is after


def test_no_script_comes_from_elsewhere(client: TestClient) -> None:
    assert "cdn" not in client.get("/docs").text
    assert client.get("/redoc").status_code == 404


# -- what is generated from it ---------------------------------------------------------------------------------


def _hold(client: TestClient, *excluded: Any) -> dict[str, int]:
    """Send what the document allows, and what it does not, and hold the answers against it; return how many."""
    calls: dict[str, int] = {}
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app, headers=HERE)
    for found in schema.get_all_operations():
        operation = found.ok()
        modes = GenerationMode if operation.label in SENDS else [GenerationMode.POSITIVE]
        for mode in modes:

            @how(max_examples=EXAMPLES.get(operation.label, 1), derandomize=True, deadline=None, database=None,
                 phases=[Phase.generate], suppress_health_check=list(HealthCheck))  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def call(case: schemathesis.Case) -> None:
                no_table = [positive_data_acceptance] if case.media_type == "text/csv" else []  # but any text
                answer = case.call_and_validate(headers=HERE, excluded_checks=[*excluded, *no_table])
                calls[case.operation.label] = calls.get(case.operation.label, 0) + 1
                assert answer.status_code < 500 or (excluded and answer.status_code == 503)

            call()
    return calls


def test_whatever_is_sent_is_answered_as_documented(client: TestClient, document: Document) -> None:
    calls = _hold(client)
    assert calls.keys() == {route for route, _ in _operations(document)}
    assert calls["POST /predict"] >= 40


def test_without_ledger_and_release_too(empty: TestClient) -> None:
    assert _hold(empty, not_a_server_error)["POST /predict"] >= 40


def test_the_document_is_valid_openapi(document: Document) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.validator_for({**schema, "components": document["components"]})

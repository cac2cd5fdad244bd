"""`GET /openapi.json`: what can be asked, written anew for each release."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

from churnwatch.serving import problems, schemas
from churnwatch.serving.answers import answer, understand
from churnwatch.serving.problems import FieldProblem, Problem
from churnwatch.serving.release import Current, Release

Document = dict[str, Any]
_OPEN = {"/healthz", "/readyz"}
_TAGS = {
    "predictions": "What the release says of customers who are asked about.",
    "outcomes": "What came of predictions, and how good they were.",
    "customers": "What the runs said of the current customers.",
    "model": "How good the release is, and which versions there were.",
    "data": "What the data looks like, and how the work does.",
    "health": "For load balancers and Prometheus.",
}
_ID = "0b0e7a52-6c4c-4ac5-9b7e-3f2f3f9d8a11"  # in examples
_REFUSED = Problem(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "`colour` is no such field. See /docs for the fields.",
    [FieldProblem("colour", "no such field")],
)


def install(app: FastAPI, current: Current) -> None:
    """Give an app its document; what FastAPI says of itself elsewhere says the same."""
    app.openapi = documents(app, current)  # type: ignore[method-assign] # FastAPI's own way to extend it
    app.include_router(_router(app))


def _router(app: FastAPI) -> APIRouter:
    made = APIRouter()

    @made.get("/openapi.json", include_in_schema=False)
    def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    return made


def documents(app: FastAPI, current: Current) -> Callable[[], Document]:
    """Return what gives the document of the release in use; it is made once for each."""
    known: tuple[Release | None, Document] | None = None

    def document() -> Document:
        nonlocal known
        release = current.release
        if known is None or known[0] is not release:
            known = release, _document(app, release)
        return known[1]

    return document


def _document(app: FastAPI, release: Release | None) -> Document:
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes,
        tags=[{"name": name, "description": about} for name, about in _TAGS.items()],
    )  # fmt: skip
    parts = found.setdefault("components", {})
    parts.setdefault("schemas", {})["Problem"] = problems.SCHEMA
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            if path not in _OPEN:
                _guard(operation, method)
    _predict(found, release)
    return found


def _guard(operation: Document, method: str) -> None:
    """Document what the guards answer; a key is asked for where one was created."""
    sends = [HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE] if method == "post" else []
    told = problems.documented(
        HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, *sends, HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )  # fmt: skip
    operation["responses"] = {**{str(status): each for status, each in told.items()}, **operation["responses"]}
    operation["security"] = [{}, {"key": []}]


def _predict(document: Document, release: Release | None) -> None:
    """Document the fields of the release, with examples; without one, that a customer is an object."""
    anything: Document = {"type": "object"}
    document["components"]["schemas"] |= {
        "Customer": anything if release is None else schemas.customer(release),
        "Answer": anything if release is None else schemas.answer(release),
    }
    sent, said = ({}, {}) if release is None else _examples(release)
    operation = document["paths"]["/predict"]["post"]
    table = {"text/csv": {"schema": {"type": "string", "minLength": 1}}}
    operation["requestBody"] = {
        "required": True, "content": {"application/json": _one_or_many("Customer", sent), **table},
    }  # fmt: skip
    operation["responses"]["200"]["content"] = {"application/json": _one_or_many("Answer", said), **table}
    operation["responses"]["422"]["content"][problems.MEDIA_TYPE]["example"] = _REFUSED.told()


def _examples(release: Release) -> tuple[Document, Document]:
    """Return customers as they are sent, and what is said of them."""
    typical = schemas.typical(release)
    customers = [typical, dict(list(typical.items())[:1])]
    said = [{**each, "id": _ID} for each in answer(release, understand(release, customers), explain=True)]
    return _named(customers), _named(said)


def _named(both: Sequence[Any]) -> Document:
    return {
        "one": {"summary": "A customer.", "value": both[0]},
        "assumed": {"summary": "A customer of whom little is known.", "value": both[1]},
        "list": {"summary": "Several customers.", "value": both},
    }


def _one_or_many(name: str, examples: Document) -> Document:
    one = {"$ref": f"#/components/schemas/{name}"}
    return {"schema": {"oneOf": [one, {"type": "array", "items": one}]}, "examples": examples}

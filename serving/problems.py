"""Errors of the API: problem details, RFC 9457, which name each field that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from churnwatch.pipeline.errors import ChurnwatchError, NotFoundError

MEDIA_TYPE = "application/problem+json"
MOST_PROBLEMS = 20  # with fields; they are enough to mend what makes them
LONGEST_NAME = 60  # characters of a name that nobody knows


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field; of a list, `row` is its place in it, from nought."""

    field: str
    detail: str
    row: int | None = None


class Problem(Exception):  # noqa: N818 - the RFC's word
    """An answer that says what is wrong and what to do. No value of a customer is in it."""

    def __init__(self, status: HTTPStatus, detail: str, fields: Sequence[FieldProblem] = ()) -> None:
        super().__init__(detail)
        self.status, self.detail, self.fields = status, detail, tuple(fields)

    def told(self) -> dict[str, Any]:
        """Return what is said of it."""
        fields = [{key: value for key, value in asdict(each).items() if value is not None} for each in self.fields]
        return {"type": "about:blank", "title": self.status.phrase, "status": self.status.value, "detail": self.detail,
                "fields": fields}  # fmt: skip

    def response(self, headers: dict[str, str] | None = None) -> Response:
        """Return it as an answer."""
        return Response(msgspec.json.encode(self.told()), self.status.value, headers, MEDIA_TYPE)


SCHEMA = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "detail", "fields"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what to do."},
        "fields": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {
                    "field": {"type": "string"},
                    "detail": {"type": "string"},
                    "row": {"type": "integer", "description": "The place in a list, from nought."},
                },
            },
        },
    },
}


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return how an OpenAPI document describes these answers; its component `Problem` is `SCHEMA`."""
    return {each.value: {"description": each.phrase, "content": {MEDIA_TYPE: _example(each)}} for each in statuses}


def _example(status: HTTPStatus) -> dict[str, Any]:
    example = Problem(status, f"{status.description or status.phrase}.").told()
    return {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}


def install(app: FastAPI) -> None:
    """Have every error that an app answers with be a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(ChurnwatchError, _expected)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(RequestValidationError, _of_parameters)


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - what it is installed for
    return error.response()


async def _expected(_request: Request, error: Exception) -> Response:
    unknown = isinstance(error, NotFoundError)
    return Problem(HTTPStatus.NOT_FOUND if unknown else HTTPStatus.SERVICE_UNAVAILABLE, str(error)).response()


async def _of_framework(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    status = HTTPStatus(error.status_code)
    return Problem(status, f"{status.description or status.phrase}. See /docs for what there is.").response(
        dict(error.headers or {})
    )


async def _of_parameters(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    fields = [FieldProblem(".".join(map(str, each["loc"][1:])), each["msg"]) for each in error.errors()]
    detail = f"{', '.join(each.field for each in fields)}: not what is expected there."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, fields).response()

"""A request that is turned away, and the one thing that guards ask of a request: a header."""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Scope

from churnwatch.serving.problems import Problem


class RefusedError(Exception):
    """The request goes no further; `response` is all that it gets."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def refused(status: HTTPStatus, detail: str, **headers: str) -> RefusedError:
    """Return a refusal as a problem; an underscore in a header's name stands for a dash."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RefusedError(Problem(status, detail).response(named))


def header(scope: Scope, name: bytes) -> str | None:
    """Return a header of a request, the first one of that name (in lower case); None: there is none."""
    for each, value in scope["headers"]:
        if each == name:
            return str(value, "latin-1")
    return None

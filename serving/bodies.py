"""The body of a request → JSON objects."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from churnwatch.serving.problems import Problem


def objects(body: bytes, of_one: str) -> dict[str, Any] | list[dict[str, Any]]:
    """Return the object, or the list of objects, in a body; `of_one` says what each is of, such as `one customer`.

    Raises:
        Problem: it is neither.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any] | list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body is no JSON object of {of_one}, nor a list of such; see /docs"
                      " for an example.") from None  # fmt: skip

"""The body of a request → JSON objects, of which there may be so many."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from churnwatch.serving.problems import Problem

MOST = 5_000  # of a list: its answer holds some hundred times the bytes that were sent


def objects(body: bytes, of_one: str, beyond: str) -> dict[str, Any] | list[dict[str, Any]]:
    """Return the object, or the list of objects, in a body.

    Args:
        body: of the request.
        of_one: what each is of, such as `one customer`.
        beyond: how to send more than a list may hold, as the end of a sentence.

    Raises:
        Problem: it is neither, or too much.
    """
    try:
        found: dict[str, Any] | list[dict[str, Any]] = msgspec.json.decode(
            body, type=dict[str, Any] | list[dict[str, Any]]
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last one of what is nested too deeply
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body is no JSON object of {of_one}, nor a list of such; see /docs"
                      " for an example.") from None  # fmt: skip
    if isinstance(found, list) and len(found) > MOST:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MOST:,} at a time; {beyond}.")
    return found

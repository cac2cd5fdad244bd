"""`POST /predict` with a CSV: the same CSV with what the release says of each row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from email.message import Message
from http import HTTPStatus
from urllib.parse import quote

from fastapi import Request, Response

from churnwatch.serving import bulk
from churnwatch.serving.bulk import BLOCK, Bulk
from churnwatch.serving.problems import Problem
from churnwatch.serving.release import Current, Release
from churnwatch.serving.streaming import BrokenOffError, Incoming, Streamed
from churnwatch.serving.traffic import Traffic

MEDIA_TYPE = "text/csv"
_ENCODINGS = {"utf-8": "utf-8-sig", "us-ascii": "utf-8", "utf-16": "utf-16", "windows-1252": "cp1252",
              "iso-8859-1": "cp1252"}  # fmt: skip
log = logging.getLogger(__name__)


async def answered(request: Request, current: Current, release: Release, traffic: Traffic) -> Response:
    """Answer a CSV, and count the customers.

    Raises:
        Problem: its encoding is none that is known here, it is no CSV, or its header is not of customers.
    """
    encoding, incoming = _encoding(request.headers["content-type"]), Incoming(request.stream())
    head, home = await incoming.head(BLOCK), current.home
    found = bulk.opened(release, home.settings.csv, head, is_all=len(head) < BLOCK, encoding=encoding)
    headers = {"churnwatch-model": release.name, "churnwatch-assumed": ", ".join(map(quote, found.assumed))}
    loop = asyncio.get_running_loop()

    def count(customers: int) -> None:
        loop.call_soon_threadsafe(traffic.predicted, release.name, customers)

    return Streamed(
        lambda: _written(found, incoming, count), incoming, home.state, headers, f"{MEDIA_TYPE}; charset=utf-8"
    )


def _written(answering: Bulk, incoming: Incoming, count: Callable[[int], object]) -> Iterator[bytes]:
    yield answering.head()
    try:
        for lines, predicted in answering.lines(incoming):
            count(predicted)
            yield lines
    except OSError as error:
        log.warning("a CSV was answered in part: %s", error)
        yield answering.last(f"nothing from here on is answered: {error}")
        raise BrokenOffError from error
    yield b"\n"


def _encoding(content_type: str) -> str | None:
    """Return the encoding that a content type names, as Python calls it."""
    parsed = Message()
    parsed["content-type"] = content_type
    named = parsed.get_param("charset")
    if named is None:
        return None
    found = _ENCODINGS.get(str(named).lower())
    if found is None:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"charset: one of {', '.join(_ENCODINGS)}.")
    return found

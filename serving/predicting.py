"""`POST /predict`: customers in, what the release says of them out."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from churnwatch.serving import answers, problems
from churnwatch.serving.problems import Problem
from churnwatch.serving.release import Current, Release
from churnwatch.serving.traffic import Traffic

_AT_ONCE = 100  # customers; of more, the answer is computed beside other requests


def router(current: Current, traffic: Traffic) -> APIRouter:
    """Return the route."""
    made = APIRouter()

    @made.post("/predict", tags=["predictions"], responses=problems.documented(
        HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ))  # fmt: skip
    async def predict(request: Request, *, explain: bool = True) -> Response:
        """Predict one customer, or a list of them."""
        release = in_use(current)
        sent = _customers(await request.body())
        if isinstance(sent, list) and len(sent) > _AT_ONCE:
            found = await asyncio.to_thread(_answered, release, sent, explain=explain)
        else:
            found = _answered(release, sent if isinstance(sent, list) else [sent], explain=explain)
        traffic.predicted(release.name, len(found))
        body = msgspec.json.encode(found if isinstance(sent, list) else found[0])
        return Response(body, media_type="application/json")

    return made


def in_use(current: Current) -> Release:
    """Return the release in use.

    Raises:
        Problem: there is none.
    """
    if current.release is None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, current.problem or "the release is being loaded; try again.")
    return current.release


def _answered(release: Release, sent: list[dict[str, Any]], *, explain: bool) -> list[answers.Answer]:
    return answers.answer(release, answers.understand(release, sent), explain=explain) if sent else []


def _customers(body: bytes) -> dict[str, Any] | list[dict[str, Any]]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any] | list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is no JSON object of one customer, nor a list of such; see"
                      " /docs for an example.") from None  # fmt: skip

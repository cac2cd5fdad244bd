"""`POST /predict`: customers in, what the release says of them out."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.compiled import Original
from churnwatch.pipeline.served.records import Served
from churnwatch.serving import answers, bodies, bulk_route, problems
from churnwatch.serving.problems import Problem
from churnwatch.serving.release import Current, Release
from churnwatch.serving.served import Log
from churnwatch.serving.traffic import Traffic

_JSON = ("application/json", "application/x-www-form-urlencoded")
_AT_ONCE = 100  # customers; of more, and by a model that is not compiled, the answer is computed beside other requests


def router(current: Current, traffic: Traffic, log: Log) -> APIRouter:
    """Return the route."""
    made = APIRouter()

    @made.post("/predict", tags=["predictions"], responses=problems.documented(
        HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.SERVICE_UNAVAILABLE,
    ))  # fmt: skip
    async def predict(request: Request, *, explain: bool = True, what_if: bool = False) -> Response:
        """Predict one customer, or a list of them; or a CSV of any size, which comes back with what is said.

        With `what_if` they are nobody who is there, and are not logged.
        """
        release, begun = in_use(current), time.perf_counter()
        if _media_type(request) == bulk_route.MEDIA_TYPE:
            return await bulk_route.answered(request, current, release, traffic)
        sent = bodies.objects(await request.body(), "one customer", "send them as text/csv, or in pieces")
        answered = partial(_answered, release, None if what_if else log, begun=begun, explain=explain)
        customers = sent if isinstance(sent, list) else [sent]
        is_slow = len(customers) > _AT_ONCE or isinstance(release.predictor, Original)
        found = await asyncio.to_thread(answered, customers) if is_slow else answered(customers)
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


def _answered(
    release: Release, log: Log | None, sent: list[dict[str, Any]], *, begun: float, explain: bool
) -> list[answers.Answer]:
    if not sent:
        return []
    found = answers.answer(release, answers.understand(release, sent), explain=explain)
    if log is None:
        return found
    at, latency_s = iso(utc_now()), time.perf_counter() - begun
    for customer, answer in zip(sent, found, strict=True):
        log.add(_served(release, customer, answer, at, latency_s))
    return found


def _served(release: Release, customer: dict[str, Any], answer: answers.Answer, at: str, latency_s: float) -> Served:
    said = answer["amount"] if release.amounts else answer["probability"]
    known = {name: value for name, value in customer.items() if name != release.id}
    id_ = None if release.id is None else customer.get(release.id)
    return Served(answer["id"], at, None if id_ is None else str(id_), release.name, said, answer.get("decision"),
                  latency_s, known)  # fmt: skip


def _media_type(request: Request) -> str:
    """Return what is sent; without a word about it, or by curl's own word, it is JSON.

    Raises:
        Problem: nothing that is understood here.
    """
    sent = request.headers.get("content-type", _JSON[0]).partition(";")[0].strip().lower()
    if sent not in (*_JSON, bulk_route.MEDIA_TYPE) or request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {_JSON[0]} or {bulk_route.MEDIA_TYPE}, not packed.")
    return sent

"""`GET /healthz`: the process answers. `GET /readyz`: it has a release to answer with."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter

from churnwatch.serving import problems
from churnwatch.serving.predicting import in_use
from churnwatch.serving.release import Current
from churnwatch.serving.served import Log, LogState


@dataclass(frozen=True, slots=True)
class Alive:
    """The process answers."""

    status: Literal["ok"] = "ok"


@dataclass(frozen=True, slots=True)
class Ready:
    """Which release answers, why that is not the newest, where it is not, and how the log is."""

    model: str
    problem: str | None
    log: LogState
    status: Literal["ready"] = "ready"


def router(current: Current, log: Log) -> APIRouter:
    """Return both routes."""
    made = APIRouter(tags=["health"])

    @made.get("/healthz")
    async def healthz() -> Alive:
        """Say that the process answers."""
        return Alive()

    @made.get("/readyz", responses=problems.documented(HTTPStatus.SERVICE_UNAVAILABLE))
    async def readyz() -> Ready:
        """Say which release answers, why that is not the newest, where it is not, and how the log is."""
        return Ready(in_use(current).name, current.problem, log.state())

    return made

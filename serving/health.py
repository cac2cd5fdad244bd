"""`GET /healthz`: the process answers. `GET /readyz`: it has a release to answer with."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter

from churnwatch.serving import problems
from churnwatch.serving.predicting import in_use
from churnwatch.serving.release import Current


@dataclass(frozen=True, slots=True)
class Alive:
    """The process answers."""

    status: Literal["ok"] = "ok"


@dataclass(frozen=True, slots=True)
class Ready:
    """Which release answers, and why that is not the newest, where it is not."""

    model: str
    problem: str | None
    status: Literal["ready"] = "ready"


def router(current: Current) -> APIRouter:
    """Return both routes."""
    made = APIRouter(tags=["health"])

    @made.get("/healthz")
    async def healthz() -> Alive:
        """Say that the process answers."""
        return Alive()

    @made.get("/readyz", responses=problems.documented(HTTPStatus.SERVICE_UNAVAILABLE))
    async def readyz() -> Ready:
        """Say which release answers, and why that is not the newest, where it is not."""
        return Ready(in_use(current).name, current.problem)

    return made

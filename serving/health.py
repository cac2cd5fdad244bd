"""`GET /healthz`: the process answers. `GET /readyz`: it has a release to answer with."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter

from churnwatch.serving import problems
from churnwatch.serving.predicting import in_use
from churnwatch.serving.release import Current


def router(current: Current) -> APIRouter:
    """Return both routes."""
    made = APIRouter(tags=["health"])

    @made.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "ok"}

    @made.get("/readyz", responses=problems.documented(HTTPStatus.SERVICE_UNAVAILABLE))
    async def readyz() -> dict[str, Any]:
        """Say which release answers, and why that is not the newest, where it is not."""
        return {"status": "ready", "model": in_use(current).name, "problem": current.problem}

    return made

"""The application: routes, guards and the release put together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from importlib import metadata

from fastapi import FastAPI

from churnwatch.pipeline.settings import Home
from churnwatch.serving import health, predicting, problems
from churnwatch.serving.bugs import Bugs
from churnwatch.serving.release import Current


def create(home: Home, *, keep: Callable[[Exception], object]) -> FastAPI:
    """Return the application that serves a home's release; `keep` is given what breaks down."""
    current = Current(home)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(current.look)
        following = asyncio.create_task(current.follow())
        yield
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following

    app = FastAPI(
        title="churnwatch", version=metadata.version("churnwatch"), lifespan=lifespan, redoc_url=None,
        description="Predictions of the release of one home, and how it does.",
    )  # fmt: skip
    problems.install(app)
    for router in (predicting.router(current), health.router(current)):
        app.include_router(router)
    app.add_middleware(Bugs, keep=keep)
    return app

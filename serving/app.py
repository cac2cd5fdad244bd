"""The application: routes, guards and the release put together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from importlib import metadata

from fastapi import FastAPI

from churnwatch.pipeline.settings import Home
from churnwatch.serving import (
    customers,
    diagnostics,
    guards,
    health,
    measuring,
    openapi,
    outcomes,
    pages,
    predicting,
    problems,
    scoring,
    summaries,
    versions,
)
from churnwatch.serving.bugs import Bugs
from churnwatch.serving.keys import Keyring
from churnwatch.serving.outcomes import Target
from churnwatch.serving.release import Current
from churnwatch.serving.served import Log
from churnwatch.serving.traffic import Counting, Traffic


def create(home: Home, *, keep: Callable[[Exception], object]) -> FastAPI:
    """Return the application that serves a home's release; `keep` is given what breaks down.

    Raises:
        SettingsError: others could reach it, and there is no key.
        LedgerError: the ledger cannot be read, or what is served cannot be logged.
    """
    current, keyring, log = Current(home), Keyring(home.ledger), Log.of(home)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        log.start()
        await asyncio.to_thread(current.look)
        following = asyncio.gather(current.follow(), keyring.follow())
        yield
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await asyncio.to_thread(log.close)

    app = FastAPI(
        title="churnwatch", version=metadata.version("churnwatch"), lifespan=lifespan,
        description="Predictions of the release of one home, and how it does.",
        openapi_url=None, generate_unique_id_function=lambda route: route.name,
    )  # fmt: skip
    traffic = Traffic()
    problems.install(app)
    for router in (
        predicting.router(current, traffic, log), outcomes.router(log, home.serving_log, Target.of(home.settings)),
        customers.router(home), scoring.router(home, current),
        versions.router(home, current), summaries.router(home), diagnostics.router(home),
        measuring.router(current, traffic, log), health.router(current, log), pages.router(current, app),
    ):  # fmt: skip
        app.include_router(router)
    openapi.install(app, current)
    app.add_middleware(Bugs, keep=keep)
    guards.install(app, home.settings.serve, keyring)
    app.add_middleware(Counting, traffic=traffic)
    return app

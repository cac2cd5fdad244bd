"""A toy application behind the guards, with keys that are in no ledger, and a real server for it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Receive, Send

from churnwatch.pipeline.api_keys import Key, Scope, hashed
from churnwatch.pipeline.settings_serve import Serve
from churnwatch.serving import guards, problems
from churnwatch.serving.server import configured


class ToyKeys:
    """A key for each scope; its token is the scope's name."""

    def __init__(self, *scopes: Scope) -> None:
        self.all = {number: Key(number, scope, scope, hashed(scope), "", None) for number, scope in enumerate(scopes)}
        self.any_created = self.any_in_force = bool(scopes)

    def find(self, token: str) -> Key | None:
        return next((key for key in self.all.values() if key.sha256 == hashed(token)), None)

    def in_force(self, number: int) -> Key | None:
        return self.all.get(number)


class Echo(Response):
    """What comes, as it comes; starlette's own streaming would take pieces of the body for itself meanwhile."""

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            piece = await receive()
            more = piece.get("more_body", False)
            await send({"type": "http.response.body", "body": piece.get("body", b""), "more_body": more})


def toy(given: Serve, keys: ToyKeys | None = None) -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.get("/customers")
    @app.get("/healthz")
    async def shown() -> dict[str, str]:
        return {"shown": "yes"}

    @app.post("/predict")
    @app.post("/outcomes")
    async def taken(request: Request) -> Any:
        if "echo" in request.query_params:
            return Echo()
        return {"bytes": len(await request.body())}

    @app.post("/slow")
    async def slow(request: Request) -> dict[str, str]:
        await asyncio.sleep(float(request.query_params["s"]))
        return {"slow": "yes"}

    app.state.keys = keys or ToyKeys()
    guards.install(app, given, app.state.keys)
    return app


def client(
    given: Serve | None = None, *scopes: Scope, address: str = "127.0.0.1", host: str = "localhost"
) -> TestClient:
    """Return a client of the toy; it raises no error of the application's."""
    app = toy(given or Serve(), ToyKeys(*scopes))
    return TestClient(app, base_url=f"http://{host}", client=(address, 50000), follow_redirects=False)


@contextmanager
def running(given: Serve, *scopes: Scope) -> Iterator[tuple[uvicorn.Server, tuple[str, int]]]:
    """Run the toy on a free port of the loopback; yield the server and its address."""
    server = uvicorn.Server(configured(toy(given, ToyKeys(*scopes)), given))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield server, listening.getsockname()
        finally:
            server.should_exit = True
            thread.join()

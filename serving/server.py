"""The process: uvicorn with the application."""

from __future__ import annotations

import contextlib
import math
import signal
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from churnwatch.pipeline.settings_serve import Serve
from churnwatch.serving.patient import Patient


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None], stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready, self._stopping = ready, stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)


def serve(app: ASGIApp, given: Serve, *, ready: Callable[[str], None], stopping: Callable[[], None]) -> bool:
    """Answer requests until told to stop; those in flight are finished.

    Args:
        app: what answers.
        given: where to listen, and how long a request may take.
        ready: called with the address once requests are taken.
        stopping: called when no more are.

    Returns:
        Whether it ever was ready.
    """
    server = _Server(configured(app, given), ready, stopping)
    # It stops upon this signal and then raises it once more, which would end the process before it has said so.
    former = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with contextlib.suppress(SystemExit):  # it cannot listen there, for instance, and has said why
            server.run()
    finally:
        signal.signal(signal.SIGTERM, former)
    return server.started


def configured(app: ASGIApp, given: Serve) -> uvicorn.Config:
    """Return what uvicorn is told; a proxy is believed by the guards, and by nobody else."""
    return uvicorn.Config(
        app, host=given.host, port=given.port, loop="uvloop", http=Patient, ws="none", lifespan="on",
        proxy_headers=False, access_log=False, log_config=None, server_header=False,
        timeout_graceful_shutdown=math.ceil(given.timeout_s),
    )  # fmt: skip

"""The process: uvicorn with the application."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

_GRACE_S = 10  # in which requests are finished at a stop


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")


def serve(app: FastAPI, *, host: str, port: int, ready: Callable[[str], None]) -> bool:
    """Answer requests until told to stop; those in flight are finished.

    Args:
        app: what answers.
        host: the address to listen at.
        port: 0 takes any that is free.
        ready: called with the address once requests are taken.

    Returns:
        Whether it ever was ready.
    """
    config = uvicorn.Config(
        app, host=host, port=port, loop="uvloop", http="httptools", lifespan="on",
        access_log=False, log_config=None, server_header=False, timeout_graceful_shutdown=_GRACE_S,
    )  # fmt: skip
    server = _Server(config, ready)
    server.run()
    return server.started

"""How large a request may be, how long it may take, and how many there may be at a time."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from churnwatch.serving.patient import ABORT
from churnwatch.serving.refused import RefusedError, header, refused

_STREAMED = "/predict"  # a CSV sent here is answered while it comes, so its size is nobody's concern
log = logging.getLogger(__name__)


class Limits:
    """ASGI middleware.

    Args:
        app: what answers.
        body_bytes: of a request's body; a streamed CSV has no limit.
        timeout_s: until all is answered; of a streamed CSV, without anything coming or going.
        requests: at a time.
    """

    def __init__(self, app: ASGIApp, *, body_bytes: int, timeout_s: float, requests: int) -> None:
        self._app, self._body_bytes, self._timeout_s, self._requests = app, body_bytes, timeout_s, requests
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on.

        Raises:
            RefusedError: with 408, 413 or 503, where nothing was answered yet.
        """
        if self._now >= self._requests:
            raise refused(HTTPStatus.SERVICE_UNAVAILABLE, f"{self._requests} requests are being answered; try again."
                          " `serve.max_requests` in settings.yaml says how many.", retry_after="1")  # fmt: skip
        self._now += 1
        try:
            await self._within(scope, receive, send)
        finally:
            self._now -= 1

    async def _within(self, scope: Scope, receive: Receive, send: Send) -> None:
        streamed = _is_streamed(scope)
        if not streamed and _announced(scope) > self._body_bytes:
            raise self._too_large()
        exchange = _Exchange(receive, send, math.inf if streamed else self._body_bytes)
        try:
            async with asyncio.timeout(self._timeout_s) as patience:
                exchange.progress = self._renewing(patience) if streamed else None
                await self._app(scope, exchange.receive, exchange.send)
        except TimeoutError:
            if not patience.expired():
                raise
            self._late(scope, exchange)
        except HTTPException:
            if not exchange.too_large:
                raise
        if exchange.too_large and not exchange.begun:
            raise self._too_large()

    def _renewing(self, patience: asyncio.Timeout) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        return lambda: patience.reschedule(loop.time() + self._timeout_s)

    def _late(self, scope: Scope, exchange: _Exchange) -> None:
        if exchange.begun:
            log.warning("an answer was cut off after %g s: it was not taken, or not complete", self._timeout_s)
            if ABORT in scope.get("extensions", {}):
                scope["extensions"][ABORT]["now"]()
        elif exchange.waiting:
            raise refused(HTTPStatus.REQUEST_TIMEOUT, f"the body was not there within {self._timeout_s:g} s.",
                          connection="close")  # fmt: skip
        else:
            raise refused(HTTPStatus.SERVICE_UNAVAILABLE, f"no answer within {self._timeout_s:g} s; ask for less at a"
                          " time. `serve.timeout_s` in settings.yaml says how long it may take.")  # fmt: skip

    def _too_large(self) -> RefusedError:
        return refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"more than {self._body_bytes / 1e6:g} MB; send it in pieces, or as text/csv to /predict."
            " `serve.max_body_mb` in settings.yaml says how large.",
        )


class _Exchange:
    """What comes and goes of one request, counted."""

    __slots__ = ("_bytes", "_most", "_receive", "_send", "begun", "complete", "progress", "too_large", "waiting")

    def __init__(self, receive: Receive, send: Send, most: float) -> None:
        self._receive, self._send, self._most, self._bytes = receive, send, most, 0
        self.begun = False  # to be answered
        self.complete = False  # the body is
        self.waiting = False  # for more of it
        self.too_large = False
        self.progress: Callable[[], None] | None = None

    async def receive(self) -> Message:
        """Take the next piece of the body.

        Raises:
            HTTPException: it was one too many; a framework lets this error through where it reads a body.
        """
        self.waiting = not self.complete
        message = await self._receive()
        self.waiting = False
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
            if self._bytes > self._most:
                self.too_large = True
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if self.progress is not None:
            self.progress()
        return message

    async def send(self, message: Message) -> None:
        """Hand on a piece of the answer, unless it is one to a body that is too large: that gets one of ours."""
        if self.too_large and not self.begun:
            return
        self.begun = True
        await self._send(message)
        if self.progress is not None:
            self.progress()


def _is_streamed(scope: Scope) -> bool:
    return scope["path"] == _STREAMED and (header(scope, b"content-type") or "").startswith("text/csv")


def _announced(scope: Scope) -> int:
    """Return how many bytes a body is said to have; 0 where nothing is said, and they are counted as they come."""
    length = header(scope, b"content-length") or ""
    return int(length) if length.isdecimal() else 0

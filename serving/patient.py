"""uvicorn's connection, which itself waits for ever for the head of a request, however large."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PATIENCE_S = 10.0
ABORT = "churnwatch.abort"  # an extension of the ASGI scope
_HEAD_BYTES = 65_536


class Patient(HttpToolsProtocol):
    """A connection that is closed where nothing is being answered and no whole head comes.

    That is also where a body goes on that nobody reads any more, since it was refused.
    """

    _waiting: asyncio.TimerHandle | None = None
    _in_head = False
    _bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what came; count it while it is of a head."""
        super().data_received(data)
        if self._in_head:
            self._bytes += len(data)
            if self._bytes > _HEAD_BYTES:
                self.send_400_response("The head of the request is too large.")
                self._in_head = False
        if self._waiting is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()

    def on_message_begin(self) -> None:
        """See a request begin, and let the limits end its connection: closing it waits for whoever takes nothing."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"now": self.transport.abort}}
        self._in_head, self._bytes = True, 0

    def on_headers_complete(self) -> None:
        """Stop waiting: from here on the limits of a request count."""
        self._in_head = False
        self._stop()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(PATIENCE_S, self.transport.close)

    def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

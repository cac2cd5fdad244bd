"""A request's body for a thread that reads it, and an answer that the thread writes: neither is ever held as a whole.

Many clients send all of a body before they read any of the answer. If nothing were taken from them while they do not
read, both sides would wait for each other for ever; so what they do not take yet waits on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import IO

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_HELD = 4 << 20  # bytes of an answer that wait in memory; more wait on disk
_MOST = 1 << 30  # bytes on disk; from there on all must be taken before more is made
_PIECE = 1 << 18  # bytes that are sent at a time
_THREADS = CapacityLimiter(32)  # a slow client holds one


class Incoming:
    """A request's body. The next bytes are received while those before them are worked on."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks, self._loop = chunks, asyncio.get_running_loop()
        self._rest = b""
        self._ended = False
        self._first: bytes | None = None
        self._coming: Future[bytes] | None = None

    async def head(self, size: int) -> bytes:
        """Return the first bytes, fewer only where there are no more; `read` gives them once more."""
        self._first = await self._received(size)
        return self._first

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, fewer only at the end; called by a thread, with the size of the head.

        Raises:
            starlette.requests.ClientDisconnect: the client is gone.
            concurrent.futures.CancelledError: it was closed.
        """
        first, self._first = self._first, None
        found = first if first is not None else (self._coming or self._asked(size)).result()
        self._coming = self._asked(size) if len(found) == size else None
        return found

    def close(self) -> None:
        """Give up; who waits for bytes hears of it."""
        if self._coming is not None:
            self._coming.cancel()

    def _asked(self, size: int) -> Future[bytes]:
        return asyncio.run_coroutine_threadsafe(self._received(size), self._loop)

    async def _received(self, size: int) -> bytes:
        parts, held = [self._rest], len(self._rest)
        while held < size and not self._ended:
            chunk = await anext(self._chunks, None)
            self._ended = chunk is None
            parts.append(chunk or b"")
            held += len(parts[-1])
        found = b"".join(parts)
        self._rest = found[size:]
        return found[:size]


class _Backlog:
    """Bytes that a thread adds and the event loop takes, in their order.

    A client that takes nothing while so much waits is given up in time by the guards, since nothing comes or goes.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_HELD, dir=str(folder))  # noqa: SIM115 - closed by `close`
        self._written = self._taken = 0
        self._room, self._more, self._loop = threading.Condition(), asyncio.Event(), asyncio.get_running_loop()
        self._ended = self._given_up = False

    def add(self, data: bytes) -> None:
        """Add some, once there is room; called by the thread.

        Raises:
            starlette.requests.ClientDisconnect: nobody will take it.
        """
        with self._room:
            self._room.wait_for(lambda: self._given_up or self._written < _MOST)
            if self._given_up:
                raise ClientDisconnect
            self._file.seek(self._written)
            self._written += self._file.write(data)
        self._loop.call_soon_threadsafe(self._more.set)

    def end(self) -> None:
        """Say that no more will come; called by the thread."""
        self._ended = True
        self._loop.call_soon_threadsafe(self._more.set)

    async def take(self) -> bytes:
        """Return the next bytes, none at the end."""
        while True:
            self._more.clear()
            ended = self._ended
            piece = self._piece()
            if piece or ended:
                return piece
            await self._more.wait()

    def give_up(self) -> None:
        """Say that no more will be taken; the thread hears of it."""
        with self._room:
            self._given_up = True
            self._room.notify()

    def close(self) -> None:
        """Give up what was not taken, once the thread has ended."""
        self._file.close()

    def _piece(self) -> bytes:
        with self._room:
            self._file.seek(self._taken)
            piece = self._file.read(min(_PIECE, self._written - self._taken))
            self._taken += len(piece)
            if self._taken == self._written:
                self._file.seek(0)
                self._file.truncate()
                self._written = self._taken = 0
                self._room.notify()
            return piece


class BrokenOffError(Exception):
    """An answer ends before its end, for a reason that was told."""


class Streamed(Response):
    """An answer that is written by a thread while it is sent. Where that breaks down, it is broken off."""

    def __init__(
        self, write: Callable[[], Iterable[bytes]], incoming: Incoming, folder: Path, headers: dict[str, str],
        media_type: str,
    ) -> None:  # fmt: skip
        """Make an answer.

        Args:
            write: yields it; it reads `incoming`.
            incoming: the request's body.
            folder: where on disk waits what the client does not take yet.
            headers: of the answer.
            media_type: of it.
        """
        super().__init__(None, headers=headers, media_type=media_type)
        del self.headers["content-length"]
        self._write, self._incoming, self._folder = write, incoming, folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the answer."""
        backlog = _Backlog(self._folder)
        writing = asyncio.create_task(to_thread.run_sync(self._written_to, backlog, limiter=_THREADS))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while piece := await backlog.take():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            with contextlib.suppress(BrokenOffError, ClientDisconnect):  # without an end, the connection is closed
                await writing
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._incoming.close()
            backlog.give_up()
            await asyncio.wait([writing])
            writing.exception()  # it was told, or nobody is there any more to be told
            backlog.close()

    def _written_to(self, backlog: _Backlog) -> None:
        try:
            for piece in self._write():
                backlog.add(piece)
        finally:
            backlog.end()

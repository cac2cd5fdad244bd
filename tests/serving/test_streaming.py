from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect

from churnwatch.serving import streaming
from churnwatch.serving.streaming import _Backlog

PIECES = [bytes([65 + place]) * 8 for place in range(20)]


@pytest.fixture(autouse=True)
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_MOST", 20)


def test_no_more_is_made_while_enough_waits_to_be_taken(tmp_path: Path) -> None:
    async def through() -> tuple[bytes, int]:
        backlog, most = _Backlog(tmp_path), 0

        def write() -> None:
            for piece in PIECES:
                backlog.add(piece)
            backlog.end()

        writing = asyncio.create_task(asyncio.to_thread(write))
        taken = b""
        while piece := await backlog.take():
            taken, most = taken + piece, max(most, len(piece))
        await writing
        backlog.close()
        return taken, most

    taken, most = asyncio.run(through())
    assert taken == b"".join(PIECES)
    assert most <= 24  # the room, and what was begun within it


def test_who_waits_for_room_hears_that_nobody_takes_any_more(tmp_path: Path) -> None:
    heard = threading.Event()

    async def given_up() -> None:
        backlog = _Backlog(tmp_path)

        def write() -> None:
            try:
                for piece in PIECES:
                    backlog.add(piece)
            except ClientDisconnect:
                heard.set()

        writing = asyncio.create_task(asyncio.to_thread(write))
        await backlog.take()
        backlog.give_up()
        await writing
        backlog.close()

    asyncio.run(given_up())
    assert heard.is_set()

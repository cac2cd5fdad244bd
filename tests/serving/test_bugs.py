from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import ClientDisconnect

from churnwatch.serving.bugs import Bugs
from churnwatch.serving.traffic import Counting, Traffic


def test_who_hangs_up_breaks_nothing_down() -> None:
    async def app(*_: Any) -> None:
        raise ClientDisconnect

    async def send(_: Any) -> None:
        pass

    kept: list[Exception] = []
    traffic = Traffic()
    asyncio.run(Counting(Bugs(app, kept.append), traffic)({"type": "http"}, send, send))  # type: ignore[arg-type]
    assert kept == []
    [requests, *_] = traffic.families()
    assert [labels["status"] for labels, _ in requests.samples] == ["499"]  # type: ignore[union-attr]

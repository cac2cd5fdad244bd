from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
import switching
import uvicorn

from churnwatch.pipeline.settings import Home
from churnwatch.serving import app, bulk, bulk_route, server


@contextmanager
def _served(home: Home, bugs: list[Exception]) -> Iterator[tuple[str, int]]:
    """Serve a home from a thread; give the address."""
    before = set(threading.enumerate())
    given = msgspec.structs.replace(home.settings.serve, port=0)
    running = uvicorn.Server(server.configured(app.create(home, keep=bugs.append), given))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)
    host, port = running.servers[0].sockets[0].getsockname()[:2]
    yield host, port
    running.should_exit = True
    thread.join()
    for each in set(threading.enumerate()) - before:
        if each.name.startswith("AnyIO"):  # they end with their loop, and nobody waits for it
            each.join()


def test_no_request_fails_and_no_answer_is_mixed_while_the_release_switches(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bulk, bulk_route):  # of many blocks, so that releases switch within CSVs
        monkeypatch.setattr(module, "BLOCK", 1 << 14)
    versions, bugs = switching.two_versions(home), list[Exception]()
    sent = switching.requests(home, versions, rows=2_000)
    with _served(home, bugs) as address:
        outcome = switching.load(home, address, versions, sent, clients=16, seconds=2, every_s=0.5)
    assert outcome.failed == []
    assert outcome.mixed == 0
    assert outcome.switches >= 3
    assert all(outcome.answers[version.name] > 0 for version in versions)
    assert bugs == []

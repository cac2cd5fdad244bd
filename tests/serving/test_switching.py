from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import switching

from churnwatch.pipeline.settings import Home
from churnwatch.serving import app, server


@contextmanager
def _served(home: Home, bugs: list[Exception]) -> Iterator[tuple[str, int]]:
    """Serve a home from a thread; give the address."""
    ready, address = threading.Event(), list[str]()
    config = server.configured(app.create(home, keep=bugs.append), host="127.0.0.1", port=0)
    running = server.Server(config, lambda url: (address.append(url), ready.set()))
    thread = threading.Thread(target=running.run)
    thread.start()
    assert ready.wait(30)
    host, _, port = address[0].removeprefix("http://").partition(":")
    yield host, int(port)
    running.should_exit = True
    thread.join()


def test_no_request_fails_and_no_answer_is_mixed_while_the_release_switches(home: Home) -> None:
    versions, bugs = switching.two_versions(home), list[Exception]()
    sent = switching.requests(home, versions)
    with _served(home, bugs) as address:
        outcome = switching.load(home, address, versions, sent, clients=16, seconds=2, every_s=0.5)
    assert outcome.failed == []
    assert outcome.mixed == 0
    assert outcome.switches >= 3
    assert all(outcome.answers[version.name] > 0 for version in versions)
    assert bugs == []

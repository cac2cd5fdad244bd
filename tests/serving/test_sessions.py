from __future__ import annotations

import pytest

from churnwatch.serving import sessions
from churnwatch.serving.sessions import Sessions


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return [0.0]


def test_a_session_ends_after_its_time_whatever_is_done_in_it(now: list[float]) -> None:
    found = Sessions(100.0, clock=lambda: now[0])
    cookie = found.begin(7)
    now[0] = 99.9
    assert found.key_of(cookie) == 7
    now[0] = 100.0
    assert found.key_of(cookie) is None


def test_each_session_is_of_its_key_and_ends_alone(now: list[float]) -> None:
    found = Sessions(100.0, clock=lambda: now[0])
    first, second = found.begin(1), found.begin(2)
    found.end(first)
    found.end("never there")
    assert (found.key_of(first), found.key_of(second)) == (None, 2)


def test_sessions_take_no_more_room_than_there_is(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_MOST", 3)
    found = Sessions(100.0, clock=lambda: now[0])
    cookies = [found.begin(number) for number in range(5)]
    assert [found.key_of(cookie) for cookie in cookies] == [None, None, 2, 3, 4]
    now[0] = 100.0
    found.begin(5)
    assert len(found._open) == 1  # those that ended are forgotten


def test_no_cookie_is_kept_as_it_is(now: list[float]) -> None:
    found = Sessions(100.0, clock=lambda: now[0])
    assert found.begin(1) not in found._open

"""People who logged in: random cookies, each standing for a key until a set time. A restart logs everybody out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from starlette.responses import Response
from starlette.types import Scope

from churnwatch.pipeline.api_keys import hashed
from churnwatch.serving.refused import header

_MOST = 10_000  # at a time; the oldest ends for a further one


@dataclass(frozen=True, slots=True)
class _Session:
    key: int
    ends_s: float


class Sessions:
    """Sessions in memory, found by the hash of their cookie.

    Args:
        lifetime_s: after which one ends, whatever is done in it.
        clock: seconds that only grow.
    """

    def __init__(self, lifetime_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.lifetime_s, self._clock = lifetime_s, clock
        self._open: dict[str, _Session] = {}  # in the order in which they end

    def begin(self, key: int) -> str:
        """Return a new cookie's value that stands for a key, given by its number."""
        for each in [cookie for cookie, session in self._open.items() if session.ends_s <= self._clock()]:
            del self._open[each]
        if len(self._open) >= _MOST:
            del self._open[next(iter(self._open))]
        cookie = secrets.token_urlsafe(32)
        self._open[hashed(cookie)] = _Session(key, self._clock() + self.lifetime_s)
        return cookie

    def key_of(self, cookie: str) -> int | None:
        """Return the number of the key that a cookie stands for; None: it has ended, or never was."""
        session = self._open.get(hashed(cookie))
        return session.key if session is not None and session.ends_s > self._clock() else None

    def end(self, cookie: str) -> None:
        """Have a cookie stand for nothing any more."""
        self._open.pop(hashed(cookie), None)


def cookie_of(scope: Scope) -> str | None:
    """Return the cookie that a request came with."""
    sent = header(scope, b"cookie")
    if sent is None:
        return None
    try:
        found = SimpleCookie(sent).get(_name(scope))
    except CookieError:
        return None
    return found.value if found is not None else None


def set_cookie(scope: Scope, response: Response, value: str, lifetime_s: float) -> None:
    """Have a browser keep a cookie: for no script, for no other site, and under https never without it."""
    response.set_cookie(_name(scope), value, max_age=int(lifetime_s), path="/", secure=scope["scheme"] == "https",
                        httponly=True, samesite="strict")  # fmt: skip


def _name(scope: Scope) -> str:
    """Under https the name has browsers refuse a cookie that another host below the same domain has set."""
    return "__Host-churnwatch" if scope["scheme"] == "https" else "churnwatch"

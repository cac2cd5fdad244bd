"""Who may ask what: a key as a bearer token, or a person's cookie that stands for one."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.types import Scope as Asked

from churnwatch.pipeline.api_keys import Key, Scope
from churnwatch.serving.hosts import check_origin
from churnwatch.serving.keys import Keys
from churnwatch.serving.refused import RefusedError, header, refused
from churnwatch.serving.sessions import Sessions, cookie_of

LOGIN, LOGOUT = "/login", "/logout"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PREDICTING = frozenset({("POST", "/predict"), ("POST", "/outcomes")})


def needed(method: str, path: str) -> Scope:
    """Return the scope that a request needs."""
    if method in _SAFE:
        return Scope.READ
    return Scope.PREDICT if (method, path) in _PREDICTING else Scope.ADMIN


@dataclass(frozen=True)
class Access:
    """Lets a request in, or not.

    Attributes:
        keys: what tokens belong to.
        sessions: what cookies stand for.
        exposed: whether others than this machine reach the API; if not, keys are asked for from the first one on that
            was ever created.
    """

    keys: Keys
    sessions: Sessions
    exposed: bool

    @property
    def asks(self) -> bool:
        """Whether keys are asked for."""
        return self.exposed or self.keys.any_created

    def check(self, scope: Asked) -> Key | None:
        """Return the key that a request came with; None: it needs none.

        Raises:
            RefusedError: with 401, 403, or the way to the login.
        """
        unsafe = scope["method"] not in _SAFE
        if scope["path"] in (LOGIN, LOGOUT):
            if unsafe:
                check_origin(scope, needed=True)
            return None
        if not self.asks:
            if unsafe:
                check_origin(scope, needed=False)
            return None
        key = self._key(scope, unsafe=unsafe)
        scope_needed = needed(scope["method"], scope["path"])
        if not key.allows(scope_needed):
            raise refused(HTTPStatus.FORBIDDEN, f"the scope of this key is {key.scope}; this needs {scope_needed}. Make"
                          f" a key for it: churnwatch key create NAME --scope {scope_needed}")  # fmt: skip
        return key

    def _key(self, scope: Asked, *, unsafe: bool) -> Key:
        token = _bearer(scope)
        if token is not None:
            key = self.keys.find(token)
        else:
            number = self.sessions.key_of(cookie_of(scope) or "")
            key = None if number is None else self.keys.in_force(number)
            if key is not None and unsafe:
                check_origin(scope, needed=True)
        if key is None:
            raise _unknown(scope, sent=token is not None)
        return key


def _bearer(scope: Asked) -> str | None:
    kind, _, token = (header(scope, b"authorization") or "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _unknown(scope: Asked, *, sent: bool) -> RefusedError:
    """Send a person who opens a page to the login, and tell a program what is missing."""
    if not sent and scope["method"] == "GET" and "text/html" in (header(scope, b"accept") or ""):
        path = quote(scope["path"]) + ("?" + str(scope["query_string"], "latin-1") if scope["query_string"] else "")
        return RefusedError(RedirectResponse(f"{LOGIN}?next={quote(path, safe='')}", HTTPStatus.SEE_OTHER))
    wrong = "the key is none, or it was revoked." if sent else "a key is needed: Authorization: Bearer TOKEN."
    make = f"Make one: churnwatch key create NAME --scope {needed(scope['method'], scope['path'])}"
    return refused(HTTPStatus.UNAUTHORIZED, f"{wrong} {make}", www_authenticate="Bearer")

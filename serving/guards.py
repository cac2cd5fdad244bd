"""All that stands between the network and the routes, as one ASGI middleware: a request has a thousandth of a second.

In this order: the name under which we are reached, key or cookie with its scope and the page it comes from, rate,
number at a time, size and time of the request. Every answer gets the headers that browsers are told to heed.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings_serve import Serve
from churnwatch.serving import hosts, login
from churnwatch.serving.access import Access
from churnwatch.serving.headers import with_headers
from churnwatch.serving.keys import Keys
from churnwatch.serving.limits import Limits
from churnwatch.serving.rate import Rate
from churnwatch.serving.refused import RefusedError
from churnwatch.serving.sessions import Sessions

_PROBES = frozenset({"/healthz", "/readyz"})  # asked by whoever watches over the process, however busy it is


@dataclass(frozen=True)
class Checks:
    """What a request has to pass before anything of it is read.

    Attributes:
        names: of the hosts; None: any.
        access: who may ask what.
        rate: how often.
    """

    names: frozenset[str] | None
    access: Access
    rate: Rate

    def check(self, scope: Scope) -> None:
        """Let a request pass, and count it.

        Raises:
            RefusedError: it goes no further.
        """
        hosts.check_name(scope, self.names)
        if scope["path"] in _PROBES:
            return
        address = scope["client"][0] if scope.get("client") else None
        try:
            key = self.access.check(scope)
        except RefusedError:
            self.rate.take(address)
            raise
        if self.access.asks:
            self.rate.take(address if key is None else key.key)


class Guards:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, checks: Checks, given: Serve) -> None:
        self._checks, self._app = checks, app
        self._limited = Limits(
            app, body_bytes=int(given.max_body_mb * 1e6), timeout_s=given.timeout_s, requests=given.max_requests
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = with_headers(send)
        try:
            self._checks.check(scope)
            await (self._app if scope["path"] in _PROBES else self._limited)(scope, receive, sent)
        except RefusedError as error:
            await error.response(scope, receive, sent)


def install(app: FastAPI, given: Serve, keys: Keys) -> None:
    """Put the guards around an application, and the login into it.

    Raises:
        SettingsError: others could reach it, and there is no key.
    """
    exposed = hosts.is_exposed(given)
    if exposed and not keys.any_in_force:
        raise SettingsError("others than this machine could reach the API (by --host, or by `serve.host`, `hosts` or"
                            " `proxy`), and no key is in force. Make one: churnwatch key create NAME")  # fmt: skip
    sessions = Sessions(given.session_h * 3600)
    login.install(app, keys, sessions)
    checks = Checks(hosts.allowed(given), Access(keys, sessions, exposed), Rate(given.rate_per_s))
    app.add_middleware(Guards, checks=checks, given=given)
    if given.proxy is not None:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=given.proxy)

"""`/login` and `/logout`: a person gives a key once, and has a cookie for some hours."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from http import HTTPStatus
from urllib.parse import parse_qs

from fastapi import FastAPI
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from churnwatch.serving.access import LOGIN, LOGOUT
from churnwatch.serving.keys import Keys
from churnwatch.serving.sessions import Sessions, cookie_of, set_cookie

_HERE = re.compile(r"/(?![/\\])[\x21-\x7e]*")  # a place on this host: after two slashes there would be another one
_WRONG = "This key is none, or it was revoked."


def install(app: FastAPI, keys: Keys, sessions: Sessions) -> None:
    """Add the routes to an application."""

    async def login(request: Request) -> Response:
        if request.method != "POST":
            return _page(_here(request.query_params.get("next", "")))
        sent = parse_qs((await request.body()).decode("latin-1"))
        following = _here(sent.get("next", [""])[0])
        key = keys.find(sent.get("key", [""])[0].strip())
        if key is None:
            return _page(following, _WRONG, HTTPStatus.UNAUTHORIZED)
        response = RedirectResponse(following, HTTPStatus.SEE_OTHER)
        set_cookie(request.scope, response, sessions.begin(key.key), sessions.lifetime_s)
        return response

    async def logout(request: Request) -> Response:
        sessions.end(cookie_of(request.scope) or "")
        response = RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)
        set_cookie(request.scope, response, "", 0)
        return response

    app.add_route(LOGIN, login, ["GET", "POST"], include_in_schema=False)
    app.add_route(LOGOUT, logout, ["POST"], include_in_schema=False)


def _here(place: str) -> str:
    return place if _HERE.fullmatch(place) else "/"


def _page(following: str, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    template, style, policy = _looks()
    text = template.render(style=style, next=following, problem=problem)
    return HTMLResponse(text, status, {"Content-Security-Policy": policy})


@cache
def _looks() -> tuple[Template, Markup, str]:
    """Return the page, its style, which is the report's, and the policy that lets a browser heed that style alone."""
    reports = PackageLoader("churnwatch.reports", "templates")
    environment = Environment(loader=PackageLoader("churnwatch.serving", "templates"), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    style = reports.get_source(environment, "style.css")[0]
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (f"default-src 'none'; style-src 'sha256-{hashed}'; img-src data:; form-action 'self'; base-uri 'none';"
              " frame-ancestors 'none'")  # fmt: skip
    return environment.get_template("login.html.j2"), Markup(style), policy  # noqa: S704 - our own file

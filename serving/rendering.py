"""Templates → answers for browsers. A page loads its style and its script from here, and nothing else from anywhere."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import quote

from fastapi import Response
from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from churnwatch.pipeline.reason_words import shown
from churnwatch.reports.templating import environment

# The guards add what is alike for all answers; none but pages load anything.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_STATIC = {
    "report.css": ("churnwatch.reports", "style.css", "text/css"),
    "pages.css": ("churnwatch.serving", "pages.css", "text/css"),
    "pages.js": ("churnwatch.serving", "pages.js", "text/javascript"),
}


def page(template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
    """Return a page.

    Args:
        template: of the page.
        status: of the answer.
        values: what the template says.
    """
    return Response(_templates().get_template(template).render(values), status, {"Content-Security-Policy": _POLICY},
                    "text/html; charset=utf-8")  # fmt: skip


def static(name: str) -> Response | None:
    """Return a file that pages load; None: there is none of that name. Its address changes with what it holds."""
    if name not in _STATIC:
        return None
    kept = {"Content-Security-Policy": _POLICY, "Cache-Control": "private, max-age=31536000, immutable"}
    return Response(_content(name), HTTPStatus.OK, kept, f"{_STATIC[name][2]}; charset=utf-8")


def address(customer: str) -> str:
    """Return the address of the page of a customer, whatever the id holds."""
    return f"/customer/{quote(customer, safe='')}"


def _prose(text: str) -> Markup:
    """Return a docstring's text as HTML, with what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


@cache
def _templates() -> Environment:
    made = environment(PackageLoader("churnwatch.serving", "templates"))
    made.filters["exact"] = escape  # of addresses, and of what a form sends back
    made.filters["address"] = lambda customer: escape(address(customer))
    made.filters["value"] = shown
    made.filters["prose"] = _prose
    made.globals["static"] = {name: f"/static/{name}?{_version(name)}" for name in _STATIC}
    return made


@cache
def _content(name: str) -> bytes:
    package, file, _ = _STATIC[name]
    return (resources.files(f"{package}.templates") / file).read_bytes()


def _version(name: str) -> str:
    return hashlib.sha256(_content(name)).hexdigest()[:12]

"""Under which names a browser may reach the API.

A page from elsewhere can have its own name point to this machine (DNS rebinding), and would then be taken for a page of
ours. So on the loopback, where nothing may be asked for, only known names count; `Origin` says from which page a
request comes.
"""

from __future__ import annotations

import ipaddress
import re
from http import HTTPStatus

from starlette.types import Scope

from churnwatch.pipeline.settings_serve import Serve
from churnwatch.serving.refused import header, refused

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:/?#@\s]+)(?P<port>:[0-9]+)?")


def is_loopback(address: str) -> bool:
    """Tell whether an address is this machine's own, which nobody reaches from elsewhere."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def is_exposed(given: Serve) -> bool:
    """Tell whether others than this machine reach the API: directly, through a proxy or under a name of its own."""
    return not is_loopback(given.host) or given.proxy is not None or bool(given.hosts)


def allowed(given: Serve) -> frozenset[str] | None:
    """Return the names in lower case under which the API may be reached; None: any, since it listens for anybody."""
    if not is_loopback(given.host) and not given.hosts:
        return None
    own = f"[{given.host}]" if ":" in given.host else given.host
    return frozenset(name.lower() for name in (*_LOOPBACK_NAMES, own, *given.hosts))


def check_name(scope: Scope, names: frozenset[str] | None) -> None:
    """Refuse a request under another name.

    Raises:
        RefusedError: with 400.
    """
    if names is None:
        return
    asked = _HOST.fullmatch((header(scope, b"host") or "").lower())
    if asked is None or asked["name"] not in names:
        raise refused(HTTPStatus.BAD_REQUEST, "the header `Host` names none of the hosts that are served; `serve.hosts`"
                      " in settings.yaml lists further ones.")  # fmt: skip


def check_origin(scope: Scope, *, needed: bool) -> None:
    """Refuse what a page from elsewhere has a browser send.

    Args:
        scope: the request's.
        needed: whether it must say from which page it comes, as every browser does with what changes something.

    Raises:
        RefusedError: with 403.
    """
    origin = header(scope, b"origin")
    if origin is None and not needed:
        return
    if origin is None or origin.lower() != f"{scope['scheme']}://{header(scope, b'host') or ''}".lower():
        raise refused(HTTPStatus.FORBIDDEN, "a page from elsewhere may not ask this. Behind a proxy, `serve.proxy` in"
                      " settings.yaml names it.")  # fmt: skip

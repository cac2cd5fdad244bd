"""What browsers are told to do with an answer, unless a route says otherwise."""

from __future__ import annotations

from starlette.types import Message, Send

_POLICY = b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_DEFAULTS = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    # Under `no-referrer` a browser would say of its own pages' forms that they come from nowhere.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),  # there are customers in nearly everything
)
_NAMES = frozenset(name for name, _ in _DEFAULTS)


def with_headers(send: Send) -> Send:
    """Return a `send` that adds what the answer does not say itself."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_missing(message["headers"])]
        await send(message)

    return sent


def _missing(given: list[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    said = {name.lower() for name, _ in given} & _NAMES
    return _DEFAULTS if not said else tuple(each for each in _DEFAULTS if each[0] not in said)

"""`api-returns`: each route of a running server asked once, and what it answered.

Which routes there are stands in the server's own document, so that one that is added is asked too. What only reads is
asked, and a prediction of the customer that the document gives as an example, who is nobody: it is not logged.
"""

from __future__ import annotations

import csv
import http.client
import io
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote

from churnwatch.pipeline import settings
from churnwatch.pipeline.errors import ChurnwatchError, NotFoundError, SettingsError
from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import Home

KEY = "CHURNWATCH_KEY"
_TIMEOUT_S = 60
_NOBODY = "nobody"
Document = Mapping[str, Any]
Returns = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class _Call:
    """A request: what it is called, where to, and what is sent as what."""

    route: str
    path: str
    body: bytes | None = None
    media_type: str | None = None


def gather(folder: Path, url: str | None) -> Returns:
    """Return what a running server answers: by route, the status and the answer.

    Args:
        folder: the home.
        url: of the server; None: where the settings say that it listens.

    Raises:
        NotFoundError: no server is there.
        SettingsError: the address is none, or a key is needed.
    """
    home = settings.load(folder)
    server = _address(home) if url is None else url.rstrip("/")
    document = _document(server)
    return {call.route: _ask(server, call) for call in _calls(document, _somebody(home))}


def _address(home: Home) -> str:
    given = home.settings.serve
    if given.port == 0:
        raise SettingsError("settings.yaml: serve.port is 0, any that is free: say where the server is, --url.")
    host = given.host
    try:
        address = ip_address(host)
    except ValueError:
        return f"http://{host}:{given.port}"
    if address.is_unspecified:  # it listens everywhere, here too
        host = "::1" if address.version == 6 else "127.0.0.1"  # noqa: PLR2004 - of the protocol
    return f"http://{f'[{host}]' if ':' in host else host}:{given.port}"


def _somebody(home: Home) -> str:
    """Return the id of whom the newest call list has first; where there is none, one that nobody has."""
    try:
        with Reader.open(home.ledger) as ledger:
            head = customers.newest(ledger)
            listed = [] if head is None else customers.call_list(ledger, head.run)
    except ChurnwatchError:
        return _NOBODY
    return str(listed[0]["id"]) if listed else _NOBODY


def _document(server: str) -> Document:
    found = _ask(server, _Call("", "/openapi.json"))
    if found["status"] in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise SettingsError(f"{server}: asks for a key that may read; put one into {KEY}.")
    if found["status"] != HTTPStatus.OK or not isinstance(found["answer"], dict) or "paths" not in found["answer"]:
        raise NotFoundError(f"{server}: what answers there is no `churnwatch serve`. Say where that is: --url.")
    return found["answer"]


def _calls(document: Document, customer: str) -> Iterator[_Call]:
    for path, operations in document["paths"].items():
        if "get" in operations:
            yield _Call(f"GET {path}", path.replace("{id}", quote(customer, safe="")))
    yield from _predictions(document["paths"]["/predict"]["post"]["requestBody"]["content"])


def _predictions(content: Document) -> Iterator[_Call]:
    example = content["application/json"].get("examples", {}).get("one", {}).get("value", {})
    yield _Call("POST /predict", "/predict?what_if=true", json.dumps(example).encode(), "application/json")
    if "text/csv" in content:
        yield _Call("POST /predict (text/csv)", "/predict", _as_csv(example), "text/csv")


def _as_csv(customer: Mapping[str, Any]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([customer.keys(), customer.values()])
    return out.getvalue().encode()


def _ask(server: str, call: _Call) -> dict[str, Any]:
    if not server.startswith(("http://", "https://")):
        raise SettingsError(f"--url {server}: begins with neither http:// nor https://.")
    try:
        with urllib.request.urlopen(_request(server, call), timeout=_TIMEOUT_S) as response:  # noqa: S310
            return _told(response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return _told(error.code, error.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        raise NotFoundError(f"{server}: no server answers there ({why}). Start it: churnwatch serve.") from None


def _request(server: str, call: _Call) -> urllib.request.Request:
    request = urllib.request.Request(server + call.path, data=call.body)  # noqa: S310 - the scheme was looked at
    if call.media_type is not None:
        request.add_header("Content-Type", call.media_type)
    if key := os.environ.get(KEY):
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    return request


def _told(status: int, body: bytes) -> dict[str, Any]:
    text = body.decode(errors="replace")
    try:
        return {"status": status, "answer": json.loads(text)}
    except json.JSONDecodeError:
        return {"status": status, "answer": text}


def in_words(found: Returns, output: Path) -> str:
    """Return the statuses for the terminal, and where the answers are."""
    lines = [f"{each['status']}  {route}" for route, each in found.items()]
    return "\n".join([*lines, f"Answers: {output}"])

"""What `key create`, `key list` and `key revoke` do."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from churnwatch.daemon.changes import who
from churnwatch.daemon.listings import table
from churnwatch.daemon.reading import ledger_of
from churnwatch.daemon.writing import ledger_of as changing
from churnwatch.pipeline import settings
from churnwatch.pipeline.api_keys import Key, KeyChange, KeyEvent, Scope, hashed, new_token
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.errors import NotFoundError, UsageError
from churnwatch.pipeline.ledger import api_keys
from churnwatch.pipeline.ledger.reader import Reader

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}")


def create(folder: Path, name: str, scope: str) -> tuple[str, str]:
    """Make a key.

    Returns:
        Its token, which is kept nowhere, and a line about it.

    Raises:
        UsageError: the name is none, or one that a key in force has.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError("NAME: at most 64 letters, digits, blanks and ._@-, the first one a letter or a digit.")
    token = new_token()
    with changing(settings.load(folder)) as ledger, ledger.transaction():
        if _in_force(ledger, name) is not None:
            raise UsageError(f"{name}: there is such a key. Take another name, or first: churnwatch key revoke {name}")
        ledger.add(KeyEvent(name, KeyChange.CREATED, iso(utc_now()), who(), Scope(scope), hashed(token)))
    return token, f"{name}: may {scope}. Its token is shown this once; only its hash is kept."


def revoke(folder: Path, name: str) -> str:
    """End a key.

    Raises:
        NotFoundError: no key in force has this name.
    """
    with changing(settings.load(folder)) as ledger, ledger.transaction():
        key = _in_force(ledger, name)
        if key is None:
            raise NotFoundError(f"{name}: no key of that name is in force. See them all: churnwatch key list")
        ledger.add(KeyEvent(name, KeyChange.REVOKED, iso(utc_now()), who(), created=key.key))
    return f"{name}: revoked; a running `churnwatch serve` refuses it within two seconds"


def look(folder: Path) -> list[dict[str, Any]]:
    """Return all keys without their hashes, the oldest first."""
    with ledger_of(folder) as ledger:
        found = [dataclasses.asdict(key) for key in api_keys.keys(ledger)]
    return [{name: value for name, value in row.items() if name not in {"key", "sha256"}} for row in found]


def in_words(rows: Sequence[dict[str, Any]]) -> str:
    """Return the keys as a table."""
    if not rows:
        return "No keys yet; make one: churnwatch key create NAME"
    return table((list(row.values()) for row in rows), ("name", "scope", "created", "revoked"), numbers=False)


def _in_force(ledger: Reader, name: str) -> Key | None:
    return next((key for key in api_keys.keys(ledger) if key.name == name and key.revoked_at is None), None)

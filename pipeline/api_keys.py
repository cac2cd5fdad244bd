"""Keys of the API: what is known of one, how a token is made, and what is kept of it.

A token is 256 random bits, so SHA-256 is enough of a hash: there is no dictionary to try, and nobody goes through 2²⁵⁶
values. A slow hash guards passwords, which people choose; here it would only cost time with every request.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum

_PREFIX = "cw_"  # tells people, and programs that look for leaked secrets, what it is
_RANDOM_BYTES = 32


class Scope(StrEnum):
    """What a key is good for."""

    PREDICT = "predict"  # ask for predictions, and say what came of them
    READ = "read"  # everything that only shows
    ADMIN = "admin"  # everything


class KeyChange(StrEnum):
    """What became of a key."""

    CREATED = "created"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """One change of a key (table `key_events`). Times are UTC, ISO 8601."""

    name: str
    change: KeyChange
    at: str
    actor: str
    scope: Scope | None = None  # these two of a created one
    sha256: str | None = None  # of its token, which is kept nowhere
    created: int | None = None  # of a revoked one: the event that created it


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is now (view `keys`)."""

    key: int  # the event that created it
    name: str
    scope: Scope
    sha256: str
    created_at: str
    revoked_at: str | None  # None: it is in force

    def allows(self, scope: Scope) -> bool:
        """Tell whether the key is good for what needs this scope."""
        return self.scope in (scope, Scope.ADMIN)


def new_token() -> str:
    """Return a token that nobody can guess."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hashed(token: str) -> str:
    """Return what is kept of a token: its SHA-256, as 64 hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()

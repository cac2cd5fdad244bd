"""The keys in force, as the ledger has them: read once a second, so that a revoked one soon opens nothing."""

from __future__ import annotations

import asyncio
import hmac
import logging
from pathlib import Path
from typing import Protocol

from churnwatch.pipeline.api_keys import Key, hashed
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger import api_keys
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.serving import changes

_LOOK_EVERY_S = 1.0
log = logging.getLogger(__name__)


class Keys(Protocol):
    """What is known of keys."""

    @property
    def any_created(self) -> bool:
        """Whether there ever was one."""

    @property
    def any_in_force(self) -> bool:
        """Whether anybody has one."""

    def find(self, token: str) -> Key | None:
        """Return the key in force that a token belongs to."""

    def in_force(self, number: int) -> Key | None:
        """Return a key by its number, while it is in force."""


class Keyring:
    """The keys of a ledger. There are none while there is no ledger.

    Raises:
        LedgerError: there is one that cannot be read.
    """

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._in_force: dict[int, Key] = {}
        self.any_created = False
        self._seen: changes.State | None = None
        self._look()

    def find(self, token: str) -> Key | None:
        """Return the key in force that a token belongs to; how long that takes says nothing of a token."""
        found, sha256 = None, hashed(token)
        for key in self._in_force.values():
            if hmac.compare_digest(key.sha256, sha256):
                found = key
        return found

    def in_force(self, number: int) -> Key | None:
        """Return a key by its number, while it is in force."""
        return self._in_force.get(number)

    @property
    def any_in_force(self) -> bool:
        """Whether anybody has one."""
        return bool(self._in_force)

    async def follow(self) -> None:
        """Look again and again, beside the requests, until cancelled."""
        problem = None
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await asyncio.to_thread(self._look)
                problem = None
            except LedgerError as error:
                if str(error) != problem:
                    log.warning("the keys stay as they were: %s", error)
                problem = str(error)

    def _look(self) -> None:
        seen = changes.of_ledger(self._ledger)
        if seen == self._seen or not self._ledger.exists():
            return
        with Reader.open(self._ledger) as ledger:
            found = api_keys.keys(ledger)
        self._in_force = {key.key: key for key in found if key.revoked_at is None}
        self.any_created = bool(found)
        self._seen = seen

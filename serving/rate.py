"""How often somebody may ask: a token bucket for each key or address, which holds what a second allows.

Kept as one number, the moment at which the bucket will be full again (the generic cell rate algorithm of ATM networks,
ITU-T I.371).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from http import HTTPStatus

from churnwatch.serving.refused import refused

_MOST = 10_000  # buckets that are not full; beyond, the one that was filled first is forgotten


class Rate:
    """Buckets by whom they belong to.

    Args:
        per_s: requests in a second, and at once after a second's rest.
        clock: seconds that only grow.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = 1 / per_s, clock
        self._burst_s = max(1.0, self._every_s)
        self._full: dict[Hashable, float] = {}

    def take(self, who: Hashable) -> None:
        """Count a request.

        Raises:
            RefusedError: with 429, which does not count.
        """
        now = self._clock()
        full = max(now, self._full.get(who, now)) + self._every_s
        if full > now + self._burst_s:
            wait_s = math.ceil(full - now - self._burst_s)
            raise refused(HTTPStatus.TOO_MANY_REQUESTS, f"more than {1 / self._every_s:g} requests a second; try again"
                          f" in {wait_s} s. `serve.rate_per_s` in settings.yaml says how many.",
                          retry_after=str(wait_s))  # fmt: skip
        if who not in self._full and len(self._full) >= _MOST:
            self._forget(now)
        self._full[who] = full

    def _forget(self, now: float) -> None:
        self._full = {who: full for who, full in self._full.items() if full > now}
        if len(self._full) >= _MOST:
            del self._full[next(iter(self._full))]

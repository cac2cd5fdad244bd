"""Which files are stable: nothing was heard of them for a while, and size and times stand still.

Pure: the clock is passed in, and nothing here looks at a disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from churnwatch.pipeline.records import Signature

_PATIENCE = 10.0  # times the stability delay: so long do stable files wait for the rest of a burst


@dataclass(frozen=True)
class Settled:
    """What is known after one look."""

    stable: frozenset[Signature]
    ready: bool  # whether to begin: all are stable, or the stable ones have waited long enough
    next_at: float | None  # when another look is worth it; None: not before something is heard


@dataclass
class _Watched:
    signature: Signature
    quiet_since: float
    stable_since: float | None = None


class Settler:
    """Remembers since when each file has been quiet.

    Args:
        stability_s: how long a file must be quiet to be stable.
    """

    def __init__(self, stability_s: float) -> None:
        self.stability_s = stability_s
        self._watched: dict[str, _Watched] = {}

    def hear(self, path: str, now: float) -> None:
        """Note that something happened to a file, whether or not it shows in its size and times."""
        watched = self._watched.get(path)
        if watched is not None:
            watched.quiet_since = now
            watched.stable_since = None

    def look(self, seen: Iterable[Signature], now: float) -> Settled:
        """Take in what lies there now (only files that need work), and tell which are stable."""
        there = {signature.path: signature for signature in seen}
        self._watched = {path: watched for path, watched in self._watched.items() if path in there}
        for path, signature in there.items():
            watched = self._watched.get(path)
            if watched is None or watched.signature != signature:
                self._watched[path] = _Watched(signature, now)
        stable = [watched for watched in self._watched.values() if self._is_stable(watched, now)]
        return self._settled(stable, now)

    def _is_stable(self, watched: _Watched, now: float) -> bool:
        if now < watched.quiet_since + self.stability_s:  # the same sum as `next_at`: at that very moment it is stable
            return False
        if watched.stable_since is None:
            watched.stable_since = now
        return True

    def _settled(self, stable: list[_Watched], now: float) -> Settled:
        moving = [watched for watched in self._watched.values() if watched.stable_since is None]
        oldest = min((watched.stable_since for watched in stable if watched.stable_since is not None), default=now)
        waited = now - oldest >= _PATIENCE * self.stability_s
        return Settled(
            stable=frozenset(watched.signature for watched in stable),
            ready=bool(stable) and (not moving or waited),
            next_at=min((watched.quiet_since + self.stability_s for watched in moving), default=None),
        )

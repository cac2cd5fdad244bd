"""Predictions as they are logged, for the tests around `serving.db`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.served.records import Outcome, Served

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ALWAYS = ("0001", "9999")
_ONE = Served("", "", None, "v1", 0.5, 1, 0.002, {})


def served(number: int, *, at: datetime = NOW, **rest: Any) -> Served:
    """Return a prediction by its number; its id is the number as text."""
    return replace(_ONE, uuid=str(number), at=iso(at), **rest)


def outcome(number: int, target: float = 1.0) -> Outcome:
    """Return what came of a prediction."""
    return Outcome(str(number), target, iso(NOW + timedelta(days=1)))

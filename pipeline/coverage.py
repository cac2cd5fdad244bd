"""Estimates that the truth was held against → whether estimates are to be believed. Light: `status` asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from churnwatch.pipeline.ledger.reader import Reader

NEWEST = 20  # comparisons that count
LEAST = 5  # comparisons, below which nothing can be said
ENOUGH = 0.9  # share of the intervals that must hold the truth; they are made for 95 %
ASSUMPTION = "assuming that the relation to churn is unchanged"


@dataclass(frozen=True)
class Coverage:
    """How many of the newest estimates held the truth."""

    held: int
    compared: int

    @property
    def is_muted(self) -> bool:
        """Whether no estimate is to be shown, since the former ones were wrong."""
        return self.compared >= LEAST and self.held < ENOUGH * self.compared

    @property
    def says(self) -> str:
        """In words."""
        if self.is_muted:
            return f"muted: {self.held} of the last {self.compared} estimates held the truth"
        if self.compared < LEAST:
            known = f"; {self.held} of {self.compared} so far held the truth" if self.compared else ""
            return f"not checked yet{known}"
        return f"{self.held} of the last {self.compared} estimates held the truth"


def coverage(compared: Sequence[Mapping[str, Any]]) -> Coverage:
    """Return the coverage of estimates with `low`, `high` and `truth`, given oldest first.

    Of a request whose labels come bit by bit, only the newest comparison counts.
    """
    of_each = {(row["file"], row["file"] or (row["run"], row["batch"])): row for row in compared}
    newest = sorted(of_each.values(), key=lambda row: int(row["run"]))[-NEWEST:]
    return Coverage(sum(row["low"] <= row["truth"] <= row["high"] for row in newest), len(newest))


@dataclass(frozen=True)
class Expected:
    """What was expected of a metric on the rows of one request; no numbers where estimates are muted.

    Attributes:
        run: that predicted the request.
        at: when.
        path: of the request.
        version: of the model.
        rows: of the request.
        value: that was expected.
        low: of the interval.
        high: of the interval.
        truth: on the rows whose labels came since, if those are enough.
        truth_rows: how many these are.
        muted: why there is no number.
    """

    run: int
    at: str
    path: str
    version: int
    rows: int
    value: float | None
    low: float | None
    high: float | None
    truth: float | None
    truth_rows: int | None
    muted: str | None


def expected(reader: Reader, name: str, limit: int = -1, *, run: int | None = None) -> list[Expected]:
    """Return what was expected of a metric on requests, newest first, of one run or of all.

    A muted estimate is shown once the truth stands beside it.
    """
    standing = coverage(reader.compared_estimates(name))
    found = []
    for row in reader.estimates(name, limit, run=run):
        muted = standing.says if standing.is_muted and row["truth"] is None else None
        found.append(
            Expected(
                row["run"],
                row["at"],
                row["path"],
                row["version"],
                row["rows"],
                value=None if muted else row["value"],
                low=None if muted else row["low"],
                high=None if muted else row["high"],
                truth=row["truth"],
                truth_rows=row["truth_rows"],
                muted=muted,
            )
        )
    return found

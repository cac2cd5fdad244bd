"""`GET /models`: every model version, what was decided of it, and when it served."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import APIRouter

from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.settings import Home
from churnwatch.serving import problems
from churnwatch.serving.release import Current


@dataclass(frozen=True, slots=True)
class Served:
    """A stretch of time in which a version served, UTC; without an end where it still does."""

    since: str
    until: str | None
    how: str
    by: str
    why: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """A model version.

    Attributes:
        model: its name.
        run: which run trained it.
        created_at: when, UTC.
        estimator: what it is.
        parameters: of the estimator.
        threshold: the probability from which on it decides that somebody leaves.
        train_rows: how many rows it learned from.
        train_positives: how many of them are of somebody who left.
        sha256: of its file.
        decision: of the gate; null where it came to none.
        metrics: on the holdout, when it was judged.
        served: when, the newest first.
    """

    model: str
    run: int
    created_at: str
    estimator: str
    parameters: dict[str, Any]
    threshold: float
    train_rows: int
    train_positives: int
    sha256: str
    decision: str | None
    metrics: dict[str, float | None]
    served: tuple[Served, ...]


@dataclass(frozen=True, slots=True)
class Versions:
    """All model versions, the newest first, and which of them answers now."""

    in_use: str | None
    models: tuple[Version, ...]


def router(home: Home, current: Current) -> APIRouter:
    """Return the route."""
    made = APIRouter(tags=["model"])

    @made.get("/models", responses=problems.documented(HTTPStatus.SERVICE_UNAVAILABLE))
    def models() -> Versions:
        """Return every model version with its metrics, what was decided of it, and when it served."""
        release = current.release
        with Reader.open(home.ledger) as ledger, ledger.one_moment():
            return Versions(None if release is None else release.name, known(ledger))

    return made


def known(ledger: Reader) -> tuple[Version, ...]:
    """Return every model version that the ledger knows, the newest first."""
    metrics: dict[int, dict[str, float | None]] = defaultdict(dict)
    for row in ledger.metrics(split="holdout"):
        if row["subject"] == "candidate":
            metrics[row["version"]][row["name"]] = row["value"]
    served: dict[int, list[Served]] = defaultdict(list)
    for row in reversed(ledger.releases()):
        served[row["version"]].append(
            Served(row["from_at"], row["until_at"], row["kind"], row["actor"], row["why"])
        )  # fmt: skip
    return tuple(_version(row, metrics, served) for row in reversed(ledger.models()))


def _version(
    row: Row, metrics: Mapping[int, dict[str, float | None]], served: Mapping[int, Sequence[Served]]
) -> Version:
    version = row["version"]
    parameters = msgspec.json.decode(row["parameters"], type=dict[str, Any])
    return Version(
        f"v{version}", row["run"], row["created_at"], row["estimator"], parameters, row["threshold"],
        row["train_rows"], row["train_positives"], row["sha256"], row["decision"],
        dict(metrics.get(version, {})), tuple(served.get(version, ())),
    )  # fmt: skip

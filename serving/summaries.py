"""`GET /summarystats`: what each column's newest rows look like."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter

from churnwatch.pipeline.ledger import profiles
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import Home
from churnwatch.serving import problems


@dataclass(frozen=True, slots=True)
class Column:
    """The newest rows of a column in numbers; mean to maximum are of numbers alone.

    Attributes:
        column: its name.
        run: which run brought the rows.
        at: when that run began, UTC.
        rows: how many.
        missing: how many of them have no value.
        missing_share: the same as a share.
        distinct: how many different values there are.
        mean: of the values.
        median: of them.
        std: their standard deviation.
        minimum: the least.
        maximum: the greatest.
    """

    column: str
    run: int
    at: str
    rows: int
    missing: int
    missing_share: float
    distinct: int
    mean: float | None
    median: float | None
    std: float | None
    minimum: float | None
    maximum: float | None


def router(home: Home) -> APIRouter:
    """Return the route."""
    made = APIRouter(tags=["data"])

    @made.get("/summarystats", responses=problems.documented(HTTPStatus.SERVICE_UNAVAILABLE))
    def summarystats() -> list[Column]:
        """Return the newest summary statistics of each column, by name."""
        with Reader.open(home.ledger) as ledger:
            return newest(ledger)

    return made


def newest(ledger: Reader) -> list[Column]:
    """Return what each column's newest rows look like, by name."""
    return [
        Column(row["column_name"], row["run"], row["created_at"], row["rows"], row["missing"], row["missing_share"],
               row["distinct_values"], row["mean"], row["median"], row["std"], row["minimum"], row["maximum"])
        for row in profiles.newest(ledger)
    ]  # fmt: skip

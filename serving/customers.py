"""`GET /customers/{id}`: what the newest runs said of one customer, why, and what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from churnwatch.pipeline import one_customer
from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.settings import Home
from churnwatch.serving import problems


@dataclass(frozen=True, slots=True)
class Said:
    """What one run said of a customer; a null is nothing that it said.

    Attributes:
        run: its number.
        at: when it began, UTC.
        model: the version that predicted.
        probability: of leaving; of amounts `amount`.
        amount: that is expected.
        decision: 1 where the model says that the customer leaves.
        bucket: A to call, B to make an offer, C to thank.
        former_bucket: the one before.
        expected_loss: what is expected to be lost.
        offer: which one to make.
        expected_profit: what the offer is expected to earn.
        raises: what speaks for leaving, in words.
        lowers: what speaks against it.
    """

    run: int
    at: str
    model: str
    probability: float | None
    amount: float | None
    decision: int | None
    bucket: str | None
    former_bucket: str | None
    expected_loss: float | None
    offer: str | None
    expected_profit: float | None
    raises: str | None
    lowers: str | None


@dataclass(frozen=True, slots=True)
class Done:
    """What a campaign did for a customer, on which day; `treated` is 0 where they were kept as a control."""

    at: str
    action: str
    treated: int | None


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer over time, the newest first.

    Attributes:
        id: theirs.
        current: whether they are in the newest call list.
        history: what was said of them, run by run.
        campaigns: what was done.
    """

    id: str
    current: bool
    history: tuple[Said, ...]
    campaigns: tuple[Done, ...]


def router(home: Home) -> APIRouter:
    """Return the route."""
    made = APIRouter(tags=["customers"])

    @made.get("/customers/{id:path}", responses=problems.documented(
        HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE,
    ))  # fmt: skip
    def customer(id: str, runs: Annotated[int, Query(ge=1, le=500)] = 20) -> Customer:  # noqa: A002 - the path's name
        """Return what the newest runs said of one customer, why, and what campaigns did."""
        with Reader.open(home.ledger) as ledger, ledger.one_moment():
            history = one_customer.history(home, ledger, id, runs=runs)
            newest, done = customers.newest(ledger), one_customer.done_for(home, ledger, id)
        return _told(id, history, done, None if newest is None else newest.run)

    return made


def _told(identity: str, history: Sequence[Row], done: Sequence[Row], newest: int | None) -> Customer:
    said = tuple(_said(row) for row in history)
    campaigns = tuple(Done(f"{row['date']:%Y-%m-%d}", row["action"], row["treated"]) for row in done)
    return Customer(identity, said[0].run == newest, said, campaigns)


def _said(row: Row) -> Said:
    rest = {name: row.get(name) for name in Said.__slots__ if name not in ("run", "at", "model")}
    return Said(run=row["run"], at=row["created_at"], model=f"v{row['version']}", **rest)

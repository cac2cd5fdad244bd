"""One customer over time: what the newest runs said, and what the files of campaigns say was done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from churnwatch.pipeline import customer_files
from churnwatch.pipeline.campaigns import CAMPAIGNS
from churnwatch.pipeline.datasets import paths
from churnwatch.pipeline.errors import NotFoundError
from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import Home
from churnwatch.pipeline.settings_campaigns import OF_CAMPAIGNS

Row = dict[str, Any]


def history(home: Home, ledger: Reader, identity: str, *, runs: int) -> list[Row]:
    """Return what the newest runs said of one customer, newest first.

    Args:
        home: whose customer it is.
        ledger: of the home.
        identity: the id.
        runs: how many to look through.

    Raises:
        NotFoundError: none of them knows such a customer.
    """
    newest = customers.files(ledger, runs)
    found = [{**run, **row} for run in newest if (row := _of(home.predictions / run["path"], identity)) is not None]
    if not found:
        when = "run" if len(newest) == 1 else f"{len(newest)} runs"
        raise NotFoundError(f"the last {when} predicted no customer with that id; who is known to have left is not"
                            " predicted. Ids are those in: churnwatch customers")  # fmt: skip
    return found


def _of(path: Path, identity: str) -> Row | None:
    try:
        rows: list[Row] = customer_files.read(path, [identity]).to_pylist()
    except (OSError, pa.ArrowInvalid):
        return None  # of that run nothing is known any more
    return {"id": identity, **dict(list(rows[0].items())[1:])} if rows else None


def done_for(home: Home, ledger: Reader, identity: str) -> list[Row]:
    """Return what the files of campaigns say was done for one customer, newest first: date, action, treated.

    Raises:
        DataError: some of it is gone or damaged.
    """
    wanted = {"columns": list(OF_CAMPAIGNS), "filters": [(home.settings.id, "=", identity)]}
    parts = paths(home, ledger, CAMPAIGNS)
    found = [row for part in parts for row in customer_files.told(part, **wanted).to_pylist()]
    return sorted(found, key=lambda row: (row["date"], row["action"]), reverse=True)

"""Files of campaigns and customers' rows → what became of each campaign, and how alike both sides were before.

The steps that ask this of a home: what came of campaigns, and what offers are worth making to whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from churnwatch.pipeline import campaigns, datasets, features
from churnwatch.pipeline.alike import Alike, Floats, compare
from churnwatch.pipeline.campaigns import CAMPAIGNS, Campaign
from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.engine import name, timestamp
from churnwatch.pipeline.holdout import dated_ahead
from churnwatch.pipeline.ledger import customers as customers_of
from churnwatch.pipeline.ledger import follow_up as known
from churnwatch.pipeline.workspace import Workspace

Key = tuple[str, str]  # of a campaign: its action and month


@dataclass(frozen=True)
class Counted:
    """The campaigns of a home, once their outcomes were counted.

    Attributes:
        campaigns: the oldest first.
        alike: by action and month how alike both sides were before; nothing where nobody knows.
        timed: what stands after FROM to read the customers' rows with their time.
    """

    campaigns: tuple[Campaign, ...]
    alike: dict[Key, Alike | None]
    timed: str


def count(at: Workspace) -> Counted | None:
    """Count what became of the customers of each campaign; None where there is no campaign, or no customer."""
    given, parts, rows = at.home.settings.campaigning, datasets.paths(at.home, at.ledger, CAMPAIGNS), customers(at)
    if given is None or not parts or rows is None:
        return None
    with_time = timed(at, rows)
    found = campaigns.outcomes(at.schema, at.engine, parts, with_time, given)
    return Counted(tuple(found), _alike(at, found), with_time)


def customers(at: Workspace) -> str | None:
    """Return what stands after FROM to read the customers' rows without features; None before there are any.

    Rows that are dated ahead are left out: one mistyped year would else be the newest month.
    """
    parts = datasets.paths(at.home, at.ledger)
    if not parts:
        return None
    found = features.dataset(at.schema, at.engine, parts, key=at.home.settings.latest_key)
    if at.schema.date is None:
        return found
    date = name(at.schema.date)
    return f"(SELECT * FROM {found} d WHERE {date} IS NULL OR {date} < {timestamp(dated_ahead(at.began))})"


def timed(at: Workspace, rows: str) -> str:
    """Return what stands after FROM to read the customers' rows with their time: the date, or when their run began."""
    if at.schema.date is not None:
        return f"(SELECT r.*, r.{name(at.schema.date)} AS {campaigns.TIME} FROM {rows} r)"
    arrivals = {batch: from_iso(when).replace(tzinfo=None) for batch, when in known.arrivals(at.ledger)}
    at.engine.table("arrivals", pa.table({
        "_batch": pa.array(list(arrivals), pa.int64()),
        "_cw_at": pa.array(list(arrivals.values()), pa.timestamp("us")),
    }))  # fmt: skip
    return f"(SELECT r.*, a._cw_at AS {campaigns.TIME} FROM {rows} r JOIN arrivals a ON a._batch = r._batch)"


def _alike(at: Workspace, found: Sequence[Campaign]) -> dict[Key, Alike | None]:
    """Return by action and month how alike both sides were, by the last predictions before each customer's action."""
    if not any(each.treated.customers and each.control.customers for each in found):
        return {}
    rows = campaigns.members(at.schema, at.engine).to_pandas()
    rows["probability"] = _probabilities(at, rows["id"].astype(str), rows["since"].to_numpy())
    rows = rows.dropna(subset="probability").sort_values("probability")  # sums in one order only
    return {
        (str(action), str(month)): compare(*(own.loc[own["treated"] == side, "probability"].to_numpy()
                                             for side in (True, False)))
        for (action, month), own in rows.groupby(["action", "month"])
    }  # fmt: skip


def _probabilities(at: Workspace, ids: pd.Series, since: npt.NDArray[np.datetime64]) -> Floats:
    """Return the probability of leaving as last predicted before a time, shape (n,); nan where it was not."""
    made = customers_of.predictions(at.ledger)
    times = np.array([from_iso(row["at"]).replace(tzinfo=None) for row in made], dtype="datetime64[us]")
    last = np.searchsorted(times, since, side="left") - 1
    found = np.full(len(ids), np.nan)
    for index in np.unique(last[last >= 0]):
        own = last == index
        found[own] = _predicted(at.home.predictions / made[index]["path"], ids[own])
    return found


def _predicted(path: Path, ids: pd.Series) -> Floats:
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowInvalid):
        return np.full(len(ids), np.nan)  # what is gone tells nothing
    places = pc.index_in(pa.array(ids), value_set=table.column(0).combine_chunks().cast(pa.string()))
    return np.asarray(table["probability"].combine_chunks().take(places).to_numpy(zero_copy_only=False))

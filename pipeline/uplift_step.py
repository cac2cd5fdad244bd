"""What campaigns say of what each offer does: an uplift model where the lot decided who is treated, else why not.

A model is made anew in each run that sorts the customers, of the same rows always the same one, so none is kept: what
it says of the customers stands in the call list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from churnwatch.pipeline import campaigning, campaigns, feature_step, features, uplift
from churnwatch.pipeline.aggregates import SNAPSHOT
from churnwatch.pipeline.campaigning import Counted
from churnwatch.pipeline.campaigns import Campaign
from churnwatch.pipeline.effects import why_not_by_customer
from churnwatch.pipeline.engine import name
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.profit import Effects
from churnwatch.pipeline.records import UpliftModel
from churnwatch.pipeline.uplift import Floats, Trial, Uplift
from churnwatch.pipeline.workspace import Workspace

NOT_TOLD = "who is saved by it cannot be told from who is not (the Qini coefficient may be nought)"


@dataclass(frozen=True)
class Measured:
    """What campaigns say of offers.

    Attributes:
        models: one for each offer that is looked at, also where none was learned.
        effects: of those that decide, by offer: by how much it lowers the probability of leaving, customer by customer.
    """

    models: tuple[UpliftModel, ...] = ()
    effects: Effects = field(default_factory=dict)


def measure(at: Workspace, ids: pa.Array, probability: Floats) -> Measured:
    """Learn of each offer what it does, where there are campaigns at all.

    Args:
        at: the run's surroundings.
        ids: (n,) the current customers.
        probability: (n,) of leaving.
    """
    asked = [offer for offer, given in at.home.settings.offers.items() if given.uplift == "auto"]
    counted = campaigning.count(at) if asked else None
    if counted is None or not counted.campaigns:
        return Measured()
    learned = {offer: _learned(at, counted, offer) for offer in asked}
    deciding = {offer: model for offer, (record, model) in learned.items() if model is not None and record.decides}
    customers = _customers(at, ids) if deciding else pd.DataFrame()
    return Measured(
        tuple(record for record, _ in learned.values()),
        {offer: model.effects(customers, probability) for offer, model in deciding.items()},
    )


def _learned(at: Workspace, counted: Counted, offer: str) -> tuple[UpliftModel, Uplift | None]:
    """Return what there is to say of an offer, with the model where one was learned."""
    usable, why_not = _usable(counted, offer)
    if why_not is not None:
        return UpliftModel(at.run, offer, 0, why_not), None
    trial = _trial(at, usable)
    (treated, treated_left), (control, control_left) = (trial.side(treated=side) for side in (True, False))
    record = UpliftModel(
        at.run, offer, 0, uplift.too_few(trial), len(usable), treated, control, treated_left, control_left
    )
    if record.why is not None:
        return record, None
    kept = list(trial.rows.X)
    numeric, categorical = (tuple(c for c in of if c in kept) for of in (at.learned.numeric, at.learned.categorical))
    try:
        found = uplift.learn(trial, at.home.settings.training, numeric=numeric, categorical=categorical)
    except DataError as error:
        return replace(record, why=str(error)), None
    return _judged(record, found), found


def _usable(counted: Counted, offer: str) -> tuple[list[Campaign], str | None]:
    """Return the campaigns of an offer from which single customers' effects may be learned, or why there are none."""
    named = [each for each in counted.campaigns if each.action == offer]
    if not named:
        return [], f"no campaign's action is `{offer}`"
    found = [(each, why_not_by_customer(each, counted.alike.get((each.action, each.month)))) for each in named]
    usable = [each for each, why in found if why is None]
    newest, why = found[-1]
    return usable, None if usable else f"{newest.month}: {why}"


def _judged(record: UpliftModel, found: Uplift) -> UpliftModel:
    effect, qini = found.effect, found.qini
    return replace(
        record,
        decides=int(found.tells_apart),
        why=None if found.tells_apart else NOT_TOLD,
        effect=effect.value,
        effect_low=effect.low,
        effect_high=effect.high,
        qini=qini.value,
        qini_low=qini.low,
        qini_high=qini.high,
        slope=found.slope,
    )


# -- rows ------------------------------------------------------------------------------------------------------


def _trial(at: Workspace, wanted: Sequence[Campaign]) -> Trial:
    """Return what came of the customers of some campaigns, each as they were then."""
    known = f"{SNAPSHOT} <= _cw_since" if at.has_sources else "true"
    then = campaigns.trial(at.schema, at.engine, campaigning.timed(at, at.as_they_came), wanted, known=known)
    frame = _read(at, then, ["_cw_who", "_cw_month", "_cw_arm", "_cw_y"], "ORDER BY _cw_month, _cw_who")
    frame["_cw_arm"] = frame["_cw_arm"] == 1
    frame["_cw_share"] = frame.groupby("_cw_month")["_cw_arm"].transform("mean").astype("float64")
    frame = frame[frame["_cw_share"].between(0, 1, inclusive="neither")].reset_index(drop=True)
    rows = Rows(frame[list(_kinds(at))], frame["_cw_y"].to_numpy(dtype=np.int64), frame["_cw_who"])
    return Trial(rows, frame["_cw_arm"].to_numpy(dtype=np.bool_), frame["_cw_share"].to_numpy())


def _customers(at: Workspace, ids: pa.Array) -> pd.DataFrame:
    """Return the customers as they are now, in the order of `ids`."""
    now = f"SELECT *, {name(at.schema.id or '')} AS _cw_who FROM ({at.customers}) c"
    return _read(at, now, ["_cw_who"], "").set_index("_cw_who").reindex(ids.to_pylist())


def _read(at: Workspace, query: str, beside: Sequence[str], order: str) -> pd.DataFrame:
    kinds = _kinds(at)
    columns = ", ".join(name(column) for column in (*kinds, *beside))
    frame: pd.DataFrame = at.engine.arrow(f"SELECT {columns} FROM ({query}) q {order}").to_pandas()
    return frame.astype(kinds)


def _kinds(at: Workspace) -> dict[str, str]:
    """Return the pandas type of every feature of which it is kept what it was at former times.

    What a source without a time says of a customer is what it says now, so neither that nor what may be computed of it
    can be learned from.
    """
    settings = at.home.settings
    timeless = [plan for plan in feature_step.plans(settings) if plan.time is None]
    unknown = {feature.name for plan in timeless for feature in plan.features}
    unknown |= set(settings.expressions) if timeless else set()
    return {column: kind for column, kind in features.kinds(at.learned).items() if column not in unknown}

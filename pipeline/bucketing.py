"""The step that sorts the current customers into A, B and C, makes them offers, and writes the call list.

A run whose customers are sorted in the ledger already is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from churnwatch.pipeline import buckets, customer_files, move_reasons, offers, profit, reasons, uplift_step
from churnwatch.pipeline.buckets import BUCKETS, Customers, Sorted
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.csv_file import write_csv
from churnwatch.pipeline.engine import name
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.holdback import held_back
from churnwatch.pipeline.ledger import customers as former_runs
from churnwatch.pipeline.ledger.reader import Row
from churnwatch.pipeline.metrics import MINUS
from churnwatch.pipeline.offers import Floats, Offer
from churnwatch.pipeline.records import Bucket, Bucketing, BucketMove, Call, OfferMade, UpliftModel
from churnwatch.pipeline.schema import NUMBERS
from churnwatch.pipeline.settings_offers import LEFT_ALONE
from churnwatch.pipeline.workspace import Workspace

SHAPE = pa.schema(
    {
        "id": pa.string(),
        "bucket": pa.string(),
        "former_bucket": pa.string(),
        "probability": pa.float64(),
        "expected_loss": pa.float64(),
        "offer": pa.string(),
        "expected_profit": pa.float64(),
        "effect": pa.float64(),
        "raises": pa.string(),
        "lowers": pa.string(),
        "decision": pa.int8(),
        "model": pa.string(),
    }
)
_FOR_PEOPLE = {
    "bucket": "bucket",
    "probability": "probability",
    "expected_loss": "expected loss",
    "offer": "offer",
    "expected_profit": "expected profit",
    "effect": "effect of the offer",
    "raises": "why",
    "lowers": "held back by",
    "decision": "decision",
    "model": "model",
}
_SIDES = {"raises", "lowers"}
_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class _Found:
    """The customers in the order of their predictions, and what they came to."""

    ids: pa.Array
    model: str
    customers: Customers
    sorted: Sorted
    offers: tuple[Offer, ...]
    before: pa.Table | None  # ids and buckets of the former run
    uplift: tuple[UpliftModel, ...]

    @property
    def bucket(self) -> pa.Array:
        """(n,) the bucket's letter."""
        return pa.array(BUCKETS).take(pa.array(self.sorted.bucket))


def is_due(at: Workspace) -> bool:
    """Tell whether the run has predicted its customers, by name."""
    return _prediction(at) is not None


def sort_customers(at: Workspace) -> None:
    """Sort the customers that the run predicted, write who is where, and record the sums.

    Raises:
        SettingsError: the value is to be read from a column that is not there, or holds no numbers.
    """
    prediction = _prediction(at)
    if prediction is None or former_runs.bucketing(at.ledger, at.run) is not None:
        return
    former = former_runs.newest(at.ledger, before=at.run)
    found = _found(at, prediction, _before(at, former))
    table = _with_reasons(at, _table(found))
    path = at.home.predictions / f"run-{at.run:05d}-calls.parquet"
    sha256 = customer_files.write(table, path)
    write_csv(_for_people(at, table, amounts=found.customers.amounts), path.with_name(f"run-{at.run:05d}.csv"))
    value = at.home.settings.valued
    head = Bucketing(at.run, prediction["version"], iso(utc_now()), path.name, sha256, len(table),
                     at.home.settings.bucketed_by.value, value.in_words if value else None,
                     value.months if value else None, _unvalued(found),
                     former.run if former is not None and found.before is not None else None,
                     int(found.sorted.left_alone.sum()))  # fmt: skip
    why = list(move_reasons.of_run(at, table, head.former_run))
    with at.ledger.transaction():
        at.ledger.add(head)
        at.ledger.add_all(_sums(at.run, found))
        at.ledger.add_all(_moves(at.run, found, table))
        at.ledger.add_all(why)
        at.ledger.add_all(_made(at, found))
        at.ledger.add_all(found.uplift)
        at.ledger.add_all(_calls(at.run, table.slice(0, at.home.settings.call_capacity)))
        at.keep_warnings()


def _prediction(at: Workspace) -> Row | None:
    return next(iter(former_runs.predictions(at.ledger, at.run)), None)


# -- what is there ---------------------------------------------------------------------------------------------


def _before(at: Workspace, former: Bucketing | None) -> pa.Table | None:
    """Return where the customers were after the former run; None, with a warning, where its file is gone."""
    if former is None:
        return None
    path = at.home.predictions / former.path
    try:
        return pyarrow.parquet.read_table(path, columns=["id", "bucket"])
    except (OSError, pa.ArrowInvalid):
        at.warnings.append(f"{path.name} is gone or damaged, so nobody knows who moved between A, B and C since then")
        return None


def _found(at: Workspace, prediction: Row, before: pa.Table | None) -> _Found:
    settings = at.home.settings
    predicted = pyarrow.parquet.read_table(at.home.predictions / prediction["path"])
    ids = predicted.column(0).combine_chunks()
    known = _customers(at, predicted, _values(at, ids), at.ledger.model(prediction["version"]).threshold)
    measured = uplift_step.measure(at, ids, known.risk)
    known = replace(known, effects=measured.effects)
    priced = offers.priced(settings.offers, measured.effects)
    bounds = None if settings.buckets.a is None or settings.buckets.b is None else (settings.buckets.a,
                                                                                    settings.buckets.b)  # fmt: skip
    alone = held_back(ids.to_pylist(), settings.holdback) if settings.holdback else None
    result = buckets.sort(known, settings.bucketed_by, priced, capacity=settings.call_capacity, held_back=alone,
                          bounds=bounds)  # fmt: skip
    model = predicted["model"][0].as_py() if len(predicted) else ""
    return _Found(ids, model, known, result, priced, before, measured.models)


def _customers(at: Workspace, predicted: pa.Table, value: Floats | None, threshold: float) -> Customers:
    if not at.schema.predicts_amounts:
        decided = predicted["decision"].to_numpy() == 1
        return Customers(predicted["probability"].to_numpy(), value, decided, threshold)
    amount = predicted["amount"].to_numpy()
    mean = float(amount.mean()) if len(amount) else 0.0
    return Customers(amount, None, amount > mean, mean, amounts=True)


def _values(at: Workspace, ids: pa.Array) -> Floats | None:
    """Return what each customer is worth, shape (n,); None where the settings do not say."""
    value = at.home.settings.valued
    if value is None:
        return None
    if value.column is None:
        return np.full(len(ids), (value.amount or 0.0) * value.factor)
    _check_column(at, value.column)
    found = at.engine.arrow(
        f"SELECT {name(at.schema.id or '')} AS id, CAST({name(value.column)} AS DOUBLE) AS value"
        f" FROM ({at.customers}) AS c"
    )
    places = pc.index_in(ids, value_set=found["id"].combine_chunks())
    each = found["value"].combine_chunks().take(places).to_numpy(zero_copy_only=False)
    return np.asarray(each, dtype=np.float64) * value.factor


def _check_column(at: Workspace, column: str) -> None:
    known = at.learned.columns
    if column not in known:
        raise SettingsError(f"settings.yaml: value: the data has no column `{column}`; it has"
                            f" {', '.join(list(known)[:12])}{', …' if len(known) > 12 else ''}.")  # noqa: PLR2004  # fmt: skip
    if known[column].type not in NUMBERS:
        raise SettingsError(f"settings.yaml: value: column `{column}` is of type {known[column].type}; what a customer"
                            " is worth is a number.")  # fmt: skip


# -- what is written -------------------------------------------------------------------------------------------


def _table(found: _Found) -> pa.Table:
    """Return all customers in the order in which to call them, with all that is known of each."""
    customers, chosen = found.customers, found.sorted.chosen
    nothing = pa.nulls(len(found.ids))
    loss = nothing if customers.loss is None else pa.array(customers.loss, from_pandas=True)
    made = None if chosen is None else pa.array(chosen.offer, mask=chosen.offer == profit.NONE)
    columns = {
        "id": found.ids,
        "bucket": found.bucket,
        "former_bucket": buckets.former(found.ids, found.before),
        "probability": nothing if customers.amounts else pa.array(customers.risk),
        "expected_loss": loss,
        "offer": _offered(found, made),
        "expected_profit": nothing if chosen is None else pa.array(chosen.profit, mask=chosen.offer == profit.NONE),
        "effect": pa.array(_effects(found), from_pandas=True),
        "raises": nothing,
        "lowers": nothing,
        "decision": nothing if customers.amounts else pa.array(customers.decided.astype(np.int8)),
        "model": pa.repeat(found.model, len(found.ids)),
    }
    table = pa.table({column: values.cast(SHAPE.field(column).type) for column, values in columns.items()})
    return table.take(pa.array(found.sorted.order))


def _effects(found: _Found) -> Floats:
    """Return by how much the offers that are made lower the probability; not a number where no uplift model says."""
    effects = np.full(len(found.ids), np.nan)
    for index, offer in enumerate(found.offers):
        if offer.name in found.customers.effects and found.sorted.chosen is not None:
            made = found.sorted.chosen.offer == index
            effects[made] = found.customers.effects[offer.name][made]
    return effects


def _offered(found: _Found, made: pa.Array | None) -> pa.Array:
    """Return the names of the offers that are made, and of whom is held back that they are."""
    names = pa.array([each.name for each in found.offers], pa.string())
    offered = pa.nulls(len(found.ids), pa.string()) if made is None else names.take(made)
    return pc.if_else(pa.array(found.sorted.left_alone), LEFT_ALONE, offered)


def _with_reasons(at: Workspace, table: pa.Table) -> pa.Table:
    """Say why of whoever is to be called or made an offer, who stand first; of all others contributions are kept."""
    said_of = pc.sum(pc.not_equal(table["bucket"], BUCKETS[buckets.C])).as_py() or 0
    called = table["id"].slice(0, max(said_of, at.home.settings.call_capacity)).to_pylist()
    try:
        said = reasons.of_customers(at, called, run=at.run)
    except (OSError, pa.ArrowInvalid):
        at.warnings.append("the file of reasons is gone or damaged, so the call list says of nobody why")
        said = {}
    for side in sorted(_SIDES):
        texts = [(getattr(said[each], side) or None) if each in said else None for each in called]
        column = pa.array([*texts, *([None] * (len(table) - len(called)))], pa.string())
        table = table.set_column(table.column_names.index(side), side, column)
    return table


def _for_people(at: Workspace, table: pa.Table, *, amounts: bool) -> pa.Table:
    """Return what people open: words for names and decisions, rounded, without what nothing is known of."""
    identity = at.schema.id or "id"
    shown = {f"{identity} (input)" if identity.lower() in _FOR_PEOPLE.values() else identity: table["id"]}
    known = {column for column in _FOR_PEOPLE if table[column].null_count < len(table)} | {"bucket"}
    known |= _SIDES if known & _SIDES else set()
    for column, title in _FOR_PEOPLE.items():
        if column in known:
            shown["amount" if amounts and column == "expected_loss" else title] = _readable(column, table[column])
    return pa.table(shown)


def _readable(column: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    if column == "decision":
        return pc.if_else(pc.equal(values, 1), "leaves", "stays")
    if column in _SIDES:
        return pc.replace_substring(values, MINUS, "-")
    if pa.types.is_floating(values.type):
        return pc.round(values, 4 if column in ("probability", "effect") else 2)
    return values


# -- what is recorded ------------------------------------------------------------------------------------------


def _unvalued(found: _Found) -> int:
    return 0 if found.customers.value is None else int(np.isnan(found.customers.value).sum())


def _sums(run: int, found: _Found) -> Iterator[Bucket]:
    customers, each = found.customers, found.sorted.bucket
    earned = _earned(found)
    for number, letter in enumerate(BUCKETS):
        own = each == number
        leavers = None if customers.amounts else float(customers.risk[own].sum())
        loss = None if customers.loss is None else float(np.nansum(customers.loss[own]))
        bound = found.sorted.thresholds[number] if number < len(found.sorted.thresholds) else None
        worth = None if customers.value is None else float(np.nansum(customers.value[own]))
        profits = [*(None if one is None else float(one[own].sum()) for one in earned), worth]
        yield Bucket(run, letter, int(own.sum()), bound, leavers, loss, *profits)


def _earned(found: _Found) -> list[Floats | None]:
    """Return what each customer's offer earns: at the save rates as given, at half and at one and a half times."""
    chosen, value = found.sorted.chosen, found.customers.value
    if chosen is None or value is None:
        return [None, None, None]
    risk, effects = found.customers.risk, found.customers.effects
    return [profit.total(found.offers, chosen, risk, value, times=times, effects=effects) for times in (1.0, 0.5, 1.5)]


def _moves(run: int, found: _Found, table: pa.Table) -> list[BucketMove]:
    if found.before is None:
        return []
    counted = buckets.moves(table["former_bucket"], table["bucket"], found.before)
    return [BucketMove(run, before, now, number) for (before, now), number in counted.items()]


def _made(at: Workspace, found: _Found) -> Iterator[OfferMade]:
    """Yield each offer of the settings; of those without a save rate only what they are."""
    priced = {offer.name: index for index, offer in enumerate(found.offers)}
    earned, values = _earned(found), _quantiles(found.customers.value)
    for offer, given in at.home.settings.offers.items():
        what = OfferMade(at.run, offer, given.discount, given.cost, given.save_rate, given.take_up, int(given.call),
                         low_value=values[0], median_value=values[1], high_value=values[2])  # fmt: skip
        yield _priced(what, found, priced[offer], earned) if offer in priced else what


def _priced(what: OfferMade, found: _Found, index: int, earned: Sequence[Floats | None]) -> OfferMade:
    """Return an offer of which it is known what it saves with what it earns, and from where on it pays."""
    chosen, offer = found.sorted.chosen, found.offers[index]
    assert chosen is not None  # noqa: S101 - offers that are priced are chosen from
    made = chosen.offer == index
    profits = [None if one is None else float(one[made].sum()) for one in earned]
    values = (what.low_value, what.median_value, what.high_value)
    by_customer = offer.name in found.customers.effects  # then no probability says from where on it pays
    low, median, high = (None, None, None) if by_customer else _thresholds(offer, values)
    return replace(
        what,
        customers=int(made.sum()),
        waiting=int((chosen.waits & _pays(found, index)).sum()),
        expected_profit=profits[0],
        profit_at_half=profits[1],
        profit_at_one_and_a_half=profits[2],
        threshold_at_low=low,
        threshold_at_median=median,
        threshold_at_high=high,
    )


def _pays(found: _Found, index: int) -> npt.NDArray[np.bool_]:
    assert found.customers.value is not None  # noqa: S101 - there are offers, so it is known what customers are worth
    effect = found.customers.effects.get(found.offers[index].name)
    return profit.expected_profit(found.offers[index], found.customers.risk, found.customers.value, effect=effect) > 0


def _quantiles(value: Floats | None) -> list[float | None]:
    known = np.empty(0) if value is None else value[~np.isnan(value)]
    return [float(each) for each in np.quantile(known, _QUANTILES)] if len(known) else [None] * len(_QUANTILES)


def _thresholds(offer: Offer, values: Sequence[float | None]) -> list[float | None]:
    found = profit.threshold(offer, np.array([np.nan if each is None else each for each in values]))
    return [None if np.isnan(each) else float(each) for each in found]


def _calls(run: int, table: pa.Table) -> list[Call]:
    rows: list[Mapping[str, Any]] = table.drop_columns(["decision", "model"]).to_pylist()
    return [Call(run=run, place=place, **row) for place, row in enumerate(rows, start=1)]

"""The newest predictions of current customers → what the weekly mail says, as frozen values.

Who is where stands in the call list of a run, in the order in which to call; who is in A or B is at risk. A run of an
older churnwatch has none; then whoever is decided to leave is at risk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.errors import DataError, NotFoundError
from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.move_words import why_moved
from churnwatch.pipeline.records import Bucketing, Champion
from churnwatch.pipeline.settings import Home, Task
from churnwatch.pipeline.settings_offers import LEFT_ALONE
from churnwatch.reports import words

_AT_RISK = ("A", "B")


@dataclass(frozen=True, slots=True)
class MailCustomer:
    """A customer at risk. `risk` is the probability of leaving, or the amount that is expected."""

    place: int
    id: str
    bucket: str | None
    is_new: bool  # at risk now, and not when the former mail was sent
    risk: float
    expected_loss: float | None
    offer: str | None
    expected_profit: float | None
    raises: str | None
    lowers: str | None


@dataclass(frozen=True, slots=True)
class Weekly:
    """All that the weekly mail says; `customers` are those of the call list, the first to call first."""

    home: str
    week: str
    run: int
    predicted_at: str
    file: str  # that holds all customers, in the home
    amounts: bool
    within: str  # in which time they are expected to leave, in words; empty where the settings do not say
    known: int  # customers that were predicted
    at_risk: int
    in_bucket: tuple[tuple[str, int], ...]  # A, B, C; none where the run did not sort customers
    offered: int | None  # of B, how many are made an offer; None where nobody is
    expected_leavers: float | None  # of all at risk, by their probabilities
    expected_loss: float | None  # of all at risk
    value: str | None  # what a customer is worth, in words
    customers: tuple[MailCustomer, ...]
    model: str
    changes: tuple[str, ...]
    attention: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where customers stood after one run, first to call first."""

    table: pa.Table

    @property
    def at_risk(self) -> pa.Table:
        return self.table.filter(self.table["at_risk"])


def gather(
    home: Home, ledger: Reader, *, week: str, former_run: int | None = None, attention: Sequence[str] = ()
) -> Weekly:
    """Return what the weekly mail says.

    Args:
        home: whose mail it is.
        ledger: of the home.
        week: by ISO 8601.
        former_run: the run that the former mail was about; None: there was none.
        attention: ready sentences on what needs somebody.

    Raises:
        NotFoundError: no customers were predicted yet.
        DataError: the file of the predictions is gone or damaged.
    """
    newest = _prediction(ledger, None)
    if newest is None:
        raise NotFoundError("no customers were predicted yet: that takes a model, and an `id` in settings.yaml.")
    former = None if former_run is None else _prediction(ledger, former_run)
    head = customers.bucketing(ledger, newest["run"])
    now = _standing(home, newest, head)
    before = None if former is None else _former(home, former, customers.bucketing(ledger, former["run"]))
    at_risk = now.at_risk
    amounts = home.settings.task is Task.REGRESSION
    return Weekly(
        home=home.path.name,
        week=week,
        run=newest["run"],
        predicted_at=newest["at"],
        file=f"{home.settings.predictions_folder}/run-{newest['run']:05d}.csv",
        amounts=amounts,
        within=f"within {words.many(home.settings.horizon_days, 'day')}" if home.settings.horizon_days else "",
        known=len(now.table),
        at_risk=len(at_risk),
        in_bucket=_in_bucket(now),
        offered=_offered(now),
        expected_leavers=None if amounts else pc.sum(at_risk["risk"]).as_py() or 0.0,
        expected_loss=pc.sum(at_risk["risk" if amounts else "expected_loss"]).as_py(),
        value=head.value if head is not None else None,
        customers=tuple(_listed(at_risk.slice(0, home.settings.call_capacity), before)),
        model=_model(ledger),
        changes=(*_changes(ledger, now, before, newest, former), *_why(home, ledger, head, former)),
        attention=tuple(attention),
    )


def _prediction(ledger: Reader, run: int | None) -> Row | None:
    """Return the predictions of all customers that a run made, or the newest ones."""
    found = customers.predictions(ledger, run)
    return found[-1] if found else None


def _former(home: Home, prediction: Row, head: Bucketing | None) -> _Standing | None:
    """Return where customers stood then; None where the file is gone, since old files may be cleared away."""
    try:
        return _standing(home, prediction, head)
    except DataError:
        return None


def _standing(home: Home, prediction: Row, head: Bucketing | None) -> _Standing:
    path = home.predictions / (prediction["path"] if head is None else head.path)
    try:
        found = pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowInvalid):
        raise DataError(f"{path}: gone or damaged. The next run predicts the customers anew.") from None
    return _Standing(_unsorted(found) if head is None else _sorted(found))


def _sorted(found: pa.Table) -> pa.Table:
    """Return a call list with what the mail needs of it."""
    risk = found["probability"] if found["probability"].null_count < len(found) else found["expected_loss"]
    at_risk = pc.is_in(found["bucket"], value_set=pa.array(_AT_RISK))
    return found.append_column("risk", risk).append_column("at_risk", at_risk)


def _unsorted(found: pa.Table) -> pa.Table:
    """Return predictions as a call list in which nothing but the risk is known."""
    amounts = "amount" in found.column_names
    risk = found["amount" if amounts else "probability"]
    nothing = pa.nulls(len(found))
    texts = dict.fromkeys(("bucket", "offer", "raises", "lowers"), nothing.cast(pa.string()))
    numbers = dict.fromkeys(("expected_loss", "expected_profit"), nothing.cast(pa.float64()))
    at_risk = pc.greater(risk if amounts else found["decision"], 0)
    return pa.table({"id": found.column(0), **texts, **numbers, "risk": risk, "at_risk": at_risk})


def _in_bucket(now: _Standing) -> tuple[tuple[str, int], ...]:
    counted = {row["values"]: row["counts"] for row in pc.value_counts(now.table["bucket"]).to_pylist()}
    return tuple((letter, counted.get(letter, 0)) for letter in "ABC") if set(counted) - {None} else ()


def _offered(now: _Standing) -> int | None:
    offers = now.table.filter(
        pc.and_kleene(pc.is_valid(now.table["offer"]), pc.not_equal(now.table["offer"], LEFT_ALONE))
    )
    return pc.sum(pc.equal(offers["bucket"], "B")).as_py() or 0 if len(offers) else None


def _listed(listed: pa.Table, before: _Standing | None) -> Iterator[MailCustomer]:
    known = set() if before is None else set(before.at_risk["id"].to_pylist())
    for place, row in enumerate(listed.to_pylist(), start=1):
        told = {name: row[name] for name in ("bucket", "risk", "expected_loss", "offer", "expected_profit", "raises",
                                             "lowers")}  # fmt: skip
        yield MailCustomer(place=place, id=str(row["id"]), is_new=before is not None and row["id"] not in known, **told)


def _model(ledger: Reader) -> str:
    """Say which model this comes from and how good it was on customers that it had never seen."""
    champion = ledger.champion()
    if champion is None:
        return "The model that said this serves no more."
    rows = ledger.metrics(version=champion.model.version, split="holdout")
    measured = {row["name"]: row["value"] for row in rows if row["value"] is not None}
    return (
        f"{champion.model.name} said this; it serves since {words.day(champion.since)}.{_how_good(champion, measured)}"
    )


def _how_good(champion: Champion, measured: Mapping[str, float]) -> str:
    """Say how often the model was right, in the words of people who call customers."""
    if champion.holdout_rows is None:
        return ""
    unseen = f" On {champion.holdout_rows:,} customers that it had never seen,"
    if "mae" in measured:
        return f"{unseen} its amounts were off by {words.amount(measured['mae'])} on average."
    if "precision" not in measured or "recall" not in measured:
        return ""
    right, found = words.share(measured["precision"]), words.share(measured["recall"])
    return f"{unseen} {right} of those whom it named left, and it named {found} of all who left."


# -- since the former mail -------------------------------------------------------------------------------------


def _changes(
    ledger: Reader, now: _Standing, before: _Standing | None, newest: Row, former: Row | None
) -> Iterator[str]:
    if former is None:
        yield "This is the first mail; the next one says what changed since."
        return
    if former["run"] == newest["run"]:
        yield "Nothing came in since the last mail: the list is the same."
        return
    if before is None:
        yield f"The predictions of run {former['run']} are gone, so nobody knows who is new on the list."
    else:
        yield from _moved(now, before)
    yield from _came_in(ledger, former["at"])
    for release in ledger.releases():
        if from_iso(release["from_at"]) > from_iso(former["at"]):
            yield f"v{release['version']} serves since {words.day(release['from_at'])} ({release['kind']})."


def _moved(now: _Standing, before: _Standing) -> Iterator[str]:
    ids, former = now.at_risk["id"].combine_chunks(), before.at_risk["id"].combine_chunks()
    new = len(ids) - pc.sum(pc.is_in(ids, value_set=former)).as_py() if len(ids) else 0
    off = former.filter(pc.invert(pc.is_in(former, value_set=ids)))
    still = pc.sum(pc.is_in(off, value_set=now.table["id"].combine_chunks())).as_py() or 0
    difference = len(ids) - len(former)
    than = f"{abs(difference):,} {'more' if difference > 0 else 'fewer'} than" if difference else "as many as"
    gone = f" ({len(off) - still:,} of them gone from the current customers)" if len(off) > still else ""
    yield f"{_people(len(ids))} at risk, {than} in the last mail: {new:,} new, {len(off):,} no longer{gone}."


def _why(home: Home, ledger: Reader, head: Bucketing | None, former: Row | None) -> Iterator[str]:
    """Say why customers came into A and left it, where the former mail was about the run that they are told against."""
    if head is not None and former is not None and head.former_run == former["run"]:
        said = why_moved(ledger, head, home.settings.names, amounts=home.settings.task is Task.REGRESSION)
        if said:
            yield said


def _people(number: int) -> str:
    return f"{words.many(number, 'customer')} {'is' if number == 1 else 'are'}"


def _came_in(ledger: Reader, since: str) -> Iterator[str]:
    came = [row for row in ledger.files() if row["state_at"] > since and row["accepted"]]
    if came:
        yield f"{words.many(len(came), 'file')} with {words.many(sum(row['accepted'] for row in came), 'row')} came in."

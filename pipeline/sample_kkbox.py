"""Made-up members of a music service, in sources that only together tell who leaves: the shape of KKBox's data.

`generate` gives the months as values, `write` puts them into a folder as CSV files. Four kinds of files are joined
on `msno`: members, once each, in the file of the month in which they register (the first month's file has those of
before, too); what they pay and cancel; what they hear, at most once a member and day; and, from the third month on,
labels. A label stands at the first day of its month, the snapshot, and says whether the member leaves within the 30
days after it. Until that day a leaver lives on like everybody else, and then appears nowhere again. In the month
after, a newcomer registers, by the same way and as keen on bargains, lest the mix moves by itself. Nobody leaves in
the first two months. The same arguments give the same bytes, and a longer sample begins like a shorter one.

The truth: at a snapshot a member leaves with probability 1 / (1 + exp(-s)), where s is the sum of the lines below
that hold. They are about what the files say of the days before the snapshot and nothing else. Who paid nothing yet
has no last transaction and no share, who heard nothing yet counts as silent for 30 days, and where nothing was
heard in 60 days, the change is 0. Nobody can rank members better than `probability` does. A test keeps these lines
and the code together.

kkbox
    -2.10  for everyone
    -1.90  the last transaction renews itself
    +2.60  a transaction of the last 30 days is a cancellation
    +0.08  times days since the last listening, at most 30
    -1.50  times (a - b) / (a + b), seconds heard in the last 30 days (a) and in the 30 before (b)
    +1.60  times the share of transactions below the list price
    +0.70  registered via 4
    -0.70  registered via 7
    +0.70  registered less than 60 days ago
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from churnwatch.pipeline.sample import (
    FIRST_MONTH,
    Flags,
    Floats,
    Texts,
    check_size,
    happens,
    ids,
    logistic,
    make_folder,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Days: TypeAlias = npt.NDArray[np.int32]  # since 1970, as Arrow keeps dates

FIRST_LABELS = 2  # months before it only give history
WINDOW = 30  # days: of a label, and of what is recent
MOST_SILENT = 30  # days
YOUNG = 60  # days
LONG_AGO, LONG_AFTER = -(10**6), 10**6  # days before and after all others
INHERITED = ("registered_via", "bargains")  # by a newcomer from the leaver, lest the mix moves by itself
STREAM = 2  # the random stream; those of the other samples have smaller numbers

# What is drawn, with its shares. The codes are some of the real ones; a longer plan costs as much a day as a short one.
CITIES = {"1": 0.5, "4": 0.1, "5": 0.12, "13": 0.15, "15": 0.08, "22": 0.05}
GENDERS = {None: 0.46, "female": 0.26, "male": 0.28}
WAYS = {"3": 0.18, "4": 0.17, "7": 0.35, "9": 0.25, "13": 0.05}
METHODS = {"41": 0.5, "40": 0.15, "38": 0.12, "39": 0.1, "37": 0.08, "36": 0.05}
PLANS = {30: 0.85, 7: 0.03, 90: 0.08, 180: 0.04}  # days
PRICE = 5  # a day


@dataclasses.dataclass(frozen=True, eq=False)
class Month:
    """One month.

    Attributes:
        tables: What is in its files, by their names; a file without rows is not written.
        facts: What the truth looks at, for every label in its order; hand it to `probability`.
    """

    tables: dict[str, pa.Table]
    facts: pd.DataFrame


def generate(*, months: int, rows: int, seed: int) -> Iterator[Month]:
    """Return the months one after the other, each made when it is asked for; `rows` is the number of members.

    Raises:
        UsageError: An argument asks for something impossible; raised here, not at the first month.
    """
    check_size(months=months, rows=rows, seed=seed, fewest_months=FIRST_LABELS + 1)
    return _months(months, rows, seed)


def write(folder: Path, *, months: int, rows: int, seed: int) -> list[Path]:
    """Write the months' CSV files into the folder, which is made if need be; return their paths.

    Raises:
        UsageError: An argument asks for something impossible, or the folder is a file.
    """
    made = generate(months=months, rows=rows, seed=seed)
    make_folder(folder)
    return [
        _write(folder / name, table) for month in made for name, table in month.tables.items() if table.num_rows > 0
    ]


def truth() -> str:
    """Return in words what makes a member leave, one line a term."""
    return "\n".join(f"{term.weight:+.2f}  {term.words}" for term in _TERMS)


def probability(facts: pd.DataFrame) -> Floats:
    """Return each member's true probability of leaving."""
    total = np.zeros(len(facts))
    for term in _TERMS:
        total += term.weight * np.asarray(term.value(facts), dtype=float)
    return logistic(total)


# --- the truth ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Term:
    """One summand of the truth."""

    words: str
    weight: float
    value: Callable[[pd.DataFrame], pd.Series[bool] | pd.Series[float] | float]


_TERMS = (
    _Term("for everyone", -2.1, lambda _: 1.0),
    _Term("the last transaction renews itself", -1.9, lambda f: f["renews"]),
    _Term("a transaction of the last 30 days is a cancellation", 2.6, lambda f: f["cancelled"]),
    _Term("times days since the last listening, at most 30", 0.08, lambda f: f["silent"]),
    _Term(
        "times (a - b) / (a + b), seconds heard in the last 30 days (a) and in the 30 before (b)",
        -1.5,
        lambda f: f["change"],
    ),
    _Term("times the share of transactions below the list price", 1.6, lambda f: f["discounted"]),
    _Term("registered via 4", 0.7, lambda f: f["registered_via"] == "4"),
    _Term("registered via 7", -0.7, lambda f: f["registered_via"] == "7"),
    _Term("registered less than 60 days ago", 0.7, lambda f: f["member_days"] < YOUNG),
)


# --- members ------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Members:
    """A place for each member: who has it, how they live, and what the files say of them so far."""

    msno: Texts
    city: Texts
    bd: npt.NDArray[np.int32]
    gender: Texts
    registered_via: Texts
    registered: Days
    # How they live.
    habit: npt.NDArray[np.float32]  # share of days on which they listen
    milliseconds: npt.NDArray[np.float32]  # on such a day
    mood: npt.NDArray[np.float32]  # the logarithm of how much more than usual they listen this month
    silent_from: Days  # until a later month
    plan: npt.NDArray[np.int32]
    method: Texts
    renews: Flags  # this month's transactions renew themselves
    bargains: Floats  # chance that a transaction is below the list price
    due: Days  # of the next payment
    leaves: Days  # the first day without them
    # What the files say of them.
    last_renews: Flags
    last_cancelled: Days
    last_heard: Days
    transactions: npt.NDArray[np.int32]
    discounted: npt.NDArray[np.int32]

    @property
    def n(self) -> int:
        return len(self.msno)

    def replace(self, places: Flags, newcomers: _Members) -> None:
        """Put newcomers into these places."""
        for field in dataclasses.fields(self):
            if field.name not in INHERITED:
                getattr(self, field.name)[places] = getattr(newcomers, field.name)

    def here(self, day: int) -> Flags:
        """Return who is a member on that day."""
        there: Flags = (self.registered <= day) & (day < self.leaves)
        return there


def _draw(rng: np.random.Generator, shares: dict[str, float] | dict[str | None, float], n: int) -> Texts:
    drawn: Texts = np.array(list(shares), dtype=object)[rng.choice(len(shares), p=list(shares.values()), size=n)]
    return drawn


def _newcomers(rng: np.random.Generator, known: int, registered: Days, seed: int) -> _Members:
    """Return members of whom the files say nothing yet; the first payment is due when they register."""
    n = len(registered)
    age = np.where(happens(rng, 0.4, n), 0, rng.normal(29, 9, n).clip(13, 90))
    renews = happens(rng, 0.7, n)
    return _Members(
        msno=ids("aaaa9999", known, n, seed),
        city=_draw(rng, CITIES, n),
        bd=age.astype(np.int32),
        gender=_draw(rng, GENDERS, n),
        registered_via=_draw(rng, WAYS, n),
        registered=registered,
        habit=rng.beta(3.0, 1.8, n).astype(np.float32),
        milliseconds=rng.lognormal(15.4, 0.7, n).clip(max=2e7).astype(np.float32),
        mood=rng.normal(0.0, 0.5, n).astype(np.float32),
        silent_from=np.full(n, LONG_AFTER, dtype=np.int32),
        plan=rng.choice(list(PLANS), p=list(PLANS.values()), size=n).astype(np.int32),
        method=_draw(rng, METHODS, n),
        renews=renews,
        bargains=rng.choice([0.0, 0.3, 0.9], p=[0.6, 0.25, 0.15], size=n),
        due=registered.copy(),
        leaves=np.full(n, LONG_AFTER, dtype=np.int32),
        last_renews=np.zeros(n, dtype=bool),
        last_cancelled=np.full(n, LONG_AGO, dtype=np.int32),
        last_heard=np.full(n, LONG_AGO, dtype=np.int32),
        transactions=np.zeros(n, dtype=np.int32),
        discounted=np.zeros(n, dtype=np.int32),
    )


def _first_members(rng: np.random.Generator, rows: int, seed: int) -> _Members:
    """Return those who are there when the labels begin; a tenth registers in each of the two months before."""
    start, second, third = (_first_day(number) for number in range(3))
    before = start - 1 - rng.exponential(700.0, rows).clip(max=3650.0).astype(np.int32)
    month = rng.choice(3, p=[0.8, 0.1, 0.1], size=rows)
    registered = np.choose(month, [before, rng.integers(start, second, rows), rng.integers(second, third, rows)])
    members = _newcomers(rng, 0, registered.astype(np.int32), seed)
    # Who is there from the start pays somewhen in the first period of the plan.
    within = start + (rng.random(rows) * members.plan).astype(np.int32)
    members.due = np.where(month == 0, within, members.due)
    return members


# --- one month after the other ------------------------------------------------------------------------------


def _first_day(number: int) -> int:
    """Return the first day of a month."""
    return int((FIRST_MONTH + number).astype("datetime64[D]").astype(np.int64))


def _months(months: int, rows: int, seed: int) -> Iterator[Month]:
    rng, known = np.random.default_rng([seed, STREAM]), rows
    members = _first_members(rng, rows, seed)
    heard = np.zeros((2 * WINDOW, rows), dtype=np.int32)  # milliseconds, of the last days
    for number in range(months):
        start, end = _first_day(number), _first_day(number + 1)
        facts, labels = _snapshot(rng, members, heard, start, end, labelled=number >= FIRST_LABELS)
        _live_on(rng, members, start, end)
        transactions = _transactions(rng, members, start, end)
        logs, of_month = _logs(rng, members, start, end)
        heard = np.concatenate([heard, of_month])[-2 * WINDOW :]
        tables = {
            "members": _registered(members, LONG_AGO if number == 0 else start, end),
            "transactions": transactions,
            "user_logs": logs,
            "labels": labels,
        }
        yield Month({f"{kind}-{FIRST_MONTH + number}.csv": table for kind, table in tables.items()}, facts)
        gone = members.leaves < end
        registered = rng.integers(end, _first_day(number + 2), gone.sum(), dtype=np.int32)
        members.replace(gone, _newcomers(rng, known, registered, seed))
        heard[:, gone] = 0
        known += len(registered)


def _registered(members: _Members, start: int, end: int) -> pa.Table:
    """Return those who register in these days."""
    at = np.flatnonzero((members.registered >= start) & (members.registered < end))
    columns = {name: getattr(members, name)[at] for name in ("msno", "city", "bd", "gender", "registered_via")}
    return pa.table(columns | {"registration_init_time": _dates(members.registered[at])})


def _snapshot(
    rng: np.random.Generator,
    members: _Members,
    heard: npt.NDArray[np.int32],
    start: int,
    end: int,
    *,
    labelled: bool,
) -> tuple[pd.DataFrame, pa.Table]:
    """Return what is known of all who registered before this day, and draw who of them leaves after it."""
    at = np.flatnonzero(members.registered < start) if labelled else np.empty(0, dtype=np.int64)
    facts = _facts(members, heard, start).iloc[at]
    leaves = happens(rng, probability(facts), len(at))
    last = min(end, start + WINDOW)
    members.leaves[at[leaves]] = rng.integers(start, last, leaves.sum(), dtype=np.int32)
    date = _dates(np.full(len(at), start, dtype=np.int32))
    return facts, pa.table({"msno": members.msno[at], "date": date, "is_churn": leaves.astype(np.int8)})


def _facts(members: _Members, heard: npt.NDArray[np.int32], start: int) -> pd.DataFrame:
    """Return what the truth looks at."""
    before, recent = (half.sum(axis=0, dtype=np.int64) for half in np.split(heard, 2))
    return pd.DataFrame(
        {
            "msno": members.msno,
            "renews": members.last_renews,
            "cancelled": members.last_cancelled >= start - WINDOW,
            "silent": np.minimum(start - members.last_heard, MOST_SILENT),
            "change": (recent - before) / np.maximum(recent + before, 1),
            "discounted": members.discounted / np.maximum(members.transactions, 1),
            "registered_via": members.registered_via,
            "member_days": start - members.registered,
        }
    )


def _live_on(rng: np.random.Generator, members: _Members, start: int, end: int) -> None:
    """Change how the members live from one month to the next."""
    n = members.n
    members.mood = 0.6 * members.mood + rng.normal(0.0, 0.5, n).astype(np.float32)
    members.renews ^= happens(rng, np.where(members.renews, 0.04, 0.1), n)
    silent = members.silent_from < start
    members.silent_from[silent & happens(rng, 0.5, n)] = LONG_AFTER
    falls_silent = ~silent & happens(rng, 0.12, n)
    members.silent_from[falls_silent] = rng.integers(start, end, falls_silent.sum(), dtype=np.int32)


# --- payments and listening ---------------------------------------------------------------------------------


def _transactions(rng: np.random.Generator, members: _Members, start: int, end: int) -> pa.Table:
    """Return the month's payments and cancellations in the order of their days, and remember them."""
    until = np.minimum(members.leaves, end)
    # A cancellation stands beside the payments and stops none: most who cancel and stay think better of it.
    cancels = happens(rng, 0.09, members.n)
    day = rng.integers(start, end, members.n, dtype=np.int32)
    places = [np.flatnonzero(cancels & (members.registered <= day) & (day < until))]
    days = [day[places[0]]]
    while len(at := np.flatnonzero(members.due < until)) > 0:
        places.append(at)
        days.append(members.due[at])
        members.due[at] += members.plan[at]
    at, date = np.concatenate(places), np.concatenate(days)
    cancel = np.arange(len(at)) < len(places[0])
    order = np.argsort(date, kind="stable")
    return _as_transactions(rng, members, at[order], date[order], cancel[order])


def _as_transactions(
    rng: np.random.Generator, members: _Members, at: npt.NDArray[np.intp], date: Days, cancel: Flags
) -> pa.Table:
    plan = members.plan[at]
    price = plan * PRICE
    bargain = happens(rng, members.bargains[at], len(at))
    members.last_renews[at] = members.renews[at]
    np.maximum.at(members.last_cancelled, at[cancel], date[cancel])
    members.transactions += np.bincount(at, minlength=members.n).astype(np.int32)
    members.discounted += np.bincount(at[bargain], minlength=members.n).astype(np.int32)
    return pa.table(
        {
            "msno": members.msno[at],
            "payment_method_id": members.method[at],
            "payment_plan_days": plan,
            "plan_list_price": price,
            "actual_amount_paid": np.where(bargain, price * 7 // 10, price),
            "is_auto_renew": members.renews[at].astype(np.int8),
            "transaction_date": _dates(date),
            "membership_expire_date": _dates(np.where(cancel, date, date + plan)),
            "is_cancel": cancel.astype(np.int8),
        }
    )


def _logs(rng: np.random.Generator, members: _Members, start: int, end: int) -> tuple[pa.Table, npt.NDArray[np.int32]]:
    """Return the month's listening, and as a matrix how many milliseconds of each day each member listened."""
    msno = pa.array(members.msno, pa.string())
    chance = np.minimum(members.habit * np.exp(0.5 * members.mood), 0.98)
    usual = members.milliseconds * np.exp(members.mood)
    heard = np.zeros((end - start, members.n), dtype=np.int32)
    tables = []
    for day in range(start, end):
        listens = members.here(day) & (day < members.silent_from)
        at = np.flatnonzero(listens & (rng.random(members.n, dtype=np.float32) < chance))
        factor = np.exp(0.6 * rng.standard_normal(len(at), dtype=np.float32))
        milliseconds = np.clip(usual[at] * factor, 1_000, 80_000_000).astype(np.int32)
        heard[day - start, at] = milliseconds
        members.last_heard[at] = day
        tables.append(_as_logs(rng, msno.take(pa.array(at)), day, milliseconds))
    # Where the first of a table's chunks has no rows, Arrow's CSV writer, told to write no header, writes garbage.
    return pa.concat_tables([table for table in tables if table.num_rows > 0] or tables[:1]), heard


def _as_logs(rng: np.random.Generator, msno: pa.Array, day: int, milliseconds: npt.NDArray[np.int32]) -> pa.Table:
    """Return one day's listening: a song has four minutes, and some are not heard to their end."""
    n = len(milliseconds)
    songs = 1 + milliseconds // 240_000
    shares = {"num_25": 0.4, "num_50": 0.15, "num_75": 0.1, "num_985": 0.12}
    broken_off = {
        name: (songs * (2 * share) * rng.random(n, dtype=np.float32)).astype(np.int32) for name, share in shares.items()
    }
    different = (songs * (0.4 + 0.6 * rng.random(n, dtype=np.float32))).astype(np.int32)
    columns = {
        "msno": msno,
        "date": _dates(np.full(n, day, dtype=np.int32)),
        **broken_off,
        "num_100": songs,
        "num_unq": np.maximum(different, 1),
        "total_secs": milliseconds / 1000.0,
    }
    return pa.table(columns)


# --- files --------------------------------------------------------------------------------------------------


def _dates(days: Days) -> pa.Array:
    return pa.array(days, pa.int32()).cast(pa.date32())


def _write(path: Path, table: pa.Table) -> Path:
    """Write a table; none of its texts needs quotes, and an empty cell has nothing between its commas."""
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    with whole(path) as beside, beside.open("wb") as file:
        file.write((",".join(table.column_names) + "\n").encode())
        pyarrow.csv.write_csv(table, file, options)
    return path

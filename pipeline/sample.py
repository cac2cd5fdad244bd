"""Made-up customers, month by month, whose truth is known: for the demo, the tests and the benchmarks.

`generate` gives the months as values, `write` puts them into a folder as CSV files. The same arguments give
the same bytes: there is no clock, the first month is always January 2026. What is asked for in addition
(repeated rows, empty cells, broken lines) is drawn from a random stream of its own, so that it never changes
who the customers are.

In `telco` who stays comes back next month, one month older; who leaves is replaced by a newcomer with the
same products and an own id and price, so that neither the mix nor the share of churn moves by itself. The
company has lived through six years before the first month, hence loyal customers and long tenures go
together. In `attrition` every month has other corporations.

The truth: a customer leaves with probability 1 / (1 + exp(-s)), where s is the sum of the lines below that
hold. The first number counts until behaviour changes (`changes_at`), the second from then on; an `effect`
below 1 stops on the way between them. Nobody can rank customers better than `probability` does. A test keeps
these lines and the code together.

telco
    -1.75 -> -2.25  for everyone
    +0.20 -> +0.10  contract from month to month
    -1.10 -> -0.10  contract of two years
    -1.20 -> -0.70  optical fibre
    -0.90 -> -0.60  no internet
    +2.70 -> +0.20  optical fibre from month to month without support (an interaction)
    +0.30 -> +0.30  internet without online security
    +0.00 -> +2.30  television over the line
    +0.30 -> +0.10  pays by electronic check
    +0.20 -> +0.00  bills without paper
    -0.40 -> -0.40  has dependents
    +0.30 -> +0.30  senior
    +0.90 -> +0.20  times every 10 a month above 85 (not linear)
    +0.30 -> +0.20  times exp(-tenure / 6) (not linear)

attrition
    -0.15 -> -0.40  for everyone
    -0.60 -> -1.20  times ln(1 + lastyear_activity) - 6.5
    +2.00 -> +0.20  last month below half of the year's average (not linear)
    -0.60 -> +0.90  times ln(number_of_employees) - 3.5
    -2.40 -> +1.00  a small firm, under 20, with last month above the year's average (an interaction)
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from churnwatch.pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Texts: TypeAlias = npt.NDArray[np.object_]

FIRST_MONTH = np.datetime64("2026-01", "M")
SMALL_FIRM = 20  # employees
HISTORY = 71  # months lived before the first one: the longest tenure in it is 72, as in the famous file
MOST_ROWS = 100_000_000  # in all months together; beyond it the ids below could repeat
SCRAMBLE = 73_424_958_353  # shares no factor with 10 or 26, so that counting never gives an id twice
FAR_APART = 61_803_398_875  # between the first ids of two seeds


class Like(StrEnum):
    """Which well-known data set the sample looks like."""

    ATTRITION = "attrition"
    TELCO = "telco"


class Options(TypedDict, total=False):
    """What can be asked for in addition; all of it is off by default.

    Months are counted from 0. Repeated rows and broken lines come on top of the month's `rows`.
    """

    changes_at: int | None  # the first month in which customers behave otherwise
    effect: float  # how far the change goes: 0 not at all, 1 as documented
    duplicates: float  # as a share of `rows`: rows repeated exactly from the same or the previous month
    missing: float  # share of cells left empty; never the id, the month or the target
    broken: int  # lines a month that cannot be read: in turn a cell too many, and text for a number
    without_target: int | None  # the month whose target column is left out: a request to score


@dataclasses.dataclass(frozen=True, eq=False)
class Month:
    """One month of customers.

    Attributes:
        name: The name of its file.
        rows: What a careful reader accepts from the file, repeated rows included.
        broken: Lines of the file that no careful reader accepts.
        effect: How far behaviour has changed; hand it to `probability`.
    """

    name: str
    rows: pd.DataFrame
    broken: tuple[str, ...] = ()
    effect: float = 0.0

    def csv(self) -> str:
        """Return the file's text, the broken lines spread evenly over it."""
        lines = self.rows.to_csv(index=False, lineterminator="\n").splitlines()
        apart = len(lines) // (len(self.broken) + 1)
        for number, line in reversed(list(enumerate(self.broken, start=1))):
            lines.insert(max(1, number * apart), line)
        return "\n".join(lines) + "\n"


def generate(like: Like, *, months: int, rows: int, seed: int, **options: Unpack[Options]) -> Iterator[Month]:
    """Return the months one after the other, each made when it is asked for.

    Raises:
        UsageError: An argument asks for something impossible; raised here, not at the first month.
    """
    return _months(_Plan(like, months, rows, seed, **options))


def write(folder: Path, like: Like, *, months: int, rows: int, seed: int, **options: Unpack[Options]) -> list[Path]:
    """Write one CSV file a month into the folder, which is made if need be; return their paths.

    Raises:
        UsageError: An argument asks for something impossible, or the folder is a file.
    """
    made = generate(like, months=months, rows=rows, seed=seed, **options)
    make_folder(folder)
    return [_write(folder / month.name, month.csv()) for month in made]


def truth(like: Like) -> str:
    """Return in words what makes a customer of this kind leave, one line a term."""
    terms = _KINDS[like].terms
    return "\n".join(f"{term.before:+.2f} -> {term.after:+.2f}  {term.words}" for term in terms)


def probability(like: Like, rows: pd.DataFrame, *, effect: float = 0.0) -> Floats:
    """Return each row's true probability of leaving; the rows must have no empty cells."""
    return logistic(_total(_KINDS[like].terms, rows, effect))


# --- what other samples share -------------------------------------------------------------------------------


def check_size(*, months: int, rows: int, seed: int, fewest_months: int = 1) -> None:
    """Refuse what no sample can be.

    Raises:
        UsageError: A number is too small, or there would be more rows than ids.
    """
    for name, given, least in (("months", months, fewest_months), ("rows", rows, 1), ("seed", seed, 0)):
        _check_least(name, given, least)
    if months * rows > MOST_ROWS:
        raise UsageError(f"{months} months of {rows} rows: ask for {MOST_ROWS:,} rows or fewer in all")


def _check_least(name: str, given: int, least: int) -> None:
    if given < least:
        raise UsageError(f"{name} is {given}: give {least} or more")


def make_folder(folder: Path) -> None:
    """Make the folder, unless it is there.

    Raises:
        UsageError: There is a file in its place.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{folder} is no folder: name one to write the sample into") from error


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a path beside, under a name that no watcher takes, then rename: half a file is never seen."""
    beside = path.with_name(f".{path.name}.part")
    try:
        yield beside
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def logistic(x: Floats) -> Floats:
    """Return the probabilities that belong to these sums."""
    return 1.0 / (1.0 + np.exp(-x))


def happens(rng: np.random.Generator, share: Floats | float, n: int) -> Flags:
    """Return for each row whether it happens; the share may differ from row to row."""
    return rng.random(n) < share


def ids(pattern: str, first: int, n: int, seed: int) -> Texts:
    """Return ids that look random and never repeat; A, a and 9 in the pattern stand for any of their sort."""
    sizes = [{"A": 26, "a": 26, "9": 10}.get(character, 1) for character in pattern]
    many = math.prod(sizes)
    offset = (seed + 1) * FAR_APART % many
    numbers = (np.arange(first, first + n) * SCRAMBLE + offset) % many
    spelt = np.empty((n, len(pattern)), dtype=np.uint8)
    for place in reversed(range(len(pattern))):
        numbers, rest = np.divmod(numbers, sizes[place])
        spelt[:, place] = rest + ord(pattern[place].replace("9", "0"))
    return spelt.view(f"S{len(pattern)}").ravel().astype(str).astype(object)


# --- the truth ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Term:
    """One summand of the truth; `ages` where it changes merely because a month goes by."""

    words: str
    before: float
    after: float
    value: Callable[[pd.DataFrame], pd.Series[bool] | pd.Series[float] | float]
    ages: bool = False


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What the functions below must know of a kind; broken lines put text into the column `number`."""

    terms: tuple[_Term, ...]
    keys: tuple[str, ...]
    target: str
    number: str


def _total(terms: tuple[_Term, ...], rows: pd.DataFrame, effect: float) -> Floats:
    """Return the sum of the terms for every row."""
    total = np.zeros(len(rows))
    for term in terms:
        weight = term.before + effect * (term.after - term.before)
        total += weight * np.asarray(term.value(rows), dtype=float)
    return total


def _is(column: str, value: str | int) -> Callable[[pd.DataFrame], pd.Series[bool]]:
    return lambda rows: rows[column] == value


def _fibre_alone(rows: pd.DataFrame) -> pd.Series[bool]:
    fibre, free = rows["InternetService"] == "Fiber optic", rows["Contract"] == "Month-to-month"
    return fibre & free & (rows["TechSupport"] == "No")


def _small_and_lively(rows: pd.DataFrame) -> pd.Series[bool]:
    small = rows["number_of_employees"] < SMALL_FIRM
    return small & (rows["lastmonth_activity"] * 12 > rows["lastyear_activity"])


_TELCO = _Kind(
    keys=("customerID", "month", "Churn"),
    target="Churn",
    number="MonthlyCharges",
    terms=(
        _Term("for everyone", -1.75, -2.25, lambda _: 1.0),
        _Term("contract from month to month", 0.2, 0.1, _is("Contract", "Month-to-month")),
        _Term("contract of two years", -1.1, -0.1, _is("Contract", "Two year")),
        _Term("optical fibre", -1.2, -0.7, _is("InternetService", "Fiber optic")),
        _Term("no internet", -0.9, -0.6, _is("InternetService", "No")),
        _Term("optical fibre from month to month without support (an interaction)", 2.7, 0.2, _fibre_alone),
        _Term("internet without online security", 0.3, 0.3, _is("OnlineSecurity", "No")),
        _Term("television over the line", 0.0, 2.3, _is("StreamingTV", "Yes")),
        _Term("pays by electronic check", 0.3, 0.1, _is("PaymentMethod", "Electronic check")),
        _Term("bills without paper", 0.2, 0.0, _is("PaperlessBilling", "Yes")),
        _Term("has dependents", -0.4, -0.4, _is("Dependents", "Yes")),
        _Term("senior", 0.3, 0.3, _is("SeniorCitizen", 1)),
        _Term(
            "times every 10 a month above 85 (not linear)",
            0.9,
            0.2,
            lambda r: (r["MonthlyCharges"] - 85.0).clip(lower=0.0) / 10.0,
        ),
        _Term("times exp(-tenure / 6) (not linear)", 0.3, 0.2, lambda r: np.exp(r["tenure"] / -6.0), ages=True),
    ),
)

_ATTRITION = _Kind(
    keys=("corporation", "exited"),
    target="exited",
    number="number_of_employees",
    terms=(
        _Term("for everyone", -0.15, -0.4, lambda _: 1.0),
        _Term(
            "times ln(1 + lastyear_activity) - 6.5",
            -0.6,
            -1.2,
            lambda r: np.log1p(r["lastyear_activity"]) - 6.5,
        ),
        _Term(
            "last month below half of the year's average (not linear)",
            2.0,
            0.2,
            lambda r: r["lastmonth_activity"] * 24 < r["lastyear_activity"],
        ),
        _Term("times ln(number_of_employees) - 3.5", -0.6, 0.9, lambda r: np.log(r["number_of_employees"]) - 3.5),
        _Term(
            "a small firm, under 20, with last month above the year's average (an interaction)",
            -2.4,
            1.0,
            _small_and_lively,
        ),
    ),
)

_KINDS = {Like.TELCO: _TELCO, Like.ATTRITION: _ATTRITION}


# --- one month after the other ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What was asked for, checked."""

    like: Like
    months: int
    rows: int
    seed: int
    changes_at: int | None = None
    effect: float = 1.0
    duplicates: float = 0.0
    missing: float = 0.0
    broken: int = 0
    without_target: int | None = None

    def __post_init__(self) -> None:
        if self.like not in _KINDS:
            raise UsageError(f"like is {self.like}: give {' or '.join(_KINDS)}")
        check_size(months=self.months, rows=self.rows, seed=self.seed)
        _check_least("broken", self.broken, 0)
        for name in ("duplicates", "missing"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name} is {getattr(self, name)}: give a share from 0 to 1")
        for name in ("changes_at", "without_target"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) < self.months:
                raise UsageError(f"{name} is {getattr(self, name)}: give a month from 0 to {self.months - 1}")
        if not (math.isfinite(self.effect) and self.effect >= 0.0):
            raise UsageError(f"effect is {self.effect}: give 0 for none, 1 for the documented change")

    def effect_in(self, month: int) -> float:
        """Return how far behaviour has changed by then."""
        return self.effect if self.changes_at is not None and month >= self.changes_at else 0.0

    def stream(self, purpose: int) -> np.random.Generator:
        """Return a random stream that nothing drawn for another purpose can disturb."""
        return np.random.default_rng([self.seed, purpose])


def _months(plan: _Plan) -> Iterator[Month]:
    """Yield the months: clean customers first, then what was asked for on top."""
    kind, rng, previous = _KINDS[plan.like], plan.stream(1), None
    clean = _telco(plan) if plan.like == Like.TELCO else _attrition(plan)
    for number, rows in enumerate(clean):
        shown = _with_holes(rng, rows, kind, plan.missing)
        if number == plan.without_target:
            shown = shown.drop(columns=kind.target)
        broken = _broken_lines(rng, shown, kind, plan.broken)
        full = _with_repeats(rng, shown, previous, round(plan.duplicates * plan.rows))
        name = f"{plan.like}-{FIRST_MONTH + number}.csv"
        yield Month(name, full, broken, plan.effect_in(number))
        # A row that comes again with its target, which it did not have at first, would be no repetition.
        previous = None if number == plan.without_target else shown


def _attrition(plan: _Plan) -> Iterator[pd.DataFrame]:
    """Yield corporations, others each month."""
    rng, n = plan.stream(0), plan.rows
    for number in range(plan.months):
        lastyear = rng.lognormal(6.5, 1.2, n)
        rows = pd.DataFrame(
            {
                "corporation": ids("aaaaaa", number * n, n, plan.seed),
                "lastmonth_activity": (lastyear / 12 * rng.lognormal(-0.3, 0.8, n)).astype(np.int64),
                "lastyear_activity": lastyear.astype(np.int64),
                "number_of_employees": 1 + rng.lognormal(3.5, 1.3, n).astype(np.int64),
            }
        )
        chance = probability(plan.like, rows, effect=plan.effect_in(number))
        yield rows.assign(exited=happens(rng, chance, n).astype(np.int64))


def _telco(plan: _Plan) -> Iterator[pd.DataFrame]:
    """Yield the customers of every month; who stays is in the next one too."""
    rng, known = plan.stream(0), plan.rows
    customers = _first_customers(rng, plan)
    for number in range(plan.months):
        chance = probability(plan.like, customers, effect=plan.effect_in(number))
        leaves = happens(rng, chance, plan.rows)
        rows = customers.assign(Churn=_yes(leaves))
        rows.insert(1, "month", f"{FIRST_MONTH + number}-01")
        yield rows
        newcomers = _newcomers(rng, customers[leaves], known, plan.seed)
        customers = pd.concat([_a_month_older(customers[~leaves]), newcomers], ignore_index=True)
        known += len(newcomers)


# --- telco's customers --------------------------------------------------------------------------------------


def _yes(flags: Flags) -> Texts:
    return np.array(["No", "Yes"], dtype=object)[flags.astype(np.int64)]


def _draw(rng: np.random.Generator, shares: dict[str, Floats | float], n: int) -> Texts:
    """Return a name per row; shares may differ from row to row, the last name takes what is left."""
    names = np.array(list(shares), dtype=object)
    edges = np.cumsum([np.broadcast_to(share, n) for share in shares.values()], axis=0)[:-1]
    drawn: Texts = names[(rng.random(n) >= edges).sum(axis=0)]
    return drawn


def _first_customers(rng: np.random.Generator, plan: _Plan) -> pd.DataFrame:
    """Return the customers of the first month, each with the tenure that its own risk left it with."""
    customers = _people(rng, plan.rows)
    customers.insert(0, "customerID", ids("9999-AAAAA", 0, plan.rows, plan.seed))
    customers.insert(5, "tenure", 1)
    customers["MonthlyCharges"] = _price(rng, customers)
    customers["tenure"] = _tenures(rng, customers)
    paid = customers["tenure"] * customers["MonthlyCharges"] * rng.uniform(0.95, 1.0, plan.rows)
    newcomer = customers["tenure"] == 1
    return customers.assign(TotalCharges=paid.where(~newcomer, customers["MonthlyCharges"]).round(2))


def _people(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Return who the customers are and what they have; the shares are near those of the famous file."""
    senior, partner = happens(rng, 0.16, n), happens(rng, 0.48, n)
    dependents = happens(rng, np.where(partner, 0.52, 0.09) * np.where(senior, 0.3, 1.0), n)
    internet = _draw(rng, {"DSL": 0.34, "Fiber optic": np.where(senior, 0.6, 0.41), "No": 0.0}, n)
    fibre, online = internet == "Fiber optic", internet != "No"
    two_years = np.where(fibre, 0.14, np.where(online, 0.26, 0.42)) + 0.05 * partner
    one_year = np.where(fibre, 0.17, 0.24)
    contract = _draw(rng, {"Two year": two_years, "One year": one_year, "Month-to-month": 0.0}, n)
    bound = contract != "Month-to-month"
    check = np.where(fibre, 0.5, np.where(online, 0.25, 0.1)) - 0.1 * bound
    card = bank = (1 - check) * 0.33
    payment: dict[str, Floats | float] = {"Electronic check": check, "Bank transfer (automatic)": bank}
    payment |= {"Credit card (automatic)": card, "Mailed check": 0.0}
    return pd.DataFrame(
        {
            "gender": _draw(rng, {"Female": 0.5, "Male": 0.0}, n),
            "SeniorCitizen": senior.astype(np.int64),
            "Partner": _yes(partner),
            "Dependents": _yes(dependents),
            "PhoneService": _yes(happens(rng, 0.72, n) | (internet != "DSL")),
            "InternetService": internet,
            "OnlineSecurity": _extra(rng, online, np.where(bound, 0.5, 0.25)),
            "TechSupport": _extra(rng, online, np.where(bound, 0.55, 0.22)),
            "StreamingTV": _extra(rng, online, np.where(fibre, 0.56, 0.38)),
            "Contract": contract,
            "PaperlessBilling": _yes(happens(rng, np.where(fibre, 0.77, np.where(online, 0.55, 0.29)), n)),
            "PaymentMethod": _draw(rng, payment, n),
        }
    )


def _extra(rng: np.random.Generator, online: Flags, share: Floats) -> Texts:
    """Return who has booked an extra, which only makes sense with internet."""
    booked = _yes(happens(rng, share, len(online)))
    booked[~online] = "No internet service"
    return booked


def _price(rng: np.random.Generator, customers: pd.DataFrame) -> pd.Series[float]:
    """Return what each customer pays a month, in steps of 0.05."""
    price = customers["InternetService"].map({"No": 0.0, "DSL": 25.0, "Fiber optic": 52.0}).astype(float)
    price += 20.0 * (customers["PhoneService"] == "Yes")
    for extra, cost in (("OnlineSecurity", 6.0), ("TechSupport", 6.0), ("StreamingTV", 14.0)):
        price += cost * (customers[extra] == "Yes")
    price += rng.normal(0.0, 4.0, len(customers)).clip(-1.75, 12.0)
    return ((price * 20).round() / 20).round(2)


def _tenures(rng: np.random.Generator, customers: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return tenures after a history in which every leaver's place was taken by a newcomer."""
    steady = _total(tuple(term for term in _TELCO.terms if not term.ages), customers, 0.0)
    ageing = tuple(term for term in _TELCO.terms if term.ages)
    by_tenure = _total(ageing, pd.DataFrame({"tenure": np.arange(HISTORY + 1)}), 0.0)
    tenure = np.ones(len(customers), dtype=np.int64)
    for _ in range(HISTORY):
        leaves = happens(rng, logistic(steady + by_tenure[tenure]), len(customers))
        tenure = np.where(leaves, 1, tenure + 1)
    return tenure


def _a_month_older(customers: pd.DataFrame) -> pd.DataFrame:
    paid = (customers["TotalCharges"] + customers["MonthlyCharges"]).round(2)
    return customers.assign(tenure=customers["tenure"] + 1, TotalCharges=paid)


def _newcomers(rng: np.random.Generator, left: pd.DataFrame, known: int, seed: int) -> pd.DataFrame:
    """Return who takes the leavers' places: the same products, an own id and price."""
    price = _price(rng, left)
    names = ids("9999-AAAAA", known, len(left), seed)
    return left.assign(customerID=names, tenure=1, MonthlyCharges=price, TotalCharges=price)


# --- what can be asked for on top ---------------------------------------------------------------------------


def _with_holes(rng: np.random.Generator, rows: pd.DataFrame, kind: _Kind, share: float) -> pd.DataFrame:
    """Return the rows with that share of their cells empty."""
    columns = [column for column in rows.columns if column not in kind.keys]
    count = round(share * len(rows) * len(columns))
    if count == 0:
        return rows
    holes = rng.permutation(np.arange(len(rows) * len(columns)) < count).reshape(len(rows), -1)
    # Whole numbers stay whole beside empty cells: "34", not "34.0".
    whole = {column: "Int64" for column in columns if rows[column].dtype == np.int64}
    holed = rows.astype(whole)
    for place, column in enumerate(columns):
        holed[column] = holed[column].mask(holes[:, place])
    return holed


def _with_repeats(
    rng: np.random.Generator, rows: pd.DataFrame, previous: pd.DataFrame | None, extra: int
) -> pd.DataFrame:
    """Return the rows and, below them, copies of theirs or of the previous month's, as many as asked for."""
    if extra == 0:
        return rows
    fits = previous is not None and list(previous.columns) == list(rows.columns)
    pool = pd.concat([rows, previous], ignore_index=True) if fits else rows
    return pd.concat([rows, pool.iloc[rng.integers(len(pool), size=extra)]], ignore_index=True)


def _broken_lines(rng: np.random.Generator, rows: pd.DataFrame, kind: _Kind, count: int) -> tuple[str, ...]:
    """Return copies of rows as lines, in turn with a cell too many and with text for a number."""
    copies = rows.iloc[rng.integers(len(rows), size=count)].astype(object)
    copies[kind.number] = copies[kind.number].where(np.arange(count) % 2 == 0, "unknown")
    lines = copies.to_csv(index=False, header=False, lineterminator="\n").splitlines()
    return tuple(line + (",surplus" if place % 2 == 0 else "") for place, line in enumerate(lines))


def _write(path: Path, text: str) -> Path:
    with whole(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")
    return path

"""`GET /diagnostics`: what is missing in the data, how long runs take, and which packages are not in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from fastapi import APIRouter

from churnwatch.pipeline import clock
from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.ledger import profiles
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Step
from churnwatch.pipeline.settings import Home
from churnwatch.reports import work_part
from churnwatch.reports.work_facts import PackageFinding, PackageReport
from churnwatch.serving import problems

_RUNS = 5


@dataclass(frozen=True, slots=True)
class Missing:
    """How many of a column's newest rows have no value."""

    column: str
    run: int
    rows: int
    missing: int
    share: float


@dataclass(frozen=True, slots=True)
class Check:
    """A check of the installed packages. A null is not nought: it is not known.

    Attributes:
        checked_at: when, UTC.
        age_days: how long ago that is.
        state: the worst there is to say: ok, outdated, unknown or vulnerable.
        packages: how many were checked.
        outdated: of how many there is a newer version.
        vulnerable: of how many a weakness is known.
        unknown: of how many nobody could say.
        error: why the check failed, where it did.
        findings: package by package; of very many the first.
    """

    checked_at: str
    age_days: float
    state: str
    packages: int
    outdated: int | None
    vulnerable: int | None
    unknown: int
    error: str | None
    findings: tuple[PackageFinding, ...]


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """How the data, the runs and the packages do.

    Attributes:
        missing: by column, the largest share first.
        steps: of the newest five runs, the newest first, in their order.
        packages: the newest check; null before the first.
        last_complete: the newest that did not fail, where the newest did.
    """

    missing: tuple[Missing, ...]
    steps: tuple[Step, ...]
    packages: Check | None
    last_complete: Check | None


def router(home: Home) -> APIRouter:
    """Return the route."""
    made = APIRouter(tags=["data"])

    @made.get("/diagnostics", responses=problems.documented(HTTPStatus.SERVICE_UNAVAILABLE))
    def diagnostics() -> Diagnostics:
        """Say what is missing in the data, how long runs take, and which packages are not in order."""
        with Reader.open(home.ledger) as ledger:
            return of(home, ledger, now=clock.utc_now())

    return made


def of(home: Home, ledger: Reader, *, now: datetime) -> Diagnostics:
    """Return what the ledger knows of how a home does."""
    known = work_part.packages(home, ledger)
    return Diagnostics(_missing(ledger), _steps(ledger), _check(known.newest, now), _check(known.last_complete, now))


def _missing(ledger: Reader) -> tuple[Missing, ...]:
    found = [
        Missing(row["column_name"], row["run"], row["rows"], row["missing"], row["missing_share"])
        for row in profiles.newest(ledger)
    ]
    return tuple(sorted(found, key=lambda each: (-each.share, each.column)))


def _steps(ledger: Reader) -> tuple[Step, ...]:
    return tuple(Step(**row) for run in ledger.runs(_RUNS) for row in ledger.steps(run["run"]))


def _check(report: PackageReport | None, now: datetime) -> Check | None:
    if report is None:
        return None
    age = (now - from_iso(report.checked_at)).total_seconds() / 86400
    return Check(report.checked_at, round(age, 2), report.state, report.packages, report.outdated, report.vulnerable,
                 report.unknown, report.error, report.findings.shown)  # fmt: skip

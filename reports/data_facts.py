"""The frozen values that a report has of data: what came in, what it missed, how it drifted, what was predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from churnwatch.pipeline.records import Drift, FileState
from churnwatch.reports.listed import Listed


@dataclass(frozen=True, slots=True)
class MissingRow:
    """Missing values of one column, run by run."""

    column: str
    shares: tuple[float | None, ...]  # one for each run of `Missing.runs`; None where the column was not there
    newest: int | None
    rows: int | None

    @property
    def highest(self) -> float:
        """The highest share of all runs shown."""
        return max((share for share in self.shares if share is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Missing:
    """Columns with any missing value, the worst first."""

    runs: tuple[int, ...]
    columns: Listed[MissingRow]
    complete: int  # columns that never missed a value in these runs


@dataclass(frozen=True, slots=True)
class DriftRow:
    """Deviations of one column, or of what is no column, run by run."""

    name: str
    newest: Drift | None  # None where the newest run did not measure it
    history: tuple[Drift | None, ...]  # one for each run of `Drifting.runs`

    @property
    def highest(self) -> float:
        """The highest deviation of all runs shown, in percent."""
        return max((each.deviation_percent for each in self.history if each is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Drifting:
    """How far new rows deviate from what the model in use knows; the largest deviation first."""

    runs: tuple[int, ...]
    rows: Listed[DriftRow]
    steady: int  # that never deviated in these runs
    summary: str | None  # of the newest run; None: nothing was measured yet


@dataclass(frozen=True, slots=True)
class FileRow:
    """A source file and what became of it."""

    path: str
    state: FileState
    at: str
    read: int | None
    accepted: int | None
    duplicate: int | None
    quarantined: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class CheckRow:
    """Rows that broke one check, with the newest example."""

    check: str
    column: str | None
    rows: int
    files: int
    reason: str
    path: str
    first_line: int


@dataclass(frozen=True, slots=True)
class Inputs:
    """What came in."""

    files: Listed[FileRow]
    counts: Mapping[str, int]
    totals: Mapping[str, int]
    quarantined: Listed[CheckRow]


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """One file of predictions, as CSV."""

    csv: str  # path, as the home has it
    link: str  # from the report to it
    source: str | None  # the request to score; None: all current customers
    version: int
    rows: int
    positives: int
    at: str
    amount: float | None = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """Where the predictions lie."""

    customers: PredictionRow | None
    requests: Listed[PredictionRow]

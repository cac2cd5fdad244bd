"""The frozen values that a report has of the work: runs, their time and memory, packages, settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from churnwatch.pipeline.records import Status
from churnwatch.reports.listed import Listed


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run."""

    run: int
    started_at: str
    reason: str
    status: Status
    decision: str | None
    sentence: str
    warnings: tuple[str, ...]
    wall_s: float | None


@dataclass(frozen=True, slots=True)
class StepRow:
    """Time and memory of one step over the runs shown."""

    step: str
    newest_s: float | None
    median_s: float
    longest_s: float
    median_cpu_s: float
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went."""

    steps: tuple[StepRow, ...]
    runs: tuple[tuple[int, Mapping[str, float]], ...]  # run, wall time by step; oldest first


@dataclass(frozen=True, slots=True)
class PackageFinding:
    """One package of which something is to be said."""

    kind: str
    package: str
    installed: str
    detail: str


@dataclass(frozen=True, slots=True)
class PackageReport:
    """One check of the installed packages. None is not zero: it is not known."""

    checked_at: str
    packages: int
    outdated: int | None
    vulnerable: int | None
    unknown: int
    error: str | None
    findings: Listed[PackageFinding]

    @property
    def state(self) -> Literal["vulnerable", "unknown", "outdated", "ok"]:
        """The worst there is to say; what is not known is never OK."""
        if self.vulnerable:
            return "vulnerable"
        if self.unknown or self.vulnerable is None or self.outdated is None or self.error:
            return "unknown"
        return "outdated" if self.outdated else "ok"


@dataclass(frozen=True, slots=True)
class Packages:
    """The newest check, and where that failed, the newest that did not."""

    newest: PackageReport | None
    last_complete: PackageReport | None
    wanted: bool  # by the settings


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting in force."""

    name: str
    value: str
    group: Literal["chosen", "columns", "default"]

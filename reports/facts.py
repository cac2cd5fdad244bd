"""The frozen values that make up a report. Times are the ledger's texts; words are found by the templates."""

from __future__ import annotations

from dataclasses import dataclass

from churnwatch.pipeline.records import Verdict
from churnwatch.reports.customer_facts import Earning, Followed, Reasons, Sorted
from churnwatch.reports.data_facts import Drifting, Inputs, Missing, Predictions
from churnwatch.reports.listed import Listed
from churnwatch.reports.model_facts import Estimates, Quality, ReleaseRow, Serving, VersionRow
from churnwatch.reports.work_facts import Packages, RunRow, SettingRow, Timings


@dataclass(frozen=True, slots=True)
class Headline:
    """What there is to say first: the title, then what qualifies it."""

    title: str
    standfirst: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that the report says."""

    home: str
    target: str
    metric: str  # by which people know how good the model is: f1 or mae
    made_at: str
    source_folder: str
    headline: Headline
    attention: tuple[str, ...]
    serving: Serving | None
    verdict: Verdict | None
    quality: Quality
    estimates: Estimates
    customers: Sorted | None
    reasons: Reasons | None
    earnings: tuple[Earning, ...]
    followed: Followed | None
    predictions: Predictions
    inputs: Inputs
    missing: Missing
    drift: Drifting
    runs: Listed[RunRow]
    timings: Timings
    versions: Listed[VersionRow]
    releases: Listed[ReleaseRow]
    packages: Packages
    settings: Listed[SettingRow]

"""The report's values, charts and words → one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from churnwatch.pipeline import files
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.metrics import METRICS
from churnwatch.pipeline.settings import Home
from churnwatch.reports import charts, curve_charts, customer_charts, history_charts, words
from churnwatch.reports.cohorts import cohort_table
from churnwatch.reports.data import gather
from churnwatch.reports.facts import Report
from churnwatch.reports.run_part import gather_run
from churnwatch.reports.templating import environment


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the page: its anchor, its heading, its template."""

    id: str
    title: str
    template: str
    shown: Callable[[Report], bool] = lambda _: True  # whether there is anything to say


# The page in its order: what people act on, then whether to believe it, then how it came about.
SECTIONS = (
    Section("model", "The model in use", "model.html.j2"),
    Section("customers", "Current customers", "buckets.html.j2", lambda report: report.customers is not None),
    Section(
        "calls", "Call list", "calls.html.j2", lambda report: bool(report.customers and report.customers.calls.shown)
    ),
    Section("predictions", "Predictions", "predictions.html.j2"),
    Section("reasons", "What counts", "reasons.html.j2", lambda report: report.reasons is not None),
    Section("quality", "On trial", "quality.html.j2"),
    Section("drift", "Drift", "drift.html.j2"),
    Section("missing-values", "Missing values", "missing.html.j2"),
    Section("churn", "What came of it", "churn.html.j2", lambda report: report.followed is not None),
    Section("runs", "Runs", "runs.html.j2"),
    Section("data", "Files", "files.html.j2"),
    Section("versions", "Models and releases", "versions.html.j2"),
    Section("packages", "Packages", "packages.html.j2"),
    Section("settings", "Settings in force", "settings.html.j2"),
    Section("reading", "How to read this", "reading.html.j2"),
)


def build(
    home: Home, reader: Reader, *, now: datetime, attention: Sequence[str] = (), output: Path | None = None
) -> Path:
    """Write the report and return where it lies.

    Args:
        home: whose report it is.
        reader: of its ledger.
        now: when it is made.
        attention: ready sentences on what needs somebody.
        output: where to write it; by default where the settings say.
    """
    target = output or home.report
    report = gather(home, reader, now=now, attention=attention, output=target)
    files.write_text(target, render(report, now=now))
    return target


def build_run(home: Home, reader: Reader, run: int, *, now: datetime, output: Path | None = None) -> Path:
    """Write the page of one run, by default beside the report, and return where it lies.

    Raises:
        NotFoundError: there is no run of that number.
    """
    target = output or home.report.with_name(f"run-{run:05d}.html")
    found = gather_run(home, reader, run, target)
    text = page(
        "run.html.j2", now, home.path.name, run=found, of=METRICS[found.metric],
        matrix_chart=charts.matrix_chart(found.matrix), curve_charts=curve_charts.drawn(found.curves, found.auc),
    )  # fmt: skip
    files.write_text(target, text)
    return target


def render(report: Report, *, now: datetime) -> str:
    """Return the page."""
    return page(
        "report.html.j2", now, report.home, report=report, of=METRICS[report.metric],
        sections=[each for each in SECTIONS if each.shown(report)],
        metric_chart=charts.metric_chart(report.quality.history.shown, report.metric),
        matrix_chart=charts.matrix_chart(report.quality.matrix),
        tenths_chart=charts.tenths_chart(report.quality.tenths),
        timing_chart=history_charts.timing_chart(report.timings),
        missing_chart=history_charts.missing_chart(report.missing),
        curve_charts=[*curve_charts.drawn(report.quality.curves, report.quality.holdout("roc_auc")), *_profit(report)],
        moves_chart=customer_charts.moves_chart(report.customers) if report.customers else None,
        importance_chart=customer_charts.importance_chart(report.reasons) if report.reasons else None,
        permutation_chart=customer_charts.permutation_chart(report.reasons) if report.reasons else None,
        churn_chart=customer_charts.churn_chart(report.followed.months) if report.followed else None,
        cohorts=cohort_table(report.followed.cohorts) if report.followed else None,
    )  # fmt: skip


def _profit(report: Report) -> Iterator[curve_charts.Captioned]:
    """Yield the chart of what offers would have earned, where any would."""
    chart = customer_charts.profit_chart(report.earnings, report.quality.curves)
    if chart is not None:
        caption = "For a customer of median value, by the save rates that the settings assume; the dot is the most."
        yield "Profit", chart, caption


def page(template: str, now: datetime, home: str, **values: Any) -> str:
    """Return a page that holds its style sheet and its script, and allows no others.

    Args:
        template: of the page.
        now: from which ages are told.
        home: its name.
        values: what the template says.
    """
    made = environment()
    made.filters["age"] = lambda when: words.age(when, now)
    style, script = (_source(made, name) for name in ("style.css", "page.js"))
    return made.get_template(template).render(
        values, home=home, style=style, style_hash=_hash(style), script=script, script_hash=_hash(script)
    )


def _source(made: Environment, name: str) -> Markup:
    assert made.loader is not None  # noqa: S101 - `environment` gave it one
    return Markup(made.loader.get_source(made, name)[0])  # noqa: S704 - our own file


def _hash(text: str) -> str:
    """Return what a Content-Security-Policy calls this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

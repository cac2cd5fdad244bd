"""The ledger → what the report says, as frozen values. Nothing is formatted here but the headline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.metrics import HEADLINES, METRICS
from churnwatch.pipeline.records import Champion, Status, Verdict
from churnwatch.pipeline.settings import Home, Settings
from churnwatch.reports import customers_part, drift_part, inputs_part, models_part, words, work_part
from churnwatch.reports.customer_facts import Sorted
from churnwatch.reports.facts import Headline, Report
from churnwatch.reports.model_facts import Quality
from churnwatch.reports.work_facts import RunRow

MOST_ATTENTION = 20


def gather(
    home: Home,
    reader: Reader,
    *,
    now: datetime,
    attention: Sequence[str] = (),
    output: Path | None = None,
) -> Report:
    """Return all that the report says.

    Args:
        home: whose report it is.
        reader: of its ledger.
        now: when the report is made.
        attention: sentences of the daemon on what needs somebody.
        output: where the report will lie, so that it can link to the predictions.
    """
    runs = work_part.runs(reader)
    numbers = [row.run for row in runs.shown]
    serving = models_part.serving(reader)
    champion = serving.champion if serving else None
    metric = HEADLINES[home.settings.task]
    quality = models_part.quality(reader, champion, metric)
    urgent = tuple(attention)
    sorted_ = customers_part.sorted_customers(reader, home.settings)
    return Report(
        home=home.path.name,
        target=home.settings.target,
        metric=metric,
        made_at=iso(now),
        source_folder=home.settings.source_folder,
        headline=headline(champion, runs.shown, len(urgent), home.settings, now=now, found=sorted_, on_trial=quality),
        attention=urgent[:MOST_ATTENTION],
        serving=serving,
        verdict=_last_verdict(reader, runs.shown),
        quality=quality,
        estimates=models_part.estimates(reader),
        customers=sorted_,
        reasons=customers_part.reasons(reader, home.settings.names),
        earnings=customers_part.earnings(sorted_, quality.curves),
        followed=customers_part.followed(reader),
        predictions=inputs_part.predictions(home, reader, output or home.report),
        inputs=inputs_part.inputs(reader, numbers),
        missing=inputs_part.missing(reader, numbers),
        drift=drift_part.drifting(home, reader),
        runs=runs,
        timings=work_part.timings(reader, numbers),
        versions=models_part.versions(reader, quality.history.shown),
        releases=models_part.releases(reader),
        packages=work_part.packages(home, reader),
        settings=work_part.settings(home),
    )


def headline(
    champion: Champion | None,
    runs: Sequence[RunRow],
    urgent: int,
    settings: Settings,
    *,
    now: datetime,
    found: Sorted | None = None,
    on_trial: Quality | None = None,
) -> Headline:
    """Say the state of things in words: v7 serves since 3 Nov. F1 .64 on 2,113 customers it never saw."""
    if champion is None:
        title, known = _without_model(runs, settings.source_folder)
    else:
        title = f"{champion.model.name} serves since {words.date(champion.since, now)}."
        judged_by = "customer" if settings.id is not None and settings.date is None else "row"
        known = f"{_how_good(champion, judged_by)}{_what_that_means(on_trial)}.{_at_risk(found)}"
    needed = "need" if urgent > 1 else "needs"
    things = f"{words.in_words(urgent).capitalize()} {'things' if urgent > 1 else 'thing'} {needed} you."
    return Headline(title, f"{known} {things if urgent else 'Nothing needs you.'}")


def _at_risk(found: Sorted | None) -> str:
    """Say how many customers are in bucket A, and what they are worth."""
    if found is None or found.urgent is None:
        return ""
    said = f" {words.many(found.urgent.customers, 'customer')} in bucket A"
    worth, months = found.urgent.value, found.by.value_months
    return f"{said}, worth {worth / months:,.0f} a month." if worth and months else f"{said}."


def _how_good(champion: Champion, judged_by: str) -> str:
    """Say how good the champion is, and on how many rows; these are customers only where each has one row."""
    if champion.value is None:
        return "Nobody knows yet how good it is: there is no holdout row to judge it by"
    rows = words.many(champion.holdout_rows or 0, judged_by)
    said = words.told(champion.value, champion.metric, 2)
    if champion.metric == "f1":
        said = said.removeprefix("0")
    return f"{METRICS[champion.metric].title.capitalize()} {said} on {rows} it never saw"


def _what_that_means(on_trial: Quality | None) -> str:
    """Say F1 as the two shares that it is made of; nothing of amounts, whose errors are in the unit of the target."""
    found, right = (on_trial.holdout(key) if on_trial else None for key in ("recall", "precision"))
    if found is None or right is None:
        return ""
    return f": it named {words.share(found)} of those who left, and {words.share(right)} of those it named did leave"


def _without_model(runs: Sequence[RunRow], source_folder: str) -> tuple[str, str]:
    if not runs:
        return "No model yet.", f"Drop a CSV into {source_folder}; the first run trains one."
    newest = runs[0]
    if newest.status is Status.RUNNING:
        return "No model serves yet.", f"Run {newest.run} is under way."
    return "No model serves yet.", f"Run {newest.run}: {(newest.sentence or newest.status.value).rstrip('.')}."


def _last_verdict(reader: Reader, runs: Sequence[RunRow]) -> Verdict | None:
    run = next((row.run for row in runs if row.decision), None)
    return None if run is None else reader.verdict(run)

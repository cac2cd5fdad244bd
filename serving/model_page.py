"""The release and the ledger → what the page of the model shows: how good it is, how it came, how to ask it."""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pprint import pformat

from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.metrics import HEADLINES
from churnwatch.pipeline.settings import Home
from churnwatch.pipeline.shares import f1_interval, wilson
from churnwatch.reports import models_part
from churnwatch.reports.chart_parts import Chart
from churnwatch.reports.listed import Listed
from churnwatch.reports.model_facts import Matrix, MetricRow, Point, ReleaseRow, Serving, VersionRow
from churnwatch.serving.release import Release

_DRAWING = threading.Lock()  # matplotlib's settings are those of the process


@dataclass(frozen=True)
class MetricLine:
    """One metric on the holdout, with its 90 % interval where the counts tell one."""

    metric: MetricRow
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Samples:
    """How to ask for a prediction: ready to be copied, with the fields as they are."""

    body: str
    curl: str
    python: str


@dataclass(frozen=True)
class ModelPage:
    """What the page shows; `metric` is the one that is in the headlines."""

    release: Release
    metric: str
    serving: Serving | None
    metrics: tuple[MetricLine, ...]
    matrix: Matrix | None
    versions: Listed[VersionRow]
    releases: Listed[ReleaseRow]
    chart: Chart | None
    samples: Samples


def gather(home: Home, ledger: Reader, release: Release, address: str) -> ModelPage:
    """Return what the page shows; `address` is where the API answers, without a slash at its end."""
    metric = HEADLINES[home.settings.task]
    champion = ledger.champion()
    quality = models_part.quality(ledger, champion, metric)
    return ModelPage(
        release, metric, models_part.serving(ledger), tuple(_with_intervals(quality.metrics, quality.matrix)),
        quality.matrix, models_part.versions(ledger, quality.history.shown), models_part.releases(ledger),
        _chart(quality.history.shown, metric), samples(release, address),
    )  # fmt: skip


def samples(release: Release, address: str) -> Samples:
    """Return how to ask about the typical customer."""
    customer = {name: field.typical for name, field in release.fields.items()}
    body = json.dumps(customer, ensure_ascii=False, indent=1)
    curl = f"curl -s {shlex.quote(f'{address}/predict')} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
    python = (
        "import json\nimport urllib.request\n\n"
        f"customer = {pformat(customer, width=88, sort_dicts=False)}\n"
        f"request = urllib.request.Request(\n    {f'{address}/predict'!r},\n    json.dumps(customer).encode(),\n"
        '    {"Content-Type": "application/json"},\n)\n'
        "with urllib.request.urlopen(request) as answer:\n    print(json.load(answer))\n"
    )
    return Samples(body, curl, python)


def _with_intervals(rows: tuple[MetricRow, ...], matrix: Matrix | None) -> Iterator[MetricLine]:
    known = {} if matrix is None else _intervals(matrix)
    for row in rows:
        yield MetricLine(row, *known.get(row.key, (None, None)))


def _intervals(matrix: Matrix) -> dict[str, tuple[float, float]]:
    """Return the 90 % intervals that follow from counts, of those metrics whose rows there are."""
    hits, right = matrix.true_positives, matrix.true_positives + matrix.true_negatives
    either = matrix.left + matrix.named - hits
    counted = {"precision": (hits, matrix.named), "recall": (hits, matrix.left), "accuracy": (right, matrix.rows)}
    found = {name: wilson(*counts) for name, counts in counted.items() if counts[1]}
    return found | ({"f1": f1_interval(hits, either)} if either else {})


@lru_cache(maxsize=1)
def _chart(points: tuple[Point, ...], metric: str) -> Chart | None:
    """Draw the headline metric over runs; again only where a run has changed it."""
    from churnwatch.reports import charts  # noqa: PLC0415 - matplotlib is not needed to predict

    with _DRAWING:
        return charts.metric_chart(points, metric)

"""Estimates of a run: of requests to score, and of labelled rows, to learn how far estimates can be trusted.

Whatever is predicted before its labels count is estimated as if there were none, and held against the truth once it is
there; `coverage` says what came of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from churnwatch.pipeline import bookkeeping, cells, datasets
from churnwatch.pipeline.engine import literal
from churnwatch.pipeline.estimate import Floats, estimate
from churnwatch.pipeline.features import Rows, labelled_rows
from churnwatch.pipeline.late_labels import FATE, LABELS, REQUEST, REQUESTS, RUN, Fate, labelled
from churnwatch.pipeline.records import Metric, Model, Request
from churnwatch.pipeline.train import probabilities
from churnwatch.pipeline.workspace import Workspace

_ENOUGH = 0.8  # share of a request's rows whose labels came: with fewer, those who left may only be known earlier


def of_request(at: Workspace, probability: Floats, champion: Model, file: int) -> list[Metric]:
    """Return what is to be expected of a request, unless its labels came before it was predicted."""
    kept = next((each for each in at.ledger.requests() if each.file == file), None)
    if (
        kept is not None
        and sum(rows for batch, _, rows, _ in _counts(at) if batch == kept.batch) >= _ENOUGH * kept.rows
    ):
        return []
    return _of_rows(at, probability, champion, file=file)


def _of_rows(
    at: Workspace, probability: Floats, version: Model, *, batch: int | None = None, file: int | None = None
) -> list[Metric]:
    if at.schema.predicts_amounts:
        return []  # no amount says by itself how far off it is
    return [
        Metric(at.run, version.version, "champion", "estimated", each.name, each.value, len(probability), batch,
               each.low, each.high, file)
        for each in estimate(probability, threshold=version.threshold, seed=at.home.settings.training.seed)
    ]  # fmt: skip


def of_batch(at: Workspace, rows: Rows, probability: Floats, champion: Model, batch: int, file: int) -> list[Metric]:
    """Return what would have been expected of a labelled batch, if it can say whether estimates hold.

    Rows whose labels came late were a request, whose estimate is held against them.
    """
    path = at.ledger.source_file(file).path
    if not _is_enough(at, len(rows), rows.positives) or datasets.role(at.home.settings, path) == LABELS:
        return []
    return _of_rows(at, probability, champion, batch=batch)


def compare(at: Workspace) -> None:
    """Hold the estimates of requests against the labels that came since, where those are enough."""
    if at.schema.predicts_amounts:
        return
    requests = {each.batch: each for each in at.ledger.requests()}
    answers = {row["file"]: row for row in at.ledger.predictions() if row["file"] is not None}
    known: dict[int, list[tuple[int, int, int]]] = {}
    for batch, run, rows, positives in _counts(at):
        known.setdefault(batch, []).append((run, rows, positives))
    for batch, counts in sorted(known.items()):
        answer = answers.get(requests[batch].file)
        if answer is not None:
            at.ledger.add_all(list(_compared(at, requests[batch], answer, counts)))


def _counts(at: Workspace) -> list[tuple[int, int, int, int]]:
    """Return how many labels came for each request in each run, and how many of them are positive."""
    y = f"CAST(coalesce(sum({cells.label(at.schema)}), 0) AS BIGINT)"
    parts = datasets.paths(at.home, at.ledger, LABELS)
    if not parts:
        return []
    scanned = at.engine.scan(parts)
    found = at.engine.rows(
        f"SELECT {REQUEST}, {RUN}, count(*), {y} FROM {scanned} l WHERE {FATE} = {literal(Fate.LABELS)}"
        f" GROUP BY {REQUEST}, {RUN}"
    )
    return [(batch, run, rows, positives) for batch, run, rows, positives in found]


def _compared(
    at: Workspace, request: Request, answer: dict[str, Any], counts: list[tuple[int, int, int]]
) -> Iterator[Metric]:
    """Yield truth and estimate of the rows of one request whose labels came after it was predicted.

    A version that was trained later than a label came may have learned from it.
    """
    later = [(rows, positives) for run, rows, positives in counts if run > answer["run"]]
    rows, positives = (sum(each) for each in zip(*later, strict=True)) if later else (0, 0)
    done = at.ledger.compared_rows(request.file, answer["version"])
    if rows <= done or rows < _ENOUGH * request.rows or not _is_enough(at, rows, positives):
        return
    version = at.ledger.model(answer["version"])
    model = at.usable(version)
    if isinstance(model, str):
        return
    query = labelled(
        at.schema,
        at.engine,
        datasets.paths(at.home, at.ledger, REQUESTS),
        datasets.paths(at.home, at.ledger, LABELS),
        where=f"l.{RUN} > {answer['run']} AND q._batch = {request.batch}",
    )
    found = labelled_rows(at.learned, at.engine, f"({query})")
    probability = probabilities(model, found)
    yield from _of_rows(at, probability, version, file=request.file)
    yield from bookkeeping.metric_records(
        at.run, at.evaluated(found, probability, version.threshold), rows=len(found), subject="champion",
        split="realised", version=version.version, file=request.file,
    )  # fmt: skip


def _is_enough(at: Workspace, rows: int, positives: int) -> bool:
    return min(positives, rows - positives) >= at.home.settings.gating.min_positives

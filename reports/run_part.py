"""The ledger → what the page of one run says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from churnwatch.pipeline import drift_words
from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.metrics import HEADLINES
from churnwatch.pipeline.records import Drift, Model, Verdict
from churnwatch.pipeline.settings import Home
from churnwatch.reports import curves_part, inputs_part, models_part, work_part
from churnwatch.reports.data_facts import CheckRow, FileRow, PredictionRow
from churnwatch.reports.listed import Listed
from churnwatch.reports.model_facts import Curves, Matrix, Point
from churnwatch.reports.work_facts import RunRow, Timings

MOST_FILES = 200


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """One metric on the holdout: of the candidate, and of what it was held against."""

    key: str
    name: str
    meaning: str
    candidate: float | None
    champion: float | None
    baseline: float | None


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """What was compared to choose the candidate: an estimator, a window or the baseline."""

    name: str
    metric: float | None
    log_loss: float | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt of a run."""

    attempt: int
    started_at: str
    status: str
    wall_s: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class CaseRow:
    """What a candidate said of a sample customer."""

    line: int
    expected: str
    probability: float
    met: bool


@dataclass(frozen=True, slots=True)
class RunPage:
    """All that the page of one run says."""

    metric: str
    row: RunRow
    run_id: str
    attempts: tuple[AttemptRow, ...]
    model: Model | None
    verdict: Verdict | None
    point: Point | None
    judged: tuple[JudgedRow, ...]
    matrix: Matrix | None
    curves: Curves | None
    auc: float | None
    compared: tuple[ComparedRow, ...]
    cases: tuple[CaseRow, ...]
    files: Listed[FileRow]
    checks: Listed[CheckRow]
    drift: tuple[Drift, ...]
    drift_summary: str | None
    predictions: tuple[PredictionRow, ...]
    timings: Timings


def gather_run(home: Home, reader: Reader, run: int, output: Path) -> RunPage:
    """Return all that the page of a run says.

    Raises:
        NotFoundError: there is no run of that number.
    """
    row, model = reader.run(run), reader.model_of_run(run)
    metric: str = HEADLINES[home.settings.task]
    on_holdout = models_part.values(reader, run, "holdout", model.version) if model else {}
    drifts = reader.drifts(run)
    states = reader.run_file_states(run)
    return RunPage(
        metric=metric,
        row=work_part.run_row(row),
        run_id=row["run_id"],
        attempts=tuple(map(_attempt, reader.attempts(run))),
        model=model,
        verdict=reader.verdict(run),
        point=models_part.point_of(reader, run, metric),
        judged=tuple(_judged(reader, run, on_holdout)),
        matrix=models_part.matrix(on_holdout, model.version, run) if model else None,
        curves=curves_part.curves(reader, model, run) if model else None,
        auc=on_holdout.get("roc_auc"),
        compared=_compared(reader, run, metric, model),
        cases=tuple(_case(each) for each in reader.acceptance_cases(run)),
        files=Listed(tuple(map(_file, states[:MOST_FILES])), len(states)),
        checks=inputs_part.checks(reader, [run]),
        drift=tuple(each for each in drifts if each.deviation_percent),
        drift_summary=drift_words.summary(drifts, home.settings.drift.retrain) if drifts else None,
        predictions=tuple(inputs_part.located(home, output, reader.predictions(run))),
        timings=work_part.timings(reader, [run]),
    )


def _attempt(row: Row) -> AttemptRow:
    return AttemptRow(row["attempt"], row["started_at"], row["status"], row["wall_s"], row["error"])


def _case(row: Row) -> CaseRow:
    return CaseRow(row["line"], row["expected"], row["probability"], bool(row["met"]))


def _file(row: Row) -> FileRow:
    return inputs_part.file_row({**row, "state_at": row["at"]})


def _judged(reader: Reader, run: int, candidate: Mapping[str, float]) -> Iterator[JudgedRow]:
    rows = reader.metrics(run=run, split="holdout")
    champion, baseline = (
        {row["name"]: row["value"] for row in rows if row["subject"] == subject} for subject in ("champion", "baseline")
    )
    for key, (name, meaning) in models_part.METRIC_WORDS.items():
        if key in candidate:
            yield JudgedRow(key, name, meaning, candidate[key], champion.get(key), baseline.get(key))


def _compared(reader: Reader, run: int, metric: str, model: Model | None) -> tuple[ComparedRow, ...]:
    rows = reader.metrics(run=run, split="cross_validation")
    names = dict.fromkeys(row["subject"] for row in rows)
    return tuple(_compared_row(name, rows, metric, model) for name in names)


def _compared_row(name: str, rows: Sequence[Row], metric: str, model: Model | None) -> ComparedRow:
    of = {row["name"]: row["value"] for row in rows if row["subject"] == name}
    return ComparedRow(name, of.get(metric), of.get("log_loss"), model is not None and model.estimator == name)

"""The step that holds a run's new rows against what the model in use was trained on, and what follows from it.

A run whose deviations are in the ledger already is not measured again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from churnwatch.pipeline import bins, causes, drift, drift_words, predict, reference, registry, schedule
from churnwatch.pipeline.bins import Bins
from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.drift import Compared, Deviation, Losses, Spread
from churnwatch.pipeline.engine import Engine
from churnwatch.pipeline.ledger.searches import searched
from churnwatch.pipeline.records import Band, Batch, Drift, DriftKind, Model
from churnwatch.pipeline.reference import Reference
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.workspace import Workspace

_FEWEST_ROWS = 30  # of last year's month


@dataclass(frozen=True)
class _Question:
    """One thing to hold against the reference, and how it is called."""

    kind: DriftKind
    column: str
    compared: Compared
    rows: int
    reference_rows: int
    bins: Bins | None = None


@dataclass(frozen=True)
class Plan:
    """Whether a run trains a model, how, and why, as a sentence that holds no value of the data."""

    trains: bool
    training: Training
    why: str


@dataclass(frozen=True)
class _Current:
    """The rows that are held against the reference: where they are, and the batches they came with, if any."""

    engine: Engine
    source: str
    where: str = "true"
    batches: Sequence[Batch] = ()


def measure(at: Workspace) -> None:
    """Hold the new rows of a run against the reference of the model in use, and record what deviates.

    Where they are too few to tell, all rows that no model has learned from yet are taken.
    """
    champion = at.ledger.champion()
    if champion is None or not at.batches or at.ledger.drifts(at.run) or at.ledger.model_of_run(at.run) is not None:
        return
    model, known = at.comparable(champion.model), _reference(at, champion.model)
    if model is None or known is None:
        return
    found = _measured(at, champion.model, model, known, _of_batches(at, at.batches))
    waiting = at.ledger.unlearned_batches()
    too_few = any(each.band is Band.UNRESOLVED for each in found if each.kind is DriftKind.COLUMN)
    if too_few and len(waiting) > len(at.batches):
        found = _measured(at, champion.model, model, known, _of_batches(at, waiting))
    at.ledger.add_all(found)


def of_request(at: Workspace, version: Model, model: Any, table: str, file: int) -> list[Drift]:
    """Hold the rows of a request to score against the reference of the model that predicts them.

    Returns what is to be recorded, together with the predictions.

    Args:
        at: the run.
        version: the model in use.
        model: as it was loaded.
        table: what stands after FROM to read the rows with their features.
        file: the request.
    """
    known = _reference(at, version)
    if known is None:
        return []
    current = _Current(at.featured.engine, table)
    return [replace(each, file=file) for each in _measured(at, version, model, known, current)]


def _reference(at: Workspace, version: Model) -> Reference | None:
    kept = registry.reference(at.home.models, version)
    return None if kept is None else reference.decode(kept)


def _of_batches(at: Workspace, batches: Sequence[Batch]) -> _Current:
    numbers = ", ".join(str(batch.batch) for batch in batches)
    return _Current(at.engine, at.as_they_came, f"_batch IN ({numbers})", batches)


def _measured(at: Workspace, version: Model, model: Any, known: Reference, current: _Current) -> list[Drift]:
    settings = at.home.settings.drift
    before, said = _season(at, known, version, current)
    asked = [*_columns(at, before, current), *_target(at, before, current), *_prediction(at, known, model, current),
             *_concept(at, known, version, current)]  # fmt: skip
    seed = at.home.settings.training.seed
    found = drift.deviations([each.compared for each in asked], alpha=settings.alpha, seed=seed)
    bounds = {"watch": settings.watch, "retrain": settings.retrain, "search": settings.search}
    return [
        Drift(at.run, version.version, said, each.kind, each.column, each.rows, each.reference_rows,
              100 * deviation.value, 100 * deviation.floor, drift.band(deviation, **bounds), _cause(each, deviation))
        for each, deviation in zip(asked, found, strict=True)
    ]  # fmt: skip


def _season(at: Workspace, known: Reference, version: Model, current: _Current) -> tuple[Reference, str]:
    """Return what the columns are held against, and in words: training rows, or those of the same month a year ago."""
    said = f"{version.name}'s training rows"
    newest = max((each.last_date for each in current.batches if each.last_date), default=None)
    if at.home.settings.drift.reference == "champion" or newest is None:
        return known, said
    first = dt.date(int(newest[:4]) - 1, int(newest[5:7]), 1)
    then = reference.of_month(known, at.learned, current.engine, current.source, first=first, besides=current.where)
    if not then.columns or sum(then.columns[0].rows) < _FEWEST_ROWS:
        return known, f"{said}, as there are too few rows of {first:%B %Y}"
    return then, f"rows of {first:%B %Y}"


# -- what is compared ------------------------------------------------------------------------------------------


def _columns(at: Workspace, before: Reference, current: _Current) -> list[_Question]:
    features = set(at.learned.features)
    wanted = [each for each in before.columns if each.column in features]
    counted = bins.count(wanted, current.engine, current.source, where=current.where)
    return [
        _spread(DriftKind.COLUMN, known, rows)
        for known, rows in zip(wanted, counted, strict=True)
        if sum(rows) and sum(known.rows)
    ]


def _spread(kind: DriftKind, known: Bins, rows: Sequence[int]) -> _Question:
    return _Question(kind, known.column, Spread(known.rows, rows), sum(rows), sum(known.rows), known)


def _target(at: Workspace, before: Reference, current: _Current) -> list[_Question]:
    rows, positives = (sum(getattr(each, name) for each in current.batches) for name in ("labelled", "positives"))
    if not rows or not before.rows:
        return []
    if before.target is not None:  # an amount is spread as any other column is
        now = reference.of_target(before.target, current.engine, current.source, where=current.where)
        return [_spread(DriftKind.COLUMN, before.target, now.rows)]
    spread = Spread((before.rows - before.positives, before.positives), (rows - positives, positives))
    return [_Question(DriftKind.TARGET, at.home.settings.target, spread, rows, before.rows)]


def _prediction(at: Workspace, known: Reference, model: Any, current: _Current) -> list[_Question]:
    if known.probability is None:
        return []
    query = f"SELECT * FROM {current.source} AS s WHERE {current.where}"
    found = predict.predict(model, at.learned, current.engine, query, keep=[], version="")
    rows = bins.count_numbers(known.probability, found.predictions)
    return [_spread(DriftKind.PREDICTION, known.probability, rows.tolist())] if rows.sum() else []


def _concept(at: Workspace, known: Reference, version: Model, current: _Current) -> list[_Question]:
    batches, before = {each.batch for each in current.batches}, known.log_loss
    metric = "mae" if at.schema.predicts_amounts else "log_loss"
    tested = [row for row in at.ledger.metrics(version=version.version, split="prequential")
              if row["name"] == metric and row["batch"] in batches]  # fmt: skip
    rows = sum(row["rows"] for row in tested)
    if not rows or before is None or not before.mean:
        return []
    mean = float(np.average([row["value"] for row in tested], weights=[row["rows"] for row in tested]))
    losses = Losses(before.mean, before.std, before.skewness, before.rows, mean, rows)
    return [_Question(DriftKind.CONCEPT, metric, losses, rows, before.rows)]


def _cause(question: _Question, deviation: Deviation) -> str | None:
    if not deviation.value:
        return None
    compared = question.compared
    if isinstance(compared, Losses):
        return causes.of_losses(compared.mean, compared.new_mean, question.column)
    if question.bins is None:
        assert isinstance(compared, Spread)  # noqa: S101 - what is no log loss is spread over bins
        return causes.of_share(*(each[1] / sum(each) for each in (compared.reference, compared.current)))
    return causes.of_column(question.bins, deviation)


# -- what follows ----------------------------------------------------------------------------------------------


def plan(at: Workspace) -> Plan:
    """Decide whether the run trains a model and how, and say why; add a warning where somebody should look.

    What a former attempt trained is decided about, also where settings or other runs since say that nothing is due.
    """
    settings, found = at.home.settings, at.ledger.drifts(at.run)
    at.warnings += _warnings(found)
    if found and found[0].band is Band.SEARCH and not at.schema.predicts_amounts:  # a regression has no such mode
        return _searching(at, found)
    if found and found[0].band.retrains:
        return Plan(True, settings.training, f"Drift: {drift_words.deviates(found[0])}.")
    why = _why_train(at, found)
    if why is None and at.ledger.model_of_run(at.run) is None:
        return Plan(False, settings.training, f"Not retrained: {drift_words.largest(found, settings.drift.retrain)}.")
    return Plan(True, settings.training, why or "")


def _searching(at: Workspace, found: Sequence[Drift]) -> Plan:
    """Train in mode `search`; as always where one did so already for all that deviates from this very model."""
    training = at.home.settings.training
    known = searched(at.ledger, version=found[0].version, before=at.run)
    new = [each for each in found if each.band is Band.SEARCH and (each.kind, each.column_name) not in known]
    if new:
        mode = msgspec.structs.replace(training, mode="search")
        return Plan(True, mode, f"Drift, so trained in mode `search`: {drift_words.deviates(new[0])}.")
    run = known[found[0].kind, found[0].column_name]
    return Plan(True, training, f"Drift: {drift_words.deviates(found[0])}; run {run} searched because of it.")


def _why_train(at: Workspace, found: Sequence[Drift]) -> str | None:
    """Say why a model is trained where nothing deviates, with no words where that is the rule; None: it is not."""
    if at.is_scheduled or _is_due(at):
        since = at.ledger.last_training(besides=at.run) or ""
        return f"Trained by the clock: the last training was on {since[:10]} (retrain.every)."
    return None if found and at.home.settings.retrain.when == "drift" else ""


def _is_due(at: Workspace) -> bool:
    """Tell whether the last training was long enough ago when the run began."""
    due = schedule.due(at.ledger, at.home.settings.retrain, besides=at.run)
    return due is not None and due <= from_iso(at.ledger.run(at.run)["created_at"])


def _warnings(found: Sequence[Drift]) -> list[str]:
    said = [
        f"{each.cause}: is the target turned round?"
        for each in found
        if each.kind == DriftKind.TARGET and each.band.retrains and each.cause
    ]
    searched = [each for each in found if each.band == Band.SEARCH and each.kind != DriftKind.TARGET]
    if searched:
        more = f", and {len(searched) - 1} more" if len(searched) > 1 else ""
        said.append(f"drift: {drift_words.deviates(searched[0])}{more}; see `churnwatch show` for what moved")
    return said

"""A home's ledger, models and data set → the history that `replay` goes through. It reads, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from churnwatch.pipeline import cells, datasets, feature_step, features, registry, schemas
from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.engine import DuckDB, name
from churnwatch.pipeline.errors import NotFoundError, ReleaseError, SettingsError
from churnwatch.pipeline.feature_step import Pairs
from churnwatch.pipeline.features import Featured
from churnwatch.pipeline.holdout import dated_ahead, from_test_folder, window_start
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Batch, Model
from churnwatch.pipeline.replay import Floats, History, Labels, Line, Places, Swap, Turn
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Home, Task

_TABLE = "replayed"
_ORDER = "ORDER BY _batch, _line"
_NEVER = 2**62  # no batch has this number


@dataclass(frozen=True)
class Past:
    """A home's history.

    Attributes:
        history: what happened, whatever was decided.
        truth: what served.
        notes: what could not be had, a sentence each.
    """

    history: History
    truth: Line
    notes: tuple[str, ...]


def read(home: Home, ledger: Reader, engine: DuckDB) -> Past:
    """Read a home's history; a run may be going on meanwhile.

    Raises:
        NotFoundError: no run has trained a model yet.
        DataError: a file of the test folder cannot be read.
        SettingsError: the home predicts amounts, or there are no features as the settings have them.
    """
    if home.settings.task is Task.REGRESSION:
        raise SettingsError("settings.yaml: task: replay is of classifications only; this home predicts amounts.")
    models = [ledger.model(row["version"]) for row in ledger.models()]
    if not models:
        raise NotFoundError("no run has trained a model yet, so there is nothing to replay.")
    schema = schemas.current(home, ledger)
    featured = feature_step.featured(home, ledger, engine, schema)
    engine.table(_TABLE, _labelled(home, ledger, engine, schema, featured.schema.features))
    rows = _rows(engine)
    tests = _tests(home, ledger, engine, schema, featured)
    probabilities, notes = _all_probabilities(home, engine, models, featured.schema, tests)
    usable = [model for model in models if model.version in probabilities]
    candidates = [model for model in usable if not (_knows_the_future(model, models) or _failed(ledger, model))]
    history = History(
        turns=_turns(home, ledger, candidates, rows, len(tests.y) if tests else 0),
        y=np.concatenate([rows.y, tests.y]) if tests else rows.y,
        probabilities=probabilities,
        thresholds={model.version: model.threshold for model in usable},
    )
    return Past(history, _truth(ledger, history), tuple(notes))


# -- rows ------------------------------------------------------------------------------------------------------


def _labelled(home: Home, ledger: Reader, engine: DuckDB, schema: Schema, learned: Sequence[str]) -> str:
    """Return the query of all labelled rows, with the batch from which on a newer row counts in the place of each."""
    replaced = "CAST(NULL AS BIGINT)"
    if home.settings.sources:
        source = _feature_table(home, engine, learned)
    else:
        source = engine.scan(datasets.paths(home, ledger))
        if home.settings.latest_key:
            newest_first = features.newest_first(schema, home.settings.latest_key)
            replaced = f"min(_batch) OVER ({newest_first} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    columns = ", ".join(name(column) for column in learned)
    day = name(schema.date) if schema.date else "CAST(NULL AS TIMESTAMP)"
    return (
        f"SELECT * FROM (SELECT {columns}, _batch, _line, _holdout, {cells.label(schema)} AS _y,"
        f" {day} AS _cw_day, {replaced} AS _cw_replaced FROM {source} AS s) AS l WHERE _y IS NOT NULL"
    )


def _feature_table(home: Home, engine: DuckDB, learned: Sequence[str]) -> str:
    """Return what stands after FROM to read the features; a restored home, or one of other settings, has none yet."""
    table = home.ingested / Pairs.PAST.file
    source, columns = engine.scan([table]), ", ".join(map(name, learned))
    if not table.exists() or engine.refusal(f"SELECT {columns} FROM {source} AS f"):
        raise SettingsError(f"{table.name}: not made by these settings; the next run with new rows does that.")
    return source


@dataclass(frozen=True)
class _Rows:
    """All labelled rows, in the order in which they came.

    Attributes:
        batch: (n,) with which they came.
        y: (n,) labels.
        promised: (n,) whether to the holdout.
        day: (n,) their dates.
        replaced: (n,) the batch from which on a newer row counts in their place.
    """

    batch: npt.NDArray[np.int64]
    y: Labels
    promised: npt.NDArray[np.bool_]
    day: npt.NDArray[np.datetime64]
    replaced: npt.NDArray[np.int64]


def _rows(engine: DuckDB) -> _Rows:
    columns = f"_batch, _y, _holdout, _cw_day, coalesce(_cw_replaced, {_NEVER})"
    found = engine.arrow(f"SELECT {columns} FROM {_TABLE} {_ORDER}")
    batch, y, promised, day, replaced = (column.to_pandas().to_numpy() for column in found.columns)
    return _Rows(batch.astype(np.int64), y.astype(np.int64), promised, day, replaced.astype(np.int64))


def _tests(home: Home, ledger: Reader, engine: DuckDB, schema: Schema, featured: Featured) -> features.Rows | None:
    """Return the rows of the test folder, which alone judge where there are any."""
    files = datasets.tests(home)
    if not files:
        return None
    before = datasets.pinned(home.settings, ledger)
    return from_test_folder(schema, engine, home.settings.csv, files, featured, before).rows


# -- turns -----------------------------------------------------------------------------------------------------


def _turns(home: Home, ledger: Reader, models: Sequence[Model], rows: _Rows, tests: int) -> list[Turn]:
    candidates, batches = {model.run: model.version for model in models}, ledger.batches()
    found = []
    for run in sorted({each.run for each in batches} | candidates.keys()):
        mine = [each.batch for each in batches if each.run == run]
        known = [each for each in batches if each.run <= run]
        began = from_iso(ledger.run(run)["created_at"])
        judges = np.arange(len(rows.y), len(rows.y) + tests) if tests else _window(home, known, rows, began)
        found.append(Turn(run, np.flatnonzero(np.isin(rows.batch, mine)), judges, candidates.get(run)))
    return found


def _knows_the_future(model: Model, models: Iterable[Model]) -> bool:
    """Tell whether a model was made after that of a later run, as when its own was taken up again."""
    return any(other.run > model.run and other.version < model.version for other in models)


def _failed(ledger: Reader, model: Model) -> bool:
    """Tell whether a model was wrong about a sample customer: no policy would have released it."""
    return not all(case["met"] for case in ledger.acceptance_cases(model.run))


def _window(home: Home, batches: Sequence[Batch], rows: _Rows, began: datetime) -> Places:
    """Return the rows of the rolling holdout as it was when these batches were all, in a run that began then."""
    settings = home.settings
    last = max((each.batch for each in batches), default=0)
    there = (rows.batch <= last) & (rows.replaced > last)
    if settings.holdout_days is not None:
        there &= rows.day < np.datetime64(dated_ahead(began))
        cut = pd.Series(rows.day[there]).max() - pd.Timedelta(days=settings.holdout_days)
        return np.flatnonzero(there & rows.promised & (rows.day > np.datetime64(cut)))
    first = window_start(batches, newest=settings.holdout_batches, enough=settings.gating.min_positives)
    return np.flatnonzero(there & rows.promised & (rows.batch >= first))


# -- models ----------------------------------------------------------------------------------------------------


def _all_probabilities(
    home: Home, engine: DuckDB, models: Sequence[Model], schema: Schema, tests: features.Rows | None
) -> tuple[dict[int, Floats], list[str]]:
    """Return each version's probabilities of all labelled rows, then of the test folder's; and why some are not had."""
    found: dict[int, Floats] = {}
    notes = []
    for model in models:
        try:
            loaded = registry.load(home.models, model, unpickle=home.settings.model_format.unpickles)
        except ReleaseError as error:
            notes.append(f"{model.name} is left out: {error}")
            continue
        if gone := set(loaded.feature_names_in_) - set(schema.features):
            notes.append(f"{model.name} is left out: the settings no longer make or allow {', '.join(sorted(gone))}")
            continue
        found[model.version] = _probabilities(engine, loaded, schema, tests)
    return found, notes


def _probabilities(engine: DuckDB, model: Any, schema: Schema, tests: features.Rows | None) -> Floats:
    """Return a model's probabilities. Rows are read anew for each version, some at a time, so never all are held."""

    def predicted(frame: pd.DataFrame) -> Floats:
        return np.asarray(model.predict_proba(frame[list(model.feature_names_in_)])[:, 1], dtype=np.float64)

    batches = engine.batches(f"SELECT * FROM {_TABLE} {_ORDER}")
    found = [predicted(features.typed(batch.to_pandas(), schema)) for batch in batches if batch.num_rows]
    return np.concatenate([*found, *([predicted(tests.X)] if tests else [])])


# -- what served -----------------------------------------------------------------------------------------------


def _truth(ledger: Reader, history: History) -> Line:
    """Return what served, by whose doing ever. A version that cannot be loaded is known to have served, and no more."""
    tested = {row["run"]: row["version"] for row in ledger.metrics(split="prequential")}
    served = [tested.get(turn.run) for turn in history.turns]
    verdicts = [ledger.verdict(turn.run) for turn in history.turns]
    return Line(
        served=tuple(version if version in history.probabilities else None for version in served),
        decisions=tuple(verdict.decision if verdict else None for verdict in verdicts),
        swaps=tuple(_swaps(ledger, [turn.run for turn in history.turns])),
    )


def _swaps(ledger: Reader, runs: Sequence[int]) -> Iterator[Swap]:
    """Yield the releases after the first, each behind the newest run that there was."""
    began = [ledger.run(run)["created_at"] for run in runs]
    for before, after in pairwise(ledger.releases()):
        if before["version"] != after["version"]:
            yield Swap(sum(at <= after["from_at"] for at in began) - 1, before["version"], after["version"])

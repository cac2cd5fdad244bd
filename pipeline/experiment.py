"""An experiment: one training with other parameters on the data set as it stands, judged as the champion is now.

    data set, holdout, champion (of one moment) → train → judge → learning curve → files → ledger

It is recorded like a run, and never released. A daemon may work on the home meanwhile: nothing but the experiment's own
folder is written before the one transaction at the end, so a crash leaves no more than an unfinished folder, which the
next experiment sweeps away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from churnwatch.pipeline import comparison, confusion, files, learning_curve, registry, schemas
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.compared import Compared
from churnwatch.pipeline.engine import DuckDB, name
from churnwatch.pipeline.errors import DataError, NotFoundError, SettingsError
from churnwatch.pipeline.feature_step import Pairs
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.learning import training_rows
from churnwatch.pipeline.learning_curve import Point
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.manifest import made_of, traced
from churnwatch.pipeline.measured import Measured, Split, records
from churnwatch.pipeline.overfitting import estimates
from churnwatch.pipeline.records import Experiment, Model
from churnwatch.pipeline.settings import Home, Task, Training
from churnwatch.pipeline.train import Candidate, Floats, Untrainable, probabilities, train
from churnwatch.pipeline.workspace import Surroundings

FOLDER = "experiments"  # in the models' folder
CURVE = "learningcurve.svg"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What somebody wants to know.

    Attributes:
        training: how to train.
        note: what it is about.
        curve: whether to measure a learning curve, too.
    """

    training: Training
    note: str | None = None
    curve: bool = False


@dataclass(frozen=True)
class _Given:
    """All that an experiment rests on, as of one moment; the champion comes with its probabilities on the holdout."""

    experiment_id: str
    data_sha256: str
    made_of: Mapping[str, Any]
    ingested: Sequence[str]
    rows: Rows
    judged: Rows
    champion: tuple[Model, Floats] | None


def changed(before: Training, now: Training) -> dict[str, Any]:
    """Return the settings of training that are other than before, by their names, those of parameters with dots."""
    former, found = flat(msgspec.to_builtins(before)), flat(msgspec.to_builtins(now))
    return {key: found.get(key) for key in sorted(former.keys() | found) if found.get(key) != former.get(key)}


def flat(settings: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Return nested settings as one level, with dots in the names."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{within}{key}.") if isinstance(value, dict) else {f"{within}{key}": value}
    return found


def conduct(
    home: Home, ledger: Ledger, local: DuckDB, wanted: Wanted, progress: Progress = lambda _: None
) -> tuple[Experiment, bool]:
    """Make an experiment; return it, and whether it is new: the same one again is not made a second time.

    Args:
        home: whose data set is learned from.
        ledger: open for writing.
        local: the embedded engine; it reads the data set, whatever the home's engine is.
        wanted: what is other than in the settings.
        progress: is told the name of each step as it begins.

    Raises:
        NotFoundError: nothing was ingested yet.
        DataError: there is nothing to train on, or the estimator cannot be trained on it.
        SettingsError: an estimator or a parameter that does not exist, or a home that predicts amounts.
    """
    if home.settings.task is Task.REGRESSION:
        raise SettingsError("settings.yaml: task: experiments are of classifications only; this home predicts amounts.")
    settings = msgspec.structs.replace(home.settings, training=wanted.training)
    altered = msgspec.structs.replace(home, settings=settings)
    at = Surroundings(altered, ledger, local, local, schemas.current(altered, ledger))
    progress("data set")
    with ledger.one_moment():
        data_sha256 = _data(at)
        identity = _identity(at, data_sha256, wanted)
        known = ledger.experiment_of(identity)
        if known is not None:
            return known, False
        given = _given(at, data_sha256, identity)
    progress("train")
    candidate = train(given.rows, wanted.training, numeric=at.learned.numeric, categorical=at.learned.categorical)
    if isinstance(candidate, Untrainable):
        raise DataError(f"{candidate.reason}.")
    found = _measured(at, candidate, given, wanted, progress)
    return _recorded(at, candidate, given, found, wanted, changed(home.settings.training, wanted.training)), True


# -- what it rests on --------------------------------------------------------------------------------------------


def _data(at: Surroundings) -> str:
    parts = [part.sha256 for part in at.ledger.row_parts()]
    if not parts:
        raise NotFoundError("nothing was ingested yet; drop a CSV into the source folder first.")
    return _sha256([parts, [files.sha256_of(each.path) for each in at.tests()]])


def _identity(at: Surroundings, data_sha256: str, wanted: Wanted) -> str:
    champion = at.ledger.champion()
    version = champion.model.version if champion else None
    return _sha256([data_sha256, at.home.settings.sha256, _code(), version, wanted.curve])


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _code() -> str:
    return metadata.version("churnwatch")


def _given(at: Surroundings, data_sha256: str, identity: str) -> _Given:
    _refuse_other_features(at)
    rows, judged = training_rows(at), at.holdout.rows
    at.warnings += [at.holdout.warning] if at.holdout.warning else []
    _ = at.top_share  # it may count customers, for which the parts must be there
    return _Given(identity, data_sha256, made_of(at.ledger), at.ledger.ingested_files(), rows, judged,
                  _champion(at, judged))  # fmt: skip


def _champion(at: Surroundings, judged: Rows) -> tuple[Model, Floats] | None:
    serving = at.ledger.champion()
    model = at.usable(serving.model) if serving is not None else None
    if serving is None or model is None or isinstance(model, str):
        at.warnings += [f"{model}; it cannot be compared"] if model is not None else []
        return None
    return serving.model, probabilities(model, judged)


def _refuse_other_features(at: Surroundings) -> None:
    """Refuse a feature table that was made by other settings: only a run makes it anew."""
    if at.features is None:
        return
    table = at.features.table(Pairs.PAST)
    asked = ", ".join(name(feature) for feature in at.learned.features)
    if not table.exists() or at.engine.refusal(f"SELECT {asked} FROM {at.engine.scan([table])} AS f"):
        raise SettingsError(f"{table.name}: not made by these settings; the next run with new rows does that.")


# -- what comes of it --------------------------------------------------------------------------------------------


def _measured(at: Surroundings, candidate: Candidate, given: _Given, wanted: Wanted, progress: Progress) -> Measured:
    known = candidate.window.within(given.rows)
    on_train, on_holdout = (_split(at, candidate, rows) for rows in (known, given.judged))
    points: tuple[Point, ...] = ()
    if wanted.curve:
        progress("learning curve")
        points = tuple(
            learning_curve.measure(candidate, known, given.judged, wanted.training,
                                   numeric=at.learned.numeric, categorical=at.learned.categorical)
        )  # fmt: skip
    sentence, champion, difference = _compared(at, candidate, given, on_holdout)
    return Measured(on_train, on_holdout, sentence, champion, difference, points)


def _split(at: Surroundings, candidate: Candidate, rows: Rows) -> Split:
    probability, threshold = candidate.probabilities(rows), candidate.threshold
    return Split(
        len(rows), at.evaluated(rows, probability, threshold), estimates(rows.y, probability, threshold=threshold)
    )


def _compared(at: Surroundings, candidate: Candidate, given: _Given, own: Split) -> tuple[str, Split, Split]:
    """Compare with the champion; return a sentence, the champion's metrics, and by how much it is better."""
    rows = given.judged
    if given.champion is None or not own.rows:
        nothing = Split(own.rows, {})
        return comparison.alone(own.rows, own.values.get("f1")), nothing, nothing
    gating, seed = at.home.settings.gating, at.home.settings.training.seed
    model, old = given.champion
    new = candidate.probabilities(rows)
    decided = (old >= model.threshold).astype(int), (new >= candidate.threshold).astype(int)
    metric = gating.metric if 0 < rows.positives < len(rows) else "f1"  # some need both classes
    compared = Compared(metric, rows.y, *decided, probabilities=(old, new))
    differences = {
        each: comparison.difference(compared.by(each), resamples=gating.resamples, seed=seed)
        for each in dict.fromkeys((metric, *own.intervals))
    }
    champion = Split(own.rows, at.evaluated(rows, old, model.threshold))
    sentence = comparison.in_words(compared, differences[metric], model.name)
    return sentence, champion, Split.of_intervals(own.rows, differences)


# -- files, then the ledger --------------------------------------------------------------------------------------


def _recorded(
    at: Surroundings, candidate: Candidate, given: _Given, found: Measured, wanted: Wanted, told: Mapping[str, Any]
) -> Experiment:
    """Write the experiment's folder, then record it; one process at a time, so that none takes another's number."""
    folder, settings = at.home.models / FOLDER, at.home.settings
    most = settings.training.max_gap
    at.warnings += filter(None, [found.warning(candidate.estimator, most)])
    with files.lock(at.home.state / "experiments.lock", busy="", wait=True):
        files.sweep(folder, "e*")
        number = at.ledger.next_experiment()
        written = _written(at, candidate, given, found, folder / f"e{number}")
        made = Experiment(
            experiment=number,
            experiment_id=given.experiment_id,
            at=iso(utc_now()),
            note=wanted.note,
            changed=json.dumps(told),
            settings_sha256=settings.sha256,
            code_version=_code(),
            data_sha256=given.data_sha256,
            holdout=at.holdout.origin,
            champion=given.champion[0].version if given.champion else None,
            estimator=candidate.estimator,
            parameters=json.dumps(candidate.parameters, sort_keys=True),
            threshold=candidate.threshold,
            train_rows=candidate.rows,
            train_positives=candidate.positives,
            folder=f"{FOLDER}/e{number}",
            sha256=written.sha256,
            manifest_sha256=written.manifest_sha256,
            sentence=found.sentence,
            learning_curve=learning_curve.verdict(found.points, most=most) if wanted.curve else None,
            warning="; ".join(at.warnings) or None,
        )
        with at.ledger.transaction():
            at.ledger.keep_settings((settings.sha256, settings.canonical()), made.at)
            at.ledger.add(made)
            at.ledger.add_all(records(number, found, candidate, settings.training.metric))
    return made


def _written(
    at: Surroundings, candidate: Candidate, given: _Given, found: Measured, folder: Path
) -> registry.WrittenVersion:
    shown, rows = (found.holdout, "holdout") if found.holdout.rows else (found.train, "training")

    def draw(path: Path) -> None:
        confusion.draw(shown.values, path, title=f"experiment {folder.name} on {rows} rows")
        if found.points:
            learning_curve.draw(found.points, path.with_name(CURVE), title=f"{folder.name}, {candidate.estimator}")

    metrics = {"train": found.train.values, "holdout": found.holdout.values}
    told = traced(at.home, at.schema, candidate, data=given.made_of, origin=at.holdout.origin, metrics=metrics)
    return registry.write_version(
        folder,
        candidate.model,
        score=found.holdout.values.get("f1"),
        ingested=given.ingested,
        manifest={"experiment": folder.name, **told},
        draw=draw,
        model_format=at.home.settings.model_format,
    )

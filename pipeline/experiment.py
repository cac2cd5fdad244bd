"""An experiment: one training with other parameters on the data set as it stands, judged as the champion is now.

    data set, holdout, champion (of one moment) → train → judge → learning curve → files → ledger

It is recorded like a run, and never released. A daemon may work on the home meanwhile: nothing but the experiment's own
folder is written before the one transaction at the end, so a crash leaves no more than an unfinished folder, which the
next experiment sweeps away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from churnwatch.pipeline import comparison, confusion, files, learning_curve, overfitting, registry, schemas
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.comparison import Compared
from churnwatch.pipeline.engine import DuckDB, name
from churnwatch.pipeline.errors import DataError, NotFoundError, SettingsError
from churnwatch.pipeline.feature_step import Pairs
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.learning import training_rows
from churnwatch.pipeline.learning_curve import Point
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.manifest import made_of, traced
from churnwatch.pipeline.overfitting import Estimate, estimates
from churnwatch.pipeline.records import Experiment, ExperimentMetric, Model
from churnwatch.pipeline.settings import Home, Training
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


@dataclass(frozen=True)
class _Found:
    """What came of it: metrics and intervals by split, the comparison with the champion, its metrics, the curve."""

    values: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Mapping[str, Estimate]]
    compared: Compared
    champion: Mapping[str, float]
    points: tuple[Point, ...]


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
        SettingsError: an estimator or a parameter that does not exist.
    """
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
    found = _judged(at, candidate, given, wanted, progress)
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


def _judged(at: Surroundings, candidate: Candidate, given: _Given, wanted: Wanted, progress: Progress) -> _Found:
    values, intervals = {}, {}
    for split, rows in (("train", given.rows), ("holdout", given.judged)):
        probability = candidate.probabilities(rows)
        values[split] = at.evaluated(rows, probability, candidate.threshold)
        intervals[split] = estimates(rows.y, probability, threshold=candidate.threshold)
    intervals["gap"] = overfitting.gaps(intervals["train"], intervals["holdout"])
    values["gap"] = {metric: gap.value for metric, gap in intervals["gap"].items()}
    points: tuple[Point, ...] = ()
    if wanted.curve:
        progress("learning curve")
        points = tuple(
            learning_curve.measure(candidate, given.rows, given.judged, wanted.training,
                                   numeric=at.learned.numeric, categorical=at.learned.categorical)
        )  # fmt: skip
    compared, champion = _compared(at, candidate, given, values["holdout"].get("f1"))
    return _Found(values, intervals, compared, champion, points)


def _compared(
    at: Surroundings, candidate: Candidate, given: _Given, f1: float | None
) -> tuple[Compared, dict[str, float]]:
    """Compare with the champion; return its metrics, too."""
    rows = given.judged
    if given.champion is None or f1 is None:
        return comparison.alone(len(rows), f1), {}
    model, probability = given.champion
    old = (probability >= model.threshold).astype(int)
    new = (candidate.probabilities(rows) >= candidate.threshold).astype(int)
    resamples, seed = at.home.settings.gating.resamples, at.home.settings.training.seed
    compared = comparison.compare(rows.y, old, new, name=model.name, resamples=resamples, seed=seed)
    return compared, at.evaluated(rows, probability, model.threshold)


def _warnings(at: Surroundings, candidate: Candidate, found: _Found) -> str | None:
    if "f1" in found.intervals["gap"]:
        warning = overfitting.warning(
            "the model", candidate.estimator, found.values["train"]["f1"], found.values["holdout"]["f1"],
            found.intervals["gap"]["f1"], at.home.settings.training.max_gap,
        )  # fmt: skip
        at.warnings += [warning] if warning is not None else []
    return "; ".join(at.warnings) or None


# -- files, then the ledger --------------------------------------------------------------------------------------


def _recorded(
    at: Surroundings, candidate: Candidate, given: _Given, found: _Found, wanted: Wanted, told: Mapping[str, Any]
) -> Experiment:
    """Write the experiment's folder, then record it; one process at a time, so that none takes another's number."""
    folder, settings = at.home.models / FOLDER, at.home.settings
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
            sentence=found.compared.sentence,
            learning_curve=_curve_says(at, found),
            warning=_warnings(at, candidate, found),
        )
        with at.ledger.transaction():
            at.ledger.keep_settings((settings.sha256, settings.canonical()), made.at)
            at.ledger.add(made)
            at.ledger.add_all(_metrics(number, candidate, given, found, settings.training.metric))
    return made


def _curve_says(at: Surroundings, found: _Found) -> str | None:
    return learning_curve.verdict(found.points, most=at.home.settings.training.max_gap) if found.points else None


def _written(
    at: Surroundings, candidate: Candidate, given: _Given, found: _Found, folder: Path
) -> registry.WrittenVersion:
    metrics = {split: found.values[split] for split in ("train", "holdout")}
    split = "holdout" if metrics["holdout"] else "train"
    title = f"experiment {folder.name} on {'holdout' if split == 'holdout' else 'training'} rows"

    def draw(path: Path) -> None:
        confusion.draw(metrics[split], path, title=title)
        if found.points:
            learning_curve.draw(found.points, path.with_name(CURVE), title=f"{folder.name}, {candidate.estimator}")

    told = traced(at.home, at.schema, candidate, data=given.made_of, origin=at.holdout.origin, metrics=metrics)
    return registry.write_version(
        folder,
        candidate.model,
        f1=metrics["holdout"].get("f1"),
        ingested=given.ingested,
        manifest={"experiment": folder.name, **told},
        draw=draw,
        model_format=at.home.settings.model_format,
    )


def _metrics(number: int, candidate: Candidate, given: _Given, found: _Found, tuned: str) -> Iterator[ExperimentMetric]:
    """Yield all that was measured."""
    rows = {"train": len(given.rows), "holdout": len(given.judged), "gap": len(given.judged)}
    for split, values in found.values.items():
        yield from _rows(number, "candidate", split, values, found.intervals[split], rows[split])
    yield from _rows(number, "champion", "holdout", found.champion, {}, rows["holdout"])
    if found.compared.difference is not None:
        difference = {"f1": found.compared.difference}
        yield from _rows(number, "difference", "holdout", {"f1": difference["f1"].value}, difference, rows["holdout"])
    for each in candidate.comparisons:
        yield ExperimentMetric(number, each.estimator, "cross_validation", None, tuned, each.value, None, None,
                               each.standard_error, rows["train"])  # fmt: skip
    for point in found.points:
        for split, measured, size in (("train", point.train, point.rows), ("holdout", point.holdout, rows["holdout"])):
            values = {metric: each.value for metric, each in measured.items()}
            yield from _rows(number, "candidate", split, values, measured, size, trained_on=point.rows)


def _rows(
    number: int,
    subject: str,
    split: str,
    values: Mapping[str, float],
    intervals: Mapping[str, Estimate],
    rows: int,
    trained_on: int | None = None,
) -> Iterator[ExperimentMetric]:
    for metric, value in values.items():
        around = intervals.get(metric)
        low, high = (around.low, around.high) if around is not None else (None, None)
        yield ExperimentMetric(number, subject, split, trained_on, metric, value, low, high, None, rows)

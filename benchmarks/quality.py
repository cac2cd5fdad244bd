"""How good the champion is on real data, beside LightGBM, CatBoost and XGBoost: a table for each metric.

CHURNWATCH_DATA=FOLDER python benchmarks/quality.py [--repeats 3] [--keep DIR] [--training SETTINGS]… [--alone] [NAME …]

Ours is what `train` makes of the training rows with the default settings, or others (`"resampling: smote"`), which have
rows of their own (`--training {} --training "window: compare"`). Each peer is tuned by random search with early
stopping: 8 tries in 3 folds of training rows, once per repeat and period, on those of the first fold, for all folds
(what leaks by that favours the peers). Thresholds are each model's own, from training rows. Differences are paired;
their intervals hold 95 % of 1,000 drawings of the tested customers.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import harness
import msgspec
import numpy as np
import yaml
from quality_metrics import METRICS, Answers, Floats, Metric, Tested, weights
from quality_peers import PEERS, Peer, Tuned, predicted, tune
from quality_sets import SETS, Places, Set, Split

from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.train import Candidate, train

_DRAWINGS = 1000
_DEFAULT = "{}"


@dataclass(frozen=True)
class Trial:
    """One set of data, and who of it is learned from and tested."""

    name: str
    rows: Rows
    schema: Schema
    splits: list[Split]

    def at(self, places: Places) -> Rows:
        """Return some of the rows."""
        ids = self.rows.ids.iloc[places] if self.rows.ids is not None else None
        return Rows(self.rows.X.iloc[places], self.rows.y[places], ids, self.rows.batches[places])

    @cached_property
    def numbers(self) -> Places:
        """Each row's customer."""
        ids = self.rows.ids
        return np.arange(len(self.rows)) if ids is None else np.unique(ids.to_numpy(), return_inverse=True)[1]

    @property
    def customers(self) -> int:
        """How many there are."""
        return int(self.numbers.max()) + 1

    def tested(self) -> list[Tested]:
        """Return labels and customers of each split's tested rows."""
        return [Tested(self.rows.y[split.test], self.numbers[split.test]) for split in self.splits]


@dataclass(frozen=True)
class Ours:
    """What our champions answered, which estimators they were, and how long each took, by the clock and of CPU."""

    settings: str
    answers: list[Answers]
    estimators: Counter[str]
    wall_s: list[float]
    cpu_s: list[float]


def ours(trial: Trial, settings: str) -> Ours:
    """Train as a run would, on each split."""
    training = msgspec.convert(yaml.safe_load(settings), Training)
    found = Ours(settings, [], Counter(), [], [])
    for split in trial.splits:
        begun, begun_cpu = time.monotonic(), time.process_time()
        schema = trial.schema
        candidate = train(trial.at(split.train), training, numeric=schema.numeric, categorical=schema.categorical)
        assert isinstance(candidate, Candidate), candidate.reason
        found.wall_s.append(time.monotonic() - begun)
        found.cpu_s.append(time.process_time() - begun_cpu)
        found.estimators[candidate.estimator] += 1
        found.answers.append(Answers(candidate.probabilities(trial.at(split.test)), candidate.threshold))
    return found


def theirs(peer: Peer, trial: Trial, keep: Path | None) -> Iterator[Answers]:
    """Tune and train a peer on each split; answers that were kept are not made again."""
    tuned: dict[tuple[int, int], Tuned] = {}
    categorical = list(trial.schema.categorical)
    for split in trial.splits:
        kept = keep / f"{trial.name}_{peer.name}_{split.name}.npz" if keep else None
        if kept is not None and kept.exists():
            found = np.load(kept)
            yield Answers(found["probability"], float(found["threshold"]))
            continue
        key, learned = (split.repeat, split.period), trial.at(split.train)
        if key not in tuned:
            tuned[key] = tune(peer, learned, categorical, split.repeat)
        probability = predicted(peer, tuned[key], learned, trial.at(split.test).X, categorical)
        if kept is not None:
            np.savez(kept, probability=probability, threshold=tuned[key].threshold)
        yield Answers(probability, tuned[key].threshold)


def compared(metric: Metric, trial: Trial, answers: Sequence[list[Answers]]) -> Floats:
    """Return a metric of each model, ours first, and then how much better ours is than the best, by drawing.

    Returns:
        shape (models + 1, 1 + drawings); the first of each row is without any drawing.
    """
    drawn = weights(trial.customers, _DRAWINGS, seed=0)
    values = np.stack([metric.of(trial.tested(), each, drawn) for each in answers])
    best = 1 + int(np.argmax(metric.sign * values[1:, 0]))  # which one is the best is not drawn again
    return np.vstack([values, metric.sign * (values[0] - values[best])])


def row(name: str, found: Floats) -> list[str]:
    """Return a row of a table: each model, and the difference to the best peer with its interval."""
    low, high = np.quantile(found[-1, 1:], [0.025, 0.975])
    return [name, *(f"{value:.4f}" for value in found[:-1, 0]), f"{found[-1, 0]:+.4f} ({low:+.4f} to {high:+.4f})"]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[each.name for each in SETS])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="keep the peers' answers here, and use those that are there")
    parser.add_argument("--training", action="append", help="settings below `training`, other than the default ones")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    wanted = parser.parse_args()
    if wanted.keep:
        wanted.keep.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ["CHURNWATCH_DATA"])
    trials = [_trial(each, data, wanted.repeats) for each in SETS if each.name in wanted.names]
    found = [(trial, ours(trial, settings)) for trial in trials for settings in wanted.training or [_DEFAULT]]
    _print_champions(found)
    if wanted.alone:
        return
    peers = {trial.name: [list(theirs(peer, trial, wanted.keep)) for peer in PEERS] for trial in trials}
    for metric in METRICS:
        _print(metric, [(trial, us, compared(metric, trial, [us.answers, *peers[trial.name]])) for trial, us in found])


def _trial(of: Set, data: Path, repeats: int) -> Trial:
    rows, schema = of.rows(data)
    return Trial(of.name, rows, schema, list(of.splits(rows, repeats)))


def _print(metric: Metric, of_sets: list[tuple[Trial, Ours, Floats]]) -> None:
    headers = [metric.name, "churnwatch", *(peer.name for peer in PEERS), "better than the best by"]
    rows = [row(_name(trial.name, us), found) for trial, us, found in of_sets]
    for settings in dict.fromkeys(us.settings for _, us, _ in of_sets):
        alike = [(us, found) for _, us, found in of_sets if us.settings == settings]
        rows.append(row(_name("mean", alike[0][0]), np.mean([found for _, found in alike], axis=0)))
    print()
    harness.print_table(headers, rows)


def _name(of: str, us: Ours) -> str:
    return of if us.settings == _DEFAULT else f"{of}, `{us.settings}`"


def _print_champions(of_sets: list[tuple[Trial, Ours]]) -> None:
    rows: list[list[Any]] = []
    for trial, us in of_sets:
        champions = ", ".join(f"{count} {estimator}" for estimator, count in us.estimators.most_common())
        once = weights(trial.customers, 0, seed=0)
        values = [f"{metric.of(trial.tested(), us.answers, once)[0]:.4f}" for metric in METRICS]
        most = max(len(split.train) for split in trial.splits)
        took = [f"{max(us.wall_s):.0f}", f"{max(us.cpu_s):.0f}"]
        rows.append([_name(trial.name, us), len(trial.splits), f"{most:,}", champions, *values, *took])
    names = [metric.name for metric in METRICS]
    harness.print_table(["data", "trainings", "rows at most", "champions", *names, "s at most", "CPU s at most"], rows)


if __name__ == "__main__":
    main()

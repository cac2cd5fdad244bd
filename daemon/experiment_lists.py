"""Experiments for the terminal: all of them, several side by side, one in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from churnwatch.daemon.listings import moment, table
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.metrics import METRICS
from churnwatch.pipeline.records import Experiment, ExperimentMetric

_SHOWN = ("f1", "roc_auc", "log_loss")
_NAMES = {name: METRICS[name].title for name in _SHOWN}


@dataclass(frozen=True)
class Listed:
    """An experiment with all that was measured."""

    made: Experiment
    metrics: Sequence[ExperimentMetric]

    def find(
        self, name: str, split: str = "holdout", subject: str = "candidate", trained_on: int | None = None
    ) -> ExperimentMetric | None:
        """Return a metric, None where it is not known."""
        wanted = (name, split, subject, trained_on)
        return next((m for m in self.metrics if (m.name, m.split, m.subject, m.trained_on) == wanted), None)

    @property
    def cross_validated(self) -> ExperimentMetric | None:
        """The cross-validation of the estimator that was chosen."""
        own = (m for m in self.metrics if m.split == "cross_validation" and m.subject == self.made.estimator)
        return next(own, None)

    @property
    def changed(self) -> str:
        """What was other than in the settings."""
        found: dict[str, Any] = json.loads(self.made.changed)
        return ", ".join(f"{key.removeprefix('parameters.')}={_plain(value)}" for key, value in found.items())

    @property
    def as_row(self) -> dict[str, Any]:
        """The experiment for JSON."""
        parsed = {key: json.loads(getattr(self.made, key)) for key in ("changed", "parameters")}
        return {**asdict(self.made), **parsed, "metrics": [asdict(each) for each in self.metrics]}


def gather(ledger: Reader, numbers: Sequence[int]) -> list[Listed]:
    """Return experiments by their numbers, or all of them.

    Raises:
        NotFoundError: there is none of a number.
    """
    made = [ledger.experiment(number) for number in numbers] if numbers else ledger.experiments()
    return [Listed(each, ledger.experiment_metrics(each.experiment)) for each in made]


def overview(found: Sequence[Listed]) -> str:
    """Return all experiments, one a line."""
    if not found:
        return "No experiments yet; see `churnwatch experiment --help`."
    shown = table(
        ((e.made.experiment, moment(e.made.at), e.made.estimator, e.made.threshold, with_error(e.cross_validated),
          *(_value(e.find(name)) for name in _SHOWN), _rows(e), _interval(e.find("f1", subject="difference")),
          " ".join(text for text in (e.changed, f"({e.made.note})" if e.made.note else "") if text)) for e in found),
        ("experiment", "when (UTC)", "estimator", "threshold", "cross-validated", *_NAMES.values(), "holdout rows",
         "F1 better than the champion's by", "other than the settings"),
    )  # fmt: skip
    return f"{shown}\n\n{_caution(found)}"


def _caution(found: Sequence[Listed]) -> str:
    """Say that looking often at the same rows finds luck."""
    last = found[-1].made
    same = sum((e.made.data_sha256, e.made.holdout) == (last.data_sha256, last.holdout) for e in found)
    judged = f"{same} of them were" if same > 1 else "The last one was"
    return (
        f"{judged} judged on the present holdout. The best of many on the same rows is partly luck: choose by"
        " cross-validation, and look at the holdout last."
    )


def side_by_side(ledger: Reader, found: Sequence[Listed]) -> str:
    """Return what differs between experiments, and their metrics, one column each."""
    headers = ["", *(e.made.name for e in found)]
    told = [_settings(ledger, e) for e in found]
    keys = sorted({key for each in told for key in each if any(other.get(key) != each[key] for other in told)})
    differ: list[list[Any]] = [[key, *(_plain(each.get(key)) for each in told)] for key in keys]
    facts: list[list[Any]] = [
        ["estimator", *(e.made.estimator for e in found)],
        ["threshold", *(f"{e.made.threshold:.3f}" for e in found)],
        ["trained on", *(f"{e.made.train_rows:,} rows" for e in found)],
        ["cross-validated", *(with_error(e.cross_validated) for e in found)],
    ]
    measured: list[list[Any]] = [
        [f"{_NAMES[name]}, {split}", *(_interval(e.find(name, split)) for e in found)]
        for name in _SHOWN
        for split in ("holdout", "train", "gap")
    ]
    against: list[list[Any]] = [
        [
            f"{_NAMES[name]} better than the champion's by",
            *(_interval(e.find(name, subject="difference")) for e in found),
        ]
        for name in _SHOWN
    ]
    text = table([*differ, *facts, *measured, *against], headers, numbers=False)
    return "\n\n".join([text, *_incomparable(found), *(f"{e.made.name}: {e.made.sentence}" for e in found)])


def _settings(ledger: Reader, each: Listed) -> dict[str, Any]:
    """Return the settings of training in force, by their names."""
    settings = json.loads(ledger.settings_of(each.made.settings_sha256) or "{}")
    training: dict[str, Any] = settings.get("training", {})
    of = training.pop("parameters", {})
    return training | {f"{name}.{key}": value for name, chosen in of.items() for key, value in chosen.items()}


def _incomparable(found: Sequence[Listed]) -> list[str]:
    """Say so where metrics are of other rows."""
    rows = {(e.made.data_sha256, e.made.holdout) for e in found}
    return (
        ["They were not judged on the same rows: metrics on the holdout cannot be compared."] if len(rows) > 1 else []
    )


def in_words(each: Listed, folder: Path) -> str:
    """Return one experiment as `churnwatch experiment` shows it."""
    made, cross = each.made, each.cross_validated
    lines = [
        f"experiment {made.experiment}: {made.estimator}, {each.changed or 'as in the settings'}",
        made.sentence,
        table(
            ([_NAMES[name], *(_interval(each.find(name, split)) for split in ("holdout", "train", "gap"))]
             for name in _SHOWN if each.find(name, "train")),
            ("", "holdout", "training rows", "gap"), numbers=False,
        ),
        f"Cross-validated {cross.name} {with_error(cross)} at threshold {made.threshold:.3f}, on"
        f" {made.train_rows:,} training rows." if cross else "",
        *curve(each),
        *([f"attention: {made.warning}"] if made.warning else []),
        f"Never released; its files: {folder}",
    ]  # fmt: skip
    return "\n".join(line for line in lines if line)


def curve(each: Listed) -> list[str]:
    """Return the learning curve, point by point, and what it says."""
    if each.made.learning_curve is None:
        return []
    points = list(dict.fromkeys(m.trained_on for m in each.metrics if m.trained_on is not None))
    rows = (
        [f"{rows:,}", *(_interval(each.find(name, "holdout", trained_on=rows)) for name in _SHOWN),
         _value(each.find("f1", "train", trained_on=rows))] for rows in points
    )  # fmt: skip
    names = [f"{_NAMES[name]}, holdout" for name in _SHOWN]
    return [table(rows, ("learned from", *names, "F1, training rows"), numbers=False), each.made.learning_curve]


def with_error(metric: ExperimentMetric | None) -> str | None:
    """Return a value ± its standard error."""
    if metric is None or metric.value is None:
        return None
    error = f" ± {metric.standard_error:.3f}" if metric.standard_error is not None else ""
    return f"{metric.value:.3f}{error}"


def _value(metric: ExperimentMetric | None) -> str | None:
    return None if metric is None or metric.value is None else f"{metric.value:.3f}"


def _interval(metric: ExperimentMetric | None) -> str | None:
    if metric is None or metric.low is None or metric.high is None:
        return _value(metric)
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"


def _rows(each: Listed) -> int | None:
    found = each.find("f1")
    return None if found is None else found.rows


def _plain(value: object) -> str:
    """Return a setting's value as somebody would write it."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)

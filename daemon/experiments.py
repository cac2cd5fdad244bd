"""`churnwatch experiment`: what was asked for → settings of training → an experiment, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from churnwatch.daemon import experiment_lists
from churnwatch.daemon.writing import ledger_of
from churnwatch.pipeline import settings
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.errors import UsageError
from churnwatch.pipeline.experiment import Wanted, conduct
from churnwatch.pipeline.settings import Training, looks_like


@dataclass(frozen=True)
class Asked:
    """The options of the command."""

    parameters: Sequence[str] = ()
    estimators: tuple[str, ...] = ()
    mode: str | None = None
    folds: int | None = None
    solver: str | None = None
    max_iter: str | None = None
    note: str | None = None
    curve: bool = False


def experiment(folder: Path, asked: Asked, progress: Callable[[str], None]) -> str:
    """Make an experiment, and say what came of it.

    Raises:
        UsageError: the options ask for what no settings could.
    """
    home = settings.load(folder)
    wanted = Wanted(training(home.settings.training, asked), asked.note, asked.curve)
    with (
        ledger_of(home) as ledger,
        duckdb_engine(
            home.state / "spill", threads=home.settings.training.threads, memory_gb=home.settings.memory_gb
        ) as engine,
    ):
        made, is_new = conduct(home, ledger, engine, wanted, progress)
        [found] = experiment_lists.gather(ledger, (made.experiment,))
    told = experiment_lists.in_words(found, home.models / made.folder)
    return told if is_new else f"The same as experiment {made.experiment}; nothing was trained.\n{told}"


def training(given: Training, asked: Asked) -> Training:
    """Return the settings of training with what was asked for.

    Without `--estimator`, those are trained of which a parameter was given.

    Raises:
        UsageError: no settings could be so.
    """
    parameters = _parameters(asked)
    estimators = asked.estimators or tuple(parameters)
    stray = sorted(set(parameters) - set(estimators))
    if stray:
        raise UsageError(f"-p {stray[0]}.…: it is not one of the estimators asked for ({', '.join(estimators)}).")
    values: dict[str, Any] = msgspec.to_builtins(given)
    for estimator, chosen in parameters.items():
        values["parameters"][estimator] = values["parameters"].get(estimator, {}) | chosen
    options = {"estimators": estimators or None, "mode": asked.mode, "folds": asked.folds}
    values |= {name: value for name, value in options.items() if value is not None}
    try:
        return msgspec.convert(values, Training)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        setting = re.split(r"[.\[`]", path)[0]
        option = {"folds": "--cv", "mode": "--mode", "estimators": "--estimator"}.get(setting, "-p")
        raise UsageError(f"{option}: {text}.") from None


def _parameters(asked: Asked) -> dict[str, dict[str, Any]]:
    short = {"solver": asked.solver, "max_iter": asked.max_iter}
    spelt_out = [f"logistic.{name}={value}" for name, value in short.items() if value is not None]
    found: dict[str, dict[str, Any]] = {}
    for text in (*asked.parameters, *spelt_out):
        name, _, value = text.partition("=")
        estimator, _, parameter = name.rpartition(".")
        typed = looks_like(value)
        if not estimator or not parameter or typed is None:
            raise UsageError(f"-p {text}: must look like logistic.C=0.1, an estimator, its parameter and a value.")
        found.setdefault(estimator, {})[parameter] = typed
    return found

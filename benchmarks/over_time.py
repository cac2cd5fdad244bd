"""Practices over simulated histories of 50 runs: what each promotes, deploys and reports, held against the truth.

Used by gate.py; what is true is in worlds.py, what the practices are is in rules.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import worlds
from rules import Practice, policies, usual
from worlds import MONTHS, Simulated, World

from churnwatch.pipeline import replay
from churnwatch.pipeline.replay import Line

_LAST = 10
_RESAMPLES = 200  # of rows, where the metric is one of probabilities
HEADERS = ["practice", "swaps", "truly worse", "such in a history", "histories with one", "deployed F1",
           "less that of `always`", "reported less true F1, last ten runs"]  # fmt: skip


@dataclass(frozen=True)
class Course:
    """How a practice did in one history.

    Attributes:
        swaps: how many.
        worse: how many of them were for a version that is truly worse in the month in which it begins to serve.
        deployed: true F1 of what served, mean over the months.
        optimism: reported less true F1 of the model in use, mean over the last ten runs.
    """

    swaps: int
    worse: int
    deployed: float
    optimism: float


def courses(world: World, seed: int) -> dict[str, Course]:
    """Return how each practice did in one history."""
    simulated = worlds.simulate(world, seed)
    practices = [*policies(simulated.history, resamples=_RESAMPLES), *usual(simulated.history, simulated.fixed)]
    return {practice.name: _course(simulated, practice) for practice in practices}


def _course(simulated: Simulated, practice: Practice) -> Course:
    f1, line = simulated.f1, replay.play(simulated.history, practice.rule)
    served = [f1[version][month] for version, month in zip(line.served, MONTHS, strict=True) if version is not None]
    worse = sum(f1[swap.new][MONTHS[swap.turn] + 1] < f1[swap.old][MONTHS[swap.turn] + 1] for swap in line.swaps)
    optimism = [practice.reported(turn, version) - f1[version][MONTHS[turn]] for turn, version in _in_use(line)]
    return Course(len(line.swaps), worse, float(np.mean(served)), float(np.mean(optimism)))


def _in_use(line: Line) -> Iterator[tuple[int, int]]:
    """Yield the place of each of the last ten runs with the version that is in use after it."""
    taken = {swap.turn: swap.new for swap in line.swaps}
    for turn in range(len(MONTHS) - _LAST, len(MONTHS)):
        version = taken.get(turn, line.served[turn])
        assert version is not None
        yield turn, version


def rows(world: World, histories: int, seed: int) -> Iterator[list[str]]:
    """Yield a row for each practice, with standard errors over the histories."""
    found = [courses(world, seed + number) for number in range(histories)]
    always = np.array([each["always"].deployed for each in found])
    for name in found[0]:
        mine = [each[name] for each in found]
        swaps, worse = sum(each.swaps for each in mine), sum(each.worse for each in mine)
        deployed = np.array([each.deployed for each in mine])
        yield [
            name, f"{swaps / histories:.1f}", f"{100 * worse / swaps:.0f} %" if swaps else "-",
            f"{worse / histories:.1f}", f"{100 * np.mean([each.worse > 0 for each in mine]):.0f} %",
            f"{deployed.mean():.3f}", _with_error(deployed - always), _with_error(np.array([e.optimism for e in mine])),
        ]  # fmt: skip


def _with_error(values: worlds.Floats) -> str:
    return f"{values.mean():+.4f} ± {values.std(ddof=1) / np.sqrt(len(values)):.4f}"

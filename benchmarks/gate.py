"""What the gate's policies do with models of which the truth is known, in simulation: single decisions, then histories.

    python benchmarks/gate.py [--runs 20000] [--histories 30] [--seed 1]

Champion and candidate decide about the same rows; how often each is right is set by the world. In `equal` worlds every
promotion is a false one: their share is given with the lower end of its 99 % interval (Clopper and Pearson).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

import harness
import numpy as np
import numpy.typing as npt
import over_time
from scipy.optimize import brentq
from scipy.stats import beta
from worlds import WORLDS as HISTORIES

from churnwatch.pipeline.gate import decide
from churnwatch.pipeline.paired import values
from churnwatch.pipeline.records import Decision
from churnwatch.pipeline.settings import Gate, Policy

_SIZES = (25, 200, 1000, 5000)
_ALIKE = 0.7  # share of rows on which both models look at the same thing
_TRUE, _FALSE = 0.62, 0.12  # how many of the positives, and of the negatives, the champion decides to be positive
_POWER_RUNS = 5  # so many times fewer runs tell how often something better is found


@dataclass(frozen=True)
class World:
    """What is true.

    Attributes:
        name: of the world.
        better_by: F1 of the candidate less that of the champion.
        prevalence: share of positives.
        wrong: share of labels that are turned round.
    """

    name: str
    better_by: float = 0.0
    prevalence: float = 0.25
    wrong: float = 0.0

    def shares(self) -> npt.NDArray[np.float64]:
        """Return how many of the rows fall into each cell of target × champion × candidate."""
        found = np.zeros(8)
        for y, share, champion, candidate in (
            (0, 1 - self.prevalence, _FALSE, _FALSE),
            (1, self.prevalence, _TRUE, self._true_positives()),
        ):
            both = _ALIKE * min(champion, candidate) + (1 - _ALIKE) * champion * candidate
            cells = np.array([1 - champion - candidate + both, candidate - both, champion - both, both])
            found[4 * y : 4 * y + 4] = share * cells
        return (1 - self.wrong) * found + self.wrong * np.roll(found, 4)

    def _true_positives(self) -> float:
        def f1(true: float) -> float:
            hits = true * self.prevalence
            return 2 * hits / (self.prevalence + hits + _FALSE * (1 - self.prevalence))

        return float(brentq(lambda true: f1(true) - f1(_TRUE) - self.better_by, 0.01, 0.99))


WORLDS = (
    World("equal"),
    World("equal, 10 % of the labels wrong", wrong=0.1),
    World("equal, prevalence .30", prevalence=0.3),
    World("better by .02", 0.02),
    World("better by .05", 0.05),
    World("worse by .05", -0.05),
)


def promoted(world: World, size: int, gate: Gate, runs: int, seed: int) -> int:
    """Return in how many runs the gate promotes."""
    rng = np.random.default_rng([seed, size])
    shares, count = world.shares(), 0
    for run in range(runs):
        cells = rng.choice(8, size, p=shares)
        count += decide(cells >> 2, cells >> 1 & 1, cells & 1, gate, seed=run).decision is Decision.PROMOTED
    return count


def rows(runs: int, seed: int) -> Iterator[list[str]]:
    """Yield a row for each policy and world."""
    for policy in Policy:
        for world in WORLDS:
            tries = runs if world.better_by == 0 else runs // _POWER_RUNS
            found = [promoted(world, size, Gate(policy=policy), tries, seed) for size in _SIZES]
            told = [_told(count, tries, world) for count in found]
            yield [policy.value, world.name, *told]


def _told(count: int, tries: int, world: World) -> str:
    share = f"{100 * count / tries:.1f} %"
    if world.better_by != 0:
        return share
    low = float(beta.ppf(0.01, count, tries - count + 1)) if count else 0.0
    return f"{share} (≥ {100 * low:.1f})"


def stored(size: int, runs: int, seed: int) -> float:
    """Return how often an equal model beats the score on file, when prevalence rose from .20 to .30 meanwhile."""
    rng = np.random.default_rng([seed, size])
    before, now = (rng.multinomial(size, World("", prevalence=each).shares(), runs) for each in (0.2, 0.3))
    return float(np.mean(values("f1", now.astype(float))[:, 1] > values("f1", before.astype(float))[:, 0]))


def _seconds(policy: Policy) -> float:
    """Return how long a decision on the largest holdout takes."""
    cells = np.random.default_rng(0).choice(8, _SIZES[-1], p=WORLDS[0].shares())
    begun = time.perf_counter()
    for _ in range(100):
        decide(cells >> 2, cells >> 1 & 1, cells & 1, Gate(policy=policy))
    return (time.perf_counter() - begun) / 100


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000, help="of each cell in which the models are equal")
    parser.add_argument("--histories", type=int, default=30, help="of each world over time")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    headers = ["policy", "the candidate is", *(f"{size:,} rows" for size in _SIZES)]
    if wanted.runs:
        on_file = [f"{100 * stored(size, wanted.runs, wanted.seed):.1f} %" for size in _SIZES]
        found = list(rows(wanted.runs, wanted.seed))
        harness.print_table(headers, [*found, ["`>` than the stored score", "equal, prevalence .20 → .30", *on_file]])
        timings = [[policy.value, f"{1000 * _seconds(policy):.2f} ms"] for policy in Policy]
        print()
        harness.print_table(["policy", f"a decision on {_SIZES[-1]:,} rows"], timings)
    for world in HISTORIES if wanted.histories else ():
        print(f"\n{world.name}: {wanted.histories} histories of 50 runs\n", flush=True)
        harness.print_table(over_time.HEADERS, list(over_time.rows(world, wanted.histories, wanted.seed)))


if __name__ == "__main__":
    main()

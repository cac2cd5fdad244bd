"""How often the 90 % interval of a gap holds the true gap between training rows and holdout, and what it costs.

    python benchmarks/gaps.py

Labels are drawn from probabilities that mean what they say; on the training rows these tell positive from negative
rows better than on the holdout, as those of a model that has learned by heart do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from churnwatch.pipeline.overfitting import Estimate, Floats, Labels, estimates, gaps

REPEATS = 3000
METRICS = ("f1", "roc_auc", "log_loss")
SIZES = ((500, 200), (2000, 800), (20_000, 8000), (200, 30))


@dataclass(frozen=True)
class World:
    """The share of positives, the threshold, and how far probabilities tell on training rows and holdout."""

    positive: float
    threshold: float
    train: float
    holdout: float


WORLDS = (World(0.25, 0.3, 2.0, 1.2), World(0.05, 0.15, 2.0, 1.2), World(0.25, 0.3, 1.2, 1.2))


def drawn(rng: np.random.Generator, rows: int, world: World, separation: float) -> tuple[Labels, Floats]:
    y = (rng.random(rows) < world.positive).astype(np.int64)
    logit = np.log(world.positive / (1 - world.positive)) - separation**2 / 2
    return y, 1 / (1 + np.exp(-logit - separation * (rng.normal(size=rows) + separation * y)))


def gap(rng: np.random.Generator, world: World, train_rows: int, holdout_rows: int) -> dict[str, Estimate]:
    pair = ((train_rows, world.train), (holdout_rows, world.holdout))
    return gaps(*(estimates(*drawn(rng, rows, world, far), threshold=world.threshold) for rows, far in pair))


def main() -> None:
    rng = np.random.default_rng(0)
    print("| positive | same on both | training rows | holdout rows | F1 | ROC AUC | log loss |")
    print("|---|---|---|---|---|---|---|")
    for world in WORLDS:
        truth = gap(rng, world, 4_000_000, 4_000_000)
        for sizes in SIZES:
            found = [gap(rng, world, *sizes) for _ in range(REPEATS)]
            held = [
                np.mean([each[m].low <= truth[m].value <= each[m].high for each in found if m in each]) for m in METRICS
            ]
            same = "yes" if world.train == world.holdout else "no"
            shares = " | ".join(f"{100 * share:.1f} %" for share in held)
            print(f"| {world.positive} | {same} | {sizes[0]:,} | {sizes[1]:,} | {shares} |", flush=True)
    y, probability = drawn(rng, 100_000, WORLDS[0], 1.2)
    begun = time.perf_counter()
    estimates(y, probability, threshold=0.3)
    print(f"\n100,000 rows: {1000 * (time.perf_counter() - begun):.0f} ms")


if __name__ == "__main__":
    main()

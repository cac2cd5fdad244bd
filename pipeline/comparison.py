"""How an experiment compares with the champion on the same rows. It decides nothing; that is the gate's business."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnwatch.pipeline.overfitting import Estimate
from churnwatch.pipeline.paired import Labels, bootstrap, count_cells, values


@dataclass(frozen=True)
class Compared:
    """What can be said of the difference.

    Attributes:
        sentence: in plain words.
        difference: by how much the experiment's F1 is higher, with the 90 % interval; None: there is none to tell.
    """

    sentence: str
    difference: Estimate | None = None


def alone(rows: int, f1: float | None) -> Compared:
    """Say how good an experiment is where no champion can be compared."""
    if f1 is None:
        return Compared("There is no holdout row yet to judge it by.")
    return Compared(f"F1 {f1:.3f} on {rows:,} holdout rows; there is no champion to compare it with.")


def compare(y: Labels, champion: Labels, experiment: Labels, *, name: str, resamples: int, seed: int) -> Compared:
    """Compare the decisions of both on the same rows, by a paired bootstrap.

    Args:
        y: (n,) labels, 0 or 1; at least one.
        champion: (n,) the champion's decisions, at its own threshold.
        experiment: (n,) those of the experiment, at its own.
        name: of the champion.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    cells = count_cells(y, champion, experiment)
    old, new = (float(value) for value in values("f1", np.array([cells], dtype=np.float64))[0])
    low, high, _ = bootstrap(cells, resamples=resamples, seed=seed)
    verdict = "better" if low > 0 else "worse" if high < 0 else "which may be luck"
    return Compared(
        f"F1 {new:.3f} against {old:.3f} of {name} on the same {len(y):,} holdout rows: {verdict}"
        f" (difference {new - old:+.3f}, 90 % interval {low:+.3f} to {high:+.3f}).",
        Estimate(new - old, low, high),
    )

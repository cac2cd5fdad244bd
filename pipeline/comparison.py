"""How an experiment compares with the champion on the same rows. It decides nothing; that is the gate's business."""

from __future__ import annotations

from churnwatch.pipeline.compared import Compared
from churnwatch.pipeline.overfitting import Estimate


def difference(compared: Compared, *, resamples: int, seed: int) -> Estimate:
    """Return by how much the experiment is better than the champion, with the 90 % interval of a paired bootstrap.

    Args:
        compared: both on the same rows, at least one.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    spread = compared.spread(resamples=resamples, seed=seed)
    return Estimate(compared.delta, spread.low, spread.high)


def in_words(compared: Compared, found: Estimate, champion: str) -> str:
    """Say how both did and whether that may be luck; `champion` is its name."""
    old, new = compared.values
    if found.low > 0:
        verdict = f"better (by {found.in_words})"
    elif found.high < 0:
        verdict = f"worse (by {(-found).in_words})"
    else:
        verdict = f"the difference may be luck ({found.in_words})"
    rows = f"on the same {compared.rows:,} holdout rows"
    return f"{compared.of.title} {new:.3f} against {old:.3f} of {champion} {rows}: {verdict}."


def alone(rows: int, f1: float | None) -> str:
    """Say how good an experiment is where no champion can be compared."""
    if f1 is None:
        return "There is no holdout row yet to judge it by."
    return f"F1 {f1:.3f} on {rows:,} holdout rows; there is no champion to compare it with."

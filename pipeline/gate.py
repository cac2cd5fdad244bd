"""May this candidate replace the champion? Values in, a decision with its evidence out.

Both are evaluated now, on the same rows, which neither was trained on. `proven` draws the paired bootstrap of the
difference of F1 as a multinomial over the eight cells of target × champion's decision × candidate's decision: F1
depends on nothing but their counts, so this equals resampling rows (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, ch. 8 and 16), at a cost that does not grow with the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline.records import Decision
from churnwatch.pipeline.settings import Gate, Policy

Labels = npt.NDArray[np.int64]
_ENOUGH_TO_WARN = 30


@dataclass(frozen=True)
class Evidence:
    """A decision and what it rests on.

    Attributes:
        decision: what becomes of the candidate.
        sentence: the decision in plain words.
        rows: holdout rows.
        positives: how many of them are positive.
        candidate_value: F1 of the candidate.
        champion_value: F1 of the champion, or of the baseline for a first model.
        delta: their difference.
        low: 5th percentile of the difference over the resamples.
        high: 95th percentile.
        p_value: share of resamples in which the candidate is not better, one-sided.
        cells: rows by (target, champion's decision, candidate's decision), from 000 to 111.
        warning: what is doubtful about the decision.
    """

    decision: Decision
    sentence: str
    rows: int
    positives: int
    candidate_value: float | None = None
    champion_value: float | None = None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    cells: tuple[int, ...] | None = None
    warning: str | None = None


def decide(y: Labels, champion: Labels, candidate: Labels, gate: Gate, *, seed: int = 0) -> Evidence:
    """Decide between a champion and a candidate.

    Args:
        y: (n,) labels of the holdout, 0 or 1.
        champion: (n,) the champion's decisions on these rows, at its own threshold.
        candidate: (n,) the candidate's decisions, at its own.
        gate: policy and bounds.
        seed: of the resampling.
    """
    rows, positives = len(y), int(np.sum(y))
    if not rows:
        return _undecidable(rows, positives, "the holdout has no labelled rows yet")
    cells = count_cells(y, champion, candidate)
    old, new = (float(value) for value in _f1(np.array([cells], dtype=np.float64))[0])
    if gate.policy is Policy.BETTER:
        return _better(cells, rows, positives, old, new)
    return _proven(cells, rows, positives, old, new, gate, seed)


def decide_first(y: Labels, candidate: Labels, *, baseline: float, gate: Gate) -> Evidence:
    """Decide on the first model: released unless the holdout can judge and it does not beat the baseline.

    Args:
        y: (n,) labels of the holdout, 0 or 1.
        candidate: (n,) the candidate's decisions.
        baseline: F1 of the model that looks at nothing.
        gate: bounds.
    """
    rows, positives = len(y), int(np.sum(y))
    if not rows:
        return Evidence(Decision.FIRST, "Released as the first model; there is no holdout row yet to judge it by.",
                        0, 0, warning="the holdout is empty: nobody knows how good this model is")  # fmt: skip
    _, new = _f1(np.array([count_cells(y, candidate, candidate)], dtype=np.float64))[0]
    new = float(new)
    able = _short_of(positives, rows, gate) is None
    if able and new <= baseline:
        decision, warning = Decision.REFUSED, None
        sentence = f"Refused: F1 {new:.3f} on {rows:,} holdout rows is no better than the baseline's {baseline:.3f}."
    else:
        decision = Decision.FIRST
        warning = None if able else f"the holdout has {rows:,} rows, {positives:,} of them positive: too few to judge"
        how = "Released as the first model" if new > baseline else "Released for want of another, not for its worth"
        sentence = f"{how}: F1 {new:.3f} on {rows:,} holdout rows; the baseline has {baseline:.3f}."
    return Evidence(decision, sentence, rows, positives, new, baseline, new - baseline, warning=warning)


def count_cells(y: Labels, champion: Labels, candidate: Labels) -> tuple[int, ...]:
    """Return how many rows fall into each of the eight cells of target × champion × candidate."""
    index = 4 * np.asarray(y) + 2 * np.asarray(champion) + np.asarray(candidate)
    return tuple(int(count) for count in np.bincount(index.astype(np.int64), minlength=8))


def _f1(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the F1 of champion and candidate, shape (k, 2), from counts of the eight cells, shape (k, 8)."""
    positives = counts[:, 4:].sum(axis=1)
    found = []
    for mask in (2, 1):
        decided = [cell for cell in range(8) if cell & mask]
        hits = counts[:, [cell for cell in decided if cell >= 4]].sum(axis=1)  # noqa: PLR2004
        size = positives + counts[:, decided].sum(axis=1)
        found.append(np.divide(2 * hits, size, out=np.zeros_like(size), where=size > 0))
    return np.stack(found, axis=1)


def _better(cells: tuple[int, ...], rows: int, positives: int, old: float, new: float) -> Evidence:
    few = min(positives, rows - positives)
    warning = (
        f"policy `better` on {rows:,} holdout rows ({positives:,} positive) is little more than a coin toss"
        if few < _ENOUGH_TO_WARN
        else None
    )
    promoted = new > old
    word = "Promoted: higher" if promoted else "Kept the champion: no higher"
    return Evidence(
        Decision.PROMOTED if promoted else Decision.KEPT,
        f"{word} F1, {new:.3f} against {old:.3f} on the same {rows:,} holdout rows.",
        rows, positives, new, old, new - old, cells=cells, warning=warning,
    )  # fmt: skip


def _proven(
    cells: tuple[int, ...], rows: int, positives: int, old: float, new: float, gate: Gate, seed: int
) -> Evidence:
    short = _short_of(positives, rows, gate)
    if short is not None:
        return _undecidable(rows, positives, short, new, old, cells)
    low, high, p_value = bootstrap(cells, resamples=gate.resamples, seed=seed)
    delta = new - old
    promoted = delta >= gate.min_delta and p_value <= gate.alpha
    facts = f"F1 {new:.3f} against {old:.3f} on the same {rows:,} holdout rows"
    spread = f"difference {delta:+.4f}, 90 % interval {low:+.4f} to {high:+.4f}, p = {p_value:.4f}"
    if promoted:
        sentence = f"Promoted: {facts} ({spread})."
    elif delta < gate.min_delta:
        sentence = f"Kept the champion: {facts} ({spread}); at least {gate.min_delta:+.3f} is asked for."
    else:
        sentence = f"Kept the champion: {facts}, but that may be luck ({spread})."
    return Evidence(Decision.PROMOTED if promoted else Decision.KEPT, sentence,
                    rows, positives, new, old, delta, low, high, p_value, cells)  # fmt: skip


def bootstrap(cells: tuple[int, ...], *, resamples: int, seed: int) -> tuple[float, float, float]:
    """Return 5th and 95th percentile of the F1 difference over resamples, and the one-sided p-value.

    Args:
        cells: rows in each of the eight cells, as `count_cells` has them.
        resamples: how many.
        seed: of the random numbers.
    """
    total = sum(cells)
    drawn = np.random.default_rng(seed).multinomial(total, np.array(cells) / total, size=resamples)
    values = _f1(drawn.astype(np.float64))
    deltas = values[:, 1] - values[:, 0]
    low, high = np.quantile(deltas, [0.05, 0.95])
    return float(low), float(high), float((1 + np.sum(deltas <= 0)) / (1 + resamples))


def _short_of(positives: int, rows: int, gate: Gate) -> str | None:
    negatives = rows - positives
    if min(positives, negatives) >= gate.min_positives:
        return None
    return (f"the holdout has {positives:,} positive and {negatives:,} negative rows;"
            f" {gate.min_positives} of each are needed")  # fmt: skip


def _undecidable(
    rows: int,
    positives: int,
    why: str,
    new: float | None = None,
    old: float | None = None,
    cells: tuple[int, ...] | None = None,
) -> Evidence:
    delta = None if new is None or old is None else new - old
    return Evidence(Decision.UNDECIDABLE, f"Kept the champion, undecided: {why}.",
                    rows, positives, new, old, delta, cells=cells)  # fmt: skip

"""May this candidate replace the champion? Values in, a decision with its evidence out.

Both are evaluated now, on the same rows, which neither was trained on. What can be said of the difference is in
`paired`; docs/decisions.md has what each policy promises and costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from churnwatch.pipeline.paired import Cells, Labels, bootstrap, count_cells, swap_test, values, wealth
from churnwatch.pipeline.records import Decision
from churnwatch.pipeline.settings import Gate, Policy

_ENOUGH_TO_WARN = 30
_NORMAL_5 = 1.645  # how many standard errors from the middle 5 % begin
_POWER_80 = 0.842


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
        p_value: one-sided; of a paired bootstrap or of swapping decisions, whichever is larger; of a bet, its inverse.
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
    cells: Cells | None = None
    warning: str | None = None


@dataclass(frozen=True)
class Compared:
    """Champion and candidate on the same rows."""

    cells: Cells

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(self.cells)

    @property
    def positives(self) -> int:
        """How many of them are positive."""
        return sum(self.cells[4:])

    def of(self, metric: str) -> tuple[float, float]:
        """Return a metric of the champion and of the candidate."""
        old, new = values(metric, np.array([self.cells], dtype=np.float64))[0]
        return float(old), float(new)

    @cached_property
    def f1(self) -> tuple[float, float]:
        """F1 of the champion and of the candidate."""
        return self.of("f1")

    @property
    def delta(self) -> float:
        """By how much the candidate's F1 is higher."""
        return self.f1[1] - self.f1[0]

    @property
    def facts(self) -> str:
        """The F1 of both in words."""
        return f"{self.f1[1]:.3f} against {self.f1[0]:.3f} on the same {self.rows:,} holdout rows"

    def evidence(self, decision: Decision, sentence: str, **more: Any) -> Evidence:
        """Return a decision that rests on this."""
        return Evidence(decision, sentence, self.rows, self.positives, self.f1[1], self.f1[0], self.delta,
                        cells=self.cells, **more)  # fmt: skip


def decide(y: Labels, champion: Labels, candidate: Labels, gate: Gate, *, seed: int = 0) -> Evidence:
    """Decide between a champion and a candidate.

    Args:
        y: (n,) labels of the holdout, 0 or 1, in the order in which they came.
        champion: (n,) the champion's decisions on these rows, at its own threshold.
        candidate: (n,) the candidate's decisions, at its own.
        gate: policy and bounds.
        seed: of the resampling.
    """
    if not len(y):
        why = "the holdout has no labelled rows yet"
        return Evidence(Decision.UNDECIDABLE, f"Kept the champion, undecided: {why}.", 0, 0)
    found = Compared(count_cells(y, champion, candidate))
    if gate.policy is Policy.ALWAYS:
        decided = _always(found)
    elif gate.policy is Policy.BETTER:
        decided = _better(found)
    elif (short := _short_of(found.positives, found.rows, gate)) is not None:
        return found.evidence(Decision.UNDECIDABLE, f"Kept the champion, undecided: {short}.")
    elif gate.policy is Policy.STRICT:
        decided = _strict(found, gate, wealth(y, champion, candidate))
    else:
        decided = _proven(found, gate, seed)
    return _guarded(decided, found, gate)


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
    new = Compared(count_cells(y, candidate, candidate)).f1[1]
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


def _always(found: Compared) -> Evidence:
    return found.evidence(Decision.PROMOTED, f"Promoted, as policy `always` has it: F1 {found.facts}.")


def _better(found: Compared) -> Evidence:
    rows, positives = found.rows, found.positives
    few = f"policy `better` on {rows:,} holdout rows ({positives:,} positive) is little more than a coin toss"
    warning = few if min(positives, rows - positives) < _ENOUGH_TO_WARN else None
    if found.delta > 0:
        return found.evidence(Decision.PROMOTED, f"Promoted: higher F1, {found.facts}.", warning=warning)
    return found.evidence(Decision.KEPT, f"Kept the champion: no higher F1, {found.facts}.", warning=warning)


def _proven(found: Compared, gate: Gate, seed: int) -> Evidence:
    low, high, p_value = bootstrap(found.cells, resamples=gate.resamples, seed=seed)
    p_value = max(p_value, swap_test(found.cells, resamples=gate.resamples, seed=seed))
    spread = f"difference {found.delta:+.4f}, 90 % interval {low:+.4f} to {high:+.4f}, p = {p_value:.4f}"
    doubt = f"but that may be luck ({spread}){_would_tell(found, low, high)}"
    decision, sentence = _by_proof(found, gate, spread, doubt if p_value > gate.alpha else None)
    return found.evidence(decision, sentence, low=low, high=high, p_value=p_value)


def _strict(found: Compared, gate: Gate, most: float) -> Evidence:
    bet = f"a bet on it came to {most:,.3g} times its stake, and {gate.threshold:g} are proof"
    spread = f"difference {found.delta:+.4f}; {bet}"
    doubt = f"but that is not beyond doubt ({spread})"
    decision, sentence = _by_proof(found, gate, spread, doubt if most < gate.threshold else None)
    return found.evidence(decision, sentence, p_value=1 / most)


def _by_proof(found: Compared, gate: Gate, spread: str, doubt: str | None) -> tuple[Decision, str]:
    """Promote what is better by enough, and beyond doubt."""
    if found.delta < gate.min_delta:
        asked = f"at least {gate.min_delta:+.3f} is asked for"
        return Decision.KEPT, f"Kept the champion: F1 {found.facts} ({spread}); {asked}."
    if doubt is not None:
        return Decision.KEPT, f"Kept the champion: F1 {found.facts}, {doubt}."
    return Decision.PROMOTED, f"Promoted: F1 {found.facts} ({spread})."


def _would_tell(found: Compared, low: float, high: float) -> str:
    """Say how many rows would tell a difference like this one from luck in four of five cases."""
    if found.delta <= 0:
        return ""
    error = (high - low) / (2 * _NORMAL_5)
    needed = math.ceil(found.rows * ((_NORMAL_5 + _POWER_80) * error / found.delta) ** 2)
    return f"; about {needed:,} rows would tell" if needed > found.rows else ""


def _guarded(decided: Evidence, found: Compared, gate: Gate) -> Evidence:
    """Keep the champion where the candidate would be promoted but falls too far in what is guarded."""
    if decided.decision is not Decision.PROMOTED:
        return decided
    for metric, most in gate.guards.items():
        old, new = found.of(metric)
        if old - new > most:
            fell = f"but {metric} falls from {old:.3f} to {new:.3f}, and `gate.guards` allows {most:g}"
            return replace(decided, decision=Decision.KEPT, sentence=f"Kept the champion: F1 {found.facts}, {fell}.")
    return decided


def _short_of(positives: int, rows: int, gate: Gate) -> str | None:
    negatives = rows - positives
    if min(positives, negatives) >= gate.min_positives:
        return None
    return (f"the holdout has {positives:,} positive and {negatives:,} negative rows;"
            f" {gate.min_positives} of each are needed{_rows_for(gate, positives, negatives)}")  # fmt: skip


def _rows_for(gate: Gate, positives: int, negatives: int) -> str:
    """Say how many rows would hold enough of the rarer kind, if that goes on as it is."""
    fewer = min(positives, negatives)
    return f", about {math.ceil((positives + negatives) * gate.min_positives / fewer):,} rows" if fewer else ""

"""May this candidate replace the champion? Values in, a decision with its evidence out.

Both are evaluated now, on the same rows, which neither was trained on. What can be said of the difference is in
`compared`; docs/decisions.md has what each policy promises and costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from churnwatch.pipeline.compared import Compared, Floats, Labels, Spread
from churnwatch.pipeline.paired import Cells
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
        metric: which one decided.
        candidate_value: the metric of the candidate.
        champion_value: the metric of the champion, or of the baseline for a first model.
        delta: by how much the candidate is better.
        low: 5th percentile of `delta` over the resamples.
        high: 95th percentile.
        p_value: one-sided; of a paired bootstrap or of swapping decisions, whichever is larger; of a bet, its inverse.
        cells: rows by (target, champion's decision, candidate's decision), from 000 to 111.
        rows_needed: about so many rows would tell, where these are too few.
        warning: what is doubtful about the decision.
    """

    decision: Decision
    sentence: str
    rows: int
    positives: int
    metric: str = "f1"
    candidate_value: float | None = None
    champion_value: float | None = None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    cells: Cells | None = None
    rows_needed: int | None = None
    warning: str | None = None


def decide(
    y: Labels,
    champion: Labels,
    candidate: Labels,
    gate: Gate,
    *,
    seed: int = 0,
    probabilities: tuple[Floats, Floats] | None = None,
    age_runs: int | None = None,
) -> Evidence:
    """Decide between a champion and a candidate.

    Args:
        y: (n,) labels of the holdout, 0 or 1, in the order in which they came.
        champion: (n,) the champion's decisions on these rows, at its own threshold.
        candidate: (n,) the candidate's decisions, at its own.
        gate: policy and bounds.
        seed: of the resampling.
        probabilities: (n,) of champion and candidate; needed where the gate's metric or a guard is of probabilities.
        age_runs: for how many runs the champion has served, for `gate.max_age_runs`.
    """
    if not len(y):
        why = "the holdout has no labelled rows yet"
        return Evidence(Decision.UNDECIDABLE, f"Kept the champion, undecided: {why}.", 0, 0, gate.metric)
    found = Compared(gate.metric, np.asarray(y), np.asarray(champion), np.asarray(candidate), probabilities)
    if gate.policy is Policy.ALWAYS:
        decided = _always(found)
    elif gate.policy is not Policy.BETTER and (short := _short_of(found.positives, found.rows, gate)) is not None:
        needed = _rows_for(gate, found.positives, found.rows)
        return _evidence(found, Decision.UNDECIDABLE, f"Kept the champion, undecided: {short}.", rows_needed=needed)
    elif math.isnan(found.delta):
        why = (
            f"{found.of.title} needs positive and negative rows, and the {found.rows:,} of the holdout are of one kind"
        )
        sentence = f"Kept the champion, undecided: {why}."
        return Evidence(Decision.UNDECIDABLE, sentence, found.rows, found.positives, gate.metric)
    elif gate.policy is Policy.BETTER:
        decided = _better(found)
    elif gate.policy is Policy.STRICT:
        decided = _strict(found, gate)
    else:
        decided = _proven(found, gate, seed)
    return _guarded(_refreshed(decided, found, gate, seed, age_runs), found, gate)


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
    new = Compared("f1", y, candidate, candidate).values[1]
    able = _short_of(positives, rows, gate) is None
    if able and new <= baseline:
        decision, warning = Decision.REFUSED, None
        sentence = f"Refused: F1 {new:.3f} on {rows:,} holdout rows is no better than the baseline's {baseline:.3f}."
    else:
        decision = Decision.FIRST
        warning = None if able else f"the holdout has {rows:,} rows, {positives:,} of them positive: too few to judge"
        how = "Released as the first model" if new > baseline else "Released for want of another, not for its worth"
        sentence = f"{how}: F1 {new:.3f} on {rows:,} holdout rows; the baseline has {baseline:.3f}."
    return Evidence(decision, sentence, rows, positives, "f1", new, baseline, new - baseline, warning=warning)


def _evidence(found: Compared, decision: Decision, sentence: str, **more: Any) -> Evidence:
    old, new = found.values
    return Evidence(decision, sentence, found.rows, found.positives, found.metric, new, old, found.delta,
                    cells=found.cells, **more)  # fmt: skip


def _always(found: Compared) -> Evidence:
    return _evidence(found, Decision.PROMOTED, f"Promoted, as policy `always` has it: {found.facts}.")


def _better(found: Compared) -> Evidence:
    rows, positives = found.rows, found.positives
    few = f"policy `better` on {rows:,} holdout rows ({positives:,} positive) is little more than a coin toss"
    warning = few if min(positives, rows - positives) < _ENOUGH_TO_WARN else None
    better = f"{found.of.better} {found.of.title}, {found.values_in_words}"
    if found.delta > 0:
        return _evidence(found, Decision.PROMOTED, f"Promoted: {better}.", warning=warning)
    return _evidence(found, Decision.KEPT, f"Kept the champion: no {better}.", warning=warning)


def _proven(found: Compared, gate: Gate, seed: int) -> Evidence:
    spread = found.spread(resamples=gate.resamples, seed=seed)
    facts = f"difference {found.delta:+.4f}, 90 % interval {spread.low:+.4f} to {spread.high:+.4f}, p = {spread.p:.4f}"
    needed = _would_tell(found, spread) if spread.p > gate.alpha and found.delta >= gate.min_delta else None
    telling = f"; about {needed:,} rows would tell" if needed is not None else ""
    doubt = f"but that may be luck ({facts}){telling}" if spread.p > gate.alpha else None
    decision, sentence = _by_proof(found, gate, facts, doubt)
    return _evidence(found, decision, sentence, low=spread.low, high=spread.high, p_value=spread.p, rows_needed=needed)


def _strict(found: Compared, gate: Gate) -> Evidence:
    most = found.wealth()
    bet = f"a bet on it came to {most:,.3g} times its stake, and {gate.threshold:g} are proof"
    facts = f"difference {found.delta:+.4f}; {bet}"
    doubt = f"but that is not beyond doubt ({facts})" if most < gate.threshold else None
    decision, sentence = _by_proof(found, gate, facts, doubt)
    return _evidence(found, decision, sentence, p_value=1 / most)


def _by_proof(found: Compared, gate: Gate, spread: str, doubt: str | None) -> tuple[Decision, str]:
    """Promote what is better by enough, and beyond doubt."""
    if found.delta < gate.min_delta:
        asked = f"at least {gate.min_delta * found.of.sign:+.3f} is asked for"
        return Decision.KEPT, f"Kept the champion: {found.facts} ({spread}); {asked}."
    if doubt is not None:
        return Decision.KEPT, f"Kept the champion: {found.facts}, {doubt}."
    return Decision.PROMOTED, f"Promoted: {found.facts} ({spread})."


def _would_tell(found: Compared, spread: Spread) -> int | None:
    """Return how many rows would tell a difference like this one from luck in four of five cases, if not these."""
    if found.delta <= 0:
        return None
    error = (spread.high - spread.low) / (2 * _NORMAL_5)
    needed = math.ceil(found.rows * ((_NORMAL_5 + _POWER_80) * error / found.delta) ** 2)
    return needed if needed > found.rows else None


def _refreshed(decided: Evidence, found: Compared, gate: Gate, seed: int, age_runs: int | None) -> Evidence:
    """Let a candidate that is not worse replace an old champion, where that is wanted."""
    if decided.decision is not Decision.KEPT or gate.max_age_runs is None or (age_runs or 0) < gate.max_age_runs:
        return decided
    low = decided.low
    if low is None:
        low = found.spread(resamples=gate.resamples, seed=seed).low
    if low <= -gate.not_worse:
        return decided
    why = f"after {age_runs} runs of the champion it is enough not to be worse than it by {gate.not_worse:g}"
    sentence = f"Refreshed: {found.facts}; {why} (5th percentile of the difference {low:+.4f})."
    return replace(decided, decision=Decision.REFRESHED, sentence=sentence, low=low, rows_needed=None)


def _guarded(decided: Evidence, found: Compared, gate: Gate) -> Evidence:
    """Keep the champion where the candidate would be promoted but gets too much worse in what is guarded."""
    if not decided.decision.promotes:
        return decided
    for metric, most in gate.guards.items():
        guarded = found.by(metric)
        if -guarded.delta > most:
            old, new = guarded.values
            falls = "falls" if guarded.of.sign > 0 else "rises"
            fell = f"but {guarded.of.title} {falls} from {old:.3f} to {new:.3f}, and `gate.guards` allows {most:g}"
            return replace(decided, decision=Decision.KEPT, sentence=f"Kept the champion: {found.facts}, {fell}.")
    return decided


def _short_of(positives: int, rows: int, gate: Gate) -> str | None:
    negatives = rows - positives
    if min(positives, negatives) >= gate.min_positives:
        return None
    needed = _rows_for(gate, positives, rows)
    about = f", about {needed:,} rows" if needed is not None else ""
    return (f"the holdout has {positives:,} positive and {negatives:,} negative rows;"
            f" {gate.min_positives} of each are needed{about}")  # fmt: skip


def _rows_for(gate: Gate, positives: int, rows: int) -> int | None:
    """Return how many rows would hold enough of the rarer kind, if that goes on as it is."""
    fewer = min(positives, rows - positives)
    return math.ceil(rows * gate.min_positives / fewer) if fewer else None

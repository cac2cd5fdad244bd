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
from churnwatch.pipeline.metrics import minus
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
        positives: how many of them are positive, of amounts above nought.
        metric: which one decided.
        candidate_value: the metric of the candidate.
        champion_value: the metric of the champion, or of the baseline for a first model.
        delta: by how much the candidate is better, in the metric's unit.
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
        y: (n,) labels of the holdout, 0 or 1, in the order in which they came; or amounts.
        champion: (n,) the champion's decisions on these rows, at its own threshold; or the amounts that it expects.
        candidate: (n,) the candidate's decisions, at its own; or its amounts.
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
    elif gate.policy is not Policy.BETTER and (short := _short_of(found, gate)) is not None:
        needed = _rows_for(found, gate)
        return _evidence(found, Decision.UNDECIDABLE, f"Kept the champion, undecided: {short}.", rows_needed=needed)
    elif not math.isfinite(found.delta):
        return _evidence(found, Decision.UNDECIDABLE, f"Kept the champion, undecided: {_undefined(found)}.")
    elif gate.policy is Policy.BETTER:
        decided = _better(found)
    elif gate.policy is Policy.STRICT:
        decided = _strict(found, gate)
    else:
        decided = _proven(found, gate, seed)
    return _guarded(_refreshed(decided, found, gate, seed, age_runs), found, gate)


def decide_first(y: Labels, candidate: Labels, *, baseline: float, gate: Gate, metric: str = "f1") -> Evidence:
    """Decide on the first model: released unless the holdout can judge and it does not beat the baseline.

    Args:
        y: (n,) labels of the holdout, 0 or 1; or amounts.
        candidate: (n,) the candidate's decisions; or its amounts.
        baseline: the metric of the model that looks at nothing.
        gate: bounds.
        metric: by which both are compared.
    """
    if not len(y):
        return Evidence(Decision.FIRST, "Released as the first model; there is no holdout row yet to judge it by.",
                        0, 0, warning="the holdout is empty: nobody knows how good this model is")  # fmt: skip
    found = Compared(metric, y, candidate, candidate)
    new, of = found.values[1], found.of
    worth, able = (new - baseline) * of.sign, _short_of(found, gate) is None
    facts = f"{of.title} {of.shown(new)} on {found.rows:,} holdout rows"
    if able and not worth > 0:
        decision, warning = Decision.REFUSED, None
        sentence = f"Refused: {facts} is no better than the baseline's {of.shown(baseline)}."
    else:
        decision = Decision.FIRST
        counted = (
            f"{found.rows:,} rows" if found.of_amounts else f"{found.rows:,} rows, {found.positives:,} of them positive"
        )
        warning = None if able else f"the holdout has {counted}: too few to judge"
        how = "Released as the first model" if worth > 0 else "Released for want of another, not for its worth"
        sentence = f"{how}: {facts}; the baseline has {of.shown(baseline)}."
    return Evidence(decision, sentence, found.rows, found.positives, metric, new, baseline, worth, warning=warning)


def _evidence(found: Compared, decision: Decision, sentence: str, **more: Any) -> Evidence:
    old, new, delta = (each if math.isfinite(each) else None for each in (*found.values, found.delta))
    return Evidence(decision, sentence, found.rows, found.positives, found.metric, new, old, delta,
                    cells=found.cells, **more)  # fmt: skip


def _undefined(found: Compared) -> str:
    return f"the {found.of.title} of these {found.rows:,} holdout rows is not defined"


def _always(found: Compared) -> Evidence:
    facts = found.facts if math.isfinite(found.delta) else _undefined(found)
    return _evidence(found, Decision.PROMOTED, f"Promoted, as policy `always` has it: {facts}.")


def _better(found: Compared) -> Evidence:
    few = f"policy `better` on {_counted(found)} is little more than a coin toss"
    warning = few if _rarer(found) < _ENOUGH_TO_WARN else None
    better = f"{found.of.better} {found.of.title}, {found.values_in_words}"
    if found.delta > 0:
        return _evidence(found, Decision.PROMOTED, f"Promoted: {better}.", warning=warning)
    return _evidence(found, Decision.KEPT, f"Kept the champion: no {better}.", warning=warning)


def _proven(found: Compared, gate: Gate, seed: int) -> Evidence:
    spread = found.spread(resamples=gate.resamples, seed=seed)
    delta, low, high = (found.in_words(each) for each in (found.delta, spread.low, spread.high))
    what = "improvement" if found.of.relative else "difference"
    facts = f"{what} {delta}, 90 % interval {low} to {high}, p = {spread.p:.4f}"
    needed = (
        _would_tell(found, spread) if spread.p > gate.alpha and found.delta >= gate.min_delta * found.scale else None
    )
    telling = f"; about {needed:,} rows would tell" if needed is not None else ""
    doubt = f"but that may be luck ({facts}){telling}" if spread.p > gate.alpha else None
    decision, sentence = _by_proof(found, gate, facts, doubt)
    return _evidence(found, decision, sentence, low=spread.low, high=spread.high, p_value=spread.p, rows_needed=needed)


def _strict(found: Compared, gate: Gate) -> Evidence:
    most = found.wealth()
    bet = f"a bet on it came to {most:,.3g} times its stake, and {gate.threshold:g} are proof"
    facts = f"difference {found.in_words(found.delta)}; {bet}"
    doubt = f"but that is not beyond doubt ({facts})" if most < gate.threshold else None
    decision, sentence = _by_proof(found, gate, facts, doubt)
    return _evidence(found, decision, sentence, p_value=1 / most)


def _by_proof(found: Compared, gate: Gate, spread: str, doubt: str | None) -> tuple[Decision, str]:
    """Promote what is better by enough, and beyond doubt."""
    if found.delta < gate.min_delta * found.scale:
        asked = f"at least {_asked(found, gate)} is asked for"
        return Decision.KEPT, f"Kept the champion: {found.facts} ({spread}); {asked}."
    if doubt is not None:
        return Decision.KEPT, f"Kept the champion: {found.facts}, {doubt}."
    return Decision.PROMOTED, f"Promoted: {found.facts} ({spread})."


def _asked(found: Compared, gate: Gate) -> str:
    """Return the least difference that counts, in words."""
    return f"+{found.of.step(gate.min_delta)}" if found.of.relative else minus(f"{gate.min_delta * found.of.sign:+.3f}")


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
    if low <= -gate.not_worse * found.scale:
        return decided
    most = found.of.step(gate.not_worse)
    why = f"after {age_runs} runs of the champion it is enough not to be worse than it by {most}"
    sentence = f"Refreshed: {found.facts}; {why} (5th percentile of the difference {found.in_words(low)})."
    return replace(decided, decision=Decision.REFRESHED, sentence=sentence, low=low, rows_needed=None)


def _guarded(decided: Evidence, found: Compared, gate: Gate) -> Evidence:
    """Keep the champion where the candidate would be promoted but gets too much worse in what is guarded.

    So it is where nobody can tell.
    """
    if not decided.decision.promotes:
        return decided
    for metric, most in gate.guards.items():
        guarded = found.by(metric)
        if not math.isfinite(guarded.delta):
            sentence = f"Kept the champion, undecided: {_undefined(guarded)}, and `gate.guards` asks for it."
            return replace(decided, decision=Decision.UNDECIDABLE, sentence=sentence)
        if -guarded.delta > most * guarded.scale:
            old, new = (guarded.of.shown(value) for value in guarded.values)
            falls = "falls" if guarded.of.sign > 0 else "rises"
            fell = (
                f"but {guarded.of.title} {falls} from {old} to {new}, and `gate.guards` allows {guarded.of.step(most)}"
            )
            return replace(decided, decision=Decision.KEPT, sentence=f"Kept the champion: {found.facts}, {fell}.")
    return decided


def _rarer(found: Compared) -> int:
    """Return how many rows the rarer class has; amounts have none, so half of all rows count."""
    return found.rows // 2 if found.of_amounts else min(found.positives, found.rows - found.positives)


def _counted(found: Compared) -> str:
    positive = "" if found.of_amounts else f" ({found.positives:,} positive)"
    return f"{found.rows:,} holdout rows{positive}"


def _short_of(found: Compared, gate: Gate) -> str | None:
    """Return what the holdout lacks: rows of either class, of amounts as many rows as both would have."""
    if _rarer(found) >= gate.min_positives:
        return None
    if found.of_amounts:
        return f"the holdout has {found.rows:,} rows; {2 * gate.min_positives} are needed"
    needed = _rows_for(found, gate)
    about = f", about {needed:,} rows" if needed is not None else ""
    return (f"the holdout has {found.positives:,} positive and {found.rows - found.positives:,} negative rows;"
            f" {gate.min_positives} of each are needed{about}")  # fmt: skip


def _rows_for(found: Compared, gate: Gate) -> int | None:
    """Return how many rows would hold enough of the rarer kind, if that goes on as it is."""
    if found.of_amounts:
        return 2 * gate.min_positives
    fewer = _rarer(found)
    return math.ceil(found.rows * gate.min_positives / fewer) if fewer else None

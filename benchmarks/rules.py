"""Rules by which a history can be gone through: the gate's, the usual practice, and attempts to do with few swaps.

A practice is a rule together with the F1 that it tells its user of the model in use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from churnwatch.pipeline import replay
from churnwatch.pipeline.records import Decision
from churnwatch.pipeline.replay import Contest, History, Places, Rule
from churnwatch.pipeline.settings import Gate, Policy


@dataclass(frozen=True)
class Practice:
    """A rule, and what it reports of the model in use after a run.

    Attributes:
        name: of the practice.
        rule: which candidates replace the champion.
        reported: F1 of a version, after the run of this place in the history.
    """

    name: str
    rule: Rule
    reported: Callable[[int, int], float]


def f1(history: History, version: int, rows: Places) -> float:
    """Return F1 of a version on some rows."""
    return history.compared("f1", version, version, rows).values[1]


FEWER = Gate(metric="roc_auc", max_age_runs=5, not_worse=0.01)  # a gate for few swaps under drift
GATES = {
    "proven, by ROC AUC": Gate(metric="roc_auc"),
    "proven, by ROC AUC, refreshed after 5 runs": FEWER,
}


def policies(history: History, *, resamples: int = 2000) -> list[Practice]:
    """Return the gate's policies by F1 and never replacing, two gates by another metric, and a clock.

    Args:
        history: which they are to go through.
        resamples: of the bootstrap by rows, which metrics of probabilities need.
    """

    def on_the_window(turn: int, version: int) -> float:
        return f1(history, version, history.turns[turn].judges)

    rules = {policy: replay.rule_of(policy, Gate(), seed=0) for policy in replay.POLICIES}
    for name, gating in GATES.items():
        rules[name] = replay.rule_of("proven", replace(gating, resamples=resamples), seed=0)
    rules["always, every 5th run"] = every(5)
    return [Practice(name, rule, on_the_window) for name, rule in rules.items()]


def every(runs: int) -> Rule:
    """Return the rule that replaces by the clock, whatever the candidate."""
    always = replay.rule_of(Policy.ALWAYS, Gate(), seed=0)

    def rule(contest: Contest) -> Decision:
        return Decision.KEPT if contest.champion is not None and contest.age_runs < runs else always(contest)

    return rule


def usual(history: History, fixed: Places) -> list[Practice]:
    """Return the usual practice: any higher F1, on a test set drawn once, or than the score that is on file."""
    on_file: dict[int, float] = {}

    def higher_on_fixed(contest: Contest) -> Decision:
        if contest.champion is None:
            return Decision.FIRST
        old, new = (f1(history, version, fixed) for version in (contest.champion, contest.candidate))
        return Decision.PROMOTED if new > old else Decision.KEPT

    def higher_than_stored(contest: Contest) -> Decision:
        new = f1(history, contest.candidate, contest.judges)
        if contest.champion is not None and new <= on_file[contest.champion]:
            return Decision.KEPT
        on_file[contest.candidate] = new
        return Decision.FIRST if contest.champion is None else Decision.PROMOTED

    return [
        Practice("`>` on a fixed test set", higher_on_fixed, lambda _, version: f1(history, version, fixed)),
        Practice("`>` than the stored score", higher_than_stored, lambda _, version: on_file[version]),
    ]

"""Rules by which a history can be gone through beside the gate's: the usual practice, and attempts to do with few swaps.

A practice is a rule together with the F1 that it tells its user of the model in use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from churnwatch.pipeline import replay
from churnwatch.pipeline.paired import Labels
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


def policies(history: History) -> list[Practice]:
    """Return the gate's policies, and never replacing."""

    def on_the_window(turn: int, version: int) -> float:
        return f1(history, version, history.turns[turn].judges)

    return [Practice(name, replay.rule_of(name, Gate(), seed=0), on_the_window) for name in replay.POLICIES]


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

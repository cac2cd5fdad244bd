"""A history, gone through again by another rule: arrays in, what would have served out.

What a run learns from does not depend on which model serves, so its candidate is the same whatever was decided before;
only who is champion differs. docs/decisions.md says where that is not quite so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace
from sklearn.metrics import log_loss

from churnwatch.pipeline import gate
from churnwatch.pipeline.compared import Compared
from churnwatch.pipeline.evaluate import baseline_f1
from churnwatch.pipeline.records import Decision
from churnwatch.pipeline.settings import Gate, Policy

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]  # of rows in a history's arrays
NEVER = "never"  # the first model for ever: what doing nothing is worth
POLICIES = (NEVER, *(policy.value for policy in Policy))


@dataclass(frozen=True)
class Turn:
    """One run of a history.

    Attributes:
        run: its number.
        new: the labelled rows that came with it; the champion is tested on them before anything learns from them.
        judges: the rows that judged at that moment.
        candidate: the version that it trained, None where there is none to be had.
    """

    run: int
    new: Places
    judges: Places
    candidate: int | None


@dataclass(frozen=True)
class History:
    """What happened, whatever was decided.

    Attributes:
        turns: the runs in order.
        y: (n,) labels of all rows, 0 or 1.
        probabilities: by version, (n,) of 1.
        thresholds: by version.
    """

    turns: Sequence[Turn]
    y: Labels
    probabilities: Mapping[int, Floats]
    thresholds: Mapping[int, float]

    def decisions(self, version: int, rows: Places) -> Labels:
        """Return a version's decisions on some rows."""
        return (self.probabilities[version][rows] >= self.thresholds[version]).astype(np.int64)

    def compared(self, metric: str, old: int, new: int, rows: Places) -> Compared:
        """Return two versions on the same rows."""
        probabilities = (self.probabilities[old][rows], self.probabilities[new][rows])
        return Compared(metric, self.y[rows], self.decisions(old, rows), self.decisions(new, rows), probabilities)

    def after(self, turn: int) -> Places:
        """Return the labelled rows that came with later runs than that of this place."""
        return np.concatenate([np.empty(0, dtype=np.int64), *(each.new for each in self.turns[turn + 1 :])])


@dataclass(frozen=True)
class Contest:
    """What a rule decides on: a candidate, and the champion if there is one, on the rows that judge at that moment.

    Attributes:
        history: what happened.
        turn: the run's place in it.
        champion: the version that serves by this rule.
        candidate: the version that may replace it.
        age_runs: how many candidates the champion has been compared with, this one included.
    """

    history: History
    turn: int
    champion: int | None
    candidate: int
    age_runs: int

    @property
    def judges(self) -> Places:
        """The rows that judge."""
        return self.history.turns[self.turn].judges


Rule = Callable[[Contest], Decision]


@dataclass(frozen=True)
class Swap:
    """A version that took the place of another at the end of a run, given by its place in the history."""

    turn: int
    old: int
    new: int


@dataclass(frozen=True)
class Line:
    """What served when.

    Attributes:
        served: for each run, the version that its new rows were tested with; None before there was one.
        decisions: of each run, None where there was nothing to decide.
        swaps: the first release is none.
    """

    served: tuple[int | None, ...]
    decisions: tuple[Decision | None, ...]
    swaps: tuple[Swap, ...]


def rule_of(policy: str, gating: Gate, *, seed: int) -> Rule:
    """Return the rule of one of `POLICIES`; whatever else the gate asks for stays.

    Args:
        policy: its name.
        gating: the home's gate.
        seed: of the resampling.
    """
    wanted = gating if policy == NEVER else replace(gating, policy=Policy(policy))

    def rule(contest: Contest) -> Decision:
        history, rows, new = contest.history, contest.judges, contest.candidate
        if contest.champion is None:
            y = history.y[rows]
            return gate.decide_first(y, history.decisions(new, rows), baseline=baseline_f1(y), gate=wanted).decision
        if policy == NEVER:
            return Decision.KEPT
        found = history.compared(wanted.metric, contest.champion, new, rows)
        return gate.decide(
            found.y, found.champion, found.candidate, wanted,
            seed=seed, probabilities=found.probabilities, age_runs=contest.age_runs,
        ).decision  # fmt: skip

    return rule


def play(history: History, rule: Rule) -> Line:
    """Go through a history by a rule."""
    served: list[int | None] = []
    decisions: list[Decision | None] = []
    swaps: list[Swap] = []
    champion, age = None, 0
    for place, turn in enumerate(history.turns):
        served.append(champion)
        if turn.candidate is None:
            decisions.append(None)
            continue
        age += 1
        decision = rule(Contest(history, place, champion, turn.candidate, age))
        decisions.append(decision)
        if decision.promotes:
            if champion is not None:
                swaps.append(Swap(place, champion, turn.candidate))
            champion, age = turn.candidate, 0
    return Line(tuple(served), tuple(decisions), tuple(swaps))


@dataclass(frozen=True)
class Tested:
    """How a version did on the new rows of a run.

    Attributes:
        run: its number.
        version: the version.
        rows: how many.
        positives: how many of them are positive.
        decided: how many the version decided to be positive.
        hits: how many of these are.
        log_loss: summed over the rows.
    """

    run: int
    version: int
    rows: int
    positives: int
    decided: int
    hits: int
    log_loss: float


def tested(history: History, line: Line) -> list[Tested]:
    """Return how the versions that served did on new rows, for each run that brought any once there was one."""
    return [
        _tested(history, turn, version)
        for turn, version in zip(history.turns, line.served, strict=True)
        if version is not None and len(turn.new)
    ]


def _tested(history: History, turn: Turn, version: int) -> Tested:
    y, decided = history.y[turn.new], history.decisions(version, turn.new)
    loss = log_loss(y, history.probabilities[version][turn.new], labels=[0, 1], normalize=False)
    return Tested(turn.run, version, len(y), int(y.sum()), int(decided.sum()), int(np.sum(y * decided)), float(loss))


def f1(tests: Sequence[Tested]) -> float | None:
    """Return F1 over all rows of some tests, None where there is no row."""
    if not tests:
        return None
    return 2 * sum(each.hits for each in tests) / max(sum(each.decided + each.positives for each in tests), 1)


@dataclass(frozen=True)
class Afterwards:
    """What came out of a swap: the new version beside the old one on all labelled rows that came after the decision.

    Neither has learned from these, whether they are promised to the holdout or not.

    Attributes:
        rows: how many.
        delta: by how much the new version is better, by the gate's metric.
        high: 95th percentile of it over resamples.
    """

    rows: int
    delta: float
    high: float

    @property
    def worse(self) -> bool:
        """Whether the new version is the worse one."""
        return self.delta < 0

    @property
    def clearly(self) -> bool:
        """Whether that is no luck, by 95 %."""
        return self.high < 0


def afterwards(history: History, swap: Swap, gating: Gate, *, seed: int) -> Afterwards | None:
    """Return what came out of a swap, None where no labelled row came after it or one of the versions is not had.

    Nor where the metric needs rows of both classes, and one only came.
    """
    rows = history.after(swap.turn)
    if not len(rows) or not {swap.old, swap.new} <= history.probabilities.keys():
        return None
    found = history.compared(gating.metric, swap.old, swap.new, rows)
    if math.isnan(found.delta):
        return None
    spread = found.spread(resamples=gating.resamples, seed=seed)
    return Afterwards(len(rows), found.delta, spread.high)


@dataclass(frozen=True)
class Price:
    """What a line of versions was worth.

    Attributes:
        swaps: how often one version took the place of another.
        judged: how many of them have labelled rows after them.
        worse: how many of these were for a version that was worse on the rows after them.
        clearly_worse: how many of these beyond luck, by 95 %.
        rows: rows that were tested before anything learned from them.
        f1: over all of them, of the version that served when they came.
        log_loss: mean over them.
    """

    swaps: int
    judged: int
    worse: int
    clearly_worse: int
    rows: int
    f1: float | None
    log_loss: float | None


def price(history: History, line: Line, gating: Gate, *, seed: int) -> Price:
    """Add up what a line of versions was worth."""
    found = [afterwards(history, swap, gating, seed=seed) for swap in line.swaps]
    known = [each for each in found if each is not None]
    tests = tested(history, line)
    rows = sum(each.rows for each in tests)
    return Price(
        swaps=len(line.swaps),
        judged=len(known),
        worse=sum(each.worse for each in known),
        clearly_worse=sum(each.clearly for each in known),
        rows=rows,
        f1=f1(tests),
        log_loss=sum(each.log_loss for each in tests) / rows if rows else None,
    )

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss

from churnwatch.pipeline import replay
from churnwatch.pipeline.records import Decision
from churnwatch.pipeline.replay import Contest, History, Line, Rule, Swap, Turn
from churnwatch.pipeline.settings import Gate, Policy

ROWS = 120  # of a turn, 40 of them judge
BETTER = Gate(policy=Policy.BETTER, min_positives=5)


def _history(*skills: float | None, seed: int = 0, rows: int = ROWS) -> History:
    """Return a history in which the candidate of each run is right by its skill; None: the run trained none."""
    rng = np.random.default_rng(seed)
    y = (rng.random(len(skills) * rows) < 0.4).astype(np.int64)
    places = np.arange(len(y)).reshape(len(skills), rows)
    probabilities = {
        10 + turn: np.clip(0.5 + np.where(rng.random(len(y)) < skill, 0.3, -0.3) * (2 * y - 1), 0, 1)
        for turn, skill in enumerate(skills)
        if skill is not None
    }
    turns = [
        Turn(turn + 1, places[turn], places[max(0, turn - 2) : turn + 1, : rows // 3].ravel(),
             10 + turn if skill is not None else None)
        for turn, skill in enumerate(skills)
    ]  # fmt: skip
    return History(turns, y, probabilities, dict.fromkeys(probabilities, 0.5))


def _play(history: History, policy: str, gating: Gate = BETTER) -> Line:
    return replay.play(history, replay.rule_of(policy, gating, seed=0))


def _by(*decisions: Decision) -> Rule:
    remaining = iter(decisions)
    return lambda _: next(remaining)


# -- what serves -----------------------------------------------------------------------------------------------


def test_a_candidate_serves_from_the_run_after_its_promotion() -> None:
    line = replay.play(
        _history(0.8, 0.8, 0.8, 0.8), _by(Decision.FIRST, Decision.KEPT, Decision.PROMOTED, Decision.KEPT)
    )
    assert line.served == (None, 10, 10, 12)
    assert line.swaps == (Swap(2, 10, 12),)
    assert line.decisions == (Decision.FIRST, Decision.KEPT, Decision.PROMOTED, Decision.KEPT)


def test_a_run_without_a_candidate_decides_nothing_and_does_not_age_the_champion() -> None:
    ages = []

    def rule(contest: Contest) -> Decision:
        ages.append((contest.champion, contest.age_runs))
        return Decision.FIRST if contest.champion is None else Decision.KEPT

    line = replay.play(_history(0.8, None, 0.8, None, 0.8), rule)
    assert line.decisions[1] is line.decisions[3] is None
    assert line.served == (None, 10, 10, 10, 10)
    assert ages == [(None, 1), (10, 1), (10, 2)]


def test_a_refused_first_candidate_leaves_the_next_one_to_be_the_first() -> None:
    line = _play(_history(0.1, 0.9, 0.9, rows=600), "always")
    assert line.decisions == (Decision.REFUSED, Decision.FIRST, Decision.PROMOTED)
    assert line.served == (None, None, 11)
    assert line.swaps == (Swap(2, 11, 12),)


def test_never_keeps_the_first_model_and_always_takes_every_one() -> None:
    history = _history(0.7, 0.99, 0.99)
    assert _play(history, "never").served == (None, 10, 10)
    assert _play(history, "always").served == (None, 10, 11)


def test_the_gate_decides_on_the_rows_that_judged_then() -> None:
    history = _history(0.9, 0.7, 0.95)
    assert _play(history, "better").decisions == (Decision.FIRST, Decision.KEPT, Decision.PROMOTED)
    blind = History(
        [Turn(t.run, t.new, t.judges[:0], t.candidate) for t in history.turns],
        history.y, history.probabilities, history.thresholds,
    )  # fmt: skip
    assert _play(blind, "better").decisions == (Decision.FIRST, Decision.UNDECIDABLE, Decision.UNDECIDABLE)


def test_what_the_gate_asks_for_beside_its_policy_stays() -> None:
    history = _history(0.9, 0.9, 0.9, 0.9, seed=1, rows=300)
    old = Gate(policy=Policy.BETTER, min_positives=5, max_age_runs=2, not_worse=0.3)
    assert Decision.REFRESHED in _play(history, "proven", old).decisions
    guarded = Gate(min_positives=5, guards={"log_loss": 0.0}, policy=Policy.ALWAYS)
    worse = _history(0.99, 0.6)
    assert _play(worse, "always").decisions[1] is Decision.PROMOTED
    assert _play(worse, "always", guarded).decisions[1] is Decision.KEPT


def test_a_metric_of_probabilities_can_decide() -> None:
    history = _history(0.7, 0.95, rows=600)
    assert _play(history, "proven", Gate(metric="roc_auc", min_positives=5)).decisions[1] is Decision.PROMOTED


@given(st.lists(st.sampled_from([None, 0.5, 0.8, 0.95]), min_size=1, max_size=6), st.sampled_from(replay.POLICIES))
def test_swaps_say_who_served_when(skills: list[float | None], policy: str) -> None:
    history = _history(*skills, rows=60)
    line = _play(history, policy)
    for swap in line.swaps:
        assert line.served[swap.turn] == swap.old
        assert swap.turn + 1 == len(line.served) or line.served[swap.turn + 1] == swap.new
    changes = sum(a is not None and a != b for a, b in zip(line.served, line.served[1:], strict=False))
    assert changes == sum(swap.turn + 1 < len(line.served) for swap in line.swaps)


# -- what it was worth -----------------------------------------------------------------------------------------


def test_each_run_is_tested_with_what_served_when_its_rows_came() -> None:
    history = _history(0.8, 0.9, 0.7)
    [second, third] = replay.tested(history, _play(history, "always"))
    rows = history.turns[2].new
    y, probability = history.y[rows], history.probabilities[11][rows]
    assert (second.run, second.version) == (2, 10)
    assert (third.run, third.version, third.rows, third.positives) == (3, 11, len(rows), y.sum())
    assert replay.f1([third]) == pytest.approx(f1_score(y, probability >= 0.5))
    assert third.log_loss == pytest.approx(log_loss(y, probability, normalize=False))


def test_f1_over_several_runs_is_that_of_all_their_rows() -> None:
    history = _history(0.8, 0.9, 0.7)
    rows = np.concatenate([turn.new for turn in history.turns[1:]])
    expected = f1_score(history.y[rows], history.decisions(10, rows))
    price = replay.price(history, _play(history, "never"), BETTER, seed=0)
    assert price.f1 == pytest.approx(expected)
    assert price.log_loss == pytest.approx(log_loss(history.y[rows], history.probabilities[10][rows]))
    assert price.rows == len(rows)


def test_before_there_is_a_model_nothing_is_tested() -> None:
    price = replay.price(_history(0.8), Line((None,), (Decision.FIRST,), ()), BETTER, seed=0)
    assert (price.rows, price.f1, price.log_loss) == (0, None, None)


def test_a_swap_is_held_against_all_rows_that_came_after_it() -> None:
    history = _history(0.9, 0.6, 0.9, 0.9, rows=300)
    found = replay.afterwards(history, Swap(1, 10, 11), BETTER, seed=0)
    rows = np.concatenate([turn.new for turn in history.turns[2:]])
    expected = [f1_score(history.y[rows], history.decisions(version, rows)) for version in (10, 11)]
    assert found is not None
    assert (found.rows, found.worse, found.clearly) == (len(rows), True, True)
    assert found.delta == pytest.approx(expected[1] - expected[0])
    back = replay.afterwards(history, Swap(1, 11, 10), BETTER, seed=0)
    assert back is not None
    assert (back.worse, back.clearly) == (False, False)


def test_a_swap_by_a_lower_log_loss_was_a_better_one() -> None:
    history = _history(0.6, 0.9, 0.9)
    found = replay.afterwards(history, Swap(1, 10, 11), Gate(metric="log_loss"), seed=0)
    assert found is not None
    assert found.delta > 0


def test_a_little_worse_may_be_luck() -> None:
    history = _history(0.9, 0.89, 0.9)
    swaps = [replay.afterwards(history, swap, BETTER, seed=0) for swap in (Swap(1, 10, 11), Swap(1, 11, 10))]
    [worse] = [each for each in swaps if each is not None and each.worse]
    assert not worse.clearly


@pytest.mark.parametrize("swap", [Swap(1, 10, 11), Swap(0, 10, 99)])
def test_a_swap_without_later_rows_or_with_an_unknown_version_is_not_judged(swap: Swap) -> None:
    history = _history(0.9, 0.8)
    assert replay.afterwards(history, swap, BETTER, seed=0) is None
    price = replay.price(history, Line((None, 10), (None, None), (swap,)), BETTER, seed=0)
    assert (price.swaps, price.judged, price.worse, price.clearly_worse) == (1, 0, 0, 0)


def test_a_swap_is_not_judged_by_a_ranking_of_later_rows_that_are_all_of_one_kind() -> None:
    history = _history(0.6, 0.9, 0.9)
    history.y[history.turns[2].new] = 0
    assert replay.afterwards(history, Swap(1, 10, 11), Gate(metric="roc_auc"), seed=0) is None
    assert replay.afterwards(history, Swap(1, 10, 11), Gate(metric="log_loss"), seed=0) is not None


def test_the_same_history_gives_the_same_lines() -> None:
    history: Any = _history(0.8, 0.82, 0.81, 0.85)
    for policy in replay.POLICIES:
        assert _play(history, policy) == _play(history, policy)

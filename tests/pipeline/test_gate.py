from __future__ import annotations

import math
import re

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import f1_score

from churnwatch.pipeline.gate import Evidence, decide, decide_first
from churnwatch.pipeline.paired import bootstrap, count_cells
from churnwatch.pipeline.records import Decision
from churnwatch.pipeline.settings import Compared, Gate, Policy

Labels = npt.NDArray[np.int64]
BETTER, PROVEN = Gate(policy=Policy.BETTER), Gate()


def _labels(*counts: tuple[int, int, int, int]) -> tuple[Labels, Labels, Labels]:
    """Return target, champion's and candidate's decisions of (how often, target, champion, candidate)."""
    columns = [np.repeat([row[part] for row in counts], [row[0] for row in counts]) for part in (1, 2, 3)]
    return columns[0], columns[1], columns[2]


def _flipped(rng: np.random.Generator, y: Labels, share: float) -> Labels:
    return np.where(rng.random(len(y)) < share, 1 - y, y)


# -- counts and F1 ---------------------------------------------------------------------------------------------


def test_rows_are_counted_by_target_and_both_decisions() -> None:
    counted = [(index + 1, index >> 2, index >> 1 & 1, index & 1) for index in range(8)]
    y, champion, candidate = _labels(*counted)
    assert count_cells(y, champion, candidate) == (1, 2, 3, 4, 5, 6, 7, 8)
    assert count_cells(y[:0], champion[:0], candidate[:0]) == (0,) * 8


def test_values_are_the_f1_of_each_on_the_same_rows() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(500) < 0.3).astype(np.int64)
    champion, candidate = _flipped(rng, y, 0.2), _flipped(rng, y, 0.1)
    evidence = decide(y, champion, candidate, PROVEN)
    assert evidence.champion_value == pytest.approx(f1_score(y, champion))
    assert evidence.candidate_value == pytest.approx(f1_score(y, candidate))
    assert evidence.delta == pytest.approx(f1_score(y, candidate) - f1_score(y, champion))
    assert (evidence.rows, evidence.positives) == (500, int(y.sum()))
    assert evidence.cells == count_cells(y, champion, candidate)


def test_without_a_positive_anywhere_f1_is_nought() -> None:
    nobody = np.zeros(10, dtype=np.int64)
    evidence = decide(nobody, nobody, nobody, BETTER)
    assert (evidence.champion_value, evidence.candidate_value) == (0.0, 0.0)


# -- policy better ---------------------------------------------------------------------------------------------


def test_better_promotes_any_higher_f1() -> None:
    evidence = decide(*_labels((40, 1, 1, 1), (1, 1, 0, 1), (100, 0, 0, 0)), BETTER)
    assert evidence.decision is Decision.PROMOTED
    assert evidence.sentence == "Promoted: higher F1, 1.000 against 0.988 on the same 141 holdout rows."
    assert evidence.warning is None
    assert (evidence.low, evidence.high, evidence.p_value) == (None, None, None)


def test_better_keeps_the_champion_at_equal_f1() -> None:
    evidence = decide(*_labels((40, 1, 1, 1), (100, 0, 0, 0)), BETTER)
    assert evidence.decision is Decision.KEPT
    assert evidence.sentence == "Kept the champion: no higher F1, 1.000 against 1.000 on the same 140 holdout rows."


def test_better_on_few_rows_warns_of_a_coin_toss() -> None:
    evidence = decide(*_labels((2, 1, 0, 1), (3, 0, 0, 0)), BETTER)
    assert evidence.decision is Decision.PROMOTED
    assert evidence.warning == "policy `better` on 5 holdout rows (2 positive) is little more than a coin toss"
    negatives = decide(*_labels((40, 1, 1, 1), (29, 0, 0, 0)), BETTER)
    assert negatives.warning is not None


# -- policy proven ---------------------------------------------------------------------------------------------


def test_proven_promotes_what_is_better_beyond_luck() -> None:
    evidence = decide(*_labels((100, 1, 1, 1), (60, 1, 0, 1), (10, 1, 1, 0), (300, 0, 0, 0)), PROVEN)
    assert evidence.decision is Decision.PROMOTED
    assert evidence.p_value is not None
    assert evidence.low is not None
    assert evidence.p_value == pytest.approx(1 / 2001)
    assert evidence.low > 0
    assert evidence.sentence.startswith(
        "Promoted: F1 0.970 against 0.786 on the same 470 holdout rows (difference +0.1840,"
    )
    assert evidence.sentence.endswith("p = 0.0005).")


def test_proven_keeps_the_champion_where_it_may_be_luck() -> None:
    evidence = decide(*_labels((100, 1, 1, 1), (6, 1, 0, 1), (3, 1, 1, 0), (300, 0, 0, 0)), PROVEN)
    assert evidence.decision is Decision.KEPT
    assert evidence.p_value is not None
    assert 0.05 < evidence.p_value < 0.3
    assert ", but that may be luck (difference +0.0" in evidence.sentence


def test_proven_asks_for_a_least_difference_however_sure_it_is() -> None:
    counts = ((30_000, 1, 1, 1), (100, 1, 0, 1), (300_000, 0, 0, 0))
    evidence = decide(*_labels(*counts), PROVEN)
    assert evidence.decision is Decision.KEPT
    assert evidence.p_value is not None
    assert evidence.p_value < 0.001
    assert evidence.sentence.endswith("; at least +0.005 is asked for.")
    assert decide(*_labels(*counts), Gate(min_delta=0.001)).decision is Decision.PROMOTED


def test_proven_keeps_the_champion_from_a_worse_candidate() -> None:
    y, champion, candidate = _labels((100, 1, 1, 1), (60, 1, 0, 1), (10, 1, 1, 0), (300, 0, 0, 0))
    evidence = decide(y, candidate, champion, PROVEN)
    assert evidence.decision is Decision.KEPT
    assert evidence.p_value is not None
    assert evidence.p_value > 0.99


@pytest.mark.parametrize(("positives", "negatives"), [(29, 100), (100, 29)])
def test_proven_is_undecidable_on_too_few_rows_of_a_class(positives: int, negatives: int) -> None:
    evidence = decide(*_labels((positives, 1, 0, 1), (negatives, 0, 0, 0)), PROVEN)
    assert evidence.decision is Decision.UNDECIDABLE
    assert not evidence.decision.promotes
    assert evidence.sentence == (
        f"Kept the champion, undecided: the holdout has {positives} positive and {negatives} negative rows;"
        " 30 of each are needed, about 134 rows."
    )
    assert (evidence.candidate_value, evidence.champion_value, evidence.p_value) == (1.0, 0.0, None)


@pytest.mark.parametrize("gate", [BETTER, PROVEN])
def test_without_a_holdout_nothing_can_be_decided(gate: Gate) -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert decide(nothing, nothing, nothing, gate) == Evidence(
        Decision.UNDECIDABLE, "Kept the champion, undecided: the holdout has no labelled rows yet.", 0, 0
    )


def test_the_same_seed_gives_the_same_evidence() -> None:
    given = _labels((100, 1, 1, 1), (60, 1, 0, 1), (10, 1, 1, 0), (300, 0, 0, 0))
    assert decide(*given, PROVEN, seed=4) == decide(*given, PROVEN, seed=4)
    assert decide(*given, PROVEN, seed=4).low != decide(*given, PROVEN, seed=5).low


# -- the first model -------------------------------------------------------------------------------------------


def test_a_first_model_that_beats_the_baseline_is_released() -> None:
    y, _, candidate = _labels((40, 1, 0, 1), (60, 0, 0, 0))
    evidence = decide_first(y, candidate, baseline=0.571, gate=PROVEN)
    assert evidence.decision is Decision.FIRST
    assert evidence.warning is None
    assert evidence.sentence == "Released as the first model: F1 1.000 on 100 holdout rows; the baseline has 0.571."
    assert (evidence.candidate_value, evidence.champion_value) == (1.0, 0.571)


def test_a_first_model_no_better_than_the_baseline_is_refused() -> None:
    y, _, candidate = _labels((40, 1, 0, 1), (60, 0, 0, 1))
    evidence = decide_first(y, candidate, baseline=f1_score(y, candidate), gate=PROVEN)
    assert evidence.decision is Decision.REFUSED
    assert not evidence.decision.promotes
    assert evidence.sentence == "Refused: F1 0.571 on 100 holdout rows is no better than the baseline's 0.571."


def test_a_first_model_that_nobody_can_judge_is_released_with_a_warning() -> None:
    y, _, candidate = _labels((3, 1, 0, 0), (60, 0, 0, 0))
    evidence = decide_first(y, candidate, baseline=0.1, gate=PROVEN)
    assert evidence.decision is Decision.FIRST
    assert evidence.warning == "the holdout has 63 rows, 3 of them positive: too few to judge"
    nothing = np.empty(0, dtype=np.int64)
    empty = decide_first(nothing, nothing, baseline=0.0, gate=PROVEN)
    assert empty.decision is Decision.FIRST
    assert empty.warning == "the holdout is empty: nobody knows how good this model is"


# -- the statistics --------------------------------------------------------------------------------------------


def _by_rows(y: Labels, champion: Labels, candidate: Labels, resamples: int) -> npt.NDArray[np.float64]:
    """Resample rows one by one, as the book has it."""
    rng, found = np.random.default_rng(11), []
    for _ in range(resamples):
        rows = rng.integers(len(y), size=len(y))
        found.append(_f1(y[rows], candidate[rows]) - _f1(y[rows], champion[rows]))
    return np.array(found)


def _f1(y: Labels, decided: Labels) -> float:
    return float(2 * np.sum(y & decided) / (np.sum(y) + np.sum(decided)))


def test_the_multinomial_bootstrap_agrees_with_resampling_rows() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random(400) < 0.3).astype(np.int64)
    champion, candidate = _flipped(rng, y, 0.16), _flipped(rng, y, 0.15)
    deltas = _by_rows(y, champion, candidate, 1000)
    old, new = bootstrap("f1", count_cells(y, champion, candidate), resamples=20_000, seed=0)
    low, high, p_value = *np.quantile(new - old, [0.05, 0.95]), np.mean(new <= old)
    # Of 1,000 resamples, a 5 % quantile has a standard error of about 7 % of the spread.
    tolerance = 0.25 * deltas.std()
    assert low == pytest.approx(np.quantile(deltas, 0.05), abs=tolerance)
    assert high == pytest.approx(np.quantile(deltas, 0.95), abs=tolerance)
    assert p_value == pytest.approx(np.mean(deltas <= 0), abs=0.05)


def test_a_candidate_that_is_no_better_is_promoted_in_at_most_one_of_twenty_runs() -> None:
    rng, promoted, runs = np.random.default_rng(3), 0, 400
    for run in range(runs):
        y = (rng.random(600) < 0.3).astype(np.int64)
        champion, candidate = _flipped(rng, y, 0.2), _flipped(rng, y, 0.2)
        promoted += decide(y, champion, candidate, Gate(resamples=500), seed=run).decision.promotes
    # Three standard errors above the promised 5 %.
    assert promoted / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert promoted > 0


def test_a_candidate_better_by_five_points_on_five_thousand_rows_is_promoted() -> None:
    rng, promoted, runs = np.random.default_rng(4), 0, 60
    deltas = []
    for run in range(runs):
        y = (rng.random(5000) < 0.3).astype(np.int64)
        champion, candidate = _flipped(rng, y, 0.2), _flipped(rng, y, 0.163)
        evidence = decide(y, champion, candidate, Gate(resamples=500), seed=run)
        promoted += evidence.decision.promotes
        deltas.append(evidence.delta)
    assert np.mean(deltas) == pytest.approx(0.05, abs=0.01)
    assert promoted / runs >= 0.95


# -- policy strict ---------------------------------------------------------------------------------------------

STRICT = Gate(policy=Policy.STRICT)


def test_strict_promotes_what_is_better_beyond_doubt() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random(3000) < 0.3).astype(np.int64)
    evidence = decide(y, _flipped(rng, y, 0.2), _flipped(rng, y, 0.1), STRICT)
    assert evidence.decision is Decision.PROMOTED
    assert evidence.p_value is not None
    assert evidence.p_value <= 0.05
    assert "times its stake, and 20 are proof" in evidence.sentence


def test_strict_keeps_the_champion_where_proven_would_take_the_risk() -> None:
    rng = np.random.default_rng(2)
    y, champion, candidate = _labels((300, 0, 0, 0), (100, 1, 1, 1), (40, 1, 0, 1), (24, 1, 1, 0))
    order = rng.permutation(len(y))
    rows = y[order], champion[order], candidate[order]
    assert decide(*rows, PROVEN).decision is Decision.PROMOTED
    evidence = decide(*rows, STRICT)
    assert evidence.decision is Decision.KEPT
    assert "but that is not beyond doubt" in evidence.sentence


def test_strict_is_undecidable_on_too_few_rows_too() -> None:
    assert decide(*_labels((29, 1, 0, 1), (100, 0, 0, 0)), STRICT).decision is Decision.UNDECIDABLE


# -- policy always ---------------------------------------------------------------------------------------------


def test_always_promotes_what_is_worse_and_says_so() -> None:
    evidence = decide(*_labels((40, 1, 1, 1), (5, 1, 1, 0), (100, 0, 0, 0)), Gate(policy=Policy.ALWAYS))
    assert evidence.decision is Decision.PROMOTED
    assert evidence.sentence == (
        "Promoted, as policy `always` has it: F1 0.941 against 1.000 on the same 145 holdout rows."
    )


# -- guards ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [Policy.ALWAYS, Policy.BETTER, Policy.PROVEN])
def test_a_candidate_that_falls_too_far_in_what_is_guarded_is_not_promoted(policy: Policy) -> None:
    """It has a higher F1 by far fewer calls, and finds fewer of those who leave."""
    rows = _labels((90, 1, 1, 1), (10, 1, 1, 0), (150, 0, 1, 0), (300, 0, 0, 0))
    free, held = Gate(policy=policy), Gate(policy=policy, guards={"precision": 0.0, "recall": 0.02})
    assert decide(*rows, free).decision is Decision.PROMOTED
    evidence = decide(*rows, held)
    assert evidence.decision is Decision.KEPT
    assert evidence.sentence.endswith("but recall falls from 1.000 to 0.900, and `gate.guards` allows 0.02.")
    assert decide(*rows, Gate(policy=policy, guards={"recall": 0.11})).decision is Decision.PROMOTED


def test_a_difference_that_may_be_luck_says_how_many_rows_would_tell() -> None:
    rows = _labels((300, 0, 0, 0), (100, 1, 1, 1), (12, 1, 0, 1), (8, 1, 1, 0))
    sentence = decide(*rows, PROVEN).sentence
    told = re.search(r"; about ([0-9,]+) rows would tell\.$", sentence)
    assert told is not None
    needed = int(told[1].replace(",", ""))
    times = -(-needed // len(rows[0]))
    assert 1 < times < 30
    assert decide(*(np.tile(part, 2 * times) for part in rows), PROVEN).decision is Decision.PROMOTED


# -- other metrics ---------------------------------------------------------------------------------------------


def _world(rng: np.random.Generator, rows: int, noise: tuple[float, float]) -> tuple[Labels, npt.NDArray[np.float64]]:
    """Return labels, and the probabilities of a champion and a candidate that see the truth through their noise."""
    truth = 0.8 * rng.normal(size=rows) - 1.2
    y = (rng.random(rows) < 1 / (1 + np.exp(-truth))).astype(np.int64)
    return y, np.array([1 / (1 + np.exp(-(truth + rng.normal(0, each, rows)))) for each in noise])


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "log_loss", "brier"])
def test_a_metric_of_probabilities_may_decide(metric: Compared) -> None:
    y, seen = _world(np.random.default_rng(7), 4000, (1.5, 0.3))
    decided = (seen >= 0.5).astype(np.int64)
    gate = Gate(metric=metric)
    better = decide(y, *decided, gate, probabilities=(seen[0], seen[1]))
    assert (better.decision, better.metric) == (Decision.PROMOTED, metric)
    assert better.delta is not None
    assert better.low is not None
    assert 0 < better.low < better.delta
    worse = decide(y, *decided[::-1], gate, probabilities=(seen[1], seen[0]))
    assert worse.decision is Decision.KEPT
    assert worse.delta == pytest.approx(-better.delta)
    with pytest.raises(ValueError, match=f"{metric} needs probabilities"):
        decide(y, *decided, gate)


def test_a_lower_log_loss_is_called_so() -> None:
    y, seen = _world(np.random.default_rng(7), 400, (1.5, 0.3))
    gate = Gate(metric="log_loss", policy=Policy.BETTER)
    decided = (seen >= 0.5).astype(np.int64)
    assert decide(y, *decided, gate, probabilities=(seen[0], seen[1])).sentence.startswith("Promoted: lower log loss, ")
    kept = decide(y, *decided, gate, probabilities=(seen[1], seen[0])).sentence
    assert kept.startswith("Kept the champion: no lower log loss, ")


def test_equal_models_are_promoted_by_a_metric_of_probabilities_in_at_most_one_of_twenty_runs() -> None:
    rng, promoted, runs = np.random.default_rng(8), 0, 300
    gate = Gate(metric="brier", min_delta=0.0, resamples=400)
    for run in range(runs):
        y, seen = _world(rng, 500, (0.8, 0.8))
        promoted += decide(y, y, y, gate, seed=run, probabilities=(seen[0], seen[1])).decision.promotes
    assert 0 < promoted / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("gate", [BETTER, Gate(min_positives=0), Gate(policy=Policy.BETTER, max_age_runs=1)])
def test_a_ranking_is_undecidable_where_all_rows_are_of_one_kind(gate: Gate) -> None:
    y, decided, seen = np.zeros(40, dtype=np.int64), np.zeros(40, dtype=np.int64), np.linspace(0, 0.4, 40)
    gate = msgspec.structs.replace(gate, metric="roc_auc")
    evidence = decide(y, decided, decided, gate, probabilities=(seen, seen[::-1]), age_runs=9)
    assert (evidence.decision, evidence.candidate_value) == (Decision.UNDECIDABLE, None)
    assert "the ROC AUC of these 40 holdout rows is not defined" in evidence.sentence


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("min_positives", [0, 30])
def test_a_ranking_of_rows_of_one_kind_is_a_number_nowhere(policy: Policy, min_positives: int) -> None:
    y, seen = np.zeros(40, dtype=np.int64), np.linspace(0, 0.4, 40)
    gate = Gate(policy=policy, metric="roc_auc", min_positives=min_positives)
    evidence = decide(y, y, y, gate, probabilities=(seen, seen[::-1]))
    assert (evidence.candidate_value, evidence.champion_value, evidence.delta) == (None, None, None)
    assert "nan" not in evidence.sentence
    if policy is Policy.ALWAYS:
        assert evidence.decision is Decision.PROMOTED
        assert evidence.sentence.endswith("`always` has it: the ROC AUC of these 40 holdout rows is not defined.")


def test_a_guard_that_nobody_can_tell_holds_a_candidate_back() -> None:
    y, decided, seen = np.zeros(40, dtype=np.int64), np.ones(40, dtype=np.int64), np.linspace(0, 0.4, 40)
    gate = Gate(policy=Policy.ALWAYS, metric="accuracy", guards={"roc_auc": 0.01})
    evidence = decide(y, decided, y, gate, probabilities=(seen, seen))
    assert evidence.decision is Decision.UNDECIDABLE
    assert evidence.candidate_value == 1
    why = "the ROC AUC of these 40 holdout rows is not defined, and `gate.guards` asks for it"
    assert evidence.sentence == f"Kept the champion, undecided: {why}."


def test_strict_bets_on_squared_errors_too() -> None:
    y, seen = _world(np.random.default_rng(7), 4000, (1.5, 0.3))
    gate = Gate(policy=Policy.STRICT, metric="brier")
    assert decide(y, y, y, gate, probabilities=(seen[0], seen[1])).decision is Decision.PROMOTED
    assert decide(y, y, y, gate, probabilities=(seen[1], seen[0])).decision is Decision.KEPT


def test_a_guard_of_probabilities_holds_a_candidate_back() -> None:
    y, seen = _world(np.random.default_rng(7), 4000, (0.3, 1.5))
    gate = Gate(policy=Policy.ALWAYS, guards={"log_loss": 0.01})
    evidence = decide(y, y, y, gate, probabilities=(seen[0], seen[1]))
    assert evidence.decision is Decision.KEPT
    assert "but log loss rises from 0." in evidence.sentence


# -- refresh ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [Policy.PROVEN, Policy.STRICT, Policy.BETTER])
def test_an_old_champion_is_refreshed_by_what_is_not_worse(policy: Policy) -> None:
    rows = _labels((3000, 0, 0, 0), (1000, 1, 1, 1), (5, 1, 1, 0), (5, 1, 0, 1))
    gate = Gate(policy=policy, max_age_runs=5)
    assert decide(*rows, gate, age_runs=4).decision is Decision.KEPT
    assert decide(*rows, gate).decision is Decision.KEPT
    evidence = decide(*rows, gate, age_runs=5)
    assert evidence.decision is Decision.REFRESHED
    assert "after 5 runs of the champion it is enough not to be worse than it by 0.02" in evidence.sentence
    assert evidence.low is not None
    assert -0.02 < evidence.low <= 0
    held = Gate(policy=policy, max_age_runs=5, guards={"recall": 0.0}, not_worse=0.05)
    worse = _labels((3000, 0, 0, 0), (1000, 1, 1, 1), (9, 1, 1, 0), (5, 1, 0, 1))
    assert decide(*worse, held, age_runs=5).decision is Decision.KEPT


def test_an_old_champion_stays_where_the_candidate_may_be_worse_or_nobody_can_tell() -> None:
    gate = Gate(max_age_runs=1)
    may_be = _labels((300, 0, 0, 0), (60, 1, 1, 1), (12, 1, 1, 0), (10, 1, 0, 1))
    assert decide(*may_be, gate, age_runs=9).decision is Decision.KEPT
    few = _labels((300, 0, 0, 0), (20, 1, 1, 1))
    assert decide(*few, gate, age_runs=9).decision is Decision.UNDECIDABLE


# -- how many rows are needed ----------------------------------------------------------------------------------


def test_the_number_of_rows_that_would_tell_is_kept() -> None:
    luck = decide(*_labels((300, 0, 0, 0), (100, 1, 1, 1), (12, 1, 0, 1), (8, 1, 1, 0)), PROVEN)
    assert luck.rows_needed is not None
    assert f"; about {luck.rows_needed:,} rows would tell." in luck.sentence
    few = decide(*_labels((270, 0, 0, 0), (10, 1, 1, 1)), PROVEN)
    assert (few.decision, few.rows_needed) == (Decision.UNDECIDABLE, 840)
    assert decide(*_labels((100, 1, 1, 1), (60, 1, 0, 1), (300, 0, 0, 0)), PROVEN).rows_needed is None

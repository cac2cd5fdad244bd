"""The gate on amounts: errors in the target's unit, differences as shares of the champion's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from churnwatch.pipeline.gate import decide, decide_first
from churnwatch.pipeline.records import Decision
from churnwatch.pipeline.settings import Gate, Policy

Floats = npt.NDArray[np.float64]
PROVEN, BETTER = Gate(metric="mae"), Gate(metric="mae", policy=Policy.BETTER)


def _world(rows: int = 400, *, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Return amounts, what a champion expects of them, and what a candidate does that is off by half as much."""
    rng = np.random.default_rng(seed)
    y = rng.gamma(2.0, 50.0, rows)
    return y, y + rng.normal(0, 20, rows), y + rng.normal(0, 10, rows)


def test_a_smaller_error_beyond_luck_is_promoted() -> None:
    y, champion, candidate = _world()
    evidence = decide(y, champion, candidate, PROVEN)
    old, new = np.abs(champion - y).mean(), np.abs(candidate - y).mean()
    assert evidence.decision is Decision.PROMOTED
    assert evidence.sentence.startswith(
        f"Promoted: mean absolute error {new:.2f} against {old:.2f} on the same 400 holdout rows (improvement +"
    )
    assert evidence.sentence.endswith(" %, p = 0.0005).")
    assert (evidence.candidate_value, evidence.champion_value) == pytest.approx((new, old))
    assert evidence.delta == pytest.approx(old - new)
    assert evidence.low is not None
    assert evidence.high is not None
    assert 0 < evidence.low < old - new < evidence.high
    assert evidence.cells is None


def test_equal_models_are_rarely_promoted() -> None:
    promoted = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y = rng.gamma(2.0, 50.0, 200)
        champion, candidate = (y + rng.normal(0, 20, 200) for _ in range(2))
        promoted += decide(y, champion, candidate, Gate(metric="mae", resamples=300), seed=seed).decision.promotes
    assert promoted <= 18  # 5 % are 10; 18 or more come by luck in 1 % of the cases


def test_the_least_difference_is_a_share_of_the_champions_error() -> None:
    y, champion, _ = _world()
    slightly = y + 0.98 * (champion - y)
    kept = decide(y, champion, slightly, Gate(metric="mae", min_delta=0.03))
    assert kept.decision is Decision.KEPT
    assert "(improvement +2.00 %, 90 % interval +1." in kept.sentence
    assert kept.sentence.endswith("; at least +3 % is asked for.")
    assert decide(y, champion, slightly, Gate(metric="mae", min_delta=0.01)).decision is Decision.PROMOTED
    assert decide(1000 * y, 1000 * champion, 1000 * slightly, Gate(metric="mae", min_delta=0.01)).decision.promotes


def test_r2_is_compared_by_differences() -> None:
    y, champion, candidate = _world()
    evidence = decide(y, champion, candidate, Gate(metric="r2"))
    assert evidence.decision is Decision.PROMOTED
    assert evidence.sentence.startswith("Promoted: R² 0.97")
    assert "(difference +0.0" in evidence.sentence


def test_half_the_rows_that_classes_would_need_are_too_few() -> None:
    evidence = decide(*(each[:59] for each in _world()), PROVEN)
    assert evidence.decision is Decision.UNDECIDABLE
    assert evidence.sentence == "Kept the champion, undecided: the holdout has 59 rows; 60 are needed."
    assert evidence.rows_needed == 60
    assert decide(*(each[:60] for each in _world()), PROVEN).decision is not Decision.UNDECIDABLE


def test_better_on_few_rows_warns_of_a_coin_toss() -> None:
    y, champion, candidate = (each[:12] for each in _world())
    evidence = decide(y, champion, candidate, BETTER)
    assert evidence.sentence.startswith("Promoted: lower mean absolute error, ")
    assert evidence.warning == "policy `better` on 12 holdout rows is little more than a coin toss"


def test_a_metric_that_is_not_defined_on_the_rows_decides_nothing() -> None:
    nothing = np.zeros(100)
    evidence = decide(nothing, nothing + 1, nothing, Gate(metric="mape"))
    assert evidence.decision is Decision.UNDECIDABLE
    assert evidence.sentence.endswith("the mean absolute percentage error of these 100 holdout rows is not defined.")
    assert decide(nothing, nothing + 1, nothing, Gate(metric="mape", policy=Policy.ALWAYS)).decision.promotes


def test_two_models_without_an_error_are_equal() -> None:
    y, _, _ = _world()
    evidence = decide(y, y, y, PROVEN)
    assert evidence.decision is Decision.KEPT
    assert evidence.p_value == 1


def test_guards_allow_shares() -> None:
    y = np.full(100, 100.0)
    champion, candidate = y + 10, np.where(np.arange(100) < 10, y + 60, y + 1)  # off by less, but far off for some
    evidence = decide(y, champion, candidate, Gate(metric="mae", guards={"rmse": 0.5}))
    assert evidence.decision is Decision.KEPT
    assert evidence.sentence.endswith(
        "but root mean squared error rises from 10.00 to 19.00, and `gate.guards` allows 50 %."
    )
    assert decide(y, champion, candidate, Gate(metric="mae", guards={"rmse": 0.95})).decision is Decision.PROMOTED


def test_an_old_champion_is_refreshed_by_what_is_not_worse_by_a_share() -> None:
    y, champion, _ = _world()
    slightly = y + 1.01 * (champion - y)
    gate = Gate(metric="mae", max_age_runs=3, not_worse=0.02)
    evidence = decide(y, champion, slightly, gate, age_runs=3)
    assert evidence.decision is Decision.REFRESHED
    assert "not to be worse than it by 2 % (5th percentile of the difference −1.0" in evidence.sentence
    assert decide(y, champion, y + 1.03 * (champion - y), gate, age_runs=3).decision is Decision.KEPT


def test_a_first_model_must_beat_the_dummy() -> None:
    y, champion, _ = _world()
    found = decide_first(y, champion, baseline=50.0, gate=PROVEN, metric="mae")
    assert found.decision is Decision.FIRST
    assert found.sentence.startswith("Released as the first model: mean absolute error 1")
    assert found.sentence.endswith(" on 400 holdout rows; the baseline has 50.00.")
    refused = decide_first(y, champion, baseline=1.0, gate=PROVEN, metric="mae")
    assert refused.decision is Decision.REFUSED
    assert refused.sentence.endswith("is no better than the baseline's 1.00.")
    few = decide_first(y[:5], champion[:5], baseline=1.0, gate=PROVEN, metric="mae")
    assert (few.decision, few.warning) == (Decision.FIRST, "the holdout has 5 rows: too few to judge")

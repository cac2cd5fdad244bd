"""What two models of a drawn lot say, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from churnwatch.pipeline import uplift
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.uplift import Floats, Trial, Uplift

COLUMNS = ("a", "b")
Effect = Callable[[Floats, Floats], Floats]  # of the probability of leaving, and of a column that it does not hang on


def _world(effect: Effect, *, n: int = 2000, share: float = 0.5, seed: int = 0) -> tuple[Trial, Floats, Floats]:
    """Return a trial, with the probabilities of leaving untreated and the effects."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 2)), columns=list(COLUMNS))
    p = 1 / (1 + np.exp(1 - X["a"].to_numpy()))
    true, treated = effect(p, X["b"].to_numpy()), rng.random(n) < share
    y = (rng.random(n) < np.where(treated, p - true, p)).astype(np.int64)
    return Trial(Rows(X, y, pd.Series([f"c{each}" for each in range(n)])), treated, np.full(n, share)), p, true


def _learn(trial: Trial) -> Uplift:
    return uplift.learn(trial, Training(), numeric=COLUMNS, categorical=())


def _some_saved(p: Floats, b: Floats) -> Floats:
    return np.where(b > 0, 0.7 * p, -0.2 * (1 - p))


def _nothing(p: Floats, _: Floats) -> Floats:
    return np.zeros_like(p)


def test_who_is_saved_is_told_from_who_is_driven_away() -> None:
    trial, p, true = _world(_some_saved)
    found = _learn(trial)
    assert found.tells_apart
    assert found.effect.low < true.mean() < found.effect.high
    said = found.effects(trial.rows.X, p)
    assert np.corrcoef(said, true)[0, 1] > 0.8
    assert np.mean((said > 0) == (true > 0)) > 0.8


@pytest.mark.parametrize("effect", [_nothing, lambda p, _: np.full_like(p, 0.03)])
def test_where_all_are_alike_nobody_is_told_apart(effect: Effect) -> None:
    found = [_learn(_world(effect, n=700, seed=seed)[0]) for seed in range(2)]
    assert not any(each.tells_apart for each in found)


def test_a_share_that_differs_from_campaign_to_campaign_does_not_pass_for_an_effect() -> None:
    """In the first half, who leave seldom, few are treated; in the second one most."""
    trial, _, _ = _world(_nothing, n=4000)
    rng, late = np.random.default_rng(1), np.arange(4000) >= 2000
    share = np.where(late, 0.8, 0.2)
    y = (rng.random(4000) < np.where(late, 0.5, 0.1)).astype(np.int64)
    mixed = Trial(replace(trial.rows, y=y), rng.random(4000) < share, share)
    found = _learn(mixed)
    assert found.effect.low < 0 < found.effect.high
    assert mixed.rows.y[mixed.treated].mean() > mixed.rows.y[~mixed.treated].mean() + 0.1


def test_the_same_rows_give_the_same_model() -> None:
    trial, p, _ = _world(_some_saved, n=800)
    first, second = _learn(trial), _learn(trial)
    assert (first.effect, first.qini, first.slope) == (second.effect, second.qini, second.slope)
    assert (first.effects(trial.rows.X, p) == second.effects(trial.rows.X, p)).all()


def test_no_more_are_saved_than_would_leave_and_no_more_driven_away_than_would_stay() -> None:
    trial, _, _ = _world(_some_saved, n=800)
    found, rng = _learn(trial), np.random.default_rng(0)
    p = rng.random(800)
    said = found.effects(trial.rows.X * 20, p)
    assert (said <= p).all()
    assert (said >= p - 1).all()
    assert (said == p).any()


def test_several_rows_of_a_customer_are_drawn_together_so_nothing_is_more_certain_for_them() -> None:
    trial, _, _ = _world(_some_saved, n=800)
    rows = trial.rows
    assert rows.ids is not None
    twice = Rows(pd.concat([rows.X] * 2, ignore_index=True), np.tile(rows.y, 2), pd.concat([rows.ids] * 2))
    doubled = _learn(Trial(twice, np.tile(trial.treated, 2), np.tile(trial.share, 2)))
    once, both = (each.effect.high - each.effect.low for each in (_learn(trial), doubled))
    assert both == pytest.approx(once, rel=0.1)


@pytest.mark.parametrize(("left", "enough"), [(49, False), (50, True)])
def test_it_takes_fifty_who_left_and_fifty_who_stayed_on_either_side(left: int, enough: bool) -> None:
    n = 400
    treated = np.arange(n) % 2 == 0
    y = np.zeros(n, dtype=np.int64)
    y[np.flatnonzero(treated)[:left]] = 1
    y[np.flatnonzero(~treated)[:100]] = 1
    trial = Trial(Rows(pd.DataFrame({"a": np.arange(n)}), y, None), treated, np.full(n, 0.5))
    told = uplift.too_few(trial)
    assert told == (None if enough else "of the treated 49 left and 151 stayed, and it takes 50 of each")
    turned = uplift.too_few(replace(trial, treated=~treated))
    assert turned == (None if enough else "of the control 49 left and 151 stayed, and it takes 50 of each")

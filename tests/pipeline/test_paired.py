from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from churnwatch.pipeline.paired import BY_ROW, OF_DECISIONS, count_cells, gains, swap_test, values, wealth

BY_SCIKIT_LEARN = {
    "f1": f1_score, "precision": precision_score, "recall": recall_score, "accuracy": accuracy_score,
}  # fmt: skip
ROWS = st.lists(st.tuples(*(st.integers(0, 1) for _ in range(3))), min_size=1, max_size=60)


@given(rows=ROWS)
def test_metrics_of_the_cells_are_those_of_the_rows(rows: list[tuple[int, int, int]]) -> None:
    y, champion, candidate = np.array(rows).T
    cells = np.array([count_cells(y, champion, candidate)], dtype=np.float64)
    assert OF_DECISIONS.keys() == {*BY_SCIKIT_LEARN, "balanced_accuracy"}
    for name, of in BY_SCIKIT_LEARN.items():
        options = {} if name == "accuracy" else {"zero_division": 0.0}
        expected = [of(y, decided, **options) for decided in (champion, candidate)]
        assert values(name, cells)[0] == pytest.approx(expected)
    halves = [
        (np.mean(decided[y == 1]) if y.any() else 0.0) / 2 + (1 - np.mean(decided[y == 0]) if not y.all() else 0.0) / 2
        for decided in (champion, candidate)
    ]
    assert values("balanced_accuracy", cells)[0] == pytest.approx(halves)


@given(rows=ROWS)
def test_a_bet_never_comes_to_less_than_its_stake(rows: list[tuple[int, int, int]]) -> None:
    y, champion, candidate = np.array(rows).T
    for metric in BY_ROW:
        assert wealth(gains(metric, y, champion, candidate)) >= 1.0
        assert wealth(gains(metric, y, champion, champion)) == 1.0


@given(rows=ROWS)
def test_a_row_is_worth_at_most_the_stake_and_all_rows_together_what_the_candidate_is_better_by(
    rows: list[tuple[int, int, int]],
) -> None:
    y, champion, candidate = np.array(rows).T
    cells = np.array([count_cells(y, champion, candidate)], dtype=np.float64)
    for metric in BY_ROW:
        worth = gains(metric, y, champion, candidate)
        assert np.abs(worth).max() <= 1
        old, new = values(metric, cells)[0]
        if candidate.any() or metric != "precision":
            assert np.sign(round(worth.sum(), 9)) == np.sign(round(new - old, 9))


def test_equal_models_are_rarely_proof_and_better_ones_soon_are() -> None:
    """400 pairs of equal models: 5 % at most by Ville, so 34 of them at most in all but one of a thousand tests."""
    rng = np.random.default_rng(4)
    proofs = []
    for noise in (0.15, 0.05):
        found = 0
        for _ in range(400):
            y = (rng.random(1500) < 0.25).astype(np.int64)
            champion, candidate = (np.where(rng.random(1500) < share, 1 - y, y) for share in (0.15, noise))
            found += wealth(gains("f1", y, champion, candidate)) >= 20
        proofs.append(found)
    assert proofs[0] <= 34
    assert proofs[1] >= 390


def test_swapping_decisions_tells_a_difference_from_a_coin() -> None:
    """Ten rows on which only the candidate is right: a coin gives all ten in one of 1,024 cases, which count half."""
    assert swap_test("f1", (50, 0, 0, 0, 0, 10, 0, 40), resamples=20_000, seed=1) == pytest.approx(0.5 / 1024, abs=4e-4)
    assert swap_test("f1", (50, 0, 0, 0, 0, 5, 5, 40), resamples=20_000, seed=1) == pytest.approx(0.5, abs=0.02)
    assert swap_test("f1", (50, 0, 0, 0, 0, 0, 10, 40), resamples=20_000, seed=1) > 0.99
    assert swap_test("f1", (50, 0, 0, 0, 0, 0, 0, 40), resamples=2_000, seed=1) == pytest.approx(0.5, abs=0.001)

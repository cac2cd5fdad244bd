from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnwatch.pipeline.drift import Deviation, Losses, Spread, band, deviations
from churnwatch.pipeline.records import Band

counts = st.lists(st.integers(0, 400), min_size=4, max_size=4).filter(sum)


def one(reference: tuple[int, ...], current: tuple[int, ...]) -> Deviation:
    [found] = deviations([Spread(reference, current)], alpha=0.05)
    return found


def test_the_deviation_is_the_share_of_rows_that_would_have_to_change_bin() -> None:
    found = one((40_000, 40_000, 20_000), (2_900, 4_000, 3_100))
    assert found.value == pytest.approx(0.11, abs=0.002)
    assert found.moved == pytest.approx([-0.11, 0.0, 0.11], abs=0.004)


def test_what_chance_does_is_no_deviation_but_its_range_is_told() -> None:
    found = one((4_000, 4_000, 2_000), (39, 41, 20))
    assert found.value == 0
    assert not found.moved.any()
    assert 0.05 < found.floor < 0.3


def test_more_rows_lower_the_floor() -> None:
    floors = [one((4_000, 6_000), (4 * rows, 6 * rows)).floor for rows in (10, 100, 1000)]
    assert floors == sorted(floors, reverse=True)


@given(reference=counts, current=counts)
def test_a_deviation_is_a_share_above_its_floor_or_nothing(reference: list[int], current: list[int]) -> None:
    found = one(tuple(reference), tuple(current))
    assert found.value == 0 or found.floor < found.value <= 1
    assert found.moved.any() == (found.value > 0)


@given(current=counts)
def test_a_column_with_one_bin_never_deviates(current: list[int]) -> None:
    assert one((100,), (sum(current),)) == Deviation(0.0, 0.0, pytest.approx([0.0]))


def test_thirteen_rows_are_too_few_to_tell() -> None:
    found = one((500, 500), (4, 9))
    assert found.value == 0
    assert band(found, watch=2, retrain=5, search=10) is Band.UNRESOLVED


def test_everything_in_a_bin_that_was_empty_is_a_deviation_of_all_rows() -> None:
    assert one((5_000, 0), (0, 13)).value == pytest.approx(1.0, abs=0.001)


def test_a_column_with_many_bins_does_not_raise_the_floor_of_the_others() -> None:
    few, many = Spread((5_000, 5_000), (500, 500)), Spread((250,) * 40, (25,) * 40)
    alone = deviations([few] * 10, alpha=0.05)[0].floor
    beside = deviations([few] * 9 + [many], alpha=0.05)
    assert beside[0].floor < 1.15 * alone
    assert beside[9].floor > beside[0].floor


def test_of_runs_without_drift_few_have_any_column_above_its_floor() -> None:
    rng, alarms = np.random.default_rng(5), 0
    for run in range(40):
        spreads = [
            Spread(tuple(rng.multinomial(2_000, [0.1] * 10)), tuple(rng.multinomial(500, [0.1] * 10))) for _ in range(5)
        ]
        alarms += any(each.value for each in deviations(spreads, alpha=0.05, seed=run))
    assert alarms <= 6  # 2 are expected


def test_the_same_seed_gives_the_same_floor() -> None:
    spread = [Spread((300, 700), (33, 67))]
    assert deviations(spread, alpha=0.05, seed=1)[0].floor == deviations(spread, alpha=0.05, seed=1)[0].floor
    assert deviations([], alpha=0.05) == []


def test_a_log_loss_that_rises_is_a_deviation_and_one_that_falls_is_none() -> None:
    rose, fell = (Losses(0.4, 0.5, 1.5, 2_000, mean, 2_000) for mean in (0.5, 0.3))
    found = deviations([rose, fell], alpha=0.05)
    assert found[0].value == pytest.approx(0.25)
    assert (found[1].value, found[1].moved.size) == (0.0, 0)


def test_losses_of_every_row_alike_have_no_range_of_chance() -> None:
    found = deviations([Losses(0.4, 0.0, 0.0, 50, 0.5, 50)], alpha=0.05)
    assert found[0].value == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("value", "floor", "expected"),
    [
        (0.0, 0.01, Band.NOTHING),
        (0.0, 0.06, Band.UNRESOLVED),
        (0.019, 0.01, Band.NOTHING),
        (0.02, 0.01, Band.WATCH),
        (0.05, 0.01, Band.RETRAIN),
        (0.1, 0.01, Band.SEARCH),
        (0.3, 0.2, Band.SEARCH),
    ],
)
def test_bands(value: float, floor: float, expected: Band) -> None:
    found = band(Deviation(value, floor, np.empty(0)), watch=2, retrain=5, search=10)
    assert found is expected
    assert found.retrains is (expected in (Band.RETRAIN, Band.SEARCH))

from __future__ import annotations

import numpy as np
import pytest

from churnwatch.pipeline.alike import LEVEL, Alike, compare


def _worlds(seed: int, chosen: float) -> list[Alike]:
    """Return 400 campaigns of 300 customers, half of them treated: the more, the likelier they leave, where chosen."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(400):
        probability = rng.beta(2, 5, 300)
        treated = np.argsort(np.argsort(chosen * probability + rng.normal(0, 0.2, 300))) >= 150
        alike = compare(probability[treated], probability[~treated])
        assert alike is not None
        found.append(alike)
    return found


def test_what_was_drawn_by_lot_is_turned_away_as_seldom_as_is_said() -> None:
    found = _worlds(0, chosen=0)
    assert sum(each.why_not is not None for each in found) <= 400 * LEVEL * 3
    assert np.mean([each.p < 0.5 for each in found]) == pytest.approx(0.5, abs=0.08)


def test_what_people_chose_is_found() -> None:
    found = _worlds(1, chosen=1)
    assert sum(each.why_not is not None for each in found) > 390
    assert found[0].treated > found[0].control
    assert (found[0].difference or 0) > 0.5


def test_why_is_said_with_both_means() -> None:
    found = compare(np.full(50, 0.5), np.full(50, 0.25))
    assert found is not None
    assert str(found.why_not).startswith(
        "treated and control were not alike before: leaving was predicted at 50.0% and 25.0% (p = "
    )


@pytest.mark.parametrize("same", [1, 30])
def test_customers_who_are_all_the_same_are_alike(same: int) -> None:
    found = compare(np.full(same, 0.5), np.full(same, 0.5))
    assert found is not None
    assert (found.p, found.difference, found.why_not) == (1.0, None, None)


def test_without_a_probability_on_one_side_nothing_is_known() -> None:
    assert compare(np.array([0.5]), np.empty(0)) is None

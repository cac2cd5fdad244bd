from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnwatch.pipeline.holdback import held_back

IDS = [f"customer-{number}" for number in range(20_000)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_so_many_are_held_back(share: float) -> None:
    assert held_back(IDS, share).mean() == pytest.approx(share, abs=0.01)


@settings(max_examples=30)
@given(st.lists(st.text(), max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_the_smaller_one_and_neighbours_change_nothing(
    ids: list[str], first: float, second: float
) -> None:
    smaller, larger = sorted((first, second))
    assert not (held_back(ids, smaller) & ~held_back(ids, larger)).any()
    assert held_back(ids[::-1], smaller).tolist() == held_back(ids, smaller).tolist()[::-1]


def test_the_same_customers_are_held_back_for_ever() -> None:
    assert np.flatnonzero(held_back(IDS[:60], 0.1)).tolist() == [12, 15, 31, 34, 39, 47]


def test_another_salt_draws_other_customers() -> None:
    both = held_back(IDS, 0.1) & held_back(IDS, 0.1, salt="another")
    assert both.mean() == pytest.approx(0.01, abs=0.003)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnwatch.serving import rate
from churnwatch.serving.rate import Rate
from churnwatch.serving.refused import RefusedError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _taken(bucket: Rate, who: str = "ann") -> bool:
    try:
        bucket.take(who)
    except RefusedError:
        return False
    return True


@given(per_s=st.integers(1, 20), gaps=st.lists(st.integers(0, 2000), max_size=100))
def test_in_no_stretch_of_time_more_gets_through_than_a_second_and_that_time_allow(per_s: int, gaps: list[int]) -> None:
    clock = Clock()
    bucket = Rate(per_s, clock)
    at = []
    for gap in gaps:
        clock.now += gap / 1000
        if _taken(bucket):
            at.append(clock.now)
    for first, begin in enumerate(at):
        for last in range(first, len(at)):
            assert last - first + 1 <= per_s * (1 + at[last] - begin) + 1e-6


@given(per_s=st.floats(0.1, 1000), count=st.integers(1, 50))
def test_who_keeps_to_the_rate_is_never_refused(per_s: float, count: int) -> None:
    clock = Clock()
    bucket = Rate(per_s, clock)
    for _ in range(count):
        assert _taken(bucket)
        clock.now += 1.001 / per_s


def test_who_waits_as_long_as_is_said_gets_through() -> None:
    clock = Clock()
    bucket = Rate(0.2, clock)
    assert _taken(bucket)
    with pytest.raises(RefusedError) as error:
        bucket.take("ann")
    clock.now += float(error.value.response.headers["retry-after"])
    assert _taken(bucket)


def test_there_is_no_room_for_any_number_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "_MOST", 10)
    clock = Clock()
    bucket = Rate(1, clock)
    for number in range(100):
        bucket.take(number)
    assert len(bucket._full) == 10
    clock.now += 100
    bucket.take("another")
    assert len(bucket._full) == 1

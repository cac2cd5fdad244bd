"""Settling: the clock is passed in, nothing here waits."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from churnwatch.daemon.settle import Settler
from churnwatch.pipeline.records import Signature

A, B = Signature("a.csv", 10, 1, 1), Signature("b.csv", 20, 2, 2)


def test_nothing_there_is_nothing_to_do() -> None:
    settled = Settler(1.0).look([], 0.0)
    assert (settled.stable, settled.ready, settled.next_at) == (frozenset(), False, None)


def test_a_new_file_is_worth_another_look_after_the_delay() -> None:
    settled = Settler(1.0).look([A], 5.0)
    assert (settled.stable, settled.ready, settled.next_at) == (frozenset(), False, 6.0)


def test_a_file_is_stable_once_it_was_quiet_for_the_delay() -> None:
    settler = Settler(1.0)
    settler.look([A], 0.0)
    assert not settler.look([A], 0.999).stable
    settled = settler.look([A], 1.0)
    assert (settled.stable, settled.ready, settled.next_at) == (frozenset({A}), True, None)


def test_a_changed_size_or_time_begins_the_wait_anew() -> None:
    for changed in (replace(A, size_bytes=11), replace(A, mtime_ns=2), replace(A, ctime_ns=2)):
        settler = Settler(1.0)
        settler.look([A], 0.0)
        settler.look([changed], 0.9)
        assert not settler.look([changed], 1.8).stable
        assert settler.look([changed], 1.9).stable == {changed}


def test_a_hint_begins_the_wait_anew_even_where_size_and_times_stand_still() -> None:
    settler = Settler(1.0)
    settler.look([A], 0.0)
    settler.hear("a.csv", 0.9)
    assert settler.look([A], 1.5).next_at == 1.9
    assert settler.look([A], 1.9).stable == {A}


def test_a_hint_takes_stability_back() -> None:
    settler = Settler(1.0)
    settler.look([A], 0.0)
    assert settler.look([A], 2.0).ready
    settler.hear("a.csv", 2.5)
    assert not settler.look([A], 3.0).stable


def test_a_hint_at_a_file_that_was_not_seen_yet_changes_nothing() -> None:
    settler = Settler(1.0)
    settler.hear("a.csv", 0.0)
    assert settler.look([A], 5.0).next_at == 6.0


def test_stable_files_wait_for_one_that_still_moves() -> None:
    settler = Settler(1.0)
    settler.look([A, B], 0.0)
    settled = settler.look([A, replace(B, size_bytes=21)], 1.0)
    assert settled.stable == {A}
    assert not settled.ready
    assert settled.next_at == 2.0


def test_a_file_that_grows_for_ever_does_not_hold_the_others_back_for_ever() -> None:
    settler = Settler(1.0)
    ready_at = None
    for tick in range(100):
        now = tick / 2
        settled = settler.look([A, replace(B, size_bytes=tick)], now)
        if settled.ready:
            assert settled.stable == {A}
            ready_at = now
            break
    assert ready_at == 11.0  # stable at 1, and ten times the delay of patience


def test_a_removed_file_is_forgotten() -> None:
    settler = Settler(1.0)
    settler.look([A, B], 0.0)
    settled = settler.look([A], 1.0)
    assert (settled.stable, settled.ready, settled.next_at) == (frozenset({A}), True, None)
    assert settler.look([A, B], 5.0).next_at == 6.0  # back again, it waits like any other


def test_a_shorter_delay_counts_at_once() -> None:
    settler = Settler(60.0)
    settler.look([A], 0.0)
    settler.stability_s = 1.0
    assert settler.look([A], 2.0).ready


# What may happen to a folder of three files: time passes, a file changes, is hinted at, comes or goes.
_STEPS = st.lists(
    st.tuples(st.floats(0.0, 3.0), st.sampled_from(["nothing", "change", "hint", "remove"]), st.sampled_from("abc")),
    max_size=40,
)


@given(steps=_STEPS, stability_s=st.sampled_from([0.1, 1.0, 2.5]))
def test_whatever_happens_a_stable_file_was_quiet_for_the_delay(
    steps: list[tuple[float, str, str]], stability_s: float
) -> None:
    settler, now = Settler(stability_s), 0.0
    there: dict[str, Signature] = {}
    touched: dict[str, float] = {}
    for number, (passes, what, path) in enumerate(steps):
        now += passes
        if what == "remove":
            there.pop(path, None)
        elif what == "change":
            there[path] = Signature(path, number, number, number)
            touched[path] = now
        elif what == "hint" and path in there:
            settler.hear(path, now)
            touched[path] = now
        settled = settler.look(there.values(), now)
        assert settled.stable <= set(there.values())
        for signature in there.values():
            assert (signature in settled.stable) == (now >= touched[signature.path] + stability_s)
        assert not settled.ready or settled.stable
        assert (settled.next_at is None) == (len(settled.stable) == len(there))
        assert settled.next_at is None or settled.next_at > now


@given(quiet=st.floats(0.0, 50.0), files=st.integers(1, 20))
def test_a_burst_that_stands_still_is_ready_as_a_whole_exactly_after_the_delay(quiet: float, files: int) -> None:
    settler = Settler(1.0)
    burst = [Signature(f"{number}.csv", number, 0, 0) for number in range(files)]
    settler.look(burst, 0.0)
    settled = settler.look(burst, quiet)
    assert settled.ready == (quiet >= 1.0)
    assert settled.stable == (frozenset(burst) if quiet >= 1.0 else frozenset())

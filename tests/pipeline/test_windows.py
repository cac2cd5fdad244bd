from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from churnwatch.pipeline import windows
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.windows import ComparedWindow, Window


def _rows(sizes: list[int], share: float = 0.5) -> Rows:
    """Return batches 11, 12, ... of these sizes, each with that share of positive rows; `n` is the batch."""
    batches = np.repeat(np.arange(11, 11 + len(sizes)), sizes)
    y = np.concatenate([(np.arange(size) < share * size).astype(np.int64) for size in sizes])
    dates = pd.Series([dt.date(2026, batch - 10, 1) for batch in batches])
    return Rows(pd.DataFrame({"n": batches * 1.0, "chance": np.arange(len(y)) % 7.0}), y, None, batches, dates)


# -- a window --------------------------------------------------------------------------------------------------


def _batches(text: str, rows: Rows) -> list[int]:
    return sorted(set(Window.given(Training(window=text)).within(rows).batches))


def test_a_window_has_the_newest_batches_by_number_or_those_since_a_day() -> None:
    rows = _rows([4] * 5)
    assert _batches("all", rows) == [11, 12, 13, 14, 15]
    assert _batches("last 2 batches", rows) == [14, 15]
    assert _batches("last 1 batch", rows) == [15]
    assert _batches("last 9 batches", rows) == [11, 12, 13, 14, 15]
    assert _batches("since 2026-03-01", rows) == [13, 14, 15]
    assert _batches("since 2027-01-01", rows) == []


def test_a_row_without_a_date_is_in_no_window_that_begins_with_one() -> None:
    rows = _rows([2, 2])
    dates = pd.Series([None, dt.date(2026, 1, 5), dt.date(2026, 2, 5), None])
    undated = Rows(rows.X, rows.y, rows.ids, rows.batches, dates)
    assert list(Window(since=dt.date(2026, 1, 1)).within(undated).X.index) == [1, 2]


def test_weights_halve_with_every_half_life_of_batches() -> None:
    weights = Window(half_life=2.0).weights(_rows([1, 2, 1, 1, 1]))
    assert weights is not None
    assert weights == pytest.approx([0.25, 0.5**1.5, 0.5**1.5, 0.5, 0.5**0.5, 1.0])
    assert Window().weights(_rows([1, 2])) is None


def test_rows_that_know_no_batches_are_one() -> None:
    rows = _rows([2, 2])
    without = Rows(rows.X, rows.y, None)
    assert len(Window(last=1).within(without)) == 4
    assert windows.compare(without, Training(), _never) == ()


# -- comparing them --------------------------------------------------------------------------------------------


def _never(rows: Rows, weights: object) -> Callable[[Rows], np.ndarray]:
    raise AssertionError("there is nothing to compare")


def _share(rows: Rows, weights: np.ndarray | None) -> Callable[[Rows], np.ndarray]:
    """Learn the share of positive rows: the simplest model that drift can mislead."""
    share = np.average(rows.y, weights=weights)
    return lambda asked: np.full(len(asked), share)


def _drifting(shares: list[float]) -> Rows:
    """Return a batch of 200 rows for each share of positive ones."""
    rows = _rows([200] * len(shares))
    y = np.random.default_rng(0).random(len(rows)) < np.repeat(shares, 200)
    return Rows(rows.X, y.astype(np.int64), None, rows.batches)


def test_under_drift_a_short_window_is_chosen_and_otherwise_all_history() -> None:
    steady, changed = _drifting([0.3] * 12), _drifting([0.2] * 6 + [0.6] * 6)
    assert windows.choose(windows.compare(steady, Training(), _share)) == Window()
    assert windows.choose(windows.compare(changed, Training(), _share)) == Window(last=3)


def test_only_windows_that_differ_from_all_history_are_compared() -> None:
    compared = windows.compare(_drifting([0.3] * 7), Training(half_life=2.0), _share)
    assert [each.window.name for each in compared] == ["all", "last 3 batches", "all, half-life 2 batches"]
    assert {each.rows for each in compared} == {400}  # the two newest batches


def test_a_batch_is_predicted_by_what_came_before_it_only() -> None:
    rows, learned = _drifting([0.3] * 5), []

    def spy(known: Rows, weights: np.ndarray | None) -> Callable[[Rows], np.ndarray]:
        learned.append(int(known.batches.max()))
        return lambda asked: np.full(len(asked), float(asked.batches.min() == known.batches.max() + 1))

    windows.compare(rows, Training(), spy)
    assert sorted(set(learned)) == [13, 14]


def test_more_batches_are_predicted_where_the_newest_have_few_rows() -> None:
    compared = windows.compare(_rows([200, 200, 20, 20, 20, 20]), Training(), _share)
    assert {each.rows for each in compared} == {60}  # until there are 30 of each class


def test_too_few_rows_before_the_newest_compare_nothing() -> None:
    assert windows.compare(_rows([50, 200]), Training(), _never) == ()
    assert windows.choose(()) == Window()


@pytest.mark.parametrize(("gain", "chosen"), [(0.011, Window(last=3)), (0.009, Window())])
def test_a_shorter_window_within_one_standard_error_of_all_history_is_not_taken(gain: float, chosen: Window) -> None:
    compared = (
        ComparedWindow(Window(), 0.5, 0.0, 0.0, 100),
        ComparedWindow(Window(last=3), 0.5 - gain, gain, 0.01, 100),
    )
    assert windows.choose(compared) == chosen

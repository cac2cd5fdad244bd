from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from churnwatch.reports import words

NOW = datetime(2026, 11, 3, 14, 5, tzinfo=UTC)


def test_times_are_told_in_utc_and_in_words() -> None:
    assert words.moment("2026-11-03T14:05:31.000Z") == "3 Nov 2026, 14:05 UTC"
    assert words.moment("2026-11-03T23:05:31.000+09:00") == "3 Nov 2026, 14:05 UTC"
    assert words.day(NOW) == "3 November 2026"


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=5), "5 hours ago"),
        (timedelta(days=2, hours=3), "2 days ago"),
        (timedelta(days=-1), "just now"),
    ],
)
def test_age_is_told_in_the_largest_unit_that_fits(gone: timedelta, said: str) -> None:
    assert words.age(NOW - gone, NOW) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.004, "4 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"), (9.96, "10 s"), (75, "1 min 15 s"), (7500, "2 h 5 min"),
     (None, words.NOTHING)],
)  # fmt: skip
def test_durations_keep_what_matters(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(("value", "said"), [(0.0, "0 %"), (0.0004, "< 0.1 %"), (0.021, "2.1 %"), (0.234, "23 %")])
def test_a_small_share_is_never_shown_as_nothing(value: float, said: str) -> None:
    assert words.share(value) == said


def test_sizes_have_units() -> None:
    assert [words.size(n) for n in (12, 1500, 240_000_000)] == ["12 B", "1.5 kB", "240 MB"]


def test_a_text_keeps_to_one_line_and_its_own_direction() -> None:
    assert words.plain("a\nb\t\u202egpj.exe\ud800\x00") == "a b �gpj.exe��"


def test_a_long_text_is_cut_visibly() -> None:
    assert words.plain("x" * 500, 10) == "xxxxxxxxx…"


@pytest.mark.parametrize(
    ("value", "said"), [(-0.0321, "−0.032"), (0.0321, "+0.032"), (-0.0004, "0.000"), (0.0, "0.000")]
)
def test_a_difference_has_a_sign_unless_it_is_rounded_to_nothing(value: float, said: str) -> None:
    assert words.signed(value, "f1") == said


def test_counts_and_scores_are_never_less_than_nothing_by_rounding() -> None:
    assert (words.count(-0.3), words.count(-1373.2), words.score(-0.0001)) == ("0", "−1,373", "0.000")

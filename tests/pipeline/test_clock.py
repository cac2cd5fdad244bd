from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from churnwatch.pipeline.clock import from_iso, iso, utc_now


def test_a_moment_is_written_in_utc_with_milliseconds() -> None:
    assert iso(datetime(2026, 1, 2, 3, 4, 5, 678_999, UTC)) == "2026-01-02T03:04:05.678Z"
    assert iso(datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))) == "2025-12-31T23:30:00.000Z"


def test_what_is_written_is_read_back() -> None:
    assert from_iso("2026-01-02T03:04:05.678Z") == datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


def test_texts_sort_as_their_moments() -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=step) for step in (0, 1, 999, 1000, 3_600_000)]
    assert sorted(map(iso, moments)) == list(map(iso, moments))


def test_now_is_in_utc() -> None:
    assert utc_now().utcoffset() == timedelta(0)

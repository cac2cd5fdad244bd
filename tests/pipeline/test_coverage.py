from __future__ import annotations

from typing import Any

import pytest

from churnwatch.pipeline.coverage import Coverage, coverage


def _row(number: int, *, held: bool, file: int | None = None) -> dict[str, Any]:
    return {"run": number, "file": file, "batch": number, "low": 0.5, "high": 0.6, "truth": 0.55 if held else 0.7}


@pytest.mark.parametrize(
    ("held", "compared", "is_muted", "says"),
    [
        (0, 0, False, "not checked yet"),
        (1, 4, False, "not checked yet; 1 of 4 so far held the truth"),
        (6, 10, True, "muted: 6 of the last 10 estimates held the truth"),
        (9, 10, False, "9 of the last 10 estimates held the truth"),
        (4, 5, True, "muted: 4 of the last 5 estimates held the truth"),
    ],
)
def test_estimates_are_muted_below_nine_tenths_and_not_before_they_were_checked(
    held: int, compared: int, is_muted: bool, says: str
) -> None:
    found = Coverage(held, compared)
    assert (found.is_muted, found.says) == (is_muted, says)


def test_the_newest_twenty_count() -> None:
    assert coverage([_row(n, held=n > 10) for n in range(1, 41)]) == Coverage(20, 20)


def test_of_a_request_whose_labels_come_bit_by_bit_the_newest_comparison_counts() -> None:
    rows = [_row(1, held=False, file=7), _row(2, held=True, file=8), _row(3, held=True, file=7)]
    assert coverage(rows) == Coverage(2, 2)

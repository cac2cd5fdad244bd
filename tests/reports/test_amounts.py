"""Charts and words of a home that predicts amounts."""

from __future__ import annotations

import math

import pytest

from churnwatch.pipeline.metrics import METRICS
from churnwatch.reports import charts, words
from churnwatch.reports.model_facts import Point, TenthRow


def _points(*errors: float) -> list[Point]:
    return [Point(run, "2026-01-01T00:00:00Z", error, None, None, 100, 90.0, 1, error - 1, 80.0, run, "kept",
                  promotes=False)
            for run, error in enumerate(errors, start=1)]  # fmt: skip


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e7])
def test_the_chart_of_errors_is_drawn_at_any_scale(scale: float) -> None:
    chart = charts.metric_chart(_points(44.0 * scale, 42.0 * scale), "mae")
    assert chart is not None
    wide, narrow = chart.svgs
    assert "Mean absolute error over runs" in wide
    assert f"run 2: new batches {words.told(42.0 * scale, 'mae')}" in narrow


def test_the_chart_of_tenths_has_what_came_beside_what_was_expected() -> None:
    chart = charts.tenths_chart([TenthRow(n, 7, 50.0 - n, 48.0 - n) for n in range(1, 11)])
    assert chart is not None
    assert [name for _, name in chart.key] == ["what came", "what was expected"]
    assert "tenth 1: expected 49.00, came 47.00; tenth 2" in chart.svgs[0]
    assert charts.tenths_chart([]) is None
    assert charts.tenths_chart([TenthRow(n, 7, -5.0, 0.0) for n in range(1, 11)]) is not None


@pytest.mark.parametrize(
    ("value", "said"),
    [(41.2, "41.20"), (0.0, "0.00"), (0.01324, "0.01324"), (1204.5, "1,204.50"), (52391.4, "52,391"),
     (-7.5, "−7.50"), (3e14, "3e+14"), (math.inf, "inf")],
)  # fmt: skip
def test_amounts_are_written_with_the_digits_that_matter(value: float, said: str) -> None:
    assert METRICS["mae"].shown(value) == said


def test_values_are_written_in_the_unit_of_their_metric() -> None:
    assert [words.told(0.23456, name) for name in ("f1", "mae", "mape", "r2", "lift_at_capacity")] == [
        "0.235", "0.2346", "23.46 %", "0.235", "0.235"]  # fmt: skip
    assert words.told(None, "mae") == words.NOTHING
    assert [words.signed(-8.26, name) for name in ("mae", "f1")] == ["−8.26", "−8.260"]
    assert (words.amount(None), words.amount(1e6)) == (words.NOTHING, "1,000,000")

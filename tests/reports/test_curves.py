from __future__ import annotations

import pytest

from churnwatch.pipeline.records import Curve
from churnwatch.reports import curve_charts
from churnwatch.reports.curves_part import bins
from churnwatch.reports.model_facts import Curves
from tests.reports.conftest import Book, curve, page

CUTS = (Curve(1, 1, 0, 0.9, 10, 8, 8.5), Curve(1, 1, 1, 0.5, 40, 18, 20.0), Curve(1, 1, 2, 0.0, 100, 20, 25.0))
CURVES = Curves(1, 1, 0.5, CUTS, bins(CUTS))


def test_every_curve_follows_from_the_cuts() -> None:
    assert CURVES.recalls == (0, 0.4, 0.9, 1)
    assert CURVES.precisions == (0.8, 0.45, 0.2)
    assert CURVES.false_positive_rates == (0, 2 / 80, 22 / 80, 1)
    assert CURVES.f1 == pytest.approx((16 / 30, 36 / 60, 40 / 120))
    assert CURVES.place == 1
    assert CURVES.reached(0.25) == pytest.approx(0.65)


def test_bins_add_up_to_all_rows_and_their_intervals_hold_the_share() -> None:
    assert sum(each.rows for each in CURVES.bins) == 100
    assert [each.share for each in CURVES.bins] == pytest.approx([0.8, 1 / 3, 2 / 60])
    assert CURVES.bins[1].expected == pytest.approx(11.5 / 30)
    assert all(each.low <= each.share <= each.high for each in CURVES.bins)


def test_there_are_as_many_bins_as_their_intervals_allow() -> None:
    assert [each.rows for each in bins(curve(1, 1))] == [20] * 5
    assert [each.rows for each in bins(curve(1, 1, rows=400, leavers=90))] == [40] * 10
    assert bins(curve(1, 1, rows=59)) == ()


def test_a_handful_of_rows_has_neither_lift_nor_calibration() -> None:
    few = (Curve(1, 1, 0, 0.9, 2, 1, 1.8), Curve(1, 1, 1, 0.1, 5, 2, 2.0))
    drawn = curve_charts.drawn(Curves(1, 1, 0.5, few, bins(few)), 0.7)
    assert [title for title, *_ in drawn] == ["ROC", "Precision and recall", "Gain", "Threshold"]


def test_the_page_has_the_curves_and_the_card_of_the_serving_model(book: Book) -> None:
    book.learn(curves=True)
    text = page(book)
    assert {f'id="{name}-title"' in text for name in ("roc", "gain", "calibration", "threshold")} == {True}
    assert "Model card of v1" in text
    assert "senior: 1" in text


def test_a_ledger_from_before_curves_has_a_page_without_them(book: Book) -> None:
    book.learn()
    assert 'id="roc-title"' not in page(book)

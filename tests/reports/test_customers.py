from __future__ import annotations

from dataclasses import replace

import pytest

from churnwatch.pipeline.records import (
    Bucket,
    Bucketing,
    BucketMove,
    Call,
    CampaignEffect,
    CohortMonth,
    Explanation,
    GoalProgress,
    Importance,
    MonthlyChurn,
    MoveReason,
    OfferMade,
    UpliftModel,
)
from churnwatch.reports.cohorts import cohort_table
from churnwatch.reports.customers_part import earnings, reasons, sorted_customers
from tests.reports.conftest import Book, page
from tests.reports.test_curves import CURVES

AT = "2026-03-01T00:00:00Z"
CALL = Call(2, 1, "c-1", "A", "B", 0.8, 640.0, "phone", 153.5, "month-to-month contract (+1.2)", "tech support (−0.4)")


def customers(book: Book) -> None:
    """Two runs; the second sorted, explained and followed the customers."""
    book.learn(curves=True)
    book.learn(path="february.csv")
    add = book.ledger.add
    add(Bucketing(1, 1, AT, "calls-1.parquet", "0", 90, "profit", None, None, 0, None))
    add(Bucketing(2, 1, AT, "calls.parquet", "0", 90, "profit", "`fee` a month", 12, 3, 1))
    add(
        Bucket(2, "A", 20, 0.5, 12.0, 2400.0, 300.0, 100.0, 500.0, 12_000.0),
        Bucket(2, "C", 70, None, 7.0, 600.0, None, None, None),
    )
    add(
        BucketMove(2, "B", "A", 5),
        BucketMove(2, "C", "C", 65),
        BucketMove(2, None, "A", 15),
        BucketMove(2, "C", None, 4),
    )
    add(MoveReason(2, "into", "contract", 5, 0.62), MoveReason(2, "into", "tenure", 5, -0.3))
    add(OfferMade(2, "phone", "20%", 8.0, 0.25, 1.0, 1, 20, 7, 300.0, 100.0, 500.0, 100.0, 500.0, 900.0, 0.4, 0.3, 0.2))
    add(OfferMade(2, "nobody knows", "5", 1.0, None, 1.0, 0, 0))
    add(CALL, replace(CALL, place=2, id="=1+1", probability=0.7, former_bucket=None, raises="<b>x</b>", lowers=None))
    add(Explanation(2, 1, "exact", "reasons.parquet", "0", 90, -1.0, None, AT))
    add(Importance(2, 1, "tenure", 0.8, 0.02, 0.01, 0.03), Importance(2, 1, "fee", 0.3, 0.0, -0.01, 0.01))
    add(MonthlyChurn(1, "2026-01", 100, 30, 0.3, 0.23, 0.38), MonthlyChurn(2, "2026-02", 90, 18, 0.2, 0.14, 0.28))
    add(CohortMonth(2, "2026-01", "2026-01", 100, 30), CohortMonth(2, "2026-01", "2026-02", 60, 12))
    add(GoalProgress(2, "2026-02", 0.02, 3, "no evidence", 0.3, "one month is not three."))
    add(CampaignEffect(2, "gift", "2026-02", 40, 40, 38, 39, 8, 12, 0, 1, 0.1, -0.04, 0.24, 3.8, -1.5, 9.1, None,
                       840.0, 3192.0, -1260.0, 7644.0))  # fmt: skip


def test_without_customers_there_are_no_sections_of_them(book: Book) -> None:
    book.learn()
    text = page(book)
    assert not {name for name in ("customers", "calls", "reasons", "churn") if f'id="{name}"' in text}


def test_the_page_says_who_may_leave_why_and_what_came_of_it(book: Book) -> None:
    customers(book)
    text = page(book)
    assert "20 customers in bucket A, worth 1,000 a month." in text
    assert (
        "5 customers moved towards leaving, 0 away from it; 15 of the new ones came straight into A. 5 customers came"
        in text
    )
    assert "5 customers came into A, mostly by contract (+0.6)." in text
    assert "7 more in B would be worth the offer “phone”, but no call is left for them." in text
    for said in ("month-to-month contract (+1.2)", "was B", 'data-file="call-list-run-2.csv"', 'id="moves-wide-title"',
                 'id="importance-title"', 'id="permutation-title"', 'id="profit-title"', 'id="churn-wide-title"',
                 "No evidence", "10.0 points", "3,192"):  # fmt: skip
        assert said in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text


def test_what_counts_is_called_as_in_the_reasons(book: Book) -> None:
    customers(book)
    found = reasons(book.ledger, {"tenure": "months as a customer"})
    assert found is not None
    assert [row.column for row in found.rows.shown] == ["months as a customer", "fee"]


def test_the_page_says_of_each_offer_what_decides_and_draws_no_threshold_where_that_is_a_model(book: Book) -> None:
    customers(book)
    assert "Threshold against profit" in page(book)
    measured = UpliftModel(2, "phone", 1, None, 1, 100, 50, 10, 20, 0.2, 0.1, 0.3, 0.04, 0.01, 0.07, 0.9)
    book.ledger.add(measured, UpliftModel(2, "nobody knows", 0, "<b>why</b>"))
    text = page(book)
    assert "phone: decided by an uplift model. Of 100 treated and 50 left alone, 20.00 (10.00 to 30.00) points" in text
    assert "nobody knows: made to nobody, without a save rate. No uplift model decides: &lt;b&gt;why" in text
    assert "Threshold against profit" not in text


def test_a_model_that_is_not_explained_exactly_says_so(book: Book) -> None:
    book.learn()
    book.ledger.add(Explanation(1, 1, "none", None, None, 90, None, "of an ensemble nobody can say", AT))
    assert "cannot be explained exactly, so it is not explained: of an ensemble" in page(book)


def test_what_an_offer_earns_follows_from_who_is_named(book: Book) -> None:
    customers(book)
    found = sorted_customers(book.ledger, book.home.settings)
    [earning] = earnings(found, CURVES)
    # 8 leavers and 2 others: 8 x 0.25 x (500 - 100) less 2 x 100 and 10 x 8, of 100 customers
    assert (earning.offer, earning.profits[0]) == ("phone", pytest.approx(10 * (800 - 200 - 80)))


def test_what_is_kept_of_a_cohort_is_multiplied_month_by_month() -> None:
    table = cohort_table([
        CohortMonth(1, "2025-12", "2025-12", 100, 10), CohortMonth(1, "2025-12", "2026-02", 80, 8),
        CohortMonth(1, "2026-02", "2026-02", 50, 0),
    ])  # fmt: skip
    assert table is not None
    assert table.heads == ("#1", "#2", "#3")
    assert [(row.cohort, row.customers) for row in table.rows] == [("2025-12", 100), ("2026-02", 50)]
    assert table.rows[0].kept == pytest.approx((0.9, None, 0.81))


def test_one_month_of_cohorts_is_no_table() -> None:
    assert cohort_table([CohortMonth(1, "2026-01", "2026-01", 100, 10)]) is None

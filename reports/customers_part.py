"""The ledger → what the report says of customers: buckets, the call list, what counts, what came of it all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from markupsafe import escape

from churnwatch.pipeline.ledger import customers, explanations, follow_up
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.move_words import why_moved
from churnwatch.pipeline.records import Bucket, BucketMove, Call, OfferMade
from churnwatch.pipeline.settings import Settings
from churnwatch.reports.customer_facts import Earning, Followed, ImportanceRow, Reasons, Sorted
from churnwatch.reports.listed import Listed
from churnwatch.reports.model_facts import Curves
from churnwatch.reports.words import plain

MOST_CALLS = 500
MOST_CALL_BYTES = 300_000  # of ids, offers and reasons, in any alphabet; the page has 1 MB
MOST_COLUMNS = 20
MOST_MONTHS = 24
MOST_CAMPAIGNS = 24


def sorted_customers(reader: Reader, settings: Settings) -> Sorted | None:
    """Return how the newest run sorted the customers; None before one did."""
    by = customers.newest(reader)
    if by is None:
        return None
    calls = (Call(**row) for row in customers.call_list(reader, by.run, MOST_CALLS))
    return Sorted(
        by,
        tuple(Bucket(**row) for row in customers.buckets(reader, by.run)),
        tuple(BucketMove(**row) for row in customers.moves(reader, by.run)),
        tuple(OfferMade(**row) for row in customers.offers(reader, by.run)),
        tuple(customers.uplift_models(reader, by.run)),
        Listed(tuple(_fitting(calls)), customers.called(reader, by.run)),
        why_moved(reader, by, settings.names, amounts=settings.positive is None),
    )


def _fitting(calls: Iterable[Call]) -> Iterator[Call]:
    """Yield the first calls, as long as their texts leave room on the page for all else."""
    room = MOST_CALL_BYTES
    for call in calls:
        texts = (call.id, call.offer, call.raises, call.lowers)
        room -= sum(len(escape(plain(text)).encode()) for text in texts if text)
        if room < 0:
            return
        yield call


def reasons(reader: Reader, names: Mapping[str, str]) -> Reasons | None:
    """Return how much each column counts in the model whose predictions were explained last; None before one was.

    Args:
        reader: of the ledger.
        names: what columns are called for people, as they are in the reasons of each customer.
    """
    explanation = explanations.newest(reader)
    if explanation is None:
        return None
    found = explanations.importances(reader, explanation.run)
    rows = [
        ImportanceRow(names.get(row["column_name"], row["column_name"]), row["mean_absolute"], row["permutation"],
                      row["low"], row["high"], row["former_mean_absolute"])
        for row in found
    ]  # fmt: skip
    former = next((row["former_version"] for row in found), None)
    return Reasons(explanation, Listed(tuple(rows[:MOST_COLUMNS]), len(rows)), former)


def earnings(found: Sorted | None, curves: Curves | None) -> tuple[Earning, ...]:
    """Return what each offer that goes by its save rate would have earned on the holdout, threshold by threshold."""
    if found is None or curves is None:
        return ()
    return tuple(_earnings([each for each in found.offers if each.offer not in found.measured], curves))


def _earnings(offers: Sequence[OfferMade], curves: Curves) -> Iterator[Earning]:
    for offer in offers:
        value = offer.median_value
        if offer.save_rate is None or value is None:
            continue
        size = float(offer.discount.rstrip("%"))
        discount = size / 100 * value if offer.discount.endswith("%") else size
        kept, wasted = offer.save_rate * (value - discount), offer.take_up * discount
        profits = (
            1000 / curves.rows * (cut.leavers * kept - (cut.rows - cut.leavers) * wasted - cut.rows * offer.cost)
            for cut in curves.cuts
        )
        yield Earning(offer.offer, value, tuple(profits))


def followed(reader: Reader) -> Followed | None:
    """Return what came of customers; None where nothing is known of it."""
    months, cohorts = follow_up.monthly_churn(reader), follow_up.cohorts(reader)
    campaigns = follow_up.campaign_effects(reader)
    if not months and not campaigns:
        return None
    since = months[-MOST_MONTHS:][0].month if months else ""
    shown = tuple(each for each in cohorts if each.cohort >= since)
    return Followed(tuple(months[-MOST_MONTHS:]), shown, follow_up.goal(reader), tuple(campaigns[-MOST_CAMPAIGNS:]))

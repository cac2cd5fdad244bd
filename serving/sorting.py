"""Into which bucket somebody comes who is asked about now, by the rule that sorts the current customers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline import buckets
from churnwatch.pipeline.buckets import BUCKETS, Customers
from churnwatch.pipeline.ledger import customers as sorted_customers
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.offers import Floats, Offer, priced
from churnwatch.pipeline.settings import Settings
from churnwatch.pipeline.settings_offers import By, Value


@dataclass(frozen=True)
class Sorter:
    """How customers are sorted.

    By profit, A is whom it pays to call, as though a call were left for each. By capacity, the thresholds are those
    of the newest call list.

    Attributes:
        by: what decides.
        offers: those with a save rate.
        value: what a customer brings; None where the settings do not say.
        bounds: the risk from which on somebody is in A, and in B; not used by profit.
    """

    by: By
    offers: tuple[Offer, ...]
    value: Value | None
    bounds: tuple[float, float]

    @property
    def worth_column(self) -> str | None:
        """The column that says what a customer is worth, where one does."""
        return None if self.value is None else self.value.column

    def sort(self, risk: Floats, threshold: float, numbers: Callable[[str], Floats], *, amounts: bool) -> list[str]:
        """Return the buckets of some customers by their letters; see `places`."""
        return [BUCKETS[each] for each in self.places(risk, threshold, numbers, amounts=amounts)]

    def places(
        self, risk: Floats, threshold: float, numbers: Callable[[str], Floats], *, amounts: bool
    ) -> npt.NDArray[np.int64]:
        """Return the buckets of some customers, (n,), as their places in `BUCKETS`.

        Args:
            risk: (n,) probability of leaving, or expected amount.
            threshold: of the model.
            numbers: gives a column's numbers, (n,), not a number where none is known.
            amounts: whether `risk` is an amount.
        """
        worth = self._worth(len(risk), numbers)
        known = Customers(risk, worth, risk >= threshold, threshold, amounts=amounts)
        by = By.PROFIT if self.by is By.PROFIT else By.THRESHOLDS
        return buckets.sort(known, by, self.offers, capacity=len(risk), bounds=self.bounds).bucket

    def _worth(self, rows: int, numbers: Callable[[str], Floats]) -> Floats | None:
        if self.value is None:
            return None
        if self.value.column is None:
            return np.full(rows, (self.value.amount or 0.0) * self.value.factor)
        return numbers(self.value.column) * self.value.factor


def sorter(settings: Settings, ledger: Reader, threshold: float) -> Sorter:
    """Return how a home sorts its customers as of now; `threshold` is that of the model in use."""
    a, b = settings.buckets.a, settings.buckets.b
    bounds = _newest(ledger, threshold) if a is None or b is None else (a, b)
    return Sorter(settings.bucketed_by, priced(settings.offers), settings.valued, bounds)


def _newest(ledger: Reader, threshold: float) -> tuple[float, float]:
    """Return the bounds of the newest call list; where nobody is in A, or there is none, nobody comes into it."""
    head = sorted_customers.newest(ledger)
    rows = [] if head is None else sorted_customers.buckets(ledger, head.run)
    known = {row["bucket"]: row["threshold"] for row in rows if row["threshold"] is not None}
    return known.get("A", math.inf), known.get("B", threshold)

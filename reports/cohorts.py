"""Customers by cohort and month → what share of each cohort was kept, by months since it began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from churnwatch.pipeline.records import CohortMonth

MOST_MONTHS = 12


@dataclass(frozen=True, slots=True)
class CohortRow:
    """One cohort: when it was first seen, how many they were, what share was kept after so many months."""

    cohort: str
    customers: int
    kept: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Cohorts:
    """The newest cohorts, oldest first, and the heads of their columns."""

    heads: tuple[str, ...]
    rows: tuple[CohortRow, ...]


def cohort_table(months: Sequence[CohortMonth]) -> Cohorts | None:
    """Return what was kept of each cohort; None with less than two months of any."""
    by_cohort: dict[str, dict[int, CohortMonth]] = {}
    for each in months:
        age = _age(each)
        if 0 <= age < MOST_MONTHS:
            by_cohort.setdefault(each.cohort, {})[age] = each
    width = 1 + max((age for found in by_cohort.values() for age in found), default=0)
    rows = [_row(cohort, found, width) for cohort, found in sorted(by_cohort.items()) if 0 in found]
    if width < 2 or not rows:  # noqa: PLR2004 - one month says nothing of what was kept
        return None
    return Cohorts(tuple(f"#{age}" for age in range(1, width + 1)), tuple(rows[-MOST_MONTHS:]))


def _age(each: CohortMonth) -> int:
    """Return how many months after its first one."""
    (year, month), (began, first) = (map(int, text.split("-")[:2]) for text in (each.month, each.cohort))
    return 12 * (year - began) + month - first


def _row(cohort: str, found: dict[int, CohortMonth], width: int) -> CohortRow:
    """Multiply what was kept month by month: a customer who comes in no file of a month is not counted as gone."""
    kept: list[float | None] = []
    share = 1.0
    for age in range(width):
        each = found.get(age)
        if each is None or not each.active:
            kept.append(None)
            continue
        share *= 1 - each.churned / each.active
        kept.append(share)
    return CohortRow(cohort, found[0].active, tuple(kept))

"""Contributions of one customer → words that can be said on the phone. Values in, values out.

A contribution says what a column did to what the model said of this customer. It is no promise of what would happen
if somebody changed it, and wherever contributions are shown `NO_PROMISE` stands beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from churnwatch.pipeline.bins import Bins
from churnwatch.pipeline.bins import typical as typical_value
from churnwatch.pipeline.metrics import minus

NO_PROMISE = "This is what the model sees, not what would happen if one changed it."
NO_VALUE = "no value"
_LONGEST = 60  # characters of a value that are shown
LEAST_SHOWN = 0.05  # log-odds that would be shown as nought


@dataclass(frozen=True)
class Reason:
    """What one column did to what is said of one customer.

    Attributes:
        column: its name.
        value: the customer's, as text.
        typical: the median or the most frequent value of the rows that the model learned from, as text.
        contribution: in log-odds, above nought where it makes leaving more likely; of amounts in their unit.
    """

    column: str
    value: str
    typical: str
    contribution: float


@dataclass(frozen=True)
class Reasons:
    """What speaks for leaving and against it, in words; empty where nothing does."""

    raises: str
    lowers: str


def shown(value: object) -> str:
    """Return a value as people read it, on one line whatever it holds."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NO_VALUE
    if isinstance(value, int | float):
        return minus(f"{value:.0f}" if float(value).is_integer() else f"{value:.6g}")
    text = "".join(sign if sign.isprintable() else " " for sign in str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def typical(bins: Bins) -> str:
    """Return the median of the rows that a reference was made of, or their most frequent category."""
    value = typical_value(bins)
    if value is not None:
        return shown(value)
    mostly_missing = 2 * bins.rows[bins.missing] > sum(bins.rows)
    return "many values" if bins.categories == () and not mostly_missing else NO_VALUE


def ranked(reasons: Sequence[Reason]) -> list[Reason]:
    """Return reasons by how much they did, the most first."""
    return sorted(reasons, key=lambda each: (-abs(each.contribution), each.column))


def in_words(reasons: Sequence[Reason], *, names: Mapping[str, str], top: int, amounts: bool = False) -> Reasons:
    """Return the first few reasons on either side.

    Args:
        reasons: of one customer, one for each column.
        names: what columns are called for people, where not by their name.
        top: how many at most on each side.
        amounts: whether contributions are in an amount's unit.
    """
    told = [each for each in ranked(reasons) if amounts or abs(each.contribution) >= LEAST_SHOWN]
    sides = ([each for each in told if sign * each.contribution > 0][:top] for sign in (1, -1))
    return Reasons(*(", ".join(_said(each, names, amounts) for each in side) for side in sides))


def signed(contribution: float, *, amounts: bool = False) -> str:
    """Return a contribution with its sign: +1.2, −0.4; of amounts with as many digits as they need."""
    size = abs(contribution)
    text = f"{size:.1f}" if not amounts else f"{size:,.0f}" if size >= 100 else f"{size:.3g}"  # noqa: PLR2004 - digits
    return f"{'+' if contribution >= 0 else '−'}{text}"


def _said(reason: Reason, names: Mapping[str, str], amounts: bool) -> str:
    beside = "typical" if reason.value == reason.typical else f"typical: {reason.typical}"
    called = shown(names.get(reason.column, reason.column))
    return f"{called}: {reason.value} ({signed(reason.contribution, amounts=amounts)}; {beside})"

"""Why customers came into bucket A and left it, in a sentence. The mail, the report and the terminal say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.reason_words import LEAST_SHOWN, shown, signed
from churnwatch.pipeline.records import Bucketing, MoveReason

_MOST = 3  # columns that are named


def why_moved(ledger: Reader, by: Bucketing, names: Mapping[str, str], *, amounts: bool) -> str:
    """Return why customers came into A and left it since the former run, empty where nobody did or nobody knows.

    Args:
        ledger: that knows the run.
        by: how it sorted the customers.
        names: what columns are called for people.
        amounts: whether contributions are in an amount's unit.

    `41 customers came into A, mostly by contract (+0.6) and tenure (+0.3); 12 left it, mostly by fee (−0.4).` Where
    another model said so than the time before, that is said, too.
    """
    reasons = [MoveReason(**row) for row in customers.move_reasons(ledger, by.run)]
    before = None if by.former_run is None else customers.bucketing(ledger, by.former_run)
    told = "; ".join(_told(reasons, names, amounts=amounts))
    if not told:
        return ""
    if before is None or before.version == by.version:
        return f"{told}."
    return f"{told}. The model changed since (v{before.version} → v{by.version}), so a part of this is the model's."


def _told(reasons: Sequence[MoveReason], names: Mapping[str, str], *, amounts: bool) -> Iterator[str]:
    subject, place = "customer", "A"
    for direction, sign, verb in (("into", 1, "came into"), ("out of", -1, "left")):
        own = [each for each in reasons if each.direction == direction]
        if own:
            number = own[0].customers
            who = f"{number:,} {subject}{'' if number == 1 else 's'}" if subject else f"{number:,}"
            yield f"{who} {verb} {place}, {_by(own, sign, names, amounts=amounts)}"
            subject, place = "", "it"


def _by(reasons: Sequence[MoveReason], sign: int, names: Mapping[str, str], *, amounts: bool) -> str:
    """Name the columns that moved customers that way; none do where only the bound of A moved."""
    least = 0.0 if amounts else LEAST_SHOWN
    pushed = [each for each in reasons if sign * each.mean_change > least]
    first = sorted(pushed, key=lambda each: (-abs(each.mean_change), each.column_name))[:_MOST]
    if not first:
        return "by no column of their own"
    said = [f"{shown(names.get(each.column_name, each.column_name))} ({signed(each.mean_change, amounts=amounts)})"
            for each in first]  # fmt: skip
    return f"mostly by {', '.join(said[:-1])}{' and ' if said[:-1] else ''}{said[-1]}"

"""The weekly mail: what `mail_data` gathered → a plain text, an HTML part that says the same, and a CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from churnwatch.pipeline.csv_file import inert
from churnwatch.pipeline.metrics import MINUS
from churnwatch.reports import letters, words
from churnwatch.reports.mail_data import MailCustomer, Weekly

SHOWN = 25  # customers in the mail's own text; the attached list has all of it
_LONGEST_ID, _LONGEST_REASON = 60, 300
_NO_CENTS = 100
_MEANS = {"A": "to call", "B": "on the fence", "C": "to thank"}


@dataclass(frozen=True, slots=True)
class _Line:
    """A customer as both parts show it."""

    place: int
    id: str
    risk: str
    details: tuple[str, ...]  # bucket, what is at stake, offer: what is known
    raises: str
    lowers: str
    is_new: bool


def compose(weekly: Weekly, *, sender: str, to: Sequence[str], number: str, at: str) -> EmailMessage:
    """Return the weekly mail.

    Args:
        weekly: what it says.
        sender: a plain address.
        to: plain addresses.
        number: the same for every copy of this mail.
        at: when it is sent, as the ledger writes moments.
    """
    message = letters.addressed(sender, to, subject(weekly), number=number, at=at)
    said = _said(weekly)
    message.set_content(_rendered("mail.txt.j2", said, escaped=False), cte="quoted-printable")
    message.add_alternative(_rendered("mail.html.j2", said, escaped=True), subtype="html", cte="quoted-printable")
    message.add_attachment(
        _csv(weekly).encode("utf-8-sig", "replace"),  # a spreadsheet tells UTF-8 by its mark
        maintype="text",
        subtype="csv",
        filename=f"customers-at-risk-{weekly.week}.csv",
        params={"charset": "utf-8"},
    )
    return message


def subject(weekly: Weekly) -> str:
    """Say in words what the mail is about."""
    return words.plain(f"{weekly.home}: {_headline(weekly)} (week {int(weekly.week[-2:])})")


def _headline(weekly: Weekly) -> str:
    if not weekly.at_risk:
        return "nobody is at risk"
    if weekly.amounts:
        return f"{words.many(weekly.at_risk, 'customer')} with much at stake"
    first = dict(weekly.in_bucket).get("A")
    call = f", {first:,} to call first" if first and first < weekly.at_risk else ""
    return f"{words.many(weekly.at_risk, 'customer')} at risk{call}"


def _said(weekly: Weekly) -> dict[str, object]:
    """Return what both parts say, so that they say the same."""
    listed = [_line(weekly, each) for each in weekly.customers[:SHOWN]]
    return {
        "home": words.plain(weekly.home),
        "headline": _headline(weekly),
        "summary": [words.plain(each) for each in _summary(weekly)],
        "changes": [words.plain(each) for each in weekly.changes],
        "attention": [words.plain(each) for each in weekly.attention],
        "customers": listed,
        "risk_title": "expected" if weekly.amounts else "may leave",
        "has_details": any(each.details for each in listed),
        "has_reasons": any(each.raises or each.lowers for each in listed),
        "rest": _rest(weekly, len(listed)),
        "run": weekly.run,
    }


def _summary(weekly: Weekly) -> Iterator[str]:
    known, at_risk = words.many(weekly.known, "current customer"), f"{weekly.at_risk:,}"
    if weekly.amounts:
        yield f"Of {known}, {at_risk} have an amount at stake that is worth a call."
    else:
        within = f" {weekly.within}" if weekly.within else ""
        will = f"by their probabilities, about {weekly.expected_leavers:,.0f} of these will leave{within}"
        yield f"Of {known}, {at_risk} are at risk; {will}."
    if weekly.in_bucket:
        yield ", ".join(_who(weekly, letter, number) for letter, number in weekly.in_bucket if number) + "."
    if weekly.expected_loss is not None:
        worth = f" (a customer is worth {weekly.value.replace('`', '')})" if weekly.value is not None else ""
        yield f"At stake with those at risk: {_money(weekly.expected_loss)}{worth}."
    yield weekly.model


def _who(weekly: Weekly, letter: str, number: int) -> str:
    """Say how many are in a bucket, and of those on the fence for how many an offer pays."""
    said = f"{number:,} {_MEANS[letter]} ({letter}"
    if letter != "B" or weekly.offered is None:
        return f"{said})"
    return f"{said}, {f'{weekly.offered:,}' if weekly.offered else 'none'} of them with an offer)"


def _rest(weekly: Weekly, listed: int) -> str:
    attached = len(weekly.customers)
    if not attached:
        return f"All customers, with their probabilities: {words.plain(weekly.file)} in the home."
    more = f"The other {attached - listed:,} of the call list are in the attached file. " if attached > listed else ""
    everybody = f"{words.many(weekly.known, 'current customer')} are in {words.plain(weekly.file)}"
    return f"{more}The attached file has {words.many(attached, 'customer')}; all {everybody} in the home."


def _line(weekly: Weekly, customer: MailCustomer) -> _Line:
    return _Line(
        place=customer.place,
        id=words.plain(customer.id, _LONGEST_ID),
        risk=_money(customer.risk) if weekly.amounts else words.share(customer.risk),
        details=tuple(_details(weekly, customer)),
        raises=words.plain(customer.raises or "", _LONGEST_REASON),
        lowers=words.plain(customer.lowers or "", _LONGEST_REASON),
        is_new=customer.is_new,
    )


def _details(weekly: Weekly, customer: MailCustomer) -> Iterator[str]:
    if customer.bucket is not None:
        yield f"{_MEANS[customer.bucket]} ({customer.bucket})"
    if customer.offer is not None:
        gain = f", expected gain {_money(customer.expected_profit)}" if customer.expected_profit is not None else ""
        yield f"offer: {words.plain(customer.offer)}{gain}"
    if customer.expected_loss is not None and not weekly.amounts:
        yield f"at stake: {_money(customer.expected_loss)}"


def _rendered(template: str, said: dict[str, object], *, escaped: bool) -> str:
    return _environment(escaped=escaped).get_template(template).render(said)


@cache
def _environment(*, escaped: bool) -> Environment:
    return Environment(
        loader=PackageLoader("churnwatch.reports", "templates"),
        autoescape=escaped,  # noqa: S701 - off for the plain text alone
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _csv(weekly: Weekly) -> str:
    """Return the call list as a CSV that opens well in a spreadsheet, without columns of which nothing is known."""
    columns: dict[str, list[Any]] = {
        "place": [each.place for each in weekly.customers],
        "customer": [inert(each.id) for each in weekly.customers],
        "new": ["yes" if each.is_new else "" for each in weekly.customers],
        "bucket": [each.bucket for each in weekly.customers],
        "expected amount" if weekly.amounts else "may leave": [round(each.risk, 4) for each in weekly.customers],
        "at stake": [None if weekly.amounts else _rounded(each.expected_loss) for each in weekly.customers],
        "offer": [inert(each.offer or "") for each in weekly.customers],
        "expected profit": [_rounded(each.expected_profit) for each in weekly.customers],
        "why": [_as_typed(each.raises) for each in weekly.customers],
        "held back by": [_as_typed(each.lowers) for each in weekly.customers],
    }
    known = {name: values for name, values in columns.items() if any(value not in (None, "") for value in values)}
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(known)
    writer.writerows(zip(*known.values(), strict=True))
    return out.getvalue()


def _as_typed(reasons: str | None) -> str:
    """Return reasons with the minus of a keyboard, as the CSV of predictions has them."""
    return inert((reasons or "").replace(MINUS, "-"))


def _money(value: float) -> str:
    """Return an amount without cents where nobody would pay them heed."""
    return words.count(value) if abs(value) >= _NO_CENTS else words.amount(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)

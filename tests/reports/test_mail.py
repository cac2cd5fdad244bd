"""The weekly mail as a mail program opens it."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from notices_world import World, make_home, world

from churnwatch.pipeline.errors import DataError, NotFoundError
from churnwatch.pipeline.records import Decision
from churnwatch.reports import mail, mail_data, words
from churnwatch.reports.mail_data import MailCustomer, Weekly

AT = "2026-11-23T06:00:00.000Z"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=https://evil.example/x.png onerror=alert(1)>',
    "x\r\nBcc: eve@example.org\r\n\r\n<h1>hello",
    "\u202egnp.exe",
    "{{ 7 * 7 }}{% raw %}",
    "=cmd|' /C calc'!A0",
    "&lt;b&gt;",
    "\x00\x1b[31m\x07",
    "\ud800",
)


def _weekly(*customers: MailCustomer, **other: object) -> Weekly:
    given = {"home": "telco", "week": "2026-W48", "run": 7, "predicted_at": AT, "file": "predictions/run-00007.csv",
             "amounts": False, "within": "", "known": 100, "at_risk": len(customers), "in_bucket": (), "offered": None,
             "expected_leavers": 1.0, "expected_loss": None, "value": None, "customers": customers,
             "model": "v1 said this.", "changes": ("Nothing.",), "attention": (), **other}  # fmt: skip
    return Weekly(**given)  # type: ignore[arg-type]


def _customer(name: str = "c1", *, text: str | None = None, **other: object) -> MailCustomer:
    given = {"place": 1, "id": name, "bucket": None, "is_new": False, "risk": 0.75, "expected_loss": None,
             "offer": text, "expected_profit": None, "raises": text, "lowers": text, **other}  # fmt: skip
    return MailCustomer(**given)  # type: ignore[arg-type]


def _opened(weekly: Weekly) -> EmailMessage:
    """Return the mail as it is after its way over the wire."""
    sent = mail.compose(weekly, sender="churnwatch@example.org", to=["ann@example.org"], number="1.a", at=AT)
    raw = sent.as_bytes()
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    opened = message_from_bytes(raw, policy=policy.default)
    assert isinstance(opened, EmailMessage)
    return opened


def _plain(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def _page(message: EmailMessage) -> str:
    body = message.get_body(("html",))
    assert body is not None
    return str(body.get_content())


def _rows(message: EmailMessage) -> list[dict[str, str]]:
    [attached] = message.iter_attachments()
    assert attached.get_content_type() == "text/csv"
    return list(csv.DictReader(io.StringIO(attached.get_content().removeprefix("\ufeff"))))


class _Elements(HTMLParser):
    """Collects tags with their attributes, and the text that is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _read(page: str) -> _Elements:
    found = _Elements()
    found.feed(page)
    return found


OURS = {
    "html",
    "head",
    "meta",
    "title",
    "body",
    "table",
    "tr",
    "td",
    "th",
    "h1",
    "h2",
    "p",
    "strong",
    "bdi",
    "span",
    "br",
}


def test_it_opens_as_a_text_a_page_that_says_the_same_and_a_list() -> None:
    customers = [
        _customer("c1", place=1, bucket="A", risk=0.831, expected_loss=1234.5, offer="a year at 20 % off",
                  expected_profit=210.2, raises="month-to-month contract (+1.2)", lowers="support (-0.4)", is_new=True),
        _customer("Ümläut GmbH", place=2, bucket="B", risk=0.5),
    ]  # fmt: skip
    weekly = _weekly(*customers, in_bucket=(("A", 1), ("B", 1), ("C", 98)), offered=0, expected_loss=1900.0,
                     value="`bill` a month", changes=("v2 serves.",), attention=("run 3 failed",))  # fmt: skip
    message = _opened(weekly)
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/csv",
    ]  # fmt: skip
    assert message["Subject"] == "telco: 2 customers at risk, 1 to call first (week 48)"
    said = _plain(message), " ".join(_read(_page(message)).text)
    for fact in (
        "2 customers at risk, 1 to call first",
        "(a customer is worth bill a month)",
        "Of 100 current customers, 2 are at risk; by their probabilities",
        "1 to call (A), 1 on the fence (B, none of them with an offer), 98 to thank (C)",
        "At stake with those at risk: 1,900",
        "v2 serves.",
        "run 3 failed",
        "c1",
        "(new)",
        "83 %",
        "Ümläut GmbH",
        "50 %",
        "to call (A)",
        "at stake: 1,234",
        "offer: a year at 20 % off, expected gain 210",
        "month-to-month contract (+1.2)",
        "held back by: support (-0.4)",
        "Reasons are what the model sees",
        "predictions/run-00007.csv",
    ):
        assert all(fact in each for each in said), fact
    first, second = _rows(message)
    assert first == {"place": "1", "customer": "c1", "new": "yes", "bucket": "A", "may leave": "0.831",
                     "at stake": "1234.5", "offer": "a year at 20 % off", "expected profit": "210.2",
                     "why": "month-to-month contract (+1.2)", "held back by": "support (-0.4)"}  # fmt: skip
    assert second["customer"] == "Ümläut GmbH"


def test_it_needs_nothing_from_elsewhere_and_nothing_that_mail_programs_take_out() -> None:
    found = _read(_page(_opened(_weekly(_customer(text="words")))))
    assert found.tags <= OURS
    assert not {"src", "href", "background", "class", "id"} & found.attributes.keys()
    assert not any(name.startswith("on") for name in found.attributes)
    assert not any("url(" in style for style in found.attributes["style"])


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_texts_wherever_they_stand(text: str) -> None:
    weekly = _weekly(_customer(text, text=text), home=text, model=text, changes=(text,), attention=(text,), file=text)
    _inert(_opened(weekly))


def _inert(message: EmailMessage) -> None:
    assert message.defects == []
    assert set(message.keys()) <= {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version",
                                   "Content-Type"}  # fmt: skip
    assert message["To"] == "ann@example.org"
    page = _page(message)
    assert _read(page).tags <= OURS
    for said in (page, _plain(message), str(message["Subject"])):
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]", said)
    for row in _rows(message):
        assert not any(str(cell).startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


@given(st.text(st.characters(codec="utf-8"), max_size=80))
@example("\x85\u2028 x")
@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_customer_is_called_the_mail_stays_one(name: str) -> None:
    message = _opened(_weekly(_customer(name, text=name), home=name))
    _inert(message)
    shown = words.plain(name, 60)
    assert shown in html.unescape(_page(message))


def test_a_long_list_is_shown_in_part_and_attached_as_a_whole() -> None:
    customers = [_customer(f"c{place}", place=place) for place in range(1, 201)]
    message = _opened(_weekly(*customers, at_risk=500))
    assert "The other 175 of the call list are in the attached file." in _plain(message)
    assert ("c25" in _page(message), "c26" in _page(message)) == (True, False)
    assert len(_rows(message)) == 200


def test_nobody_at_risk_is_a_mail_too() -> None:
    message = _opened(_weekly(expected_leavers=0.0))
    assert message["Subject"] == "telco: nobody is at risk (week 48)"
    assert "Whom to call first" not in _plain(message)
    assert _rows(message) == []


# -- what it says ----------------------------------------------------------------------------------------------


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(make_home(tmp_path / "practice", "call_capacity: 3\n")) as found:
        yield found


def _gather(at: World, former: int | None = None) -> Weekly:
    return mail_data.gather(at.home, at.ledger, week="2026-W48", former_run=former)


def test_without_a_call_list_whoever_is_decided_to_leave_is_at_risk(at: World) -> None:
    at.predict(at.learn(), {"c1": 0.9, "c2": 0.7, "c3": 0.6, "c4": 0.5, "c5": 0.1})
    found = _gather(at)
    assert (found.known, found.at_risk, found.in_bucket) == (5, 4, ())
    assert [(each.place, each.id, each.risk) for each in found.customers] == [(1, "c1", 0.9), (2, "c2", 0.7),
                                                                              (3, "c3", 0.6)]  # fmt: skip
    assert found.expected_leavers == pytest.approx(2.7)
    assert found.changes == ("This is the first mail; the next one says what changed since.",)
    assert "On 200 customers that it had never seen, 67 % of those whom it named left" in found.model
    assert "it named 80 % of all who left" in found.model


def test_with_a_call_list_buckets_a_and_b_are_at_risk_in_its_order(at: World) -> None:
    at.predict(at.learn(), {"c1": 0.6, "c2": 0.9, "c3": 0.2}, calls={
        "bucket": ["A", "B", "C"], "expected_loss": [60.0, 9.0, 2.0], "offer": ["rebate", None, None],
        "raises": ["contract (+1.2)", None, None]})  # fmt: skip
    found = _gather(at)
    assert found.in_bucket == (("A", 1), ("B", 1), ("C", 1))
    assert [(each.id, each.bucket, each.offer, each.raises) for each in found.customers] == [
        ("c1", "A", "rebate", "contract (+1.2)"), ("c2", "B", None, None),
    ]  # fmt: skip
    assert (found.expected_loss, found.value) == (69.0, "10 a month, over 12 months")


@pytest.mark.parametrize(
    ("offers", "offered"),
    [
        (["rebate", "letter", None, "left alone"], 1),
        (["rebate", None, None, None], 0),
        ([None, None, None, "left alone"], None),
    ],
)
def test_of_those_on_the_fence_only_they_are_counted_who_get_an_offer(
    at: World, offers: list[str | None], offered: int | None
) -> None:
    at.predict(at.learn(), {"c1": 0.9, "c2": 0.8, "c3": 0.7, "c4": 0.6}, calls={
        "bucket": ["A", "B", "B", "B"], "expected_loss": [9.0] * 4, "offer": offers})  # fmt: skip
    assert _gather(at).offered == offered


def test_changes_say_who_came_who_went_and_what_serves(at: World) -> None:
    first = at.learn()
    at.predict(first, {"c1": 0.9, "c2": 0.8, "c3": 0.7, "gone": 0.6})
    second = at.learn(Decision.PROMOTED)
    at.predict(second, {"c1": 0.9, "c2": 0.1, "c3": 0.2, "new": 0.8})
    found = _gather(at, former=first)
    assert found.changes[0] == (
        "2 customers are at risk, 2 fewer than in the last mail: 1 new, 3 no longer (1 of them gone from the current"
        " customers)."
    )
    assert any(change.startswith("v2 serves since 2 November 2026 (promoted)") for change in found.changes)
    assert [(each.id, each.is_new) for each in found.customers] == [("c1", False), ("new", True)]


def test_the_same_run_again_is_said_to_be_the_same(at: World) -> None:
    run = at.learn()
    at.predict(run, {"c1": 0.9})
    found = _gather(at, former=run)
    assert found.changes == ("Nothing came in since the last mail: the list is the same.",)
    assert not found.customers[0].is_new


def test_former_predictions_that_were_cleared_away_are_no_obstacle(at: World) -> None:
    first = at.learn()
    at.predict(first, {"c1": 0.9})
    at.predict(at.learn(Decision.PROMOTED), {"c1": 0.9})
    (at.home.predictions / f"run-{first:05d}.parquet").unlink()
    said = _gather(at, former=first).changes[0]
    assert said == "The predictions of run 1 are gone, so nobody knows who is new on the list."


def test_without_predictions_there_is_no_mail(at: World) -> None:
    with pytest.raises(NotFoundError, match="no customers were predicted yet"):
        _gather(at)
    run = at.learn()
    at.predict(run, {"c1": 0.9})
    (at.home.predictions / f"run-{run:05d}.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="gone or damaged"):
        _gather(at)

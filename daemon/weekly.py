"""When the weekly mail is due, and that it is sent once for each week.

A week's mail is reserved in the ledger before it is sent; its week, by the machine's calendar, is the key. An attempt
that surely came to nothing is made again. One that was cut short, or whose server fell silent at the end, is not, since
nobody wants the same mail twice: `status` then says that it may be missing, and how to send it by hand.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from email.message import EmailMessage
from functools import partial

from churnwatch.daemon import attention, outbox, sending
from churnwatch.daemon.outbox import Sent
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.ledger import notices
from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.notices import Channel, Delivery, Outcome, WeeklyMail
from churnwatch.pipeline.settings import Home
from churnwatch.pipeline.settings_notices import WEEKDAYS
from churnwatch.reports import mail, mail_data
from churnwatch.reports.mail_data import Weekly

NOBODY = "churnwatch@localhost"  # of a mail that is only looked at
_NEEDS = "settings.yaml: mail: `from` and `smtp` are needed to send mail; see docs/mail.md."
_TIMEOUT_S = 60.0
log = logging.getLogger("churnwatch.mail")
_WEEK = timedelta(days=7)


def last_due(when: str, now: datetime, zone: tzinfo | None = None) -> tuple[str, datetime]:
    """Return the newest week whose mail is due, and since when (UTC).

    Args:
        when: such as `monday 07:00`, by the clock on the wall. An hour that a change of clocks leaves out comes an hour
            later that day; of one that comes twice the first counts.
        now: the time, with a zone.
        zone: of the clock on the wall; None: the machine's own.
    """
    weekday, _, hour = when.partition(" ")
    today = now.astimezone(zone).date()
    day = today - timedelta(days=(today.weekday() - WEEKDAYS.index(weekday)) % 7)
    due = _at(day, hour, zone)
    if due > now:
        day -= _WEEK
        due = _at(day, hour, zone)
    return week_of(day), due


def _at(day: date, hour: str, zone: tzinfo | None) -> datetime:
    return datetime.combine(day, time.fromisoformat(hour), zone).astimezone(UTC)


def week_of(day: date) -> str:
    """Return a day's week by ISO 8601: 2026-W48."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def send_due(home: Home, ledger: Ledger, *, now: datetime, zone: tzinfo | None = None) -> Sent | None:
    """Send the week's mail where it is due and was not sent; None where there is nothing to send, or not yet.

    Raises:
        DataError: the predictions are gone.
    """
    if not home.settings.mail.to:
        return None
    week, due = last_due(home.settings.mail.when, now, zone)
    if notices.weekly_mail(ledger, week) is None and ledger.customers_predicted() is None:
        return None  # nobody was predicted yet; it is sent once somebody was
    return send_week(home, ledger, week, due=due, now=now)


def send_week(
    home: Home, ledger: Ledger, week: str, *, due: datetime, now: datetime, by_hand: bool = False
) -> Sent | None:
    """Send a week's mail unless it was sent, or may have been; after a failure once the next attempt is due."""
    if notices.weekly_mail(ledger, week) is None:
        _reserve(home, ledger, week, due, now)
    row = notices.weekly_delivery(ledger, week)
    if not _may_be_sent(row) or not (by_hand or outbox.is_due(row, now)):
        return None
    sent = outbox.attempt(ledger, row, partial(_send, home, ledger, week))
    if sent.outcome is Outcome.DELIVERED:
        log.info("the mail of week %s is sent", week)
    else:
        log.warning("the mail of week %s could not be sent: %s", week, sent.error)
    return sent


def _may_be_sent(row: Row) -> bool:
    """Tell whether nothing of a week's mail can have arrived: no attempt was made, or the last one surely failed."""
    return not row["attempts"] or row["outcome"] == Outcome.FAILED


def _reserve(home: Home, ledger: Ledger, week: str, due: datetime, now: datetime) -> None:
    weekly = gathered(home, ledger, week)
    with ledger.transaction():
        ledger.add(WeeklyMail(week, iso(due), iso(now), weekly.run, weekly.at_risk))
        ledger.add(Delivery(notices.next_delivery(ledger), None, week, Channel.MAIL, iso(now)))


def gathered(home: Home, ledger: Reader, week: str) -> Weekly:
    """Return what a week's mail says now."""
    former = notices.mail_before(ledger, week)
    return mail_data.gather(home, ledger, week=week, former_run=former.run if former else None,
                            attention=attention.of(home, ledger, of_notices=False))  # fmt: skip


def _send(home: Home, ledger: Reader, week: str) -> str | None:
    given = home.settings.mail
    if given.smtp is None or given.sender is None:
        raise SettingsError(_NEEDS)
    return sending.mail(letter(home, ledger, week, to=given.to), given.smtp, timeout_s=_TIMEOUT_S)


def send_copy(home: Home, ledger: Reader, *, to: Sequence[str], now: datetime) -> str | None:
    """Send this week's mail to somebody, whoever had it before; nothing is written down.

    Raises:
        ChurnwatchError: why it did not arrive.
    """
    smtp = home.settings.mail.smtp
    if smtp is None or home.settings.mail.sender is None:
        raise SettingsError(_NEEDS)
    message = letter(home, ledger, week_of(now.astimezone().date()), to=to, copy=iso(now))
    return sending.mail(message, smtp, timeout_s=_TIMEOUT_S)


def letter(home: Home, ledger: Reader, week: str, *, to: Sequence[str], copy: str = "") -> EmailMessage:
    """Return a week's mail as it would be sent now; a copy has a number of its own, taken for new."""
    number = hashlib.sha256(f"{home.path} {week} {copy}".encode()).hexdigest()[:16]
    return mail.compose(gathered(home, ledger, week), sender=home.settings.mail.sender or NOBODY, to=to,
                        number=f"{week}.{number}", at=iso(utc_now()))  # fmt: skip

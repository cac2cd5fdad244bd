"""Alerts: what changed is written down, then delivered until it has arrived.

The ledger is the outbox: a change of state and the deliveries that it wants are one transaction. So an alert is never
lost, and a process that is killed while it delivers one delivers it once more, under the same id.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from churnwatch.daemon import alert_states, alert_words, outbox, sending
from churnwatch.daemon.alert_states import Trouble
from churnwatch.daemon.outbox import Sent
from churnwatch.pipeline.clock import from_iso, iso
from churnwatch.pipeline.ledger import notices
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.notices import Alert, AlertKind, Change, Channel, Delivery, Outcome
from churnwatch.pipeline.settings import Home
from churnwatch.reports import words

log = logging.getLogger("churnwatch.alerts")


def record(home: Home, ledger: Ledger, *, now: datetime) -> list[Alert]:
    """Write down what changed since the last look, with the deliveries that it wants; return it."""
    with ledger.transaction():
        changed = []
        for alert in _changes(home, ledger, now):
            ledger.add(alert)
            first = notices.next_delivery(ledger)
            ledger.add(
                *(
                    Delivery(number, alert.alert, None, Channel(channel), alert.at)
                    for number, channel in enumerate(home.settings.alerts.channels, first)
                )
            )
            changed.append(alert)
    for alert in changed:
        log.warning("%s: %s", alert_words.title(home, alert), alert.what)
    return changed


def _changes(home: Home, ledger: Ledger, now: datetime) -> Iterator[Alert]:
    raised = notices.open_alerts(ledger)
    for kind, trouble in alert_states.look(home, ledger, now=now, raised=raised.keys()):
        if trouble is not None and kind not in raised:
            yield _raised(notices.next_alert(ledger), kind, trouble, now)
        elif trouble is None and kind in raised:
            yield _cleared(home, notices.next_alert(ledger), raised[kind], now)


def _raised(number: int, kind: AlertKind, trouble: Trouble, now: datetime) -> Alert:
    return Alert(number, _id(number, kind, now), kind, Change.RAISED, None, iso(now), trouble.since, trouble.what,
                 trouble.costs, trouble.command)  # fmt: skip


def _cleared(home: Home, number: int, raised: Alert, now: datetime) -> Alert:
    lasted = max(0.0, (now - from_iso(raised.since)).total_seconds())
    return Alert(number, _id(number, raised.kind, now), raised.kind, Change.CLEARED, raised.alert, iso(now),
                 raised.since, f"no longer so: {raised.what}", f"it lasted {words.duration(lasted)}",
                 alert_states.typed(home, "status"))  # fmt: skip


def _id(number: int, kind: AlertKind, now: datetime) -> str:
    return hashlib.sha256(f"{number} {kind} {iso(now)}".encode()).hexdigest()[:16]


def deliver(home: Home, ledger: Ledger, *, now: datetime) -> list[tuple[Channel, Sent]]:
    """Deliver what waits and is due, by each channel in its order; return how the attempts ended.

    What fails holds up what comes after it by the same channel, so that nobody reads of an end before its beginning.
    What waits for a channel that the settings name no longer goes on waiting.
    """
    done, held_up = [], set(Channel) - {Channel(each) for each in home.settings.alerts.channels}
    for row in notices.undelivered(ledger):
        channel = Channel(row["channel"])
        if channel in held_up:
            continue
        if not outbox.is_due(row, now):
            held_up.add(channel)
            continue
        alert = notices.alert(ledger, row["alert"])
        raised = notices.alert(ledger, alert.raised) if alert.raised is not None else alert
        sent = outbox.attempt(ledger, row, partial(send, home, channel, alert, raised))
        done.append((channel, sent))
        if sent.outcome is not Outcome.DELIVERED:
            held_up.add(channel)
            log.warning("an alert could not be delivered by %s: %s", channel, sent.error)
    return done


def send(home: Home, channel: Channel, alert: Alert, raised: Alert) -> str | None:
    """Send an alert by one channel; return for whom it was refused, None where all is well.

    Raises:
        SendError: it did not arrive, or may not have.
        SettingsError: a secret is not where the settings say.
    """
    given, mail = home.settings.alerts, home.settings.mail
    timeout_s = given.timeout_s
    if channel is Channel.MAIL and mail.smtp is not None and mail.sender is not None:
        letter = alert_words.letter(home, alert, raised, sender=mail.sender, to=given.mail)
        return sending.mail(letter, mail.smtp, timeout_s=timeout_s)
    told = alert_words.payload(home, alert, raised)
    if channel is Channel.WEBHOOK and given.webhook is not None:
        sending.webhook(told, given.webhook, timeout_s=timeout_s)
    if channel is Channel.COMMAND and given.command is not None:
        sending.command(told, given.command, home.path, timeout_s=timeout_s)
    return None


def try_out(home: Home, *, now: datetime) -> list[tuple[Channel, str | None]]:
    """Send a test by every channel, and write nothing down; return what went wrong with each."""
    trouble = Trouble(iso(now), "a test, sent by hand: nothing is wrong", "nothing", alert_states.typed(home, "status"))
    alert = _raised(0, AlertKind.TEST, trouble, now)
    return [
        (channel, outbox.tried(partial(send, home, channel, alert, alert)).error)
        for channel in map(Channel, home.settings.alerts.channels)
    ]

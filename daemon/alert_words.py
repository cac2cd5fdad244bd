"""An alert in words: as JSON for programs, as a mail for people. Everything in it is plain text."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

from churnwatch.pipeline.notices import Alert, AlertKind, Change
from churnwatch.pipeline.settings import Home
from churnwatch.reports import letters, words

_TITLES = {
    AlertKind.RUN_FAILED: "a run failed",
    AlertKind.DRIFT: "customers have changed",
    AlertKind.UNDECIDABLE: "too few rows to decide",
    AlertKind.VULNERABLE: "vulnerable packages",
    AlertKind.NO_DROP: "no new data",
    AlertKind.DISK_LOW: "little room on the disk",
    AlertKind.TEST: "a test",
}


def title(home: Home, alert: Alert) -> str:
    """Return an alert in a few words, with the home that it is of."""
    resolved = "resolved: " if alert.change is Change.CLEARED else ""
    return words.plain(f"churnwatch {home.path.name}: {resolved}{_TITLES[alert.kind]}")


def payload(home: Home, alert: Alert, raised: Alert) -> dict[str, Any]:
    """Return an alert as what a webhook or a command gets.

    `id` is the same however often it comes; `incident` is that of the alert that was raised. `text` says all of it: it
    is what most chat programs show.
    """
    return {
        "id": alert.alert_id,
        "incident": raised.alert_id,
        "home": str(home.path),
        "host": socket.gethostname(),
        "kind": alert.kind.value,
        "change": alert.change.value,
        "at": alert.at,
        "since": alert.since,
        "title": title(home, alert),
        "what": words.plain(alert.what),
        "costs": words.plain(alert.costs),
        "command": alert.command,
        "text": f"{title(home, alert)}\n{_body(alert)}",
    }


def letter(home: Home, alert: Alert, raised: Alert, *, sender: str, to: Sequence[str]) -> EmailMessage:
    """Return an alert as a mail; one that is resolved answers the one that it ends."""
    message = letters.addressed(sender, to, title(home, alert), number=alert.alert_id, at=alert.at)
    if raised.alert_id != alert.alert_id:
        message["In-Reply-To"] = message["References"] = letters.message_id(raised.alert_id, sender)
    where = words.plain(f"{home.path} on {socket.gethostname()}")
    message.set_content(f"{_body(alert)}\n\nThis is alert {alert.alert_id} of {where}.\n", cte="quoted-printable")
    return message


def _body(alert: Alert) -> str:
    return (
        f"{words.plain(alert.what)}\n"
        f"Since: {words.moment(alert.since)}\n"
        f"What it costs: {words.plain(alert.costs)}\n"
        f"What to type: {alert.command}"
    )

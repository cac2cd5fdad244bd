"""What `alert` and `mail` do, each a function that returns lines to print."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from churnwatch.daemon import alert_words, alerts, notify, weekly
from churnwatch.daemon.sending import SendError
from churnwatch.pipeline import files, settings, settings_notices
from churnwatch.pipeline.clock import utc_now
from churnwatch.pipeline.errors import BusyError, SettingsError, UsageError
from churnwatch.pipeline.ledger import notices
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.notices import Outcome
from churnwatch.pipeline.settings import Home

Lines = tuple[list[str], list[str]]  # what went well, and what did not


def alert(folder: Path) -> Lines:
    """Look, deliver and send what is due."""
    home = settings.load(folder)
    told = notify.once(home)
    said = [f"{alert_words.title(home, each)}: {each.what}" for each in told.changed]
    said += [
        f"an alert by {channel}: delivered" for channel, sent in told.deliveries if sent.outcome is Outcome.DELIVERED
    ]
    if told.mail is not None and told.mail.outcome is Outcome.DELIVERED:
        said.append(_sent_to(home.settings.mail.to, told.mail.error))
    if not told.changed:
        said.append(f"Nothing changed; {told.open} {'alert is' if told.open == 1 else 'alerts are'} open.")
    return said, told.failures


def try_alerts(folder: Path) -> Lines:
    """Send a test by every channel of the settings.

    Raises:
        SettingsError: there is none.
    """
    home = settings.load(folder)
    found = alerts.try_out(home, now=utc_now())
    if not found:
        raise SettingsError("settings.yaml: alerts: no `mail`, `webhook` or `command` stands there; see docs/mail.md.")
    said = [f"a test by {channel}: delivered" for channel, error in found if error is None]
    return said, [f"a test by {channel}: {error}" for channel, error in found if error is not None]


def mail(folder: Path, *, dry_run: Path | None, to: Sequence[str]) -> str:
    """Write the week's mail into a file, or send a copy to somebody, or send it to all whom the settings name.

    Raises:
        ChurnwatchError: why it was not sent.
    """
    home, now = settings.load(folder), utc_now()
    to = [each.strip() for each in to]
    if not all(map(settings_notices.is_address, to)):
        raise UsageError("--to: a plain address such as ann@example.org.")
    if dry_run is not None:
        return _written(home, dry_run, to, now)
    if to:
        with Reader.open(home.ledger) as ledger:
            return _sent_to(to, weekly.send_copy(home, ledger, to=to, now=now))
    if not home.settings.mail.to:
        raise SettingsError("settings.yaml: mail.to: nobody stands there. Name somebody, or use --to or --dry-run.")
    with Reader.open(home.ledger):
        pass  # a ledger is made by the first run and by nothing else
    with notify.ledger_of(home) as ledger:
        return _sent_by_hand(home, ledger, now)


def _written(home: Home, target: Path, to: Sequence[str], now: datetime) -> str:
    with Reader.open(home.ledger) as ledger:
        week = weekly.week_of(now.astimezone().date())
        message = weekly.letter(home, ledger, week, to=to or home.settings.mail.to or [weekly.NOBODY])
    with files.written_beside(target) as beside:
        beside.write_bytes(message.as_bytes())
    return f"{target}: {message['Subject']}; nothing was sent"


def _sent_by_hand(home: Home, ledger: Ledger, now: datetime) -> str:
    week = weekly.week_of(now.astimezone().date())
    sent = weekly.send_week(home, ledger, week, due=now, now=now, by_hand=True)
    if sent is None:
        when = notices.weekly_delivery(ledger, week)["last_begun_at"][:16].replace("T", " ")
        raise BusyError(
            f"the mail of week {week} went out on {when} UTC. To send it again: churnwatch mail --to ADDRESS"
        )
    if sent.outcome is not Outcome.DELIVERED:
        raise SendError(f"{sent.error} `churnwatch status` says what becomes of it.")
    return _sent_to(home.settings.mail.to, sent.error)


def _sent_to(to: Sequence[str], refused: str | None) -> str:
    return f"the weekly mail is sent to {', '.join(to)}{f'; refused: {refused}' if refused else ''}"

"""One turn of telling people: look for what changed, deliver what waits, send the weekly mail where it is due."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from churnwatch.daemon import alerts, metrics_file, weekly
from churnwatch.daemon.attention import NOTIFY_LOCK
from churnwatch.daemon.outbox import Sent
from churnwatch.pipeline import files
from churnwatch.pipeline.clock import utc_now
from churnwatch.pipeline.ledger import notices
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.notices import Alert, Channel, Outcome
from churnwatch.pipeline.settings import Home


@contextmanager
def ledger_of(home: Home) -> Iterator[Ledger]:
    """Open a home's ledger to send something; one process at a time does, a second one waits."""
    with files.lock(home.state / NOTIFY_LOCK, busy="", wait=True), Ledger.open(home.ledger) as ledger:
        yield ledger


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one turn."""

    changed: tuple[Alert, ...]
    deliveries: tuple[tuple[Channel, Sent], ...]
    mail: Sent | None
    open: int  # alerts

    @property
    def failures(self) -> list[str]:
        """What did not arrive, and why."""
        of_mail = [] if self.mail is None else [("the weekly mail", self.mail)]
        of_alerts = [(f"an alert by {channel}", sent) for channel, sent in self.deliveries]
        return [f"{what}: {sent.error}" for what, sent in of_alerts + of_mail if sent.outcome is not Outcome.DELIVERED]


def once(home: Home) -> Told:
    """Do all that is due; nothing in a home without a ledger.

    Raises:
        ChurnwatchError: the ledger, or the predictions, cannot be read.
    """
    if not home.ledger.exists():
        return Told((), (), None, 0)
    with ledger_of(home) as ledger:
        now = utc_now()
        changed = alerts.record(home, ledger, now=now)
        deliveries = alerts.deliver(home, ledger, now=now)
        metrics_file.write(home, ledger, now=now)
        mail = weekly.send_due(home, ledger, now=now)
        return Told(tuple(changed), tuple(deliveries), mail, len(notices.open_alerts(ledger)))

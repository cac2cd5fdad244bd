"""One attempt to deliver something, written down before anything leaves this machine and again when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from churnwatch.daemon.sending import SendError
from churnwatch.pipeline.clock import from_iso, iso, utc_now
from churnwatch.pipeline.errors import ChurnwatchError
from churnwatch.pipeline.ledger.reader import Row
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.notices import DeliveryAttempt, DeliveryEnd, Outcome

_BACKOFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))


@dataclass(frozen=True, slots=True)
class Sent:
    """How an attempt ended. `error` says why it failed, or of what has arrived, for whom it has not."""

    outcome: Outcome
    error: str | None


def is_due(row: Row, now: datetime) -> bool:
    """Tell whether a delivery's next attempt is due: ever less often, at least every hour.

    An attempt that seems to lie ahead was made when the clock was wrong, and holds nothing up.
    """
    if not row["attempts"]:
        return True
    last = from_iso(row["last_begun_at"])
    return not last <= now < last + _BACKOFF[min(row["attempts"], len(_BACKOFF)) - 1]


def attempt(ledger: Ledger, row: Row, send: Callable[[], str | None]) -> Sent:
    """Make the next attempt of a delivery and record how it ended."""
    number = row["attempts"] + 1
    ledger.add(DeliveryAttempt(row["delivery"], number, iso(utc_now())))
    found = tried(send)
    ledger.add(DeliveryEnd(row["delivery"], number, iso(utc_now()), found.outcome, found.error))
    return found


def tried(send: Callable[[], str | None]) -> Sent:
    """Send something, and say how it ended."""
    try:
        return Sent(Outcome.DELIVERED, send())
    except SendError as error:
        return Sent(Outcome.UNKNOWN if error.may_have_arrived else Outcome.FAILED, str(error))
    except ChurnwatchError as error:
        return Sent(Outcome.FAILED, str(error))

"""What is told to people, as frozen values: alerts, and how far their deliveries and the weekly mail's are.

One value per table of the ledger, field for column. Times are UTC, ISO 8601.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AlertKind(StrEnum):
    """What can go wrong so that somebody is told; of each kind one alert is open at most."""

    RUN_FAILED = "run_failed"
    DRIFT = "drift"
    UNDECIDABLE = "undecidable"
    VULNERABLE = "vulnerable"
    NO_DROP = "no_drop"
    DISK_LOW = "disk_low"
    TEST = "test"  # only to see whether a message arrives; never in the ledger


class Change(StrEnum):
    """What became of an alert."""

    RAISED = "raised"
    CLEARED = "cleared"


class Channel(StrEnum):
    """A way to somebody."""

    MAIL = "mail"
    WEBHOOK = "webhook"
    COMMAND = "command"


class Outcome(StrEnum):
    """How an attempt to deliver ended; one without an end was cut short."""

    DELIVERED = "delivered"
    FAILED = "failed"  # and nothing was taken
    UNKNOWN = "unknown"  # the other side fell silent after it had everything


@dataclass(frozen=True, slots=True)
class Alert:
    """One change of state (table `alerts`)."""

    alert: int
    alert_id: str  # the same however often it is delivered
    kind: AlertKind
    change: Change
    raised: int | None  # the alert that a cleared one ends
    at: str
    since: str  # when what it is about began
    what: str
    costs: str
    command: str


@dataclass(frozen=True, slots=True)
class WeeklyMail:
    """A week's mail, from the moment at which it was about to be sent (table `weekly_mails`)."""

    week: str  # ISO 8601, by the machine's calendar: 2026-W48
    due_at: str
    reserved_at: str
    run: int  # whose predictions it is about
    customers: int  # named in it


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something to be delivered by one channel (table `deliveries`): an alert, or a week's mail."""

    delivery: int
    alert: int | None
    week: str | None
    channel: Channel
    at: str


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt to deliver, from before anything leaves this machine (table `delivery_attempts`)."""

    delivery: int
    attempt: int
    begun_at: str


@dataclass(frozen=True, slots=True)
class DeliveryEnd:
    """How one attempt ended (table `delivery_ends`)."""

    delivery: int
    attempt: int
    ended_at: str
    outcome: Outcome
    error: str | None = None

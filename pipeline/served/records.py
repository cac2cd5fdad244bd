"""What is kept of a served prediction, and of what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Served:
    """One prediction as it was answered.

    Attributes:
        uuid: by which its outcome is told.
        at: when, in UTC.
        customer: the id, where one was sent.
        version: of the model, such as v7.
        probability: of leaving; of a regression the amount.
        decision: 0 or 1; None of a regression.
        latency_s: from the request to the answer.
        inputs: what was sent of the customer by column, without what was assumed.
    """

    uuid: str
    at: str
    customer: str | None
    version: str
    probability: float
    decision: int | None
    latency_s: float
    inputs: Mapping[str, object]


@dataclass(frozen=True)
class Outcome:
    """What came of a prediction: 1 for who left, 0 for who stayed, or the amount; and when, in UTC."""

    uuid: str
    target: float
    at: str


class Fate(StrEnum):
    """What became of an outcome that was told."""

    JOINED = "joined"
    KNOWN = "already known"  # the same was told before
    CONTRADICTS = "contradicts"  # another was told before, which counts
    UNKNOWN = "unknown"  # no prediction of this id is kept


@dataclass(frozen=True)
class Waiting:
    """Rows that are in no batch yet, and since when the first of them waits."""

    rows: int
    since: str | None


@dataclass(frozen=True)
class Row:
    """A row of a batch: a prediction, with its target where it is of outcomes.

    Attributes:
        number: of the prediction, or of the outcome; the order in which rows make batches.
        at: when it was predicted.
        customer: the id, where one was sent.
        inputs: JSON.
        target: what came of it.
    """

    number: int
    at: str
    customer: str | None
    inputs: str
    target: float | None


@dataclass(frozen=True)
class Answered:
    """A prediction of which the outcome is known."""

    version: str
    probability: float
    decision: int | None
    target: float


@dataclass(frozen=True)
class Confusion:
    """Outcomes of one version by what was decided, and when the first of these predictions was made."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    since: str | None

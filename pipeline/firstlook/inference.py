"""What was inferred from a sample, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from churnwatch.pipeline.settings import Column, Csv, Task


@dataclass(frozen=True)
class Question:
    """What the sample cannot tell: the setting, the question to put, and the answers that are possible."""

    field: str
    text: str
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Inference:
    """The settings that fit a sample.

    Attributes:
        exclude: columns not to learn from: those that the user named, those where every row has its own value,
            and `leaks`.
        leaks: columns that alone give the target away.
        aucs: how well each column alone tells who left, .5 to 1; empty where that cannot be said.
        notes: a line for each thing that was inferred, and why.
        questions: what nobody but the user can tell.
    """

    csv: Csv
    columns: dict[str, Column]
    id: str | None = None
    target: str | None = None
    positive: str | None = None
    task: Task = Task.CLASSIFICATION
    date: str | None = None
    exclude: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()
    aucs: dict[str, float] = field(default_factory=dict)
    dedup: Literal["on", "off"] = "on"
    notes: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()

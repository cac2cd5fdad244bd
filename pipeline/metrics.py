"""The metrics that models are compared by: their names, which way is better, what they are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from churnwatch.pipeline.settings import Task

MINUS = "\N{MINUS SIGN}"
_LARGE, _LONG = 1e4, 1e12  # amounts from here on are written without cents, and with an exponent


class Needs(StrEnum):
    """What a metric is computed from, beside what happened."""

    DECISIONS = "decisions"
    PROBABILITIES = "probabilities"
    AMOUNTS = "amounts"


class Unit(StrEnum):
    """How a metric's values are written."""

    SCORE = "score"  # 0.653
    AMOUNT = "amount"  # 41.20, in the unit of the target
    SHARE = "share"  # 8.1 %


@dataclass(frozen=True)
class Metric:
    """A metric as people call it.

    Attributes:
        title: its name in a sentence.
        needs: what it is computed from.
        sign: 1 where higher is better, -1 where lower is.
        unit: of its values.
    """

    title: str
    needs: Needs
    sign: int = 1
    unit: Unit = Unit.SCORE

    @property
    def relative(self) -> bool:
        """Whether a difference counts as a share of the champion's value; that of errors of amounts does."""
        return self.unit is not Unit.SCORE

    @property
    def better(self) -> str:
        """The word for a better value."""
        return "higher" if self.sign > 0 else "lower"

    def shown(self, value: float) -> str:
        """Return a value, or a difference of two, as people read it."""
        if self.unit is Unit.SCORE:
            return minus(f"{value:.3f}")
        return amount(value) if self.unit is Unit.AMOUNT else minus(f"{100 * value:.2f} %")

    def step(self, share: float) -> str:
        """Return a difference that is asked for or allowed: 0.005, or 0.5 % where it counts as a share."""
        return f"{100 * share:g} %" if self.relative else f"{share:g}"


def amount(value: float) -> str:
    """Return an amount as people read it: 41.20, 52,391, and 0.0132 with its first digits."""
    if not (1 <= abs(value) < _LONG or value == 0):
        return minus(f"{value:.4g}")
    return minus(f"{value:,.2f}" if abs(value) < _LARGE else f"{value:,.0f}")


def minus(number: str) -> str:
    """Return a number for people, with a minus as wide as a plus; in a CSV stays the hyphen that programs read."""
    return f"{MINUS}{number[1:]}" if number.startswith("-") else number


METRICS: Mapping[str, Metric] = {
    "f1": Metric("F1", Needs.DECISIONS),
    "precision": Metric("precision", Needs.DECISIONS),
    "recall": Metric("recall", Needs.DECISIONS),
    "accuracy": Metric("accuracy", Needs.DECISIONS),
    "balanced_accuracy": Metric("balanced accuracy", Needs.DECISIONS),
    "roc_auc": Metric("ROC AUC", Needs.PROBABILITIES),
    "average_precision": Metric("average precision", Needs.PROBABILITIES),
    "log_loss": Metric("log loss", Needs.PROBABILITIES, -1),
    "brier": Metric("Brier score", Needs.PROBABILITIES, -1),
    "mae": Metric("mean absolute error", Needs.AMOUNTS, -1, Unit.AMOUNT),
    "mape": Metric("mean absolute percentage error", Needs.AMOUNTS, -1, Unit.SHARE),
    "rmse": Metric("root mean squared error", Needs.AMOUNTS, -1, Unit.AMOUNT),
    "r2": Metric("R²", Needs.AMOUNTS),
}

# The metric by which people know how good a home's model is, whatever the gate decides by.
HEADLINES: Mapping[Task, str] = {Task.CLASSIFICATION: "f1", Task.REGRESSION: "mae"}

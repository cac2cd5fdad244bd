"""The metrics that models are compared by: their names, which way is better, what they are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Needs(StrEnum):
    """What a metric is computed from, beside what happened."""

    DECISIONS = "decisions"
    PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Metric:
    """A metric as people call it.

    Attributes:
        title: its name in a sentence.
        needs: what it is computed from.
        sign: 1 where higher is better, -1 where lower is.
    """

    title: str
    needs: Needs
    sign: int = 1

    @property
    def better(self) -> str:
        """The word for a better value."""
        return "higher" if self.sign > 0 else "lower"


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
}

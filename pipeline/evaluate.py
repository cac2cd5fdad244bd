"""Labels and probabilities → metrics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def evaluate(y: Labels, probability: Floats, *, threshold: float, top_share: float = 0.1) -> dict[str, float]:
    """Return every metric that these rows allow.

    Args:
        y: (n,) labels, 0 or 1.
        probability: (n,) probability of 1.
        threshold: from which probability on the decision is 1.
        top_share: the share of customers who can be called, for precision and lift at the call capacity.

    What cannot be known is left out: ranking metrics need both classes.
    """
    if not len(y):
        return {}
    decided = (probability >= threshold).astype(int)
    tn, fp, fn, tp = confusion_matrix(y, decided, labels=[0, 1]).ravel()
    found = {
        "f1": f1_score(y, decided, zero_division=0.0),
        "precision": precision_score(y, decided, zero_division=0.0),
        "recall": recall_score(y, decided, zero_division=0.0),
        "accuracy": accuracy_score(y, decided),
        "log_loss": log_loss(y, probability, labels=[0, 1]),
        "brier": brier_score_loss(y, probability),
        "true_negatives": tn,
        "false_positives": fp,
        "false_negatives": fn,
        "true_positives": tp,
    }
    if 0 < y.sum() < len(y):
        found["roc_auc"] = roc_auc_score(y, probability)
        found["average_precision"] = average_precision_score(y, probability)
        found["precision_at_capacity"] = precision_at(y, probability, top_share)
        found["lift_at_capacity"] = found["precision_at_capacity"] / y.mean()
    return {name: float(value) for name, value in found.items()}


def precision_at(y: Labels, probability: Floats, share: float) -> float:
    """Return the share of positives among the rows of the highest probability; ties are taken in row order."""
    called = max(1, round(share * len(y)))
    top = np.argsort(-probability, kind="stable")[:called]
    return float(y[top].mean())


def baseline_f1(y: Labels) -> float:
    """Return the F1 of the dummy that says of everybody that they leave: the best of those that look at nothing.

    Saying yes with probability q has an expected F1 of about 2pq / (p + q) at prevalence p, most at q = 1.
    """
    prevalence = float(y.mean()) if len(y) else 0.0
    return 2 * prevalence / (1 + prevalence)

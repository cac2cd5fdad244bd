"""Labels and probabilities → metrics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import auc, confusion_matrix_at_thresholds, log_loss

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
    decided, left = probability >= threshold, y == 1
    positives, called = int(left.sum()), int(decided.sum())
    tp = int((decided & left).sum())
    fp, fn = called - tp, positives - tp
    tn = len(y) - tp - fp - fn
    found = {
        "f1": 2 * tp / max(2 * tp + fp + fn, 1),
        "precision": tp / max(called, 1),
        "recall": tp / max(positives, 1),
        "accuracy": (tp + tn) / len(y),
        "log_loss": log_loss(y, probability, labels=[0, 1]),
        "brier": np.mean((probability - y) ** 2),
        "true_negatives": tn,
        "false_positives": fp,
        "false_negatives": fn,
        "true_positives": tp,
    }
    if 0 < positives < len(y):
        found["roc_auc"], found["average_precision"] = _ranking(y, probability)
        found["precision_at_capacity"] = precision_at(y, probability, top_share)
        found["lift_at_capacity"] = found["precision_at_capacity"] / y.mean()
    return {name: float(value) for name, value in found.items()}


def _ranking(y: Labels, probability: Floats) -> tuple[float, float]:
    """Return ROC AUC and average precision; from one sort, which is most of what scikit-learn's two functions cost."""
    _, fp, _, tp, _ = confusion_matrix_at_thresholds(y, probability)
    recall, precision = tp / tp[-1], tp / (tp + fp)
    roc_auc = auc(np.append(0.0, fp / fp[-1]), np.append(0.0, recall))
    return float(roc_auc), float(np.sum(np.diff(recall, prepend=0.0) * precision))


def precision_at(y: Labels, probability: Floats, share: float) -> float:
    """Return the share of positives among the rows of the highest probability; ties are taken in row order."""
    called = max(1, round(share * len(y)))
    last = np.partition(probability, len(y) - called)[len(y) - called]
    above = probability > last
    tied = np.flatnonzero(probability == last)[: called - int(above.sum())]
    return float((y[above].sum() + y[tied].sum()) / called)


def baseline_f1(y: Labels) -> float:
    """Return the F1 of the dummy that says of everybody that they leave: the best of those that look at nothing.

    Saying yes with probability q has an expected F1 of about 2pq / (p + q) at prevalence p, most at q = 1.
    """
    prevalence = float(y.mean()) if len(y) else 0.0
    return 2 * prevalence / (1 + prevalence)

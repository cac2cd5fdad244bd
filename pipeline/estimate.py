"""Probabilities alone → what the metrics of a model will be once the labels are known, with intervals.

Each row is positive with its probability, so the expected counts of a confusion matrix are sums of probabilities; how
far the counts may come to lie from that by luck is drawn. All this assumes that the probabilities still mean what they
say: that the relation to churn is unchanged. Only the labels can tell, see `coverage`.

Sources: Confidence-based performance estimation (CBPE) of NannyML, https://nannyml.readthedocs.io, for the sums and the
ROC AUC; Garg et al., Leveraging unlabeled data to predict out-of-distribution performance, ICLR 2022, on what no such
method can know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.95  # of the intervals: above the 90 % that must hold the truth, since luck takes its part
_BINS = 100  # on each side of the threshold
_DRAWS = 1000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """One metric as it is expected, and between which values it comes to lie in 95 % of all outcomes."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class _Bins:
    """Rows of nearly the same probability, the highest first, none on both sides of the threshold.

    Attributes:
        rows: (bins,) how many rows are in each.
        probability: (bins,) their mean probability.
        called: (bins,) whether they are decided to leave.
    """

    rows: npt.NDArray[np.int64]
    probability: Floats
    called: npt.NDArray[np.bool_]


def estimate(probability: Floats, *, threshold: float, seed: int = 0) -> tuple[Estimate, ...]:
    """Return F1, precision, recall, accuracy and ROC AUC as they are expected of rows without labels.

    Args:
        probability: (n,) calibrated probability of 1.
        threshold: from which probability on the decision is 1.
        seed: of the draws.

    What cannot be known is left out: a ranking needs both classes. No rows, no estimates.
    """
    if not len(probability):
        return ()
    bins = _binned(probability, threshold)
    drawn = np.random.default_rng(seed).binomial(bins.rows, bins.probability, size=(_DRAWS, len(bins.rows)))
    expected = _metrics((bins.rows * bins.probability)[np.newaxis], bins)
    of_draws = _metrics(drawn.astype(np.float64), bins)
    tails = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    found = []
    for name, values in of_draws.items():
        known = values[~np.isnan(values)]
        if len(known) and not np.isnan(expected[name][0]):
            low, high = np.quantile(known, tails)
            found.append(Estimate(name, float(expected[name][0]), float(low), float(high)))
    return tuple(found)


def _binned(probability: Floats, threshold: float) -> _Bins:
    """Put rows of neighbouring probabilities together: so many are alike that a binomial draw is one of them all."""
    ranked = np.sort(probability)[::-1]
    called = int(np.searchsorted(-ranked, -threshold, side="right"))
    starts = np.unique(np.concatenate([_starts(0, called), _starts(called, len(ranked))]))
    rows = np.diff(np.append(starts, len(ranked)))
    mean = np.add.reduceat(ranked, starts) / rows
    return _Bins(rows, np.clip(mean, 0.0, 1.0), starts < called)


def _starts(first: int, end: int) -> npt.NDArray[np.int64]:
    count = min(_BINS, end - first)
    return first + (end - first) * np.arange(count, dtype=np.int64) // max(count, 1)


def _metrics(positives: Floats, bins: _Bins) -> dict[str, Floats]:
    """Return each metric of every draw.

    Args:
        positives: (draws, bins) how many of each bin's rows are positive.
        bins: the rows.
    """
    rows, called = int(bins.rows.sum()), int(bins.rows[bins.called].sum())
    left, tp = positives.sum(axis=1), positives[:, bins.called].sum(axis=1)
    negatives = bins.rows - positives
    above = np.cumsum(positives, axis=1) - positives / 2  # of two rows of one bin, either may be the higher
    pairs = left * (rows - left)
    ordered = (above * negatives).sum(axis=1)
    return {
        "f1": 2 * tp / np.maximum(called + left, 1),
        "precision": tp / max(called, 1),
        "recall": tp / np.maximum(left, 1e-12),
        "accuracy": (rows - called - left + 2 * tp) / rows,
        "roc_auc": np.divide(ordered, pairs, out=np.full(len(left), np.nan), where=pairs > 0),
    }

"""What happened to a column, in words: the largest gain and the largest loss among its bins."""

from __future__ import annotations

import numpy as np

from churnwatch.pipeline.bins import Bins, bin_name, interval
from churnwatch.pipeline.drift import Deviation
from churnwatch.pipeline.drift_words import percent
from churnwatch.pipeline.metrics import METRICS

_LONGEST = 40  # characters of a category
_NEARLY_ALL = 0.8  # of a deviation


def of_column(bins: Bins, deviation: Deviation) -> str | None:
    """Name the largest loss and the largest gain among a column's bins; None where it does not deviate."""
    if not deviation.value:
        return None
    moved = deviation.moved
    came, went = int(np.argmax(moved)), int(np.argmin(moved))
    if bins.missing in (came, went):
        more, share = ("more", moved[came]) if came == bins.missing else ("fewer", -moved[went])
        return f"{bins.column}: {percent(share)} {more} without a value"
    if bins.categories is None:
        return f"{bins.column}: {_numbers(bins, deviation)}"
    if bin_name(bins, came) == "values not seen before":
        return f"{bins.column}: {percent(moved[came])} have values not seen before"
    most = "" if min(moved[came], -moved[went]) >= _NEARLY_ALL * deviation.value else ", most of them"
    return (
        f"{bins.column}: {percent(deviation.value)} of customers moved{most}"
        f" from {_category(bins, went)} to {_category(bins, came)}"
    )


def _numbers(bins: Bins, deviation: Deviation) -> str:
    """Name the interval of neighbouring bins that gained most together."""
    best, first, last, begin, running = 0.0, 0, 0, 0, 0.0
    for place, share in enumerate(deviation.moved[: bins.missing].tolist()):
        if running <= 0:
            begin, running = place, 0.0
        running += share
        if running > best:
            best, first, last = running, begin, place
    return f"{percent(best)} of customers moved to {interval(bins, first, last)}"


def _category(bins: Bins, place: int) -> str:
    said = bin_name(bins, place)
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"


def of_share(before: float, now: float) -> str:
    """Say how the share of those who leave changed."""
    return f"the share of leavers went from {percent(before)} to {percent(now)}"


def of_losses(before: float, now: float, metric: str = "log_loss") -> str:
    """Say how the log loss, or the mean absolute error, of the model in use changed."""
    of = METRICS[metric]
    return f"the model in use: {of.title} {of.shown(now)} on the new rows, {of.shown(before)} on its holdout"

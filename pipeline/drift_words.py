"""Deviations that the ledger has → words. Light: `status` says them."""

from __future__ import annotations

from collections.abc import Sequence

from churnwatch.pipeline.records import Band, Drift, DriftKind

_NAMES = {
    DriftKind.TARGET: "the share of leavers",
    DriftKind.PREDICTION: "the predictions",
    DriftKind.CONCEPT: "the log loss of the model in use",
}
_VERBS = {DriftKind.PREDICTION: "deviate by", DriftKind.CONCEPT: "rose by"}


def percent(share: float) -> str:
    """Return a share as people read it: 3.1 %, 11 %."""
    value = 100 * share
    return f"{value:.0f} %" if round(value, 1) >= 10 else f"{value:.1f} %"  # noqa: PLR2004 - from here on decimals are noise


def what(drift: Drift) -> str:
    """Name what deviates without any value of the data: these words may stand in a log."""
    if drift.kind is DriftKind.CONCEPT and drift.column_name == "mae":
        return "the error of the model in use"
    return _NAMES.get(drift.kind, drift.column_name)


def largest(drifts: Sequence[Drift], retrain: float) -> str:
    """Say in a line that nothing reaches the band, what comes nearest, and what chance alone could do.

    Args:
        drifts: of one run, the largest deviation first.
        retrain: the band, in percent.
    """
    nearest = drifts[0]
    columns = [each for each in drifts if each.kind is DriftKind.COLUMN]
    highest = max((each.floor_percent for each in columns), default=nearest.floor_percent)
    floor = nearest.floor_percent if nearest.deviation_percent else highest
    said = f"largest: {what(nearest)}, {_bare(nearest.deviation_percent)}; " if nearest.deviation_percent else ""
    few = ": too few rows to tell" if any(each.band is Band.UNRESOLVED for each in columns) else ""
    return f"no column deviates by {retrain:g} % or more ({said}floor {_bare(floor)}{few})"


def summary(drifts: Sequence[Drift], retrain: float) -> str:
    """Say in a line what happened to the rows of a run, by its cause; not for logs, since a cause names categories.

    Args:
        drifts: of one run, the largest deviation first.
        retrain: the band from which on a deviation calls for a new model, in percent.
    """
    found = [each for each in drifts if each.band.retrains]
    if not found:
        return largest(drifts, retrain)
    more = f"; {len(found) - 1} more at {retrain:g} % or above" if len(found) > 1 else ""
    return (
        f"{found[0].cause} (deviation {_bare(found[0].deviation_percent)}, floor {_bare(found[0].floor_percent)}){more}"
    )


def _bare(value: float) -> str:
    return percent(value / 100)


def deviates(drift: Drift) -> str:
    """Say of one that reaches a band what it is and by how much, without any value of the data."""
    deviation, floor = _bare(drift.deviation_percent), _bare(drift.floor_percent)
    return f"{what(drift)} {_VERBS.get(drift.kind, 'deviates by')} {deviation} (floor {floor})"

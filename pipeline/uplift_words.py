"""What campaigns say of an offer → one sentence on what decides to whom it is made, and why."""

from __future__ import annotations

from churnwatch.pipeline.records import UpliftModel


def decided_by(found: UpliftModel, *, has_save_rate: bool) -> str:
    """Return the sentence.

    Args:
        found: what campaigns say.
        has_save_rate: whether the settings give the offer a save rate.
    """
    if found.decides:
        return f"{found.offer}: decided by an uplift model. {_measured(found)}"
    instead = "decided by its save rate" if has_save_rate else "made to nobody, without a save rate"
    learned = "" if found.effect is None else f" {_measured(found)}"
    return f"{found.offer}: {instead}. No uplift model decides: {found.why}.{learned}"


def _measured(found: UpliftModel) -> str:
    """Say what was measured, in points."""
    rate = found.control_churned / found.control
    return (
        f"Of {found.treated:,} treated and {found.control:,} left alone, {_points(found, 'effect')} points fewer left"
        f" on average, of {rate:.1%} without it; Qini {_points(found, 'qini')}."
    )


def _points(found: UpliftModel, what: str) -> str:
    value, low, high = (100 * getattr(found, f"{what}{part}") for part in ("", "_low", "_high"))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"

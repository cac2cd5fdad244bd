"""Contributions as pages show them: with a sign, and in shades from blue, lowers, to red, raises."""

from __future__ import annotations

import math

from churnwatch.pipeline.reason_words import signed

STRONGEST = 5  # shades on either side


def effect(contribution: float, *, amounts: bool) -> str:
    """Return a contribution with its sign: of log-odds +1.20, of amounts with as many digits as they need."""
    if amounts:
        return signed(contribution, amounts=True)
    return f"{'+' if contribution >= 0 else '−'}{abs(contribution):.2f}"


def shade(value: float, largest: float) -> int:
    """Return in which shade a contribution is shown, from -5 to 5; in none where it is little beside the largest."""
    return round(STRONGEST * value / largest) if largest else 0


def risk_shade(risk: float, middle: float, largest: float) -> int:
    """Return in which shade a probability or an amount is shown: of blue below the middle, of red from there on."""
    if risk >= middle:
        return max(1, min(STRONGEST, math.ceil(STRONGEST * (risk - middle) / ((largest - middle) or 1.0))))
    return -max(1, min(STRONGEST, math.ceil(STRONGEST * (middle - risk) / abs(middle or 1.0))))

"""Probabilities of leaving before an action, of treated and control → whether the two were alike, as if drawn by lot.

Of sides that were drawn by lot the probabilities differ by chance only. Sources: Mann and Whitney, On a test of whether
one of two random variables is stochastically larger than the other, Annals of Mathematical Statistics 18 (1947);
Austin, Balance diagnostics for comparing the distribution of baseline covariates, Statistics in Medicine 28 (2009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu

Floats = npt.NDArray[np.float64]
LEVEL = 0.01  # of so many campaigns that were drawn by lot it is said that they were not


@dataclass(frozen=True)
class Alike:
    """How both sides were before the action.

    Attributes:
        treated: mean probability of leaving.
        control: mean probability of leaving.
        difference: of the means, in standard deviations; None where there are none.
        p: of a difference as large by lot.
    """

    treated: float
    control: float
    difference: float | None
    p: float

    @property
    def why_not(self) -> str | None:
        """Why the sides were not drawn by lot; None where they may have been."""
        if self.p >= LEVEL:
            return None
        apart = "" if self.difference is None else f"{abs(self.difference):.2f} standard deviations, "
        return (
            f"treated and control were not alike before: leaving was predicted at {self.treated:.1%} and"
            f" {self.control:.1%} ({apart}p = {self.p:.2g}), so `treated` was hardly drawn by lot"
        )


def compare(treated: Floats, control: Floats) -> Alike | None:
    """Return how alike both sides were; None where nobody on one side has a probability.

    Args:
        treated: (n,) probabilities of leaving.
        control: (m,) of those who were left alone.
    """
    if not len(treated) or not len(control):
        return None
    means, spread = (float(treated.mean()), float(control.mean())), math.sqrt((treated.var() + control.var()) / 2)
    difference = (means[0] - means[1]) / spread if spread > 0 else None
    return Alike(*means, difference, float(mannwhitneyu(treated, control).pvalue))

"""Settings and a column → what each customer is worth, and what can be offered to whom, as arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from churnwatch.pipeline import settings_offers

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Offer:
    """An offer of which it is known, or assumed, what it does.

    Attributes:
        name: as the settings call it.
        discount: D, an amount, or a share of the customer's value.
        is_relative: whether it is a share.
        cost: c, of reaching one customer.
        save_rate: s, the share of those who would leave that stays for it; 0 where only an uplift model knows.
        take_up: a, the share of those who stay anyway that takes it.
        call: whether it is made in a call.
    """

    name: str
    discount: float
    is_relative: bool
    cost: float
    save_rate: float
    take_up: float
    call: bool

    def discounts(self, value: Floats) -> Floats:
        """Return the discount of customers of this value, in the value's unit; shape as `value`.

        A share of what a customer costs, whose value is below nought, would be a discount that earns: it is nought.
        """
        return self.discount * np.maximum(value, 0.0) if self.is_relative else np.full_like(value, self.discount)


def priced(given: Mapping[str, settings_offers.Offer], measured: Collection[str] = ()) -> tuple[Offer, ...]:
    """Return the offers of which a profit can be claimed, as the settings list them.

    Args:
        given: the settings.
        measured: the offers of which an uplift model says what they do; the others need a save rate.
    """
    return tuple(
        Offer(name, each.size, each.is_relative, each.cost, each.save_rate or 0.0, each.take_up, each.call)
        for name, each in given.items()
        if each.save_rate is not None or name in measured
    )

"""The settings that say what a customer is worth, what may be offered, and how customers are sorted into A, B and C."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from churnwatch.pipeline import settings_forms

_Share = Annotated[float, Meta(ge=0, le=1)]
_Amount = Annotated[float, Meta(ge=0)]
_Name = Annotated[str, Meta(min_length=1)]
LEFT_ALONE = "left alone"  # stands where an offer would, for those who are held back to learn what offers do
_MONTHS = {"month": 1, "year": 12}


class By(StrEnum):
    """What decides into which bucket a customer comes."""

    THRESHOLDS = "thresholds"
    CAPACITY = "capacity"
    PROFIT = "profit"


class Value(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a customer brings: a column of the data, or one amount for all."""

    column: _Name | None = None
    amount: _Amount | None = None
    per: Literal["month", "year"] = "month"  # what the column or amount is of
    months: Annotated[int, Meta(ge=1, le=1200)] = 12  # for how long a customer who is kept counts

    @property
    def factor(self) -> float:
        """What the column or amount is multiplied by, to be what a customer brings in all the `months`."""
        return self.months / _MONTHS[self.per]

    @property
    def in_words(self) -> str:
        """What the value is, and of what time, in words."""
        of = f"`{self.column}`" if self.column is not None else f"{self.amount:,g}"
        return f"{of} a {self.per}, over {self.months} month{'s' if self.months > 1 else ''}"


class Offer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a customer can be offered to stay, what it costs and what it does."""

    discount: Annotated[str, Meta(pattern=settings_forms.DISCOUNT)] = "0"  # an amount, or a share of the value
    cost: _Amount = 0.0  # of reaching one customer
    save_rate: _Share | None = None  # of those who would leave, the share that stays for it; None: nobody knows
    take_up: _Share = 1.0  # of those who stay anyway, the share that takes it
    call: bool = False  # whether it is made in a call, of which there are `call_capacity`
    uplift: Literal["auto", "off"] = "auto"  # whether campaigns of its name may say what it does, customer by customer

    @property
    def is_relative(self) -> bool:
        """Whether the discount is a share of the customer's value."""
        return self.discount.endswith("%")

    @property
    def size(self) -> float:
        """The discount as an amount, or as a share from 0 on."""
        return float(self.discount.rstrip("%")) / (100 if self.is_relative else 1)


class Buckets(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How customers are sorted into A (call), B (offer) and C (thank)."""

    by: By | None = None  # None: by profit where an offer has a save rate, else by capacity
    a: float | None = None  # of `thresholds`: the probability, or amount, from which on a customer is in A
    b: float | None = None  # and in B


def valued(value: Value | str | None) -> Value | None:
    """Return the value in full, also where only a column or an amount was named."""
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return Value(amount=float(value))
    return Value(column=value)


def decided_by(buckets: Buckets, offers: Mapping[str, Offer]) -> By:
    """Return what sorts the customers: without a save rate nobody can say what pays."""
    if buckets.by is not None:
        return buckets.by
    return By.PROFIT if any(offer.save_rate is not None for offer in offers.values()) else By.CAPACITY


def check(value: Value | None, offers: Mapping[str, Offer], buckets: Buckets, *, amounts: bool) -> None:
    """Refuse what does not fit together; `amounts`: whether amounts are predicted.

    Raises:
        msgspec.ValidationError: naming the setting.
    """
    if value is not None and (value.column is None) == (value.amount is None):
        raise msgspec.ValidationError("either a `column`, or an `amount` for all - at `$.value`")
    for name, given in (("value", value is not None), ("offers", bool(offers))):
        if amounts and given:
            raise msgspec.ValidationError(
                f"goes with the probability of leaving, which a regression has not - at `$.{name}`"
            )
    if LEFT_ALONE in offers:
        raise msgspec.ValidationError(f"`{LEFT_ALONE}` is said of those who are held back; call the offer otherwise"
                                      " - at `$.offers`")  # fmt: skip
    if offers and value is None:
        raise msgspec.ValidationError("whether an offer pays hangs on what a customer is worth; name `value`"
                                      " - at `$.offers`")  # fmt: skip
    _check_buckets(offers, buckets, amounts=amounts)


def _check_buckets(offers: Mapping[str, Offer], buckets: Buckets, *, amounts: bool) -> None:
    bounds = [bound for bound in (buckets.a, buckets.b) if bound is not None]
    if buckets.by is not By.THRESHOLDS:
        if bounds:
            raise msgspec.ValidationError("`a` and `b` go with `by: thresholds` - at `$.buckets`")
        if buckets.by is By.PROFIT and decided_by(Buckets(), offers) is not By.PROFIT:
            raise msgspec.ValidationError("`profit` needs `offers` of which one has a `save_rate` - at `$.buckets.by`")
        return
    if buckets.a is None or buckets.b is None or not buckets.a >= buckets.b:
        raise msgspec.ValidationError("`thresholds` needs `a`, and a `b` that is not above it - at `$.buckets`")
    if not amounts and not all(0 <= bound <= 1 for bound in bounds):
        raise msgspec.ValidationError("`a` and `b` are probabilities, from 0 to 1 - at `$.buckets`")

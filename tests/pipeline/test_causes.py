from __future__ import annotations

import numpy as np
import pandas as pd

from churnwatch.pipeline import bins, causes
from churnwatch.pipeline.bins import Bins
from churnwatch.pipeline.drift import Spread, deviations


def cause(known: Bins, *current: int) -> str | None:
    [found] = deviations([Spread(known.rows, current)], alpha=0.05)
    return causes.of_column(known, found)


def contract(*rows: int) -> Bins:
    return Bins("contract", rows, categories=("two-year", "one-year", "monthly"))


def test_a_move_from_one_category_to_another_is_named() -> None:
    assert cause(contract(4000, 3000, 3000, 0, 0), 2900, 3000, 4100, 0, 0) == (
        "contract: 11 % of customers moved from two-year to monthly"
    )


def test_of_many_moves_the_largest_is_named() -> None:
    assert cause(contract(4000, 3000, 3000, 0, 0), 1500, 2500, 6000, 0, 0) == (
        "contract: 30 % of customers moved from two-year to monthly"
    )
    assert cause(contract(4000, 4000, 2000, 0, 0), 2500, 2500, 5000, 0, 0) == (
        "contract: 30 % of customers moved, most of them from two-year to monthly"
    )


def test_values_that_are_gone_and_values_that_came_back() -> None:
    assert cause(contract(4000, 3000, 3000, 0, 0), 3300, 3000, 3000, 0, 700) == "contract: 7.0 % more without a value"
    assert cause(contract(3000, 3000, 3000, 0, 1000), 4000, 3000, 3000, 0, 0) == (
        "contract: 10 % fewer without a value"
    )


def test_new_categories_are_not_named() -> None:
    known = contract(4000, 3000, 3000, 0, 0)
    assert cause(known, 3500, 3000, 3000, 500, 0) == "contract: 5.0 % have values not seen before"


def test_a_long_category_is_cut() -> None:
    known = Bins("note", (5000, 5000, 0, 0), categories=("x" * 60, "y"))
    assert cause(known, 6000, 4000, 0, 0) == f"note: 10 % of customers moved from y to {'x' * 39}…"


def test_numbers_are_told_by_the_interval_that_gained() -> None:
    charge = bins.of_numbers("charge", np.arange(10_000.0) / 100)
    later = bins.count_numbers(charge, np.arange(10_000.0) / 100 + 8)
    assert cause(charge, *later.tolist()) == "charge: 8.0 % of customers moved to above 89.99"


def test_neighbouring_bins_are_told_together() -> None:
    charge = bins.of_numbers("charge", np.arange(10_000.0) / 100)
    now = np.where(np.arange(10_000) < 3000, 75.0 + np.arange(10_000) % 1500 / 100, np.arange(10_000.0) / 100)
    assert cause(charge, *bins.count_numbers(charge, now).tolist()) == (
        "charge: 30 % of customers moved to between 69.99 and 89.99"
    )


def test_what_does_not_deviate_has_no_cause() -> None:
    assert cause(bins.of_texts("t", pd.Series(["a"] * 50, dtype="str")), 20, 0, 0) is None


def test_shares_and_losses() -> None:
    assert causes.of_share(0.26, 0.74) == "the share of leavers went from 26 % to 74 %"
    assert causes.of_losses(0.41, 0.523) == "the model in use: log loss 0.523 on the new rows, 0.410 on its holdout"

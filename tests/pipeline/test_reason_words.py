from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnwatch.pipeline import bins
from churnwatch.pipeline.reason_words import NO_VALUE, Reason, in_words, shown, signed, typical

REASONS = [
    Reason("contract", "Month-to-month", "Two year", 1.23),
    Reason("tenure_months", "3", "29", 0.84),
    Reason("tech_support", "Yes", "No", -0.41),
    Reason("gender", "Male", "Male", 0.2),
    Reason("partner", "No", "No", 0.049),
]


def test_reasons_are_said_on_both_sides_with_the_typical_value() -> None:
    said = in_words(REASONS, names={"tenure_months": "months as a customer"}, top=2)
    assert (
        said.raises == "contract: Month-to-month (+1.2; typical: Two year), months as a customer: 3 (+0.8; typical: 29)"
    )
    assert said.lowers == "tech_support: Yes (−0.4; typical: No)"


def test_what_does_next_to_nothing_is_not_said_and_a_typical_value_is_called_so() -> None:
    assert in_words(REASONS[3:], names={}, top=3).raises == "gender: Male (+0.2; typical)"
    assert in_words(REASONS[4:], names={}, top=3).raises == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, "3"), (70.35, "70.35"), (1234567.5, "1.23457e+06"), (None, NO_VALUE), (float("nan"), NO_VALUE),
     (-0.5, "−0.5"), ("a\nb\x1b[31m", "a b [31m"), ("x" * 99, "x" * 59 + "…")],
)  # fmt: skip
def test_a_value_is_shown_on_one_line(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("contribution", "amounts", "text"),
    [(1.25, False, "+1.2"), (-0.4, False, "−0.4"), (1234.5, True, "+1,234"), (-0.123456, True, "−0.123")],
)
def test_a_contribution_has_a_sign(contribution: float, amounts: bool, text: str) -> None:
    assert signed(contribution, amounts=amounts) == text


@given(st.lists(st.integers(-3, 9), min_size=1, max_size=60))
def test_the_typical_number_is_the_median(values: list[int]) -> None:
    numbers = np.array(values, dtype=np.float64)
    expected = np.quantile(numbers, 0.5, method="inverted_cdf")
    assert typical(bins.of_numbers("n", numbers)) == f"{expected:.0f}".replace("-", "−")


def test_the_typical_text_is_the_most_frequent_one() -> None:
    texts = pd.Series(["a"] * 12 + ["b"] * 30 + [None] * 5, dtype="str")
    assert typical(bins.of_texts("t", texts)) == "b"
    assert typical(bins.of_texts("t", pd.Series([None] * 50 + ["b"] * 20, dtype="str"))) == NO_VALUE
    assert typical(bins.of_texts("t", pd.Series([f"t{each}" for each in range(40)], dtype="str"))) == "many values"
    assert typical(bins.of_numbers("n", np.array([np.nan, np.nan, 1.0]))) == NO_VALUE

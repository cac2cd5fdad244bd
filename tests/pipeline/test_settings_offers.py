from __future__ import annotations

import pytest

from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings import By, Value, parse

CLASSES = "target: left\npositive: yes\n"
AMOUNTS = "target: lost\ntask: regression\n"
PAYS = "offers: {call: {discount: 10%, cost: 5, save_rate: 0.3}}\n"


def test_a_value_may_be_named_in_short() -> None:
    assert parse(f"{CLASSES}value: MonthlyCharges").valued == Value(column="MonthlyCharges")
    assert parse(f"{CLASSES}value: 70.5").valued == Value(amount=70.5)
    assert parse(CLASSES).valued is None


@pytest.mark.parametrize(
    ("text", "factor", "words"),
    [
        ("{column: paid}", 12, "`paid` a month, over 12 months"),
        ("{column: paid, per: year, months: 24}", 2, "`paid` a year, over 24 months"),
        ("{amount: 1200, months: 1}", 1, "1,200 a month, over 1 month"),
    ],
)
def test_a_value_is_of_all_the_months_in_which_a_customer_counts(text: str, factor: float, words: str) -> None:
    value = parse(f"{CLASSES}value: {text}").valued
    assert value is not None
    assert (value.factor, value.in_words) == (factor, words)


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("", By.CAPACITY),
        (f"value: 70\n{PAYS}", By.PROFIT),
        ("value: 70\noffers: {letter: {discount: 5}}", By.CAPACITY),
        (f"value: 70\n{PAYS}buckets: {{by: capacity}}", By.CAPACITY),
        ("buckets: {by: thresholds, a: 0.7, b: 0.3}", By.THRESHOLDS),
    ],
)
def test_profit_decides_where_it_can_be_claimed_and_nothing_else_is_asked_for(text: str, by: By) -> None:
    assert parse(CLASSES + text).bucketed_by is by


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{CLASSES}{PAYS}", "line 3: offers: whether an offer pays hangs on what a customer is worth; name `value`"),
        (f"{CLASSES}value: {{per: year}}", "line 3: value: either a `column`, or an `amount` for all"),
        (f"{CLASSES}value: {{column: a, amount: 3}}", "value: either a `column`, or an `amount` for all"),
        (f"{AMOUNTS}value: paid", "value: goes with the probability of leaving, which a regression has not"),
        (f"{AMOUNTS}buckets: {{by: profit}}", "buckets.by: `profit` needs `offers`"),
        (f"{CLASSES}buckets: {{by: profit}}", "buckets.by: `profit` needs `offers` of which one has a `save_rate`"),
        (f"{CLASSES}buckets: {{a: 0.7}}", "buckets: `a` and `b` go with `by: thresholds`"),
        (f"{CLASSES}buckets: {{by: thresholds, a: 0.7}}", "buckets: `thresholds` needs `a`, and a `b`"),
        (f"{CLASSES}buckets: {{by: thresholds, a: 0.2, b: 0.7}}", "a `b` that is not above it"),
        (f"{CLASSES}buckets: {{by: thresholds, a: nan, b: 0.7}}", "a `b` that is not above it"),
        (f"{CLASSES}buckets: {{by: thresholds, a: 7, b: 0.7}}", "`a` and `b` are probabilities, from 0 to 1"),
        (f"{CLASSES}value: 70\noffers: {{call: {{discount: ten}}}}", "line 4: offers.call.discount"),
        (f"{CLASSES}value: 70\noffers: {{call: {{save_rat: 0.1}}}}", "did you mean `save_rate`?"),
        (f"{CLASSES}columns: {{left: text}}\nvalue: paid", "line 4: value: `paid` is not one of `columns`"),
    ],
)
def test_what_does_not_fit_together_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse(text)
    assert said in str(error.value)


def test_thresholds_of_a_regression_are_amounts() -> None:
    buckets = parse(f"{AMOUNTS}buckets: {{by: thresholds, a: 500, b: 100}}").buckets
    assert (buckets.a, buckets.b) == (500, 100)

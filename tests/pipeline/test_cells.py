from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from churnwatch.pipeline import load
from churnwatch.pipeline.cells import label
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Csv

Typed = Callable[..., tuple[list[Any], list[tuple[Any, ...]]]]


@pytest.fixture
def typed(engine: DuckDB, make_schema: Callable[..., Schema], make_source: Callable[..., Source]) -> Typed:
    """Return what types one column of cells: its values that hold, and (line, check, reason) of those that do not."""

    def read(column: Any, *cells: str, csv: Csv | None = None) -> tuple[list[Any], list[tuple[Any, ...]]]:
        schema = make_schema({"v": column, "other": "text", "left": "text"})
        lines = "".join('"{}";x;no\n'.format(cell.replace('"', '""')) for cell in cells)
        source = make_source("v;other;left\n" + lines)
        loaded = load.load(load.classify([source], schema, csv or Csv()).labelled, schema, csv or Csv(), engine)
        assert not loaded.refused
        bad = engine.rows("SELECT _line, check_name, reason, column_name FROM bad ORDER BY _line")
        assert all(row[3] == "v" for row in bad)
        return [value for (value,) in engine.rows("SELECT v FROM typed ORDER BY _line")], [row[:3] for row in bad]

    return read


# -- missing values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "integer", "number", "date"])
def test_an_empty_or_blank_cell_and_a_declared_text_mean_no_value(typed: Typed, kind: str) -> None:
    csv = Csv(missing=("NA", "-"))
    values, bad = typed(kind, "", "  ", "\t", "NA", " NA ", "-", csv=csv)
    assert values == [None] * 6
    assert bad == []


def test_texts_that_were_not_declared_are_values(typed: Typed) -> None:
    assert typed("text", "NA", "null", "None", "na", csv=Csv(missing=("n/a",)))[0] == ["NA", "null", "None", "na"]


def test_a_text_stays_as_it_is(typed: Typed) -> None:
    cells = [" a ", "00123", "1.0", "it's", 'a "b"', "é\u2028", "=1+1"]
    assert typed("text", *cells)[0] == cells


# -- types -----------------------------------------------------------------------------------------------------


def test_whole_numbers(typed: Typed) -> None:
    values, bad = typed("integer", "3", " -4 ", "+5", "3.0", "7.000", "007", "9223372036854775807")
    assert values == [3, -4, 5, 3, 7, 7, 9223372036854775807]
    assert bad == []


@pytest.mark.parametrize("cell", ["3.5", "1e3", "1_000", "1,000", "0x1F", "three", "3.", "12345678901234567890", "inf",
                                  "NaN", "٣", "--3", "3 4"])  # fmt: skip
def test_what_is_no_whole_number(typed: Typed, cell: str) -> None:
    assert typed("integer", cell) == ([], [(2, "type", "not a whole number")])


def test_numbers(typed: Typed) -> None:
    values, bad = typed("number", "3", " -4.5 ", "+.5", "5.", "1e3", "1E-3", "12345678901234567890", "0.1", "-0")
    assert values == [3.0, -4.5, 0.5, 5.0, 1000.0, 0.001, 12345678901234567890.0, 0.1, 0.0]
    assert str(values[-1]) == "0.0"
    assert bad == []


@pytest.mark.parametrize("cell", ["1e400", "-1e400", "inf", "-inf", "Infinity", "nan", "1_000", "1,5", "1e", ".", "e5",
                                  "0x1F", "1 000", "12%", "$5", "१"])  # fmt: skip
def test_what_is_no_number(typed: Typed, cell: str) -> None:
    assert typed("number", cell) == ([], [(2, "type", "not a number")])


@pytest.mark.parametrize("cell", ["1e308", "-1e308", "1.1e30", "9" * 31])
def test_a_number_with_which_nothing_can_be_computed_is_set_aside(typed: Typed, cell: str) -> None:
    assert typed("number", "1e30", cell) == ([1e30], [(3, "type", "beyond 1e+30, either way")])


def test_numbers_with_a_decimal_comma(typed: Typed) -> None:
    values, bad = typed("number", "1,5", "-,5", "3", "1.5", "1.000,5", csv=Csv(decimal=","))
    assert values == [1.5, -0.5, 3.0, 1.5]
    assert bad == [(6, "type", "not a number")]


def test_dates(typed: Typed) -> None:
    values, bad = typed("date", "2026-02-28", " 2024-02-29 ", "2026-01-01T12:30", "2026-01-01 12:30:15.25")
    assert [value.isoformat() for value in values] == [
        "2026-02-28T00:00:00", "2024-02-29T00:00:00", "2026-01-01T12:30:00", "2026-01-01T12:30:15.250000"]  # fmt: skip
    assert bad == []


@pytest.mark.parametrize("cell", ["2026-02-30", "2026-13-01", "26-01-01", "01.02.2026", "today", "infinity", "2026-01",
                                  "2026-01-01Z", "epoch"])  # fmt: skip
def test_what_is_no_date(typed: Typed, cell: str) -> None:
    assert typed("date", cell) == ([], [(2, "type", "not a date")])


def test_dates_of_a_declared_form(typed: Typed) -> None:
    values, bad = typed({"type": "date", "format": "%d.%m.%Y"}, "28.02.2026", "2026-02-28", "31.02.2026")
    assert [value.isoformat() for value in values] == ["2026-02-28T00:00:00"]
    assert bad == [(3, "type", "not a date"), (4, "type", "not a date")]


# -- checks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_bounds_are_part_of_the_range(typed: Typed, kind: str) -> None:
    values, bad = typed({"type": kind, "min": 0, "max": 10}, "-1", "0", "10", "11", "")
    assert values == [0, 10, None]
    assert bad == [(2, "min", "below 0"), (5, "max", "above 10")]


def test_a_bound_keeps_its_decimals(typed: Typed) -> None:
    values, bad = typed({"type": "number", "min": 0.1}, "0.1", "0.09999999999999999")
    assert values == [0.1]
    assert bad == [(3, "min", "below 0.1")]


def test_allowed_texts(typed: Typed) -> None:
    values, bad = typed({"type": "text", "allowed": ["yes", "it's"]}, "yes", "it's", "Yes", "")
    assert values == ["yes", "it's", None]
    assert bad == [(4, "allowed", "none of the allowed values")]


@pytest.mark.parametrize(
    ("kind", "allowed", "good", "bad"),
    [
        ("integer", ["0", "1"], ["0", "1", "1.0", "+1"], "2"),
        ("number", ["0", "1", "2.50"], ["0", "1.0", "1", "2.5"], "2"),
        ("date", ["2026-01-01"], ["2026-01-01", "2026-01-01 00:00"], "2026-01-02"),
    ],
)
def test_allowed_values_are_compared_as_what_they_are(
    typed: Typed, kind: str, allowed: list[str], good: list[str], bad: str
) -> None:
    values, broken = typed({"type": kind, "allowed": allowed}, *good, bad)
    assert len(values) == len(good)
    assert broken == [(len(good) + 2, "allowed", "none of the allowed values")]


def test_required(typed: Typed) -> None:
    values, bad = typed({"type": "integer", "required": True}, "1", "", "x")
    assert values == [1]
    assert bad == [(3, "required", "missing, but required"), (4, "type", "not a whole number")]


def test_unique_keeps_the_first_and_allows_many_missing(typed: Typed) -> None:
    values, bad = typed({"type": "number", "unique": True}, "1", "2", "1.0", "", "", "1")
    assert values == [1.0, 2.0, None, None]
    assert bad == [
        (4, "unique", "a value that stood in the file before"),
        (7, "unique", "a value that stood in the file before"),
    ]


def test_unique_is_per_file(
    engine: DuckDB, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    schema = make_schema({"v": {"type": "text", "unique": True}, "left": "text"})
    sources = [make_source("v,left\na,no\n"), make_source("v,left\na,no\n")]
    loaded = load.load(load.classify(sources, schema, Csv()).labelled, schema, Csv(), engine)
    assert loaded.quarantines == ()


# -- labels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "positive", "cells", "labels"),
    [
        ("text", "Yes", ["Yes", "No", "yes", ""], [1, 0, 0, None]),
        ("text", "1", ["1", "0", "1.0"], [1, 0, 0]),
        ("integer", "1", ["1", "0", "1.0", ""], [1, 0, 1, None]),
        ("number", "1.0", ["1", "0.5"], [1, 0]),
    ],
)
def test_a_label_is_whether_the_target_has_the_positive_value(
    engine: DuckDB,
    make_schema: Callable[..., Schema],
    make_source: Callable[..., Source],
    kind: str,
    positive: str,
    cells: list[str],
    labels: list[int | None],
) -> None:

    schema = make_schema({"n": "text", "left": kind}, positive=positive)
    source = make_source("n,left\n" + "".join(f"x,{cell}\n" for cell in cells))
    load.load(load.classify([source], schema, Csv()).labelled, schema, Csv(), engine)
    assert [row[0] for row in engine.rows(f"SELECT {label(schema)} FROM typed ORDER BY _line")] == labels

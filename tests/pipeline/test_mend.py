from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnwatch.pipeline.mend import cells_of, mended


@pytest.mark.parametrize(
    ("line", "width", "cells"),
    [
        ('a,"b,c,"d e, f","g"\r\n', 5, ["a", '"b', "c", "d e, f", "g"]),  # opened by mistake
        ('a,"10" wide","b, c"\n', 3, ["a", '10" wide', "b, c"]),  # not doubled
        ('a,"48"","b, c"', 3, ["a", '48"', "b, c"]),  # nor at the end of its text
        ('a,b,"', 3, ["a", "b", '"']),
        ('a,""b c, d",e', 3, ["a", '"b c, d', "e"]),
        ('"x"y,1', 2, ['"x"y', "1"]),
        ("a,b", 2, ["a", "b"]),
        ('"a ""b""",c', 2, ['a "b"', "c"]),
    ],
)
def test_a_line_is_read_in_the_one_way_that_has_the_right_number_of_cells(
    line: str, width: int, cells: list[str]
) -> None:
    assert mended(line, ",", '"', width) == cells


@pytest.mark.parametrize(
    ("line", "width"),
    [
        ("a,b,c", 2),  # no quote is to blame
        ('"a,b', 3),
        ('"a,"b,c"', 4),
        ('a,"b,"c,"d,e', 4),  # several ways
        ("," + '"' * 50, 2),
    ],
)
def test_a_line_that_can_be_read_in_no_way_or_in_several_is_left_alone(line: str, width: int) -> None:
    assert mended(line, ",", '"', width) is None


texts = st.text(alphabet='ab",', max_size=4)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(cells=st.lists(texts, min_size=1, max_size=4))
def test_a_line_as_it_should_be_is_read_as_it_was_written(cells: list[str]) -> None:
    line = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    assert mended(line, ",", '"', len(cells)) in (cells, None)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(line=st.text(alphabet='ab",', max_size=14), width=st.integers(1, 5))
def test_nothing_is_lost_or_added(line: str, width: int) -> None:
    found = mended(line, ",", '"', width)
    for cells in (found, cells_of(line, ",", '"')):
        if cells is not None:
            letters = [letter for letter in line if letter in "ab"]
            assert [letter for cell in cells for letter in cell if letter in "ab"] == letters
    if found is not None:
        assert len(found) == width


def test_a_long_line_of_quotes_takes_no_time() -> None:
    assert mended('"a,' * 40, ",", '"', 30) is None

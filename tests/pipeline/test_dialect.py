from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from polluted import Polluted, polluted_files

from churnwatch.pipeline.blocks import read_blocks
from churnwatch.pipeline.dialect import Dialect, detect
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.read import Opening, open_csv

ROWS = [
    ["id", "note", "left"],
    ["1", 'a, "b"; c', "yes"],
    ["2", "it's\td | e", "no"],
    ["3", "", "no"],
    ["4", "f", "no"],
]


def _written(rows: list[list[str]], *, delimiter: str = ",", quote: str = '"', escape: str | None = None) -> str:
    out = io.StringIO()
    csv.writer(
        out, delimiter=delimiter, quotechar=quote, escapechar=escape, doublequote=escape is None, lineterminator="\n"
    ).writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_delimiter_and_quote_are_those_that_make_a_table(delimiter: str, quote: str) -> None:
    head = detect(_written(ROWS, delimiter=delimiter, quote=quote))
    assert head is not None
    assert head.dialect == Dialect(delimiter, quote)
    assert head.header == ("id", "note", "left")
    assert head.findings == (() if quote == '"' else ("cells are quoted by `'`",))


def test_escaped_quotes_are_told_from_backslashes_in_text() -> None:
    escaped = detect(_written(ROWS, escape="\\"))
    assert escaped is not None
    assert escaped.dialect == Dialect(",", escape="\\")
    assert escaped.findings == ("quotes in cells are escaped by `\\`",)
    path = detect('id,path,n\n1,"C:\\dir\\",2\n2,"D:\\a, b\\",3\n')
    assert path is not None
    assert path.dialect == Dialect(",")


def test_a_backslash_in_a_cell_without_quotes_is_text() -> None:
    rows = "".join(f'{number},"say \\"hi, you\\"",5\n' for number in range(8))
    head = detect(f"id,t,n\n{rows}")
    assert head is not None
    assert head.dialect.escape == "\\"
    found = list(
        head.dialect.reader(['1,"say \\"hi, you\\"",5\n', '9,bolt,5\\" pipe\n', '2,"a\\\\",x\n'], strict=False)
    )
    assert found == [["1", 'say "hi, you"', "5"], ["9", "bolt", '5\\" pipe'], ["2", "a\\\\", "x"]]


def test_a_long_line_of_quotes_that_never_close_takes_no_time() -> None:
    text = "[" + ",".join('{"id":0,"v":"x y"}' for _ in range(20_000)) + "]\n"
    assert detect(text) is not None
    assert detect('"a,' * 20_000) is not None


def test_a_blob_on_one_line_is_no_reason_to_break_down() -> None:
    head = detect("QUJD" * 400_000, expected=["id"])
    assert head is None or len(head.header) == 1


def test_blanks_after_delimiters_belong_to_them_where_all_have_one() -> None:
    spaced = detect('id, note, left\n1, "a, b", yes\n2, c, no\n')
    assert spaced is not None
    assert (spaced.dialect, spaced.header) == (Dialect(",", spaced=True), ("id", "note", "left"))
    assert spaced.findings == ("blanks after a delimiter are taken to belong to it",)
    some = detect("id,note,left\n1, a,yes\n2,b,no\n")
    assert some is not None
    assert some.dialect == Dialect(",")


def test_a_decimal_comma_is_no_delimiter() -> None:
    head = detect("a;b;c\n1,5;2,5;x\n3,5;4,5;y\n")
    assert head is not None
    assert head.header == ("a", "b", "c")


def test_words_of_one_column_are_not_split() -> None:
    head = detect("full name\nJohn Smith\nAnn Lee\n")
    assert head is not None
    assert head.header == ("full name",)


def test_the_header_is_the_line_with_the_names_that_are_expected() -> None:
    sample = "Report,of,May\nid,n,left\n1,2,3\n"
    head = detect(sample, expected=["id", "left"])
    assert head is not None
    assert (head.header, head.line, head.body) == (("id", "n", "left"), 2, 3)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=polluted_files())
def test_what_is_accepted_of_a_polluted_file_is_what_was_written(
    tmp_path: Path, engine: DuckDB, drawn: Polluted
) -> None:
    path = tmp_path / "drop.csv"
    path.write_bytes(drawn.content)
    opening = open_csv(path, expected=drawn.header)
    assert isinstance(opening, Opening)
    assert (opening.header, opening.dialect.delimiter) == (drawn.header, drawn.delimiter)
    found, noted = [], 0
    for block in read_blocks(opening, engine, table="t"):
        assert not isinstance(block.rows, str)
        found += [list(row) for row in zip(*(column.to_pylist() for column in block.rows.columns[1:]), strict=True)]
        noted += len(block.bad) + len(block.mended)
    assert [row for row in found if row in drawn.whole] == drawn.whole
    if len(found) > len(drawn.whole):
        assert noted  # the spoilt row was read, and that is said
        assert drawn.is_spoilt


# -- pinned by the file before ----------------------------------------------------------------------------------


def test_what_the_file_before_was_read_by_explains_a_file_that_could_be_read_otherwise() -> None:
    text, usual, odd = "id,name\n1,'a'\n2,'b'\n", Dialect(","), Dialect(",", quote="'")
    heads = [detect(text, expected=["id", "name"], pinned=pinned) for pinned in (None, usual, odd)]
    assert [head.dialect for head in heads if head] == [usual, usual, odd]


@pytest.mark.parametrize("odd", [Dialect(",", quote="'"), Dialect(",", escape="\\"), Dialect(",", spaced=True)])
def test_where_a_file_shows_nothing_of_what_was_unusual_before_it_is_read_as_usual(odd: Dialect) -> None:
    found = detect("id,name\n1,a\n", expected=["id", "name"], pinned=odd)
    assert found is not None
    assert found.dialect == Dialect(",")


@pytest.mark.parametrize(
    "text",
    ["id;name\n1;a\n2;b\n", "id,name\n1,'a,b'\n2,'c'\n", 'id,name\n1,"a \\"b\\""\n2,"c, d"\n'],
    ids=["another delimiter", "another quote", "an escape"],
)
@pytest.mark.parametrize("pinned", [Dialect(","), Dialect("|"), Dialect("|", quote="'")])
def test_a_file_that_the_pinned_dialect_does_not_explain_is_looked_at_anew(text: str, pinned: Dialect) -> None:
    assert detect(text, expected=["id", "name"], pinned=pinned) == detect(text, expected=["id", "name"])


def test_double_quotes_are_not_taken_for_text_because_the_file_before_had_others() -> None:
    text = 'id,name\n1,"a"\n2,"b"\n'
    found = detect(text, expected=["id", "name"], pinned=Dialect(",", quote="'"))
    assert found is not None
    assert found.dialect == Dialect(",")


def test_a_file_without_the_names_that_are_expected_is_looked_at_anew() -> None:
    text = "x|y,z|t\n1|2,3|4\n"
    found = detect(text, expected=["x", "y,z", "t"], pinned=Dialect(","))
    assert found is not None
    assert found.dialect == Dialect("|")

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from churnwatch.pipeline import read
from churnwatch.pipeline.dialect import Dialect
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.read import Opening, Refusal, open_csv
from churnwatch.pipeline.settings import Csv


def _opened(path: Path, delimiter: str | None = None, expected: tuple[str, ...] = ()) -> Opening:
    opening = open_csv(path, Csv(delimiter=delimiter), expected=expected)
    assert isinstance(opening, Opening), opening
    return opening


def _refused(path: Path) -> str:
    refusal = open_csv(path)
    assert isinstance(refusal, Refusal)
    return refusal.reason


# -- encoding, delimiter, header -------------------------------------------------------------------------------


def test_a_letter_cut_in_two_at_the_end_of_a_chunk_is_still_utf_8(
    put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "_CHUNK", 5)
    assert _opened(put("a,b\né,é\nüü,é\n")).encoding == "utf-8"
    assert _opened(put("a,b\nxxxxx,é".encode()[:-1])).encoding == "cp1252"


def test_bytes_that_no_encoding_explains_are_refused(put: Callable[..., Path], engine: DuckDB) -> None:
    assert _refused(put(b"a,\x81b\n")) == "not a text file: byte 2 is no cp1252"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_splits_the_header_most(put: Callable[..., Path], delimiter: str) -> None:
    opening = _opened(put(delimiter.join(("a", "b b", "c")) + "\n"))
    assert (opening.dialect.delimiter, opening.header) == (delimiter, ("a", "b b", "c"))


def test_the_delimiter_is_the_one_under_which_the_expected_columns_are_there(put: Callable[..., Path]) -> None:
    opening = _opened(put("id;name, first, last\n1;x\n"), expected=("id",))
    assert (opening.dialect.delimiter, opening.header) == (";", ("id", "name, first, last"))


def test_a_given_delimiter_is_taken(put: Callable[..., Path]) -> None:
    assert _opened(put("a;b,c,d\n"), delimiter=";").header == ("a", "b,c,d")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty: it has no header"),
        ("  \n", "line 1: the header is empty"),
        ("a,b\0\n1,2\n", "line 1: not a text file (it has NUL bytes)"),
        ("\na,b\0\n1,2\n", "line 2: a column's name has a NUL byte"),
        ("a,b\n".encode("utf-16-le"), "line 1: not a text file (it has NUL bytes)"),
        ("id,left,ID\n", "line 1: 1 column name(s) stand twice, such as column 1"),
        ("x,a,b,b\n", "line 1: 1 column name(s) stand twice, such as column 3"),
    ],
)
def test_a_file_without_a_usable_header_is_refused(put: Callable[..., Path], content: str | bytes, reason: str) -> None:
    assert _refused(put(content)) == reason


def test_a_header_whose_quotes_do_not_fit_is_text(put: Callable[..., Path]) -> None:
    opening = _opened(put('id,left,"never closed\n1,2,3\n'))
    assert (opening.header, opening.body) == (("id", "left", '"never closed'), 2)


def test_lines_before_the_header_are_left_out_with_a_finding(put: Callable[..., Path]) -> None:
    for above, line in (("\n", 2), ("Export of May\n\n", 3), ("Export,,\n,,\n", 3)):
        opening = _opened(put(f"{above}id,n,left\n1,2,3\n4,5,6\n"))
        assert (opening.header, opening.line, opening.body) == (("id", "n", "left"), line, line + 1)
        assert opening.findings == (f"{line - 1} line(s) before the header are left out",)


def test_a_header_of_another_width_than_the_rows_is_said(put: Callable[..., Path]) -> None:
    opening = _opened(put("id,n\n" + "1,2,3\n" * 5))
    assert (opening.width, opening.findings) == (3, ("the header has 2 names where the rows have 3 cells",))
    assert _opened(put("id,n\n1,2,3\n")).width is None  # it may as well be the row


def test_a_file_of_too_many_columns_is_refused(put: Callable[..., Path]) -> None:
    refusal = open_csv(put("a,b,c,d\n"), Csv(max_columns=3))
    assert refusal == Refusal("line 1: 4 columns; csv.max_columns allows 3")
    assert isinstance(open_csv(put("a,b,c\n"), Csv(max_columns=3)), Opening)


def test_a_file_whose_first_line_has_no_end_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "drop.csv.gz"
    with pa.CompressedOutputStream(str(path), "gzip") as stream:
        for _ in range(20):
            stream.write(b"x" * (1 << 20))
    assert open_csv(path, Csv(max_line_mb=2)) == Refusal("line 1 is longer than 2 MB; see csv.max_line_mb")


def test_a_file_that_is_too_large_is_refused_before_it_is_read(put: Callable[..., Path]) -> None:
    path = put("a,b\n1,2\n")
    with path.open("r+b") as sparse:
        sparse.truncate((1 << 30) + 1)
    assert open_csv(path, Csv(max_gb=1)) == Refusal("it has more than 1 GB; see csv.max_gb")


def test_columns_are_counted_before_any_way_to_read_them_is_tried(
    put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "detect", lambda *_, **__: pytest.fail("this would take seconds for a million"))
    assert open_csv(put("a;b;c;d\n"), Csv(max_columns=3)) == Refusal("line 1: 4 columns; csv.max_columns allows 3")


def test_what_only_looks_like_columns_is_not_counted_for_them(put: Callable[..., Path]) -> None:
    opening = open_csv(put('"a, b, c, d";x\n1;2\n'), Csv(max_columns=3))
    assert isinstance(opening, Opening)
    assert opening.header == ("a, b, c, d", "x")


def test_a_file_that_is_too_large_unpacked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "drop.csv.gz"
    with pa.CompressedOutputStream(str(path), "gzip") as stream:
        stream.write(b"a,b\n" + b"1,2\n" * 1000)
    monkeypatch.setattr(read, "_CHUNK", 100)
    with monkeypatch.context() as patch:
        patch.setattr(read, "_GB", 1000)
        assert open_csv(path, Csv(max_gb=1)) == Refusal(
            "unpacked, it has more than 1 GB; see csv.max_gb, csv.max_ratio"
        )
    assert isinstance(open_csv(path, Csv(max_gb=1)), Opening)


def test_a_small_file_that_unpacks_to_a_very_large_one_is_refused_before_it_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "drop.csv.gz"
    with pa.CompressedOutputStream(str(path), "gzip") as stream:
        stream.write(b"a,b\n" + b"1,2\n" * 100_000)
    assert isinstance(open_csv(path, Csv()), Opening)
    monkeypatch.setattr(read, "_SMALL", 1000)
    refused = open_csv(path, Csv())
    assert isinstance(refused, Refusal)
    assert refused.reason.endswith("see csv.max_gb, csv.max_ratio")
    assert isinstance(open_csv(path, Csv(max_ratio=2000)), Opening)


def test_a_name_without_end_is_refused(put: Callable[..., Path]) -> None:
    assert _refused(put("a," + "b" * 100_001 + "\n")) == "line 1: a column's name has more than 100,000 letters"
    assert len(_opened(put("a," + "b" * 10_000 + "\n")).header[1]) == 10_000


def test_a_name_that_stands_twice_in_a_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "drop.parquet"
    pyarrow.parquet.write_table(pa.table([[1], [2]], names=["a", "A"]), path)
    assert "stand twice" in _refused(path)


@pytest.mark.parametrize("column", ["", "file_row_number", "FILE_ROW_NUMBER"])
def test_a_parquet_column_that_the_reader_cannot_ask_for_is_refused(tmp_path: Path, column: str) -> None:
    path = tmp_path / "drop.parquet"
    pyarrow.parquet.write_table(pa.table([[1], [2]], names=["a", column]), path)
    assert "which the reader needs for itself" in _refused(path)


@pytest.mark.parametrize(("called", "reason"), [(b"z\xff\xfez", "not a Parquet file"), (b"z\0zz", "a NUL byte")])
def test_a_parquet_column_whose_name_is_no_text_is_refused(tmp_path: Path, called: bytes, reason: str) -> None:
    path = tmp_path / "drop.parquet"
    pyarrow.parquet.write_table(pa.table({"zzzz": [1]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"zzzz", called))
    assert reason in _refused(path)


def test_a_parquet_file_of_a_type_that_nobody_knows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: Path) -> None:
        raise pa.ArrowNotImplementedError("Integers with less than 8 bits not implemented")  # as Arrow says it

    monkeypatch.setattr(pyarrow.parquet, "read_schema", unknown)
    assert _refused(tmp_path / "drop.parquet") == "not a Parquet file, or cut short"


def test_a_parquet_file_without_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "drop.parquet"
    pyarrow.parquet.write_table(pa.table({}), path)
    assert _refused(path) == "it has no columns"


@pytest.mark.parametrize("odd", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_line_ends_end_the_header(put: Callable[..., Path], odd: str) -> None:
    assert _opened(put(f"id,no{odd}te,left\n1,2,3\n"), expected=("id", "left")).header == ("id", f"no{odd}te", "left")


def test_a_file_that_has_no_need_of_what_is_unusual_changes_nothing_for_the_next(put: Callable[..., Path]) -> None:
    odd = Dialect(",", quote="'")
    opening = open_csv(put("id,name\n1,a\n"), expected=["id", "name"], pinned=odd)
    assert isinstance(opening, Opening)
    assert (opening.dialect, opening.pin, opening.findings) == (Dialect(","), odd, ())
    again = open_csv(put("id,name\n1,'a'\n"), expected=["id", "name"], pinned=opening.pin)
    assert isinstance(again, Opening)
    assert (again.dialect, again.pin, again.findings) == (odd, odd, ("cells are quoted by `'`",))


def test_another_delimiter_than_before_is_told_and_pinned(put: Callable[..., Path]) -> None:
    opening = open_csv(put("id;name\n1;a\n"), expected=["id", "name"], pinned=Dialect(",", quote="'"))
    assert isinstance(opening, Opening)
    assert opening.pin == Dialect(";")
    assert opening.findings == ("read otherwise than the file before it (delimiter `;`)",)

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from churnwatch.pipeline import blocks
from churnwatch.pipeline.blocks import NEVER_CLOSED, BadRow, Block, forget, read_blocks
from churnwatch.pipeline.engine import DuckDB, name
from churnwatch.pipeline.read import Opening, Refusal, open_csv


def _opened(path: Path) -> Opening:
    opening = open_csv(path)
    assert isinstance(opening, Opening), opening
    return opening


@dataclass(frozen=True)
class Found:
    """What is in a file; an empty cell and a missing one mean the same."""

    rows: list[tuple[object, ...]]
    bad: tuple[BadRow, ...]
    in_engine: tuple[bool, ...]


def _read(path: Path, engine: DuckDB) -> Found:
    rows, bad, in_engine = [], [], []
    for block in read_blocks(_opened(path), engine, table="t"):
        rows += _rows(block, engine)
        bad += block.bad
        in_engine.append(isinstance(block.rows, str))
        forget(block, engine)
    return Found(rows, tuple(bad), tuple(in_engine))


def _rows(block: Block, engine: DuckDB) -> list[tuple[object, ...]]:
    if isinstance(block.rows, str):
        raw = engine.rows(f"SELECT * FROM {name(block.rows)} ORDER BY 1")
    else:
        raw = list(zip(*(column.to_pylist() for column in block.rows.columns), strict=True))
    return [tuple("" if cell is None else cell for cell in row) for row in raw]


@pytest.mark.parametrize(
    ("content", "encoding", "findings"),
    [
        ("a,b\né,1\n".encode(), "utf-8", ()),
        (b"\xef\xbb\xbfa,b\n\xc3\xa9,1\n", "utf-8-sig", ()),
        ("a,b\né,1\n".encode("utf-16"), "utf-16", ("read as UTF-16 by its byte-order mark",)),
        (b"\xfe\xff" + "a,b\né,1\n".encode("utf-16-be"), "utf-16", ("read as UTF-16 by its byte-order mark",)),
        ("a,b\né,1\n".encode("cp1252"), "cp1252", ("not UTF-8; read as Windows-1252",)),
    ],
)
def test_every_encoding_gives_the_same_rows_and_a_guess_is_a_finding(
    put: Callable[..., Path], engine: DuckDB, content: bytes, encoding: str, findings: tuple[str, ...]
) -> None:
    opening = _opened(put(content))
    assert (opening.encoding, opening.header, opening.findings) == (encoding, ("a", "b"), findings)
    assert _read(opening.path, engine).rows == [(2, "é", "1")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_quoted_header_is_split_too(put: Callable[..., Path], engine: DuckDB, delimiter: str) -> None:
    path = put(delimiter.join(('"a"', '"b, c"', '"d ""e"""')) + "\n" + delimiter.join("123") + "\n")
    assert (_opened(path).dialect.delimiter, _opened(path).header) == (delimiter, ("a", "b, c", 'd "e"'))
    assert _read(path, engine).rows == [(2, "1", "2", "3")]


def test_names_lose_blanks_around_them_and_may_be_quoted_over_lines(put: Callable[..., Path], engine: DuckDB) -> None:
    path = put('  a , "b",""\n1,2,3\n'.replace(' "b"', '"b\nb"'))
    assert _opened(path).header == ("a", "b\nb", "")
    assert _read(path, engine).rows == [(3, "1", "2", "3")]


def test_a_file_of_a_header_only_has_no_rows(put: Callable[..., Path], engine: DuckDB) -> None:
    for content in ("a,b", "a,b\n", "a,b\r\n", "a,b\n\n\n"):
        assert _read(put(content), engine).bad == ()
        assert _read(put(content), engine).rows == []


# -- rows and their lines --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('a,b\n"x\ny",1\nz,2\n"\n\n",3\nlast,4', [(2, "x\ny", "1"), (4, "z", "2"), (5, "\n\n", "3"), (8, "last", "4")]),
        ("a,b\r\n1,2\r\n3,4\r\n", [(2, "1", "2"), (3, "3", "4")]),
        ("a,b\r1,2\r3,4\r", [(2, "1", "2"), (3, "3", "4")]),
        ("a,b\n1,2\r3,4\r\n5,6\n", [(2, "1", "2"), (3, "3", "4"), (4, "5", "6")]),
        ("a,b\n\n1,2\n\n\n3,4\n\n", [(3, "1", "2"), (6, "3", "4")]),
        ('a,b\nx "y" z,it\'s\n', [(2, 'x "y" z', "it's")]),
        ('a,b\n"x ""y"" z",""\n', [(2, 'x "y" z', "")]),
        ('a,b\n "x",1\n', [(2, ' "x"', "1")]),
        ("a,b\n,\n", [(2, "", "")]),
        ("a,b\nNULL,None\n", [(2, "NULL", "None")]),
        ("a,b\n1\u20282,\u00a0\n", [(2, "1\u20282", "\u00a0")]),
    ],
)
def test_rows_are_read_with_the_line_they_start_on(
    put: Callable[..., Path], engine: DuckDB, content: str, rows: list[tuple[object, ...]]
) -> None:
    found = _read(put(content), engine)
    assert found.rows == rows
    assert found.bad == ()


@pytest.mark.parametrize(
    ("content", "rows", "bad"),
    [
        ("a,b\n1\n2,3\n4,5,6\n", [(3, "2", "3")],
         [BadRow(2, "1 cells where the header has 2", "1"), BadRow(4, "3 cells where the header has 2", "4,5,6")]),
        ("a,b\n1,2,\n3,4\n", [(3, "3", "4")], [BadRow(2, "3 cells where the header has 2", "1,2,")]),
        ('a,b\n"x\ny",1,"c,d"\n', [], [BadRow(2, "3 cells where the header has 2", '"x\ny",1,"c,d"')]),
        ("a,b\n1,\0\n3,4\n", [(3, "3", "4")], [BadRow(2, "a NUL byte in a cell", "1,\0")]),
        ('a,b\n"x"y,1,z\n3,4\n', [(3, "3", "4")], [BadRow(2, "not valid CSV: ',' expected after '\"'", '"x"y,1,z')]),
        ('a,b\n1,2\n"never closed\n3,4\n', [(2, "1", "2"), (4, "3", "4")], [BadRow(3, NEVER_CLOSED, '"never closed')]),
        ("a,b\n1,2\na,b\n3,4\n", [(2, "1", "2"), (4, "3", "4")], [BadRow(3, "the header once more", "a,b")]),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_handed_on_with_line_and_reason(
    put: Callable[..., Path],
    engine: DuckDB,
    content: str,
    rows: list[tuple[object, ...]],
    bad: list[BadRow],
) -> None:
    found = _read(put(content), engine)
    assert found.rows == rows
    assert list(found.bad) == bad


def test_a_cell_of_more_than_a_megabyte_is_a_bad_row(
    put: Callable[..., Path], engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = csv.field_size_limit()
    monkeypatch.setattr(blocks, "MAX_CELL", 10)
    found = _read(put("a,b\n12345678901,1\n3,4\n"), engine)
    csv.field_size_limit(before)
    assert found.rows == [(3, "3", "4")]
    assert found.bad == (BadRow(2, "not valid CSV: field larger than field limit (10)", "1234567890"),)


# -- the parallel reader ---------------------------------------------------------------------------------------

quirks = st.sampled_from(
    ["1", "x", "", "é", " ", "\u2028", "a,b", "l\nm", 'a"b', "\\", "'", "#", "NULL", '"q"', '"a,b"', '"l\nm"', '"a""b"',
     '""', ' "x"', '"y" ', '"a" "b"', '"a"  "b"', '""a', '"" "a"', '"a," ","', '"a""b" "c"', "\0", "\t", '"cr\rin"']
)  # fmt: skip
ends = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", ",\n", "\n\n", ""])


@st.composite
def contents(draw: st.DrawFn) -> str:
    """Return the text of a CSV: half of them well made, the others with whatever comes in the wild."""
    width = draw(st.integers(1, 3))
    names = ",".join("abc"[:width])
    if draw(st.booleans()):
        cell = st.text(alphabet='xé ,"\n\r', max_size=4).map(lambda text: '"' + text.replace('"', '""') + '"')
        row = st.lists(st.one_of(cell, st.sampled_from(["1", "x", "é", ""])), min_size=width, max_size=width)
        return f"{names}\n" + "".join(f"{','.join(cells)}\n" for cells in draw(st.lists(row, max_size=5)))
    row = st.lists(quirks, min_size=width, max_size=width).map(",".join)
    lines = draw(st.lists(st.tuples(row, ends).map("".join), max_size=5))
    return names + draw(st.sampled_from(["\n", "\r\n"])) + "".join(lines)


@pytest.fixture
def _always_in_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_LARGE", 0)


@hypothesis_settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(content="a,b\n1,2,\n3,4\n", size=1000)  # DuckDB drops an empty cell too many
@example(content='a,b\n "x",1\n', size=1000)  # and a blank before a quote
@example(content='a,b\n"y" ,1\n', size=1000)  # and after it
@example(content='a,b\n"y" "z",1\n', size=1000)  # and joins what stands in two pairs of quotes
@example(content='a,b\n"y" "z",1\n5",6"\n', size=1000)
@example(content="a\n\n1\n", size=1000)  # and takes a blank line of a single column for an empty cell
@example(content="a,b\n1,\0\n", size=1000)
@example(content="a,b\r\n1,2\n", size=1000)  # mixed line ends are an error to it
@example(content='a,b\n"1\n2",3\n4,5\r6,7\n', size=1000)
@example(content='a,b\n1,"x\ny"\n3,4\n', size=9)  # a block ends within a cell
@example(content="a,b\n1,x\r\n2,y\r\n", size=9)  # and between the two letters of a line's end
@given(content=contents(), size=st.sampled_from([16, 24, 40, 1000]))
def test_whatever_blocks_a_file_is_cut_into_it_has_the_rows_that_python_reads_in_it_as_a_whole(
    tmp_path: Path, engine: DuckDB, content: str, size: int
) -> None:
    path = tmp_path / "drop.csv"
    path.write_bytes(content.encode())
    whole = _read(path, engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", size)
        patch.setattr(blocks, "_LARGE", 0)
        found = _read(path, engine)
    assert not any(whole.in_engine)
    assert (found.rows, found.bad) == (whole.rows, whole.bad)


@pytest.mark.usefixtures("_always_in_parallel")
@pytest.mark.parametrize("content", ['a,b\n1,x\n2,"é,""y"""\n', "a,b\r\n1,x\r\n2,y", "a,b\n,\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_a_large_well_made_file_stays_in_the_engine(
    put: Callable[..., Path], engine: DuckDB, content: str, encoding: str
) -> None:
    found = _read(put(content.encode(encoding)), engine)
    assert all(found.in_engine)
    assert [row[0] for row in found.rows] == list(range(2, 2 + len(found.rows)))
    assert len(found.rows) == content.count("\n") - content.endswith("\n")


def test_only_the_block_with_a_broken_row_is_read_by_python(
    put: Callable[..., Path], engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 40)
    monkeypatch.setattr(blocks, "_LARGE", 10)
    found = _read(put("a,b\n" + "1,2\n" * 15 + "short\n" + "3,4\n" * 15), engine)
    assert found.bad == (BadRow(17, "1 cells where the header has 2", "short"),)
    assert [row[0] for row in found.rows] == [*range(2, 17), *range(18, 33)]
    assert [found.in_engine.count(where) for where in (True, False)] == [2, 1]


def test_a_quote_that_is_opened_at_the_end_of_a_block_takes_what_belongs_to_it_from_the_next(
    put: Callable[..., Path], engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 16)
    found = _read(put('a,b\n1,"x\ny\nz"\n2,3\n4,5\n'), engine)
    assert found.rows == [(2, "1", "x\ny\nz"), (5, "2", "3"), (6, "4", "5")]


def test_a_line_that_is_longer_than_a_block_is_refused_without_reading_on(
    put: Callable[..., Path], engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 100)
    opening = replace(_opened(put("a,b\n1,2\n" + "x" * 1000)), max_line=150)
    with pytest.raises(OSError, match=r"^line 3 is longer than 150 bytes; is it a table of text\?$"):
        list(read_blocks(opening, engine, table="t"))


@pytest.mark.usefixtures("_always_in_parallel")
def test_columns_called_as_ours_are_read_like_any_other(put: Callable[..., Path], engine: DuckDB) -> None:
    found = _read(put("rowid,_line,_file\n7,8,9\n"), engine)
    assert (found.rows, found.in_engine) == ([(2, "7", "8", "9")], (True,))


# -- packed files and Parquet ----------------------------------------------------------------------------------


@pytest.fixture
def packed(tmp_path: Path) -> Callable[[str, str], Path]:
    """Return what writes a text packed as the name tells."""

    def written(text: str, file_name: str) -> Path:
        path = tmp_path / file_name
        with pa.CompressedOutputStream(str(path), "gzip" if file_name.lower().endswith(".gz") else "zstd") as stream:
            stream.write(text.encode())
        return path

    return written


@pytest.mark.parametrize("file_name", ["drop.csv.gz", "drop.csv.zst", "DROP.CSV.GZ"])
@pytest.mark.parametrize("rows", [3, 120_000])
def test_a_packed_file_has_the_rows_and_lines_that_it_had_before(
    packed: Callable[[str, str], Path], put: Callable[[str], Path], engine: DuckDB, file_name: str, rows: int
) -> None:
    text = "id,t\n" + "".join(f'{i},"a ""quoted"", {i}"\n' for i in range(rows)) + "short\n"
    found, plain = _read(packed(text, file_name), engine), _read(put(text), engine)
    assert found.rows == plain.rows
    assert found.bad == plain.bad


@pytest.mark.parametrize("file_name", ["drop.csv.gz", "drop.csv.zst"])
def test_a_packed_file_that_is_cut_short_or_no_such_file_is_an_error_of_reading(
    packed: Callable[[str, str], Path], tmp_path: Path, file_name: str
) -> None:
    path = packed("id,t\n" + "".join(f"{i},{i * 7919}\n" for i in range(100_000)), file_name)
    cut = tmp_path / f"cut-{file_name}"
    cut.write_bytes(path.read_bytes()[:-1000])
    other = tmp_path / f"other-{file_name}"
    other.write_text("id,t\n1,2\n")
    for broken in (cut, other):
        with pytest.raises(OSError):  # noqa: PT011 - the library's words, which differ
            open_csv(broken)


def test_parquet_is_read_as_the_text_that_a_csv_of_it_would_hold(tmp_path: Path, engine: DuckDB) -> None:
    path = tmp_path / "drop.parquet"
    table = pa.table({
        "id": ["00123", "it's, \"q\"", None],
        "n": pa.array([2**60, -1, None]),
        "x": [1 / 3, -0.0, None],
        "day": pa.array([dt.datetime(2026, 1, 2), dt.datetime(2026, 1, 2, 3, 4, 5, 678901), None]),  # noqa: DTZ001
        "yes": [True, False, None],
    })  # fmt: skip
    pyarrow.parquet.write_table(table, path)
    assert _opened(path).header == ("id", "n", "x", "day", "yes")
    assert _read(path, engine).rows == [
        (1, "00123", str(2**60), "0.3333333333333333", "2026-01-02 00:00:00", "true"),
        (2, 'it\'s, "q"', "-1", "-0.0", "2026-01-02 03:04:05.678901", "false"),
        (3, "", "", "", "", ""),
    ]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_with_a_zone_are_read_in_utc_whatever_their_unit(tmp_path: Path, engine: DuckDB, unit: str) -> None:
    path = tmp_path / "drop.parquet"
    times = pa.array([0, 1_600_000_000], pa.timestamp("s", "Europe/Paris")).cast(pa.timestamp(unit, "Europe/Paris"))
    pyarrow.parquet.write_table(pa.table({"at": times, "n": [1, 2]}), path)
    opening = open_csv(path)
    assert isinstance(opening, Opening)
    [block] = read_blocks(opening, engine, table="t")
    found = engine.rows(f'SELECT "at" FROM {name(str(block.rows))} ORDER BY _line')
    assert found == [("1970-01-01 00:00:00",), ("2020-09-13 12:26:40",)]


def test_what_is_no_parquet_is_refused_and_what_is_cut_short_is_not_read(tmp_path: Path, engine: DuckDB) -> None:
    path = tmp_path / "drop.parquet"
    path.write_bytes(b"PAR1 not really")
    assert open_csv(path) == Refusal("not a Parquet file, or cut short")
    pyarrow.parquet.write_table(pa.table({"a": list(range(200_000))}), path, compression="none")
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(100_000) + whole[100_004:])
    with pytest.raises(OSError, match="not a whole Parquet file"):
        _read(path, engine)


def test_whatever_byte_of_a_parquet_file_is_damaged_the_engine_works_on(tmp_path: Path, engine: DuckDB) -> None:
    path = tmp_path / "drop.parquet"
    pyarrow.parquet.write_table(pa.table({"name0": ["a", "", None], "name1": [1, None, -1]}), path)
    whole, ended = path.read_bytes(), Counter[str]()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
        try:
            opening = open_csv(path)
            ended["refused"] += isinstance(opening, Refusal)
            ended["read"] += isinstance(opening, Opening) and len(list(read_blocks(opening, engine, table="t")))
        except OSError:
            ended["cannot be read"] += 1
    assert sum(ended.values()) == len(whole)
    assert all(ended.values())
    assert engine.rows("SELECT 1") == [(1,)]  # DuckDB's own reader of Parquet would have invalidated the database


def test_text_of_a_parquet_file_that_is_none_is_an_error_of_reading(tmp_path: Path, engine: DuckDB) -> None:
    path = tmp_path / "drop.parquet"
    table = pa.table({"a": pa.array([b"zz\xff\xfe"], pa.binary())})
    pyarrow.parquet.write_table(table, path, store_schema=False)
    assert _read(path, engine).rows == [(1, "zz\\xFF\\xFE")]
    pyarrow.parquet.write_table(pa.table({"a": ["zzzz"]}), path, use_dictionary=False, compression="none",
                                write_statistics=False)  # fmt: skip
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"zz\xff\xfe"))
    with pytest.raises(OSError, match="not a whole Parquet file"):
        _read(path, engine)


def test_parquet_of_many_small_groups_of_rows_is_read_in_large_blocks(
    tmp_path: Path, engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_BLOCK_ROWS", 300)
    path = tmp_path / "drop.parquet"
    pyarrow.parquet.write_table(pa.table({"a": list(range(1000))}), path, row_group_size=10)
    found = _read(path, engine)
    assert found.rows == [(row + 1, str(row)) for row in range(1000)]
    assert len(found.in_engine) == 4


@pytest.mark.parametrize("file_name", ["a[1].parquet", "b?.parquet", "c*.parquet"])
def test_a_name_that_looks_like_a_glob_is_one_file(tmp_path: Path, engine: DuckDB, file_name: str) -> None:
    for other in ("a1.parquet", "b2.parquet", "c-other.parquet"):
        pyarrow.parquet.write_table(pa.table({"a": ["other"]}), tmp_path / other)
    path = tmp_path / file_name
    pyarrow.parquet.write_table(pa.table({"a": ["own"]}), path)
    assert _read(path, engine).rows == [(1, "own")]
    assert engine.rows(f"SELECT a FROM {engine.scan([path])}") == [("own",)]


def test_times_with_a_zone_are_read_in_utc_and_nan_is_a_missing_value(tmp_path: Path, engine: DuckDB) -> None:
    path = tmp_path / "drop.parquet"
    noon = dt.datetime(2026, 1, 2, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    pyarrow.parquet.write_table(pa.table({"at": [noon], "x": [float("nan")]}), path)
    assert _read(path, engine).rows == [(1, "2026-01-02 10:00:00", "")]


# -- what is not of the table ----------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [True, False])
def test_a_second_header_ends_the_table_and_all_behind_it_is_set_aside(
    put: Callable[..., Path], engine: DuckDB, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 40)
    monkeypatch.setattr(blocks, "_LARGE", 0 if large else 1 << 20)
    found = _read(put("a,b,c\n" + "1,2,3\n" * 4 + "a,b,c,d\n" + "5,6,7,8\n" * 8), engine)
    assert [row[0] for row in found.rows] == [2, 3, 4, 5]
    assert [bad.line for bad in found.bad] == list(range(6, 15))
    assert found.bad[0].reason == "the header of another table"
    assert {bad.reason for bad in found.bad[1:]} == {"belongs to another table, whose header is on line 6"}


@pytest.mark.parametrize("large", [True, False])
def test_the_header_once_more_is_no_row_but_those_behind_it_are(
    put: Callable[..., Path], engine: DuckDB, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr(blocks, "_LARGE", 0 if large else 1 << 20)
    found = _read(put("a,b\n1,2\na, b\n3,4\n"), engine)
    assert [row[0] for row in found.rows] == [2, 4]
    assert found.bad == (BadRow(3, "the header once more", "a, b"),)


def test_a_quote_by_mistake_is_text_and_its_line_is_told(put: Callable[..., Path], engine: DuckDB) -> None:
    [block] = read_blocks(_opened(put('a,b,c\n1,"2,3\n4,5,6\n7,"8","9"\n')), engine, table="t")
    assert _rows(block, engine) == [(2, "1", '"2', "3"), (3, "4", "5", "6"), (4, "7", "8", "9")]
    assert block.mended == (2,)


def test_a_quote_that_is_open_for_a_thousand_lines_is_a_mistake(put: Callable[..., Path], engine: DuckDB) -> None:
    found = _read(put('a,b\n"x\n' + "1,2\n" * 2000 + '","3"\n'), engine)
    assert found.bad[0] == BadRow(2, NEVER_CLOSED, '"x')
    assert len(found.rows) == 2001


@pytest.mark.usefixtures("_always_in_parallel")
def test_another_table_of_the_same_width_is_not_taken_for_rows(put: Callable[..., Path], engine: DuckDB) -> None:
    found = _read(put("first,last\nMary,Smith\nlast,first\nSmith,Mary\n"), engine)
    assert [row[0] for row in found.rows] == [2]
    assert [bad.line for bad in found.bad] == [3, 4]


@pytest.mark.usefixtures("_always_in_parallel")
@pytest.mark.parametrize("columns", [400, 1200])
def test_a_wide_file_is_read(put: Callable[..., Path], engine: DuckDB, columns: int) -> None:
    text = ",".join(f"c{place}" for place in range(columns)) + "\n" + ",".join(map(str, range(columns))) + "\n"
    found = _read(put(text), engine)
    assert found.rows == [(2, *map(str, range(columns)))]
    assert found.in_engine == (columns == 400,)


@pytest.mark.usefixtures("_always_in_parallel")
def test_of_a_block_that_was_read_unfaithfully_nothing_stays_in_the_engine(
    put: Callable[..., Path], engine: DuckDB
) -> None:
    assert _read(put('a,b\n1,"x\ny"\n3,4\n'), engine).in_engine == (False,)
    assert engine.rows("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 't_0%'") == []


def test_a_file_that_grows_too_large_when_it_is_unpacked_is_not_read_to_its_end(
    packed: Callable[[str, str], Path], engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 100)
    opening = replace(_opened(packed("\ufeffa,b\n" + "1,2\n" * 1000, "drop.csv.gz")), max_bytes=1000)
    with pytest.raises(OSError, match=r"larger than csv\.max_gb or"):
        list(read_blocks(opening, engine, table="t"))

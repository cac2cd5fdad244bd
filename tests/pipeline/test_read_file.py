from __future__ import annotations

import io
from pathlib import Path

import pytest

from churnwatch.pipeline import blocks
from churnwatch.pipeline.blocks import BadRow
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.read_file import read_file
from churnwatch.pipeline.settings import Csv


@pytest.mark.parametrize("large", [True, False])
def test_what_can_be_read_is_written_plainly_and_the_rest_is_told(
    tmp_path: Path, engine: DuckDB, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(blocks, "_LARGE", 0)
        monkeypatch.setattr(blocks, "BLOCK", 24)
    path = tmp_path / "strange.csv"
    path.write_bytes('Export\n\nid;t;n\n1;"a;""b""";2\n2;"c;3\n4;5\n6;é;7\n'.encode("cp1252"))
    out = io.StringIO()
    found = read_file(path, Csv(), engine, out)
    assert out.getvalue() == 'id,t,n\n1,"a;""b""",2\n2,"""c",3\n6,é,7\n'
    assert (found.rows, found.mended, found.bad) == (3, (5,), (BadRow(6, "2 cells where the header has 3", "4;5"),))
    assert found.opening.findings == ("not UTF-8; read as Windows-1252", "2 line(s) before the header are left out")


@pytest.mark.parametrize("content", [b"", b"a,\0b\n", b"PAR1"])
def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path, engine: DuckDB, content: bytes) -> None:
    path = tmp_path / ("x.parquet" if content == b"PAR1" else "x.csv")
    path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        read_file(path, Csv(), engine, io.StringIO())
    with pytest.raises(DataError, match="cannot be read"):
        read_file(tmp_path / "gone.csv", Csv(), engine, io.StringIO())


@pytest.mark.parametrize("large", [True, False])
def test_columns_called_as_ours_are_written_like_any_other(
    tmp_path: Path, engine: DuckDB, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(blocks, "_LARGE", 0)
    (tmp_path / "a.csv").write_text("_line,b\n7,8\n")
    out = io.StringIO()
    read_file(tmp_path / "a.csv", Csv(), engine, out)
    assert out.getvalue() == "_line,b\n7,8\n"


def test_a_line_end_of_any_kind_in_a_cell_is_quoted_so_that_the_rows_are_the_same_once_more(
    tmp_path: Path, engine: DuckDB
) -> None:
    path, again = tmp_path / "a.csv", tmp_path / "again.csv"
    path.write_bytes(b'a,b\n"x\ry",1\n"x\ny","2\r\n"\n')
    for source in (path, again):
        with again.open("w", newline="") if source == path else io.StringIO() as out:
            assert read_file(source, Csv(), engine, out).rows == 2
    assert again.read_bytes() == path.read_bytes()

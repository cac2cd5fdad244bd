from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from duckdb import CatalogException

from churnwatch.pipeline import blocks
from churnwatch.pipeline import load as load_module
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.load import Loaded, Piece, QuarantineCount, Refused, Source, classify, load, open_source
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Csv

MakeSchema = Callable[..., Schema]
MakeSource = Callable[..., Source]


def _load(engine: DuckDB, schema: Schema, *sources: Source, csv: Csv | None = None, **options: Any) -> Loaded:
    found = classify(sources, schema, csv or Csv())
    assert not found.refused
    return load((*found.labelled, *found.requests), schema, csv or Csv(), engine, **options)


def _counted(loaded: Loaded) -> list[tuple[Any, ...]]:
    return [(q.check_name, q.column_name, q.reason, q.rows, q.first_line) for q in loaded.quarantines]


# -- which files are ours --------------------------------------------------------------------------------------


def test_files_are_sorted_by_what_they_ask_for(make_schema: MakeSchema, make_source: MakeSource) -> None:
    labelled, request = make_source("id,n,left\n"), make_source("n,id\n")
    foreign, broken = make_source("sku,price\n1,2\n"), make_source("")
    found = classify([labelled, request, foreign, broken], make_schema(), Csv())
    assert [each.source for each in found.labelled] == [labelled]
    assert [each.source for each in found.requests] == [request]
    assert found.refused == (
        Refused(foreign, "line 1: 2 of 2 columns are missing (`id`, `n`); is it another company's file?"),
        Refused(broken, "empty: it has no header"),
    )


def test_a_column_that_nobody_asked_for_is_left_out_with_a_finding(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB
) -> None:
    source = make_source("id,note,n,left\na,hello,1,yes\n")
    opened = open_source(source, make_schema(), Csv())
    assert not isinstance(opened, Refused)
    assert opened.findings == ("1 column(s) left out: `note`",)
    _load(engine, make_schema(), source)
    assert engine.rows("SELECT * FROM typed") == [(1, 2, "a", 1.0, "yes")]


@pytest.mark.parametrize("large", [0, blocks._LARGE])
def test_a_left_out_column_may_have_any_name(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(blocks, "_LARGE", large)
    source = make_source('_line,_file,rowid,_bad,id,n,left,""\n9,9,9,9,a,1,yes,9\n')
    _load(engine, make_schema(), source)
    assert engine.rows("SELECT * FROM typed") == [(1, 2, "a", 1.0, "yes")]


@pytest.mark.parametrize(
    ("header", "delimiter", "advice"),
    [
        ("id;n;left", ",", "it is split by `;`, and `csv.delimiter` is `,`"),
        ("ID,n,left", None, "it has `ID` where `id` is declared"),
        ("n,left", None, "an older or a newer export?"),
        ("a,b,c", ",", "is it another company's file?"),
    ],
)
def test_a_file_with_other_columns_comes_with_what_is_most_likely_wrong(
    make_schema: MakeSchema, make_source: MakeSource, header: str, delimiter: str | None, advice: str
) -> None:
    refused = open_source(make_source(f"{header}\n"), make_schema(), Csv(delimiter=delimiter))
    assert isinstance(refused, Refused)
    assert refused.reason.endswith(advice)


def test_long_lists_of_columns_are_cut(make_schema: MakeSchema, make_source: MakeSource) -> None:
    columns = {f"c{i}": "text" for i in range(7)} | {"left": "text"}
    refused = open_source(make_source("left\n"), make_schema(columns), Csv())
    assert isinstance(refused, Refused)
    assert "7 of 7 columns are missing (`c0`, `c1`, `c2`, `c3`, `c4`, …)" in refused.reason


def test_a_file_that_is_gone_is_refused(make_schema: MakeSchema, make_source: MakeSource) -> None:
    source = make_source("id,n,left\n")
    source.path.unlink()
    assert open_source(source, make_schema(), Csv()) == Refused(source, "cannot be read: No such file or directory")


# -- what is loaded --------------------------------------------------------------------------------------------


def test_files_are_loaded_into_one_table_with_file_and_line(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB
) -> None:
    loaded = _load(engine, make_schema(), make_source("id,n,left\na,1,yes\n"), make_source("left;n;id\nno;2;b\n"))
    assert len(loaded.opened) == 2
    assert sorted(engine.rows("SELECT * FROM typed")) == [(1, 2, "a", 1.0, "yes"), (2, 2, "b", 2.0, "no")]


def test_no_file_gives_empty_tables(make_schema: MakeSchema, engine: DuckDB) -> None:
    assert _load(engine, make_schema()) == Loaded((), (), (), (), (Piece("typed", {}),))
    assert engine.rows("SELECT count(*) FROM typed") == [(0,)]
    assert engine.rows("SELECT count(*) FROM bad") == [(0,)]


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_run(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB
) -> None:
    steady, changing = make_source("id,n,left\na,1,yes\n"), make_source("id,n,left\nb,1,yes\n")
    with changing.path.open("a") as file:
        file.write("c,2,no\n")
    loaded = _load(engine, make_schema(), steady, changing)
    assert [each.source for each in loaded.opened] == [steady]
    assert loaded.changed == (changing,)
    assert engine.rows("SELECT id FROM typed") == [("a",)]


def test_a_file_is_unchanged_only_with_the_same_size_and_times(make_source: MakeSource) -> None:
    source = make_source("id,n,left\na,1,yes\n")
    assert source.unchanged()
    os.utime(source.path, ns=(source.file.mtime_ns, source.file.mtime_ns + 1))
    assert not source.unchanged()
    source.path.unlink()
    assert not source.unchanged()


def test_a_file_that_stops_being_text_halfway_is_refused_and_the_others_are_loaded(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB
) -> None:
    good, half = make_source("id,n,left\na,1,yes\n"), make_source("id,n,left\nb,1,yes\n".encode("utf-16")[:-1])
    loaded = _load(engine, make_schema(), good, half)
    [refused] = loaded.refused
    assert refused.source == half
    assert refused.reason.startswith("cannot be read: 'utf-16-le' codec can't decode byte")
    assert engine.rows("SELECT id FROM typed") == [("a",)]


def test_without_the_target_its_checks_do_not_count(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB
) -> None:
    schema = make_schema(
        {"id": "text", "n": "integer", "left": {"type": "text", "required": True, "allowed": ["yes", "no"]}}
    )
    loaded = _load(engine, schema, make_source("id,n\na,1\nb,x\n"), with_target=False)
    assert _counted(loaded) == [("type", "n", "not a whole number", 1, 3)]
    assert engine.rows("SELECT id, n FROM typed") == [("a", 1)]


# -- every row is in one table or the other --------------------------------------------------------------------


def test_a_row_that_breaks_several_checks_is_counted_once_for_the_first_column(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB
) -> None:
    schema = make_schema({"a": "integer", "b": {"type": "integer", "max": 5}, "left": "text"})
    loaded = _load(engine, schema, make_source("a,b,left\nx,9,yes\n1,9,no\n2,y,no\n3,4,no\n"))
    assert _counted(loaded) == [
        ("type", "a", "not a whole number", 1, 2),
        ("max", "b", "above 5", 1, 3),
        ("type", "b", "not a whole number", 1, 4),
    ]
    assert engine.rows("SELECT count(*) FROM typed") == [(1,)]
    assert engine.rows("SELECT count(*) FROM bad") == [(3,)]


def test_quarantined_rows_are_counted_by_file_and_check_with_their_first_line(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB
) -> None:
    one = make_source('id,n,left\n"a\na",1,yes\nb,x,no\nc,y,no\nd\n')
    two = make_source("id,n,left\nb,z,no\n")
    assert _load(engine, make_schema(), one, two).quarantines == (
        QuarantineCount(1, "type", "n", "not a number", 2, 4),
        QuarantineCount(1, "row", None, "1 cells where the header has 3", 1, 6),
        QuarantineCount(2, "type", "n", "not a number", 1, 2),
    )


def test_no_reason_holds_a_value_of_a_cell(make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB) -> None:
    columns = {
        "id": {"type": "text", "unique": True, "required": True},
        "n": {"type": "integer", "min": 0, "max": 9},
        "day": "date",
        "left": {"type": "text", "allowed": ["yes", "no"]},
    }
    lines = ["a,1,2026-01-01,yes", "a,1,2026-01-01,yes", ",1,,yes", "b,SECRET,,yes", "c,-77123,,yes", "d,77123,,yes",
             "e,1,SECRET,yes", "f,1,,SECRET", "SECRET,1", 'g,"SECRET"x,,yes', "h,SECRET\0,,yes"]  # fmt: skip
    loaded = _load(engine, make_schema(columns), make_source("\n".join(["id,n,day,left", *lines])))
    assert sum(each.rows for each in loaded.quarantines) == 10
    for reason in (each.reason for each in loaded.quarantines):
        assert "SECRET" not in reason
        assert "77123" not in reason


# -- the parallel reader behind it -----------------------------------------------------------------------------


def test_large_and_small_files_give_the_same_rows_and_the_same_quarantine(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = "note,left,id,n\n" + "".join(
        f'"x, ""{row}""",{"yes" if row % 2 else "no"},c{row},{row if row % 7 else "bad"}\n' for row in range(100)
    )
    found, fast = [], []
    parallel = blocks._read_in_parallel
    monkeypatch.setattr(blocks, "_read_in_parallel", lambda *given: (fast.append(rows := parallel(*given)), rows)[1])
    for bound in (blocks._LARGE, 0):
        monkeypatch.setattr(blocks, "_LARGE", bound)
        loaded = _load(engine, make_schema(), make_source(content))
        rows = engine.rows("SELECT * EXCLUDE (_file) FROM typed ORDER BY _line")
        bad = engine.rows("SELECT * EXCLUDE (_file) FROM bad ORDER BY _line")
        found.append((rows, bad, _counted(loaded)))
    assert found[0] == found[1]
    assert len(found[0][0]) == 85
    assert [rows is not None for rows in fast] == [True]
    with pytest.raises(CatalogException):  # what was read is given up once it was typed
        engine.rows("SELECT count(*) FROM file_2_0_texts")


def test_a_large_file_of_another_order_of_columns_lies_beside_a_small_one(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_LARGE", 40)
    small, large = make_source("id,n,left\na,1,yes\n"), make_source("left,n,id\n" + "no,2,b\n" * 9)
    _load(engine, make_schema(), small, large)
    assert engine.rows("SELECT DISTINCT _file, id, n FROM typed ORDER BY 1") == [(1, "a", 1.0), (2, "b", 2.0)]


def test_a_schema_may_call_its_columns_like_those_of_a_reader(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    schema = make_schema({"rowid": "integer", "c0": "text", "text": "text", "reason": "text", "left": "text"})
    for bound in (blocks._LARGE, 0):
        monkeypatch.setattr(blocks, "_LARGE", bound)
        loaded = _load(engine, schema, make_source("rowid,c0,text,reason,left\n7,a,b,c,yes\nx,a,b,c,no\n"))
        assert engine.rows("SELECT _line, rowid, c0, text, reason FROM typed") == [(2, 7, "a", "b", "c")]
        assert _counted(loaded) == [("type", "rowid", "not a whole number", 1, 3)]


# -- batches ---------------------------------------------------------------------------------------------------


def test_a_file_that_changed_or_broke_leaves_nothing_behind_of_the_batches_that_were_typed_before(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 16)
    monkeypatch.setattr(load_module, "BATCH", 16)
    rows = "".join(f"c{row},{row or 'bad'},yes\n" for row in range(9))
    whole, changed = make_source("id,n,left\n" + rows), make_source("id,n,left\n" + rows)
    broken = make_source(("id,n,left\n" + rows).encode("utf-16") + b"x")
    changed = replace(changed, file=replace(changed.file, size_bytes=1))
    loaded = _load(engine, make_schema(), changed, whole, broken)
    assert [each.source for each in loaded.opened] == [whole]
    assert loaded.changed == (changed,)
    assert [each.source for each in loaded.refused] == [broken]
    assert len(loaded.pieces) > 1
    assert engine.rows("SELECT DISTINCT _file, count(*) FROM typed GROUP BY _file") == [(whole.file.file, 8)]
    assert sum((Counter(piece.rows) for piece in loaded.pieces), Counter()) == {whole.file.file: 8}
    assert [(each.file, each.rows) for each in loaded.quarantines] == [(whole.file.file, 1)]


def test_a_value_that_must_be_unique_is_looked_for_in_former_batches_of_the_file(
    make_schema: MakeSchema, make_source: MakeSource, engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 16)
    monkeypatch.setattr(load_module, "BATCH", 16)
    schema = make_schema({"id": {"type": "text", "unique": True}, "n": "number", "left": "text"})
    one = make_source("id,n,left\na,1,yes\nb,x,yes\n,1,no\n,2,no\nc,1,no\nb,1,no\na,2,no\n")
    two = make_source("id,n,left\na,1,yes\n")
    loaded = _load(engine, schema, one, two)
    assert len(loaded.pieces) > 2
    assert [(each.file, each.check_name, each.rows, each.first_line) for each in loaded.quarantines] == [
        (1, "type", 1, 3), (1, "unique", 2, 7)]  # fmt: skip
    assert engine.rows("SELECT _line FROM typed WHERE _file = 1 ORDER BY 1") == [(2,), (4,), (5,), (6,)]

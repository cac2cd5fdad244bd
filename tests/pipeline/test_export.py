from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from churnwatch.pipeline import load
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.export import export
from churnwatch.pipeline.ingest import ingest
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Csv


def _parts(
    engine: DuckDB, schema: Schema, make_source: Callable[..., Source], folder: Path, *contents: str
) -> list[Path]:
    found: list[Path] = []
    for number, content in enumerate(contents, start=1):
        loaded = load.load(load.classify([make_source(content)], schema, Csv()).labelled, schema, Csv(), engine)
        ingested = ingest(loaded, schema, engine, folder, history=found, next_batch=number, dedup=True,
                          promise_holdout=False)  # fmt: skip
        found += [part.path for part in ingested.parts]
    return found


def test_all_rows_come_out_in_order_and_can_be_ingested_again_as_the_same_rows(
    engine: DuckDB, tmp_path: Path, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    schema = make_schema({"id": "text", "day": "date", "n": "number", "i": "integer", "left": "text"})
    one = 'id,day,n,i,left\n00123,2026-01-31,0.1,7,yes\n"a,""b""\nc",2026-02-01,1e30,-7,no\n,,,,no\n'
    two = "left,i,n,day,id\nno,9,5.5,2026-03-01, é\n"
    parts = _parts(engine, schema, make_source, tmp_path / "parts", one, two)
    target = tmp_path / "finaldata.csv"
    assert export(schema, engine, parts, target) == 4
    text = target.read_text()
    assert text.splitlines()[:2] == ['"id","day","n","i","left"', '"00123",2026-01-31,0.1,7,"yes"']
    found = load.classify([make_source(text)], schema, Csv())
    assert found.refused == ()
    loaded = load.load(found.labelled, schema, Csv(), engine)
    assert loaded.quarantines == ()
    ingested = ingest(loaded, schema, engine, tmp_path / "again", history=parts, next_batch=3, dedup=True,
                      promise_holdout=False)  # fmt: skip
    [account] = ingested.accounts
    assert (account.accepted, account.duplicate) == (0, 4)


def test_what_is_exported_for_programs_stays_as_it_is_also_where_it_looks_like_a_formula(
    engine: DuckDB, make_schema: Callable[..., Schema], make_source: Callable[..., Source], tmp_path: Path
) -> None:
    schema = make_schema({"=id": "text", "left": "text"})
    parts = _parts(engine, schema, make_source, tmp_path / "data", "=id,left\n=1+1,yes\n-x,no\n")
    export(schema, engine, parts, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == '"=id","left"\n"=1+1","yes"\n"-x","no"\n'


def test_with_a_key_the_newest_rows_come_out(
    engine: DuckDB, tmp_path: Path, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    schema = make_schema()
    parts = _parts(
        engine, schema, make_source, tmp_path / "parts", "id,n,left\na,1,no\nb,1,no\n", "id,n,left\na,2,no\n"
    )
    assert export(schema, engine, parts, tmp_path / "out.csv", key=["id"]) == 2
    assert (tmp_path / "out.csv").read_text() == '"id","n","left"\n"b",1,"no"\n"a",2,"no"\n'

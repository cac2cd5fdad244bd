from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from churnwatch.pipeline import blocks, files, load
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.ingest import FileAccount, WrittenPart, ingest, write_quarantine
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.records import SourceFile
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Column, ColumnType, Csv

COLUMNS = ("id", "n", "left")


class Ingest:
    """Reads and ingests sources; the new rows then stand in the table `fresh`, and in `parts` of a folder."""

    def __init__(self, engine: DuckDB, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.parts: list[WrittenPart] = []

    def __call__(self, schema: Schema, sources: Sequence[Source], **options: Any) -> tuple[FileAccount, ...]:
        """Take sources in; return what became of them."""
        given_options = {"history": (), "next_batch": 1, "dedup": True, "promise_holdout": True, **options}
        loaded = load.load(load.classify(sources, schema, Csv()).labelled, schema, Csv(), self.engine)
        found = ingest(loaded, schema, self.engine, self.folder, **given_options)
        self.parts = list(found.parts)
        return found.accounts


@pytest.fixture
def take(engine: DuckDB, tmp_path: Path) -> Ingest:
    """Return what reads and ingests sources into a folder of parts."""
    return Ingest(engine, tmp_path / "parts")


def _counts(accounts: Sequence[FileAccount]) -> list[tuple[int, int, int, int]]:
    return [(each.read, each.accepted, each.duplicate, each.quarantined) for each in accounts]


# -- every row is accounted for --------------------------------------------------------------------------------


def test_read_is_accepted_plus_duplicate_plus_quarantined(
    take: Ingest, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    first = make_source("id,n,left\na,1,yes\na,1,yes\nb,x,no\nc,2,no\nd,3\n")
    second = make_source("id,n,left\nc,2,no\ne,4,yes\n")
    accounts = take(make_schema(id="id"), [first, second])
    assert _counts(accounts) == [(5, 2, 1, 2), (2, 1, 1, 0)]


cells = st.sampled_from(["1", "1.0", "2", "", "x", '"a,b"', "9" * 20, "é"])
lines = st.lists(st.lists(cells, min_size=2, max_size=4).map(",".join), max_size=8)


@dataclass
class _Files:
    folder: Path
    numbers: Iterator[int]

    def source(self, content: str) -> Source:
        number = next(self.numbers)
        path = self.folder / f"f{number}.csv"
        path.write_text(content, encoding="utf-8", newline="")
        status = path.stat()
        return Source(
            SourceFile(number, path.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, "", ""), path
        )


@hypothesis_settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drops=st.lists(st.lists(lines, min_size=1, max_size=3), min_size=1, max_size=3), dedup=st.booleans())
def test_every_row_of_random_drops_is_accepted_a_duplicate_or_quarantined(
    engine: DuckDB, tmp_path_factory: pytest.TempPathFactory, drops: list[list[list[str]]], dedup: bool
) -> None:
    folder = tmp_path_factory.mktemp("drops")
    made, history, next_batch = _Files(folder, itertools.count(1)), [], 1
    take = Ingest(engine, folder / "parts")
    schema = Schema(
        {"id": Column(type=ColumnType.TEXT), "n": Column(type=ColumnType.NUMBER), "left": Column(type=ColumnType.TEXT)},
        target="left", positive="1", id="id",
    )  # fmt: skip
    seen: set[tuple[Any, ...]] = set()
    for drop in drops:
        sources = [made.source("id,n,left\n" + "".join(f"{line}\n" for line in each)) for each in drop]
        accounts = take(schema, sources, history=history, next_batch=next_batch, dedup=dedup)
        assert [each.read for each in accounts] == [len(each) for each in drop]
        assert all(min(each.accepted, each.duplicate, each.quarantined) >= 0 for each in accounts)
        fresh = engine.rows('SELECT id, n, "left" FROM fresh')
        assert len(fresh) == sum(each.accepted for each in accounts)
        if dedup:
            assert len(set(fresh)) == len(fresh)
            assert not seen & set(fresh)
            seen |= set(fresh)
        else:
            assert not any(each.duplicate for each in accounts)
        next_batch += len(drop)
        history += [part.path for part in take.parts]


files_of_days = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["01", "02", "03", "x"]), st.sampled_from("12"), st.sampled_from(["yes", "no"])),
        max_size=12,
    ),
    min_size=1,
    max_size=4,
)


@hypothesis_settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drops=st.lists(files_of_days, min_size=1, max_size=2))
def test_what_is_ingested_does_not_depend_on_how_much_is_typed_at_a_time(
    engine: DuckDB, tmp_path_factory: pytest.TempPathFactory, drops: list[list[list[tuple[str, ...]]]]
) -> None:
    kinds = {"day": Column(type=ColumnType.DATE), "n": Column(type=ColumnType.NUMBER)}
    schema = Schema({**kinds, "left": Column(type=ColumnType.TEXT)}, target="left", positive="yes", date="day")
    folder = tmp_path_factory.mktemp("drops")
    made = _Files(folder, itertools.count(1))
    sources = [
        [made.source("day,n,left\n" + "".join(f"2026-01-{day},{n},{left}\n" for day, n, left in each)) for each in drop]
        for drop in drops
    ]
    assert _all_ingested(engine, schema, sources, folder / "small", 40) == _all_ingested(
        engine, schema, sources, folder / "large", 1 << 20
    )


def _all_ingested(
    engine: DuckDB, schema: Schema, drops: Sequence[Sequence[Source]], folder: Path, size: int
) -> tuple[list[FileAccount], list[tuple[Any, ...]]]:
    take, accounts, history = Ingest(engine, folder), [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", size)
        patch.setattr(load, "BATCH", size)
        for sources in drops:
            accounts += take(schema, sources, history=history, next_batch=len(accounts) + 1)
            history += [part.path for part in take.parts]
    found = engine.rows(f"SELECT * FROM {engine.scan(history)} h ORDER BY _batch, _line") if history else []
    return accounts, found


@pytest.mark.parametrize("spoilt", ["every row", "changed"])
def test_several_pieces_without_a_good_row_have_an_account_too(
    take: Ingest,
    make_schema: Callable[..., Schema],
    make_source: Callable[..., Source],
    monkeypatch: pytest.MonkeyPatch,
    spoilt: str,
) -> None:
    take(make_schema(), [make_source("id,n,left\na,1,yes\n")])  # whose rows must not be taken for those below
    monkeypatch.setattr(blocks, "BLOCK", 40)
    monkeypatch.setattr(load, "BATCH", 40)
    source = make_source("id,n,left\n" + f"a,{'x' if spoilt == 'every row' else 1},yes\n" * 30)
    if spoilt == "changed":
        source = replace(source, file=replace(source.file, size_bytes=1))
    accounts = take(make_schema(), [source], next_batch=2)
    assert _counts(accounts) == ([(30, 0, 0, 30)] if spoilt == "every row" else [])
    assert take.parts == []


# -- what is the same row --------------------------------------------------------------------------------------


def test_any_order_of_columns_is_the_same_row(
    take: Ingest, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    one, other = make_source("id,n,left\na,1,yes\n"), make_source("left,id,n\nyes,a,1\n")
    assert [each.accepted for each in take(make_schema(), [one, other])] == [1, 0]


def test_the_order_of_columns_in_the_settings_does_not_change_a_row_key(
    take: Ingest, engine: DuckDB, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    keys = []
    for columns in ({"id": "text", "n": "number", "left": "text"}, {"left": "text", "n": "number", "id": "text"}):
        take(make_schema(columns), [make_source("id,n,left\na,1,yes\n")])
        keys.append(engine.rows("SELECT _h, _h2 FROM fresh"))
    assert keys[0] == keys[1]


def test_duplicates_are_found_in_a_file_across_files_and_across_runs(
    take: Ingest, engine: DuckDB, tmp_path: Path, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    schema = make_schema()
    one, two = make_source("id,n,left\na,1,yes\na,1,yes\n"), make_source("id,n,left\na,1,yes\nb,1,yes\n")
    assert _counts(take(schema, [one, two])) == [(2, 1, 1, 0), (2, 1, 1, 0)]
    [part] = take.parts
    three = make_source("id,n,left\nb,1,yes\nc,1,yes\n")
    assert _counts(take(schema, [three], history=[part.path], next_batch=3)) == [(2, 1, 1, 0)]
    assert engine.rows("SELECT id, _batch FROM fresh") == [("c", 3)]


@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("1", "+1"), ("0", "-0.0"), ("10", "1e1"), ("1", " 1 ")])
def test_two_ways_to_write_a_number_are_the_same_row(
    take: Ingest, make_schema: Callable[..., Schema], make_source: Callable[..., Source], one: str, other: str
) -> None:
    [account] = take(make_schema(), [make_source(f"id,n,left\na,{one},yes\na,{other},yes\n")])
    assert (account.accepted, account.duplicate) == (1, 1)


@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("00123", "123"), ("a", "A"), ("a", "a "), ("None", ""),
                                            ("NULL", ""), ("-", ""), ("é", "e\u0301")])  # fmt: skip
def test_texts_that_differ_are_different_rows(
    take: Ingest, make_schema: Callable[..., Schema], make_source: Callable[..., Source], one: str, other: str
) -> None:
    [account] = take(make_schema(), [make_source(f"id,n,left\n{one},1,yes\n{other},1,yes\n")])
    assert (account.accepted, account.duplicate) == (2, 0)


def test_an_empty_and_a_blank_cell_are_both_no_value_and_the_same_row(
    take: Ingest, engine: DuckDB, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    [account] = take(make_schema(), [make_source('id,n,left\n,1,yes\n"",1,yes\n  ,1,yes\n')])
    assert (account.accepted, account.duplicate) == (1, 2)
    assert engine.rows("SELECT id FROM fresh") == [(None,)]


texts = st.text(alphabet='ab|:-12,"', max_size=5)
pairs = st.tuples(texts, texts)


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@hypothesis_settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(pairs, min_size=2, max_size=6, unique=True))
def test_row_keys_do_not_run_cells_together(
    engine: DuckDB, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    text = "a,b,left\n" + "".join(f"{_cell(one)},{_cell(other)},yes\n" for one, other in rows)
    kinds = {name: Column(type=ColumnType.TEXT) for name in ("a", "b", "left")}
    source = _Files(folder, itertools.count(1)).source(text)
    [account] = Ingest(engine, folder / "parts")(Schema(kinds, target="left", positive="yes"), [source])
    assert (account.accepted, account.duplicate) == (len(rows), 0)


def test_with_dedup_off_equal_rows_all_stay(
    take: Ingest, engine: DuckDB, tmp_path: Path, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    schema = make_schema()
    assert _counts(take(schema, [make_source("id,n,left\na,1,yes\na,1,yes\n")], dedup=False)) == [(2, 2, 0, 0)]
    [part] = take.parts
    again = take(schema, [make_source("id,n,left\na,1,yes\n")], dedup=False, history=[part.path], next_batch=2)
    assert _counts(again) == [(1, 1, 0, 0)]


# -- the order of batches --------------------------------------------------------------------------------------


def test_part_2_comes_before_part_10(
    take: Ingest, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    names = ["part10.csv", "part2.csv", "part1.csv"]
    sources = [make_source(f"id,n,left\n{name},1,yes\n", name) for name in names]
    accounts = take(make_schema(), sources, next_batch=7)
    assert [(each.source.file.path, each.batch) for each in accounts] == [
        ("part1.csv", 7), ("part2.csv", 8), ("part10.csv", 9)]  # fmt: skip


def test_names_with_digits_of_any_kind_have_an_order(
    take: Ingest, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    names = ["5²2.csv", "5a.csv", "٣.csv", "5.csv"]
    sources = [make_source(f"id,n,left\n{name},1,yes\n", name) for name in names]
    assert sorted(each.batch for each in take(make_schema(), sources)) == [1, 2, 3, 4]


def test_a_file_of_earlier_dates_comes_first_whatever_its_name(
    take: Ingest, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    schema = make_schema({"day": "date", "n": "number", "left": "text"}, date="day")
    later = make_source("day,n,left\n2026-02-01,1,yes\n2026-03-01,2,no\n", "a.csv")
    earlier = make_source("day,n,left\n2026-01-31,1,yes\n", "b.csv")
    accounts = take(schema, [later, earlier])
    assert [each.source.file.path for each in accounts] == ["b.csv", "a.csv"]
    assert (accounts[1].first_date, accounts[1].last_date) == ("2026-02-01 00:00:00", "2026-03-01 00:00:00")


def test_the_first_of_equal_rows_is_the_one_in_the_earlier_batch(
    take: Ingest, engine: DuckDB, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    sources = [make_source("id,n,left\na,1,yes\n", name) for name in ("part10.csv", "part9.csv")]
    assert [(each.source.file.path, each.accepted) for each in take(make_schema(), sources)] == [
        ("part9.csv", 1), ("part10.csv", 0)]  # fmt: skip
    assert engine.rows("SELECT _batch, _line FROM fresh") == [(1, 2)]


# -- labels and the promise to the holdout ---------------------------------------------------------------------


def test_labels_are_counted_and_rows_without_one_are_kept(
    take: Ingest, engine: DuckDB, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    [account] = take(make_schema(), [make_source("id,n,left\na,1,yes\nb,1,no\nc,1,\nd,1,maybe\n")])
    assert (account.accepted, account.labelled, account.positives) == (4, 3, 1)


def test_the_holdout_takes_whole_customers_and_about_thirty_percent_of_them(
    take: Ingest, engine: DuckDB, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    body = "".join(f"c{row % 1000},{row},{'yes' if row % 3 else 'no'}\n" for row in range(3000))
    [account] = take(make_schema(id="id"), [make_source("id,n,left\n" + body)])
    [(mixed,)] = engine.rows(
        "SELECT count(*) FROM (SELECT id FROM fresh GROUP BY id HAVING count(DISTINCT _holdout) > 1)"
    )
    assert mixed == 0
    # 1,000 customers: three standard deviations are 4.3 points.
    assert 0.257 * 3000 < account.holdout < 0.343 * 3000
    [(held, positives)] = engine.rows("""SELECT count(*), count(*) FILTER ("left" = 'yes') FROM fresh WHERE _holdout""")
    assert (account.holdout, account.holdout_positives) == (held, positives)


def test_a_customer_is_promised_to_the_holdout_in_every_run_or_in_none(
    take: Ingest, engine: DuckDB, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    promises = []
    for value in (1, 2):
        body = "".join(f"c{row},{value},no\n" for row in range(50))
        take(make_schema(id="id"), [make_source("id,n,left\n" + body)])
        promises.append(engine.rows("SELECT id, _holdout FROM fresh ORDER BY id"))
    assert promises[0] == promises[1]
    assert {held for _, held in promises[0]} == {True, False}


def test_without_an_id_rows_are_promised_one_by_one(
    take: Ingest, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    body = "".join(f"c,{row},no\n" for row in range(1000))
    [account] = take(make_schema(), [make_source("id,n,left\n" + body)])
    assert 257 < account.holdout < 343


def test_nothing_is_promised_when_a_test_folder_judges(
    take: Ingest, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    body = "".join(f"c{row},1,no\n" for row in range(50))
    [account] = take(make_schema(id="id"), [make_source("id,n,left\n" + body)], promise_holdout=False)
    assert account.holdout == 0


# -- what is written -------------------------------------------------------------------------------------------


def test_a_part_is_named_by_its_content_and_the_same_rows_give_the_same_bytes(
    take: Ingest, engine: DuckDB, tmp_path: Path, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    body = "".join(f"c{row},{row},{'yes' if row % 2 else 'no'}\n" for row in range(2000))
    parts = []
    for folder in ("one", "two"):
        take.folder = tmp_path / folder
        take(make_schema(id="id"), [make_source("id,n,left\n" + body, f"{folder}.csv")])
        parts += take.parts
    assert parts[0].path.name == parts[1].path.name == f"part-{parts[0].sha256[:16]}.parquet"
    assert parts[0].path.read_bytes() == parts[1].path.read_bytes()
    assert parts[0].sha256 == files.sha256_of(parts[0].path)
    assert (parts[0].rows, parts[0].size_bytes) == (2000, parts[0].path.stat().st_size)
    assert [path.name for path in (tmp_path / "one").iterdir()] == [parts[0].path.name]


def test_a_part_holds_the_users_columns_and_those_that_make_a_row_findable(
    take: Ingest, engine: DuckDB, tmp_path: Path, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    take(make_schema(id="id"), [make_source("id,n,left\na,1.5,yes\n\nb,,no\n")], next_batch=4)
    [part] = take.parts
    table = pyarrow.parquet.read_table(part.path)
    assert table.column_names == ["id", "n", "left", "_h", "_h2", "_batch", "_line", "_holdout"]
    assert table.select(["id", "n", "left", "_batch", "_line"]).to_pylist() == [
        {"id": "a", "n": 1.5, "left": "yes", "_batch": 4, "_line": 2},
        {"id": "b", "n": None, "left": "no", "_batch": 4, "_line": 4},
    ]


def test_no_part_is_written_where_nothing_is_new(
    take: Ingest, engine: DuckDB, tmp_path: Path, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    take(make_schema(), [make_source("id,n,left\n")])
    assert take.parts == []
    assert not take.folder.exists()


def test_the_quarantine_holds_each_row_with_file_line_column_reason_and_text(
    take: Ingest, engine: DuckDB, tmp_path: Path, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    take(make_schema(), [make_source("id,n,left\na,1,yes\nb,x,no\nc,1\n"), make_source("id,n,left\nd,y,no\n")])
    target = tmp_path / "quarantine" / "run-00001.parquet"
    assert write_quarantine(engine, target) == 3
    assert pyarrow.parquet.read_table(target).to_pylist() == [
        {"_file": 1, "_line": 3, "check_name": "type", "column_name": "n", "reason": "not a number", "text": "b,x,no"},
        {"_file": 1, "_line": 4, "check_name": "row", "column_name": None,
         "reason": "2 cells where the header has 3", "text": "c,1"},
        {"_file": 2, "_line": 2, "check_name": "type", "column_name": "n", "reason": "not a number", "text": "d,y,no"},
    ]  # fmt: skip


def test_no_quarantine_is_written_where_every_row_held(
    take: Ingest, engine: DuckDB, tmp_path: Path, make_schema: Callable[..., Schema], make_source: Callable[..., Source]
) -> None:
    take(make_schema(), [make_source("id,n,left\na,1,yes\n")])
    target = tmp_path / "quarantine" / "run-00001.parquet"
    assert write_quarantine(engine, target) == 0
    assert not target.exists()

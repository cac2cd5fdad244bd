"""Parts are merged by size; nothing that can be asked of the data set changes by it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churnwatch.pipeline import compaction, datasets, features, schemas
from churnwatch.pipeline.compaction import compact, of_a_size
from churnwatch.pipeline.datasets import MAIN, Dataset, Intake
from churnwatch.pipeline.engine import DuckDB, duckdb_engine
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.records import Part
from churnwatch.pipeline.scan import observe
from churnwatch.pipeline.settings import Home, load

AT = "2026-01-01T00:00:00.000Z"
DAY = dt.date(2026, 1, 1)
SETTINGS = """\
target: left
positive: 1
id: id
date: day
key: [id]
on_conflict: latest
columns: {id: text, day: date, n: number, left: integer}
"""
Row = tuple[str, dt.date, float, int]
ROW = st.tuples(
    st.sampled_from("abcd"),
    st.integers(0, 3).map(lambda days: dt.date(2026, 1, 1) + dt.timedelta(days=days)),
    st.integers(0, 2).map(float),
    st.integers(0, 1),
)


def _parts(rows: Sequence[int]) -> list[Part]:
    return [Part(f"p{i}", i, "", n, 0, AT) for i, n in enumerate(rows)]


@pytest.mark.parametrize(
    ("rows", "merged"),
    [
        ([], []),
        ([5] * 7, []),
        ([5] * 8, [5] * 8),
        ([5] * 7 + [500] * 8, [500] * 8),
        ([0] * 8 + [5] * 8, [0] * 8 + [5] * 8),  # nothing at all is as small as a few rows
        ([70, 5, 5, 5, 5, 5, 5, 5], []),
    ],
)
def test_parts_of_a_size_are_merged_once_there_are_enough(rows: list[int], merged: list[int]) -> None:
    assert [part.rows for part in of_a_size(_parts(rows))] == merged


class _Dropped:
    """A home without a daemon: files go straight into its data set."""

    def __init__(self, folder: Path, engine: DuckDB, ledger: Ledger) -> None:
        (folder / "settings.yaml").write_text(SETTINGS, encoding="utf-8")
        self.home: Home = load(folder)
        for each in self.home.folders():
            each.mkdir(parents=True, exist_ok=True)
        self.engine, self.ledger, self._number = engine, ledger, 0

    def run(self, files: Sequence[Sequence[Row]], *, compacted: bool) -> None:
        """Take some files in, as one run."""
        sources = [self._written(rows) for rows in files]
        run = self.ledger.begin_run(run_id=f"{self._number}", reason="drop", at=AT, settings=("", "{}"),
                                    code_version="1", inputs=[each.file.file for each in sources])  # fmt: skip
        schema = schemas.resolve(self.home, self.ledger, self.engine, sources)
        intake = Intake(self.home, self.ledger, self.engine, self.engine, run, AT)
        intake.take([Dataset(MAIN, schema)], sources, promise_holdout=True)
        if compacted:
            compact(self.home, self.ledger, self.engine, (), run)

    def _written(self, rows: Sequence[Row]) -> Source:
        self._number += 1
        path = self.home.source / f"drop-{self._number:03d}.csv"
        lines = [",".join(str(cell) for cell in row) for row in rows]
        path.write_text("\n".join(["id,day,n,left", *lines]) + "\n", encoding="utf-8")
        seen = observe(self.home.source, path.name)
        assert seen is not None
        return Source(self.ledger.see_file(seen, sha256=path.name, at=AT), path)

    def rows(self, *, latest: bool) -> list[Row]:
        """Return all rows, or the newest of each key."""
        schema = schemas.current(self.home, self.ledger)
        paths = datasets.paths(self.home, self.ledger)
        source = features.dataset(schema, self.engine, paths, key=self.home.settings.key if latest else ())
        return [
            (who, day.date(), n, left)
            for who, day, n, left in self.engine.rows(f'SELECT id, day, n, "left" FROM {source} AS d ORDER BY ALL')
        ]


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(runs=st.lists(st.lists(st.lists(ROW, min_size=1, max_size=5), min_size=1, max_size=2), min_size=1, max_size=6))
def test_after_any_drops_the_data_set_is_that_of_the_files_taken_in_at_once(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[list[Row]]]
) -> None:
    folder = tmp_path_factory.mktemp("world")
    with (
        pytest.MonkeyPatch.context() as patch,
        Ledger.open(folder / "churnwatch.db") as ledger,
        duckdb_engine(folder / "spill", threads=1) as engine,
    ):
        patch.setattr(compaction, "FANOUT", 2)
        world = _Dropped(folder, engine, ledger)
        for number, files in enumerate(runs):
            world.run(files, compacted=bool(number % 3))
        everything = [row for files in runs for rows in files for row in rows]
        assert world.rows(latest=False) == sorted(set(everything))
        assert world.rows(latest=True) == sorted(_latest(runs))
        totals = ledger.row_totals()
        assert (totals["read"], totals["accepted"]) == (len(everything), len(set(everything)))


def _latest(runs: list[list[list[Row]]]) -> list[Row]:
    """Return the newest row of each id: by its day, then as it came in; a run's files come by their first day."""
    newest: dict[str, Row] = {}
    known: set[Row] = set()
    for files in runs:
        for rows in sorted(files, key=lambda each: min(row[1] for row in each)):
            for row in rows:
                if row not in known and (row[0] not in newest or row[1] >= newest[row[0]][1]):
                    newest[row[0]] = row
                known.add(row)
    return list(newest.values())


@pytest.fixture
def world(tmp_path: Path, engine: DuckDB, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> _Dropped:
    """Return a home of which two parts of a size are merged."""
    monkeypatch.setattr(compaction, "FANOUT", 2)
    return _Dropped(tmp_path, engine, ledger)


def test_merged_parts_go_with_the_next_run_and_are_replaced_at_once(world: _Dropped, ledger: Ledger) -> None:
    world.run([[("a", DAY, 1.0, 0)]], compacted=True)
    world.run([[("b", DAY, 1.0, 0)]], compacted=True)
    [merged] = ledger.parts()
    assert (merged.rows, merged.run) == (2, 2)
    assert len(list(world.home.ingested.glob("part-*.parquet"))) == 3
    world.run([[("c", DAY, 1.0, 0)]], compacted=True)
    names = {part.part for part in ledger.parts()}
    assert {path.name for path in world.home.ingested.glob("part-*.parquet")} == names


def test_a_crash_between_the_merged_part_and_its_row_changes_nothing(
    world: _Dropped, engine: DuckDB, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run([[("a", DAY, 1.0, 0)]], compacted=False)
    world.run([[("b", DAY, 1.0, 0)]], compacted=False)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "add", crash)
        with pytest.raises(KeyboardInterrupt):
            compact(world.home, ledger, engine, (), 2)
    assert len(ledger.parts()) == 2
    compact(world.home, ledger, engine, (), 2)
    assert len(ledger.parts()) == 1
    assert [row[0] for row in world.rows(latest=False)] == ["a", "b"]

"""Which request row a label is about, against a plain account of the rules."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from spark_server import SparkServer

from churnwatch.pipeline import late_labels
from churnwatch.pipeline.engine import DuckDB, Engine
from churnwatch.pipeline.late_labels import FATE
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.spark import spark_engine

COLUMNS = {"id": "text", "day": "date", "n": "number", "left": "text"}
Label = tuple[str, int | None, str]  # customer, day of the year if any, outcome
Asked = tuple[str, int]


def _day(number: int | None) -> dt.datetime | None:
    return None if number is None else dt.datetime.combine(dt.date(2026, 1, 1), dt.time()) + dt.timedelta(number)


@dataclass
class World:
    """Files of requests and labels as they come, one after another."""

    schema: Schema
    engine: Engine
    folder: Path
    horizon_days: int = 0
    requests: list[Path] = field(default_factory=list)
    labels: list[Path] = field(default_factory=list)
    files: int = 0

    def ask(self, *rows: Asked) -> None:
        """A request."""
        self.files += 1
        table = pa.table({
            "id": pa.array([row[0] for row in rows], pa.string()),
            "day": pa.array([_day(row[1]) for row in rows], pa.timestamp("us")),
            "n": pa.array([float(i) for i in range(len(rows))], pa.float64()),
            "_batch": pa.array([self.files] * len(rows), pa.int64()),
            "_line": pa.array(range(2, len(rows) + 2), pa.int64()),
        })  # fmt: skip
        self.requests.append(self._written("requests", table))

    def say(self, *rows: Label) -> list[str]:
        """A file of labels; return the fate of each."""
        self.files += 1
        return self.settle(self.files, *rows)

    def settle(self, file: int = 0, *rows: Label) -> list[str]:
        """Find what becomes of a file's labels and of those that wait; keep what is kept."""
        self.engine.table("late_new", pa.table({
            "_file": pa.array([file] * len(rows), pa.int64()),
            "_line": pa.array(range(2, len(rows) + 2), pa.int64()),
            "id": pa.array([row[0] for row in rows], pa.string()),
            "left": pa.array([row[2] for row in rows], pa.string()),
            "_cw_date": pa.array([_day(row[1]) for row in rows], pa.timestamp("us")),
        }))  # fmt: skip
        late_labels.find_fates(
            self.schema, self.engine, requests=self.requests, known=self.labels, horizon_days=self.horizon_days
        )
        self.labels.append(self._written("labels", self.engine.arrow(late_labels.kept(1))))
        found = self.engine.rows(f"SELECT {FATE} FROM late_fates WHERE _file = {file} ORDER BY _line")
        return [row[0] for row in found]

    def joined(self) -> set[tuple[str, int, int, str]]:
        """Return customer, request, line and outcome of every row whose label came."""
        if not self.requests or not self.labels:
            return set()
        query = late_labels.labelled(self.schema, self.engine, self.requests, self.labels, where="true")
        return {(row[0], row[1], row[2], row[3]) for row in self.engine.rows(
            f'SELECT id, _batch, _line, "left" FROM ({query}) j')}  # fmt: skip

    def _written(self, stem: str, table: pa.Table) -> Path:
        path = self.folder / f"{stem}-{len(list(self.folder.iterdir()))}.parquet"
        pyarrow.parquet.write_table(table, path)
        return path


@pytest.fixture
def world(make_schema: Callable[..., Schema], engine: DuckDB, tmp_path: Path) -> World:
    folder = tmp_path / "parts"
    folder.mkdir()
    return World(make_schema(COLUMNS, id="id", date="day"), engine, folder)


def test_a_label_is_about_the_newest_request_row_at_or_before_its_date(world: World) -> None:
    world.ask(("ann", 10), ("bob", 10))
    world.ask(("ann", 40), ("ann", 70))
    assert world.say(("ann", 55, "yes"), ("bob", 10, "no")) == ["labels", "labels"]
    assert world.joined() == {("ann", 2, 2, "yes"), ("bob", 1, 3, "no")}


def test_with_a_horizon_the_row_was_seen_so_many_days_before(world: World) -> None:
    world.horizon_days = 28
    world.ask(("ann", 0))
    world.ask(("ann", 31))
    assert world.say(("ann", 31, "yes")) == ["labels"]
    assert world.joined() == {("ann", 1, 2, "yes")}


def test_a_label_that_comes_before_its_request_waits_for_it(world: World) -> None:
    assert world.say(("ann", 40, "yes"), ("bob", 40, "no")) == ["waits", "waits"]
    assert world.joined() == set()
    world.ask(("ann", 40), ("bob", 60))
    world.settle()
    assert world.joined() == {("ann", 2, 2, "yes")}
    world.ask(("bob", 39))
    world.settle()
    assert world.joined() == {("ann", 2, 2, "yes"), ("bob", 3, 2, "no")}


def test_a_later_label_waits_where_an_earlier_one_is_about_the_row(world: World) -> None:
    world.ask(("ann", 0))
    assert world.say(("ann", 0, "no")) == ["labels"]
    assert world.say(("ann", 31, "yes")) == ["waits"]
    world.ask(("ann", 31))
    world.settle()
    assert {each[3] for each in world.joined()} == {"no", "yes"}


def test_the_same_label_again_is_a_duplicate_and_another_one_contradicts_it(world: World) -> None:
    world.ask(("ann", 0), ("bob", 0))
    assert world.say(("ann", 5, "no"), ("ann", 5, "no"), ("bob", 9, "no")) == ["labels", "again", "labels"]
    assert world.say(("ann", 5, "no"), ("ann", 5, "yes"), ("bob", 4, "yes"), ("bob", 3, "no")) == [
        "again", "contradicts", "contradicts", "again",
    ]  # fmt: skip
    assert {(each[0], each[3]) for each in world.joined()} == {("ann", "no"), ("bob", "no")}


def test_a_label_that_was_refused_says_nothing_of_the_next_one(world: World) -> None:
    world.ask(("bob", 0))
    assert world.say(("bob", 5, "yes")) == ["labels"]
    assert world.say(("bob", 4, "no"), ("bob", 4, "yes")) == ["contradicts", "again"]
    assert world.say(("bob", 4, "yes")) == ["again"]
    world.ask(("bob", 3))
    assert world.say(("bob", 4, "no")) == ["labels"]


def test_a_label_that_waited_and_was_refused_then_says_nothing_either(world: World) -> None:
    world.horizon_days = 5
    world.ask(("bob", 0))
    assert world.say(("bob", 6, "yes"), ("bob", 4, "no")) == ["labels", "waits"]
    world.horizon_days = 0
    world.settle()
    assert world.say(("bob", 4, "yes")) == ["again"]


def test_a_label_without_a_date_is_about_the_newest_row_and_cannot_wait(world: World) -> None:
    assert world.say(("ann", None, "yes")) == ["unknown"]
    world.ask(("ann", 0))
    assert world.say(("ann", None, "no"), ("eve", None, "no")) == ["labels", "unknown"]
    world.ask(("ann", 31))
    assert world.say(("ann", None, "yes")) == ["labels"]
    assert world.say(("ann", None, "yes")) == ["again"]
    assert {each[3] for each in world.joined()} == {"no", "yes"}


def test_a_file_that_is_read_again_says_nothing_of_later_requests(world: World) -> None:
    world.ask(("ann", 0))
    assert world.settle(9, ("ann", None, "yes")) == ["labels"]
    world.ask(("ann", 31))
    assert world.settle(9, ("ann", None, "yes")) == ["again"]


class Plain:
    """The same rules, row by row."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, tuple[int, int]]] = []
        self.said: dict[tuple[str, int], str] = {}
        self.of_row: dict[tuple[int, int], tuple[int, str]] = {}
        self.waiting: list[tuple[int, int, Label]] = []

    def row_of(self, label: Label) -> tuple[int, int] | None:
        found = [(day, where) for who, day, where in self.asked if who == label[0] and day <= (label[1] or 0)]
        return max(found)[1] if found else None

    def settle(self, file: int, rows: list[Label]) -> list[str]:
        fates: dict[int, str] = {}
        fresh, doubles = [], []
        for line, label in enumerate(rows, start=2):
            key = (label[0], label[1] or 0)
            if key in self.said:
                fates[line] = "again" if self.said[key] == label[2] else "contradicts"
            elif any(each[2][:2] == label[:2] for each in fresh):
                doubles.append((line, label))
            else:
                fresh.append((file, line, label))
        still = []
        for where, line, label in sorted([*self.waiting, *fresh], key=lambda each: (each[2][1], each[:2])):
            fate = self._fate(label)
            if fate == "waits":
                still.append((where, line, label))
            if fate in ("waits", "labels"):  # what was refused says nothing
                self.said[label[0], label[1] or 0] = label[2]
            if where == file:
                fates[line] = fate
        self.waiting = still
        for line, label in doubles:
            fates[line] = "again" if self._counting(label) == label[2] else "contradicts"
        return [fates[line] for line in sorted(fates)]

    def _counting(self, label: Label) -> str:
        """What counts: the label of the same customer and date, or that of its row, which it contradicted."""
        said = self.said.get((label[0], label[1] or 0))
        row = self.row_of(label)
        return said if said is not None else self.of_row[row][1] if row is not None else ""

    def _fate(self, label: Label) -> str:
        row = self.row_of(label)
        if row is None:
            return "waits"
        day, outcome = self.of_row.setdefault(row, (label[1] or 0, label[2]))
        if (day, outcome) == (label[1], label[2]):
            return "labels"
        if (label[1] or 0) > day:
            return "waits"
        return "again" if outcome == label[2] else "contradicts"


WHO, DAYS, OUTCOMES = st.sampled_from("ab"), st.integers(0, 5), st.sampled_from(["yes", "no"])
ARRIVALS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.lists(st.tuples(WHO, DAYS), min_size=1, max_size=3)),
        st.tuples(st.just("say"), st.lists(st.tuples(WHO, DAYS, OUTCOMES), min_size=1, max_size=4)),
    ),
    min_size=1,
    max_size=6,
)


# "b" on day 4 is said twice in one file, and neither counts, since that of day 5 does.
REFUSED_TWICE = [
    ("ask", [("a", 0), ("a", 0)]),
    ("say", [("a", 0, "yes")]),
    ("say", [("b", 5, "yes"), ("a", 0, "yes")]),
    ("ask", [("a", 0), ("b", 0)]),
    ("say", [("b", 4, "no"), ("b", 4, "yes"), ("b", 3, "no")]),
    ("say", [("b", 4, "yes")]),
]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ARRIVALS)
@example(REFUSED_TWICE)
def test_in_whatever_order_files_come_each_label_has_the_fate_that_the_rules_give_it(
    world: World, arrivals: list[tuple[str, list[tuple[str, int, str]]]]
) -> None:
    fresh, plain = World(world.schema, world.engine, world.folder), Plain()
    for kind, rows in arrivals:
        if kind == "ask":
            fresh.ask(*((row[0], row[1]) for row in rows))
            plain.asked += [(row[0], row[1], (fresh.files, line)) for line, row in enumerate(rows, start=2)]
            fresh.settle()
            plain.settle(0, [])
        else:
            assert fresh.say(*rows) == plain.settle(fresh.files, list(rows))
    assert {each[1:] for each in fresh.joined()} == {(*row, said) for row, (_, said) in plain.of_row.items()}


@pytest.mark.spark
def test_the_rules_hold_on_a_cluster(world: World, spark_server: SparkServer, tmp_path: Path) -> None:
    with spark_engine(spark_server.url, tmp_path / "exchange") as cluster:
        there, plain = World(world.schema, cluster, world.folder), Plain()
        assert there.say(("b", 2, "no")) == plain.settle(there.files, [("b", 2, "no")])
        rows = [("a", 0), ("b", 2), ("a", 3), ("a", 5)]
        there.ask(*rows)
        plain.asked += [(*row, (there.files, line)) for line, row in enumerate(rows, start=2)]
        said: list[Label] = [("a", 1, "yes"), ("b", 3, "no"), ("a", 4, "no"), ("a", 1, "no"), ("b", 2, "no")]
        without_date = [("a", None, "yes"), ("e", None, "no")]
        assert there.say(*said, *without_date) == [*plain.settle(there.files, said), "labels", "unknown"]
        assert {each[1:] for each in there.joined()} == {
            *((*row, what) for row, (_, what) in plain.of_row.items()),
            (2, 5, "yes"),
        }

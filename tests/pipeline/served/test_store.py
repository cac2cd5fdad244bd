from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import hypothesis
import hypothesis.strategies as some
import pytest
from served_world import ALWAYS, NOW, outcome, served
from sqlite_utils import Database

from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.served.migrations import NAMES, served_migrations
from churnwatch.pipeline.served.reader import Kind, Reader
from churnwatch.pipeline.served.records import Fate, Waiting
from churnwatch.pipeline.served.writer import Store

AT = iso(NOW)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.opened(tmp_path / "serving.db") as opened:
        yield opened


def test_every_table_is_strict_and_every_commit_goes_to_the_disk(store: Store) -> None:
    tables = {row[1]: row[5] for row in store.rows("PRAGMA table_list") if row[2] == "table"}
    ours = {name: strict for name, strict in tables.items() if not name.startswith(("sqlite_", "_"))}
    assert set(ours) == {"stores", "served", "outcomes", "contradictions", "not_logged"}
    assert set(ours.values()) == {1}
    assert store.rows("PRAGMA journal_mode") == [("wal",)]
    assert store.rows("PRAGMA synchronous") == [(2,)]


def test_names_are_those_of_the_migrations() -> None:
    assert {migration.name for migration in served_migrations.pending(Database(memory=True))} == NAMES


def test_a_prediction_is_kept_as_it_was_answered(store: Store, tmp_path: Path) -> None:
    inputs = {"tenure": 3, "charges": 70.35, "plan": "fibre — 100", "paper": None}
    kept = store.add([served(1, customer="0042", probability=0.25, decision=0, inputs=inputs)], lost=0, at=AT)
    with Reader.open(tmp_path / "serving.db") as reader:
        [row] = reader.batch(Kind.PREDICTIONS, after=0, named=False, most=10)
        assert reader.not_logged() == (0, None)
    assert kept == 1
    assert (row.number, row.at, row.customer) == (1, AT, "0042")
    assert row.inputs == '{"tenure":3,"charges":70.35,"plan":"fibre — 100","paper":null}'


def test_one_that_cannot_be_kept_is_counted_and_holds_up_no_other(store: Store) -> None:
    store.add([served(1)], lost=0, at=AT)
    kept = store.add([served(2), served(1), served(3, customer="\ud800"), served(4)], lost=5, at=AT)
    assert kept == 2
    assert store.served(*ALWAYS) == {"v1": 3}
    assert store.not_logged() == (7, AT)


def test_an_outcome_is_joined_once_and_the_same_again_is_known(store: Store) -> None:
    store.add([served(1), served(2, version="v2", decision=None, probability=3.5)], lost=0, at=AT)
    assert store.tell([outcome(1), outcome(2, 41.2)], told_at=AT) == [Fate.JOINED, Fate.JOINED]
    assert store.tell([outcome(1)], told_at=AT) == [Fate.KNOWN]
    found = [(each.version, each.probability, each.decision, each.target) for each in store.answered(*ALWAYS)]
    assert found == [("v1", 0.5, 1, 1.0), ("v2", 3.5, None, 41.2)]


def test_an_outcome_that_contradicts_is_refused_and_recorded_once(store: Store) -> None:
    store.add([served(1)], lost=0, at=AT)
    store.tell([outcome(1, 1.0)], told_at=AT)
    for _ in range(2):
        assert store.tell([outcome(1, 0.0)], told_at=AT) == [Fate.CONTRADICTS]
    assert store.rows("SELECT row, target, told_at FROM contradictions") == [(1, 0.0, AT)]
    assert [each.target for each in store.answered(*ALWAYS)] == [1.0]


def test_of_a_list_all_are_joined_or_none(store: Store) -> None:
    store.add([served(1), served(2)], lost=0, at=AT)
    told = [outcome(1), outcome(99), outcome(2), outcome(2, 0.0)]
    assert store.tell(told, told_at=AT) == [Fate.JOINED, Fate.UNKNOWN, Fate.JOINED, Fate.CONTRADICTS]
    assert store.answered(*ALWAYS) == []
    assert store.tell(told[::2], told_at=AT) == [Fate.JOINED, Fate.JOINED]


@hypothesis.given(some.lists(some.lists(some.tuples(some.integers(1, 4), some.sampled_from((0.0, 1.0))), max_size=3)))
@hypothesis.settings(max_examples=40, deadline=None)
def test_whatever_is_told_what_was_joined_first_counts(told: list[list[tuple[int, float]]]) -> None:
    store = Store(sqlite3.connect(":memory:", isolation_level=None))
    with closing(store):
        served_migrations.apply(Database(store._connection))
        store.add([served(1), served(2), served(3)], lost=0, at=AT)
        counts: dict[int, float] = {}
        for each in told:
            fates = store.tell([outcome(*one) for one in each], told_at=AT)
            if not {Fate.UNKNOWN, Fate.CONTRADICTS} & set(fates):
                for number, target in each:
                    assert counts.setdefault(number, target) == target
        assert dict(store.rows("SELECT row, target FROM outcomes")) == counts


def test_what_waits_for_a_batch_comes_after_the_last_one(store: Store) -> None:
    days = [NOW + timedelta(days=day) for day in range(3)]
    store.add([served(n, at=at, customer="c" if n == 1 else None) for n, at in enumerate(days)], lost=0, at=AT)
    assert store.waiting(Kind.PREDICTIONS, after=1, named=False) == Waiting(2, iso(days[1]))
    assert store.waiting(Kind.PREDICTIONS, after=1, named=True) == Waiting(1, iso(days[1]))
    assert store.waiting(Kind.PREDICTIONS, after=3, named=False) == Waiting(0, None)
    told_at = iso(NOW + timedelta(days=9))
    store.tell([outcome(2)], told_at=told_at)
    assert store.waiting(Kind.OUTCOMES, after=0, named=False) == Waiting(1, told_at)


def test_what_is_too_old_goes_in_small_steps_and_takes_its_outcome_along(store: Store) -> None:
    days = [NOW + timedelta(days=day) for day in range(6)]
    store.add([served(n, at=at) for n, at in enumerate(days)], lost=0, at=AT)
    store.tell([outcome(0)], told_at=iso(days[1]))
    store.tell([outcome(0, 0.0)], told_at=iso(days[1]))
    store.tell([outcome(1)], told_at=iso(days[5]))  # not in a batch yet, perhaps
    assert [store.prune(iso(days[4]), most=2) for _ in range(3)] == [2, 1, 0]
    assert [row[0] for row in store.rows("SELECT uuid FROM served")] == ["1", "4", "5"]
    assert store.rows("SELECT row FROM outcomes") == [(2,)]
    assert store.rows("SELECT count(*) FROM contradictions") == [(0,)]
    store.add([served(7)], lost=0, at=AT)
    assert store.rows("SELECT max(row) FROM served") == [(7,)]


def test_numbers_are_never_used_again(store: Store) -> None:
    store.add([served(1)], lost=0, at=AT)
    store.prune(iso(NOW + timedelta(days=1)), most=10)
    store.add([served(1)], lost=0, at=AT)
    assert store.rows("SELECT row FROM served") == [(2,)]


def test_the_confusion_is_that_of_the_newest_outcomes_of_one_version(store: Store) -> None:
    decisions = [(1, 1.0), (1, 0.0), (0, 1.0), (0, 0.0), (1, 1.0)]
    store.add([served(n, decision=decision) for n, (decision, _) in enumerate(decisions)], lost=0, at=AT)
    store.add([served(9, version="v2")], lost=0, at=AT)
    store.tell([outcome(n, target) for n, (_, target) in enumerate(decisions)] + [outcome(9)], told_at=AT)
    found = store.confusion("v1", 4)
    assert (found.true_positives, found.false_positives, found.false_negatives, found.true_negatives) == (1, 1, 1, 1)
    assert store.confusion("v1", 99).true_positives == 2
    assert store.confusion("v3", 99).since is None


def test_each_store_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = set()
    for name in "ab":
        with Store.opened(tmp_path / name) as store:
            names.add(store.store)
        with Store.opened(tmp_path / name) as store:
            names.add(store.store)
    assert len(names) == 2


def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "serving.db"
    path.write_text("no database at all, but long enough to look like one" * 20)
    with pytest.raises(LedgerError, match=r"cannot be logged \(file is not a database\)\. Check its rights"):
        Store.connect(path)
    with pytest.raises(LedgerError, match=r"cannot be read \(file is not a database\)"), Reader.open(path) as reader:
        reader.not_logged()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "serving.db"
    with Store.opened(path) as store:
        columns = "migration_set, name, applied_at"
        store.rows(f"INSERT INTO _sqlite_migrations ({columns}) VALUES ('served', 's099_later', 'now')")
    with pytest.raises(LedgerError, match=r"written by a newer churnwatch \(s099_later\)\. Install that one\."):
        Store.connect(path)


def test_a_reader_sees_one_moment_and_holds_up_nobody(store: Store, tmp_path: Path) -> None:
    store.add([served(1)], lost=0, at=AT)
    with Reader.open(tmp_path / "serving.db") as reader:
        assert reader.served(*ALWAYS) == {"v1": 1}
        store.add([served(2)], lost=0, at=AT)
        assert reader.served(*ALWAYS) == {"v1": 1}
    assert store.served(*ALWAYS) == {"v1": 2}

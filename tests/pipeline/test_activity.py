"""Labels made of activity, held against brute force, and whole runs in which nothing may leak from the future."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from churnwatch.pipeline import activity, datasets, run
from churnwatch.pipeline.activity import Activity
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.feature_step import Pairs
from churnwatch.pipeline.ledger import follow_up as known
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import FileState, Status
from churnwatch.pipeline.settings import Home, SourceTable, parse
from churnwatch.pipeline.settings_campaigns import ChurnRule

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
SETTINGS = """\
target: left
positive: 1
id: customer
date: month
churn: {source: purchases, inactive_days: 45}
sources:
  purchases:
    files: "purchases*.csv"
    key: customer
    time: at
    columns: {customer: text, at: date, amount: number}
training: {estimators: [logistic], folds: 2}
gate: {policy: better, min_positives: 5}
"""
SOURCE = SourceTable(files="*", key="customer", time="at", columns={})
DAY = dt.timedelta(days=1)
FIRST = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - rows have no zone
Row = tuple[str, dt.datetime, dt.datetime]  # customer, time, expiry


def _drawn(seed: int) -> list[Row]:
    rng = random.Random(seed)  # noqa: S311 - no secret
    times = [(f"c{rng.randrange(25)}", FIRST + rng.randrange(200) * DAY) for _ in range(120)]
    return [(who, at, at + rng.randrange(60) * DAY) for who, at in dict.fromkeys(times)]


def _table(engine: DuckDB, rows: list[Row]) -> str:
    columns = {name: [row[place] for row in rows] for place, name in enumerate(("customer", "at", "until"))}
    numbers = pa.array(range(len(rows)), pa.int64())
    engine.table("bought", pa.table({**columns, "_batch": numbers, "_line": numbers}))
    return "bought"


@pytest.mark.parametrize("seed", range(5))
def test_inactivity_is_told_as_brute_force_tells_it(engine: DuckDB, seed: int) -> None:
    rows, days = _drawn(seed), 45
    made = Activity(ChurnRule(source="x", inactive_days=days), SOURCE, _table(engine, rows))
    for month in (3, 4, 5):
        now = dt.datetime(2026, month, 1)  # noqa: DTZ001
        before = {who for who, at, _ in rows if now - days * DAY <= at < now}
        after = {who for who, at, _ in rows if now <= at < now + days * DAY}
        assert dict(engine.rows(made.labels(now))) == {who: int(who not in after) for who in before}
        assert {row[0] for row in engine.rows(made.active(now))} == before


@pytest.mark.parametrize("seed", range(5))
def test_expiry_is_told_as_brute_force_tells_it(engine: DuckDB, seed: int) -> None:
    rows, grace = _drawn(seed), 10
    rule = ChurnRule(source="x", expiry="until", grace_days=grace)
    made = Activity(rule, SOURCE, _table(engine, rows))
    for month in (3, 4, 5):
        now, following = (dt.datetime(2026, each, 1) for each in (month, month + 1))  # noqa: DTZ001
        newest: dict[str, tuple[dt.datetime, dt.datetime]] = {}
        for who, at, until in rows:
            if at < now:
                newest[who] = max(newest.get(who, (at, until)), (at, until), key=lambda pair: pair[0])
        ends = {who: until for who, (_, until) in newest.items() if now <= until < following}
        renewed = {who for who, at, until in rows
                   if who in ends and now <= at <= ends[who] + grace * DAY and until > ends[who]}  # fmt: skip
        assert dict(engine.rows(made.labels(now))) == {who: int(who not in renewed) for who in ends}
        lasting = {who for who, (_, until) in newest.items() if until >= now - grace * DAY}
        assert {row[0] for row in engine.rows(made.active(now))} == lasting


@pytest.mark.parametrize(
    ("rule", "newest", "months"),
    [
        ({"inactive_days": 90}, dt.datetime(2026, 5, 1), []),  # noqa: DTZ001
        ({"inactive_days": 90}, dt.datetime(2026, 5, 2), [2]),  # noqa: DTZ001
        ({"inactive_days": 30}, dt.datetime(2026, 5, 2), [2, 3, 4]),  # noqa: DTZ001
        ({"expiry": "until"}, dt.datetime(2026, 3, 30), []),  # noqa: DTZ001
        ({"expiry": "until"}, dt.datetime(2026, 3, 31), [2]),  # noqa: DTZ001
    ],
)
def test_a_month_is_told_once_its_window_has_passed(
    rule: dict[str, Any], newest: dt.datetime, months: list[int]
) -> None:
    found = activity.over(ChurnRule(source="x", **rule), FIRST + 5 * DAY, newest)
    assert [each.month for each in found] == months


def test_a_mistyped_year_does_not_ask_for_a_thousand() -> None:
    found = activity.over(ChurnRule(source="x", inactive_days=30), dt.datetime(1, 1, 1), FIRST)  # noqa: DTZ001
    assert len(found) == activity.MOST_MONTHS


# -- whole runs ------------------------------------------------------------------------------------------------


def _purchases(seed: int = 1) -> list[tuple[str, dt.datetime]]:
    """Return what 120 customers buy in eight months; the rare ones leave sooner."""
    rng = random.Random(seed)  # noqa: S311
    found = []
    for number in range(120):
        often, day = rng.choice([3, 15]), rng.randrange(40)
        while day < 240 and rng.random() > often / 120:
            found.append((f"c{number}", FIRST + day * DAY))
            day += 1 + rng.randrange(2 * often)
    return sorted(found, key=lambda row: row[1])


def _drop(home: Home, name: str, rows: list[tuple[str, dt.datetime]]) -> None:
    lines = [f"{who},{at.date()},{len(who)}.5" for who, at in rows]
    (home.source / f"purchases-{name}.csv").write_text("\n".join(["customer,at,amount", *lines]) + "\n")
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        [outcome] = run.work(home, ledger, reason="drop")
    assert outcome.status is Status.DONE, outcome


def _learned(home: Home) -> dict[tuple[str, dt.datetime], int]:
    with Ledger.open(home.ledger) as ledger:
        parts = datasets.paths(home, ledger)
    rows = [row for part in parts for row in pyarrow.parquet.read_table(part).to_pylist()]
    found = {(row["customer"], row["month"]): row["left"] for row in rows}
    assert len(found) == len(rows)
    return found


def _features(home: Home, pairs: Pairs) -> dict[tuple[str, dt.datetime], dict[str, Any]]:
    rows = pyarrow.parquet.read_table(home.ingested / pairs.file).to_pylist()
    return {
        (row["_cw_id"], row["_cw_snapshot"]): {
            name: value for name, value in row.items() if name.startswith("purchases_")
        }
        for row in rows
    }


def test_labels_come_when_their_window_is_over_and_nothing_later_changes_a_feature(
    make_home: Callable[..., Home],
) -> None:
    home, rows = make_home(SETTINGS), _purchases()
    may, august = FIRST + 125 * DAY, FIRST + 200 * DAY
    _drop(home, "1", [row for row in rows if row[1] < may])
    early, seen = _learned(home), _features(home, Pairs.PAST)
    newest = max(at for _, at in rows if at < may)
    assert {snapshot.month for _, snapshot in early} == {2, 3}
    assert all(snapshot + 45 * DAY <= newest for _, snapshot in early)
    now = _features(home, Pairs.NOW)
    assert {who for who, _ in now} == {who for who, at in rows if newest - 44 * DAY <= at < may}
    _drop(home, "2", [row for row in rows if may <= row[1] < august])
    later, then = _learned(home), _features(home, Pairs.PAST)
    assert later.keys() > early.keys()
    assert {key: later[key] for key in early} == early
    assert {key: then[key] for key in seen} == seen
    bought = {(who, snapshot): sum(who == other and at < snapshot for other, at in rows) for who, snapshot in later}
    assert {key: then[key]["purchases_count_all"] for key in later} == bought
    with Ledger.open(home.ledger) as ledger:
        assert [batch.first_date for batch in ledger.batches()] == [
            f"2026-0{month}-01 00:00:00" for month in range(2, 7)
        ]
        assert ledger.champion() is not None
        assert [each.month for each in known.monthly_churn(ledger)] == [f"2026-0{month}" for month in range(2, 7)]
        assert ledger.row_totals()["read"] == sum(at < august for _, at in rows)


def test_rows_that_come_late_change_no_label_and_are_counted(make_home: Callable[..., Home]) -> None:
    home = make_home(SETTINGS)
    regular = [(f"r{number}", FIRST + day * DAY) for number in range(4) for day in range(0, 121, 10)]
    _drop(home, "1", [*regular, ("late", FIRST + 20 * DAY)])
    february, march = (dt.datetime(2026, month, 1) for month in (2, 3))  # noqa: DTZ001
    assert _learned(home)["late", february] == 1
    _drop(home, "2", [("late", FIRST + 40 * DAY), ("new", FIRST + 50 * DAY)])
    found = _learned(home)
    assert (found["late", february], found["late", march], found["new", march]) == (1, 1, 1)
    with Ledger.open(home.ledger) as ledger:
        told = [row["text"] for row in ledger.findings() if row["kind"] == "labels"]
    assert told == ["1 label(s) of 2026-02 would be otherwise by rows that came late; they stay"]


def test_a_file_with_the_target_is_refused(make_home: Callable[..., Home]) -> None:
    home = make_home(SETTINGS)
    (home.source / "labels.csv").write_text("customer,month,left\nc1,2026-02-01,1\n")
    _drop(home, "1", _purchases()[:50])
    with Ledger.open(home.ledger) as ledger:
        found = ledger.file_by_path("labels.csv")
    assert found["state"] == FileState.QUARANTINED
    assert "it has the column `left`, which `churn` makes of a source's rows" in found["reason"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ("source: purchases, inactive_days: 45|source: sales, inactive_days: 45", "`sales` is none of `sources`"),
        ("inactive_days: 45|expiry: amount", "`amount` is no column of type date"),
        (", inactive_days: 45|", "either `inactive_days`, or `expiry`"),
        ("inactive_days: 45|inactive_days: 45, grace_days: 3", "goes with an `expiry` only"),
        ("positive: 1|positive: yes", "so `positive` is 1"),
        ("date: month|date: month\nhorizon: 30d", "no `snapshot`, no `horizon`"),
        ("date: month|date: month\nlabels: x.csv", "`churn` makes the rows"),
        ("date: month\n|snapshot: 2026-01-01\n", "have an `id` and a `date`"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(changed: str, why: str) -> None:
    old, new = changed.split("|")
    assert old in SETTINGS
    with pytest.raises(SettingsError, match=why):
        parse(SETTINGS.replace(old, new))

"""Features of sources beside the customers' rows: as brute force has them, after whatever came in whatever order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources_world import FIRST, SETTINGS, Visit, World, assert_as_expected

from churnwatch.pipeline import compaction, feature_store, schemas
from churnwatch.pipeline.clock import utc_now
from churnwatch.pipeline.engine import DuckDB, duckdb_engine
from churnwatch.pipeline.errors import DataError, SettingsError
from churnwatch.pipeline.feature_step import FeatureStep, Pairs, described
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.settings import load, parse

DAY = dt.timedelta(days=1)
MARCH = dt.datetime(2026, 3, 1)  # noqa: DTZ001 - rows have no zone


@contextmanager
def _world(folder: Path, text: str = SETTINGS) -> Iterator[World]:
    folder.mkdir(parents=True)
    (folder / "settings.yaml").write_text(text, encoding="utf-8")
    home = load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    with Ledger.open(home.ledger) as ledger, duckdb_engine(home.state / "spill", threads=1) as engine:
        yield World(home, ledger, engine)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with _world(tmp_path / "home") as made:
        yield made


WHO = st.sampled_from(["a", "b", "c", "00123"])
MOMENT = st.integers(0, 90 * 24).map(lambda hours: FIRST + dt.timedelta(hours=hours))
VISIT = st.builds(
    Visit,
    id=WHO,
    at=MOMENT,
    minutes=st.one_of(st.none(), st.integers(0, 9999).map(lambda n: n / 100)),
    pages=st.one_of(st.none(), st.integers(0, 3)),
    page=st.sampled_from(["home", "help", "it's"]),
)
LABEL = st.tuples(WHO, st.integers(0, 95).map(lambda days: FIRST + dt.timedelta(days=days)), st.integers(0, 1))
PLAN = st.tuples(WHO, st.sampled_from(["small", "large"]), st.integers(1, 9))
DROP = st.one_of(
    st.tuples(st.just("visits"), st.lists(VISIT, min_size=1, max_size=6)),
    st.tuples(st.just("labels"), st.lists(LABEL, min_size=1, max_size=4, unique_by=lambda label: label[:2])),
    st.tuples(st.just("plans"), st.lists(PLAN, min_size=1, max_size=3, unique_by=lambda plan: plan[0])),
)


@pytest.mark.parametrize("most_cuts", [0, 1000])  # joined row by row, and by slots between the moments that count
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(runs=st.lists(st.lists(DROP, min_size=1, max_size=3), min_size=1, max_size=5), data=st.data())
def test_features_are_those_of_all_rows_before_the_snapshot_whatever_came_when(
    tmp_path_factory: pytest.TempPathFactory, most_cuts: int, runs: list, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch, _world(tmp_path_factory.mktemp("world") / "home") as world:
        patch.setattr(compaction, "FANOUT", 2)
        patch.setattr(feature_store, "MOST_CUTS", most_cuts)
        first = [world.drop_visits([Visit("a", FIRST, 1.0, 1, "home")]), world.drop_plans([("a", "small", 1)])]
        world.run([*first, world.drop_labels([("a", MARCH, 0)])])
        for drops in runs:
            paths = [_dropped(world, kind, rows) for kind, rows in drops]
            world.run([path for path in paths if path is not None], compacted=data.draw(st.booleans()))
        assert_as_expected(world)


def _dropped(world: World, kind: str, rows: list) -> Path | None:
    if kind == "visits":
        return world.drop_visits(rows)
    if kind == "plans":
        return world.drop_plans(rows)
    new = [row for row in rows if row[:2] not in world.labels]
    return world.drop_labels(new) if new else None


def test_what_happened_at_or_after_the_snapshot_never_gets_in(world: World) -> None:
    leaks = [
        Visit("a", MARCH + hours, 1e6, 3, "leak") for hours in (dt.timedelta(0), dt.timedelta(microseconds=1), DAY)
    ]
    before = Visit("a", MARCH - dt.timedelta(microseconds=1), 2.0, 1, "home")
    world.run([world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 1)]),
               world.drop_visits([before, *leaks])])  # fmt: skip
    row = world.table()["a", MARCH, False]
    assert row["visits_minutes_sum_all"] == 2.0
    assert row["visits_count_all"] == 1
    assert row["visits_page_last"] == "home"
    assert_as_expected(world)


def test_late_rows_mend_the_features_of_the_snapshots_after_them(world: World) -> None:
    world.run([world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 1), ("a", FIRST + 9 * DAY, 0)]),
               world.drop_visits([Visit("a", FIRST + 40 * DAY, 2.0, 1, "home")])])  # fmt: skip
    world.run([world.drop_visits([Visit("a", FIRST + 20 * DAY, 5.0, 1, "late")])])
    table = world.table()
    assert table["a", MARCH, False]["visits_minutes_sum_all"] == 7.0
    assert table["a", FIRST + 9 * DAY, False]["visits_minutes_sum_all"] == 0.0


def test_new_rows_are_added_without_reading_the_old_ones_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = world.drop_visits([Visit("a", FIRST, 2.0, 1, "home")])
    world.run([world.drop_plans([("a", "small", 1)]), world.drop_labels([("b", MARCH, 1)]), first])
    [old] = world.ledger.parts("visits")
    queried: list[str] = []
    run, arrow = DuckDB._run, DuckDB.arrow
    monkeypatch.setattr(DuckDB, "_run", lambda self, sql: (queried.append(sql), run(self, sql))[1])
    monkeypatch.setattr(DuckDB, "arrow", lambda self, sql: (queried.append(sql), arrow(self, sql))[1])
    world.run([world.drop_visits([Visit("b", FIRST + DAY, 3.0, 1, "home")])])
    # the history is read once, for its keys, to tell duplicates
    reading = [sql for sql in queried if old.part in sql]
    assert len(reading) == 1
    assert "SEMI JOIN" in reading[0]
    assert_as_expected(world)


def test_what_is_learned_from_is_not_written_again_when_nothing_before_its_snapshots_came(world: World) -> None:
    world.run([world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 0)]),
               world.drop_visits([Visit("a", FIRST, 2.0, 1, "home")])])  # fmt: skip
    tables = [(world.home.ingested / pairs.file).resolve() for pairs in Pairs]
    written = tables[0].stat().st_mtime_ns
    world.run([world.drop_visits([Visit("a", MARCH + DAY, 3.0, 1, "home")])])
    past, now = ((world.home.ingested / pairs.file).resolve() for pairs in Pairs)
    assert (past, past.stat().st_mtime_ns) == (tables[0], written)
    assert now != tables[1]
    assert not tables[1].exists()
    assert_as_expected(world)
    world.run([world.drop_visits([Visit("a", MARCH - DAY, 3.0, 1, "late")])])
    assert (world.home.ingested / Pairs.PAST.file).resolve() != past
    assert_as_expected(world)


def test_aggregates_of_a_moment_that_has_gone_by_are_given_up(world: World) -> None:
    world.run([world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 0)]),
               world.drop_visits([Visit("a", FIRST, 2.0, 1, "home")])], compacted=True)  # fmt: skip
    folder = world.home.ingested / "visits"
    [former] = folder.glob("now-sums-*")
    world.run([world.drop_visits([Visit("a", MARCH + DAY, 3.0, 1, "home")])], compacted=True)
    assert former.exists()  # until the next run
    world.run([world.drop_visits([Visit("a", MARCH + DAY, 4.0, 1, "home")])], compacted=True)
    assert not former.exists()
    assert_as_expected(world)


def test_a_change_of_features_makes_all_of_them_anew(world: World, tmp_path: Path) -> None:
    world.run([world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 1)]),
               world.drop_visits([Visit("a", FIRST, 2.0, 1, "home")])])  # fmt: skip
    settings_file = world.home.path / "settings.yaml"
    settings_file.write_text(SETTINGS.replace("pace: [sum]", "pace: [sum, max]"), encoding="utf-8")
    changed = World(load(world.home.path), world.ledger, world.engine, world.visits, world.labels, world.plans, 50)
    changed.run([changed.drop_visits([Visit("a", FIRST + DAY, 6.0, 2, "home")])])
    assert changed.table()["a", MARCH, False]["visits_pace_max_all"] == 2.0
    assert_as_expected(changed)


def test_a_run_cut_short_before_its_features_is_made_up_for_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run([world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 1)]),
               world.drop_visits([Visit("a", FIRST, 2.0, 1, "home")])])  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr("churnwatch.pipeline.feature_step.FeatureStep.update", lambda *_: [])
        world.run([world.drop_visits([Visit("a", FIRST + DAY, 3.0, 1, "home")])])
    world.run([world.drop_visits([Visit("a", FIRST + 2 * DAY, 4.0, 1, "home")])])
    assert_as_expected(world)


def test_the_snapshot_is_the_labels_date_less_the_horizon(tmp_path: Path) -> None:
    with _world(tmp_path / "home", SETTINGS + "horizon: 30d\n") as world:
        world.run([world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 1)]),
                   world.drop_visits([Visit("a", FIRST, 2.0, 1, "home")])])  # fmt: skip
        assert ("a", MARCH - 30 * DAY, False) in world.table()


@pytest.mark.parametrize(("snapshot", "expected"), [("monthly", MARCH), ("2026-02-05", dt.datetime(2026, 2, 5))])  # noqa: DTZ001
def test_snapshots_can_be_monthly_or_one_day_for_all(tmp_path: Path, snapshot: str, expected: dt.datetime) -> None:
    with _world(tmp_path / "home", SETTINGS + f"snapshot: {snapshot}\n") as world:
        world.run([world.drop_plans([("b", "small", 1)]), world.drop_labels([("b", MARCH + 9 * DAY, 0)]),
                   world.drop_visits([Visit("b", MARCH + 20 * DAY, 2.0, 1, "home")])])  # fmt: skip
        assert set(world.table()) == {("b", expected, False), ("b", expected, True)}


def test_customers_as_they_are_now_are_seen_from_the_day_after_the_newest_row(world: World) -> None:
    world.run([world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 0), ("b", MARCH, 1)]),
               world.drop_visits([Visit("a", MARCH + 3 * DAY + dt.timedelta(hours=5), 2.0, 1, "home")])])  # fmt: skip
    [(who, snapshot, _)] = [key for key in world.table() if key[2]]
    assert (who, snapshot) == ("a", MARCH + 4 * DAY)  # b is known to have left
    assert world.table()[who, snapshot, True]["left"] is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (("page: [last, distinct", "page: [sum, distinct"), "sources.visits.features.page: `sum` needs numbers"),
        (("minutes: [count", "hours: [count"), "it has no column `hours`"),
        (("pages: [sum", "pages: [median"), "`median` is none of"),
        (('"*": [count', '"*": [sum'), "`sum` needs a column"),
        (("pace: [sum]", "pace: [days_since_last]"), "is asked of the rows"),
        (('computed: {pace: "minutes', 'computed: {pace: "hours'), "sources.visits.computed.pace: "),
        (('"share:1"', '"share:one"'), "asks for a value that a column of type integer cannot have"),
        (("  per_visit:", "  visits_count_all:"), "`visits_count_all` stands twice"),
        (("visits_minutes_sum_all / (", "visits_hours_sum_all / ("), "expressions.per_visit:"),
        (("date: day\n", "date: day\nsnapshot: 2099-01-01\n"), "snapshot: 2099-01-01 lies in the future"),
    ],
)
def test_what_is_wrong_with_features_is_said_in_one_line(tmp_path: Path, change: tuple[str, str], word: str) -> None:
    with _world(tmp_path / "home", SETTINGS.replace(*change)) as world:
        paths = [world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 0)]),
                 world.drop_visits([Visit("a", FIRST, 2.0, 1, "home")])]  # fmt: skip
        with pytest.raises(SettingsError, match=r"settings\.yaml") as raised:
            world.run(paths)
        assert word in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_source_without_any_row_is_named(world: World) -> None:
    with pytest.raises(SettingsError, match=r"sources.visits: no row was ingested yet; drop a file .* `visits\*.csv`"):
        world.run([world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 0)])])


def test_a_source_of_other_customers_is_warned_of(world: World) -> None:
    paths = [world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 0)]),
             world.drop_visits([Visit("other", FIRST, 2.0, 1, "home")])]  # fmt: skip
    step = world.run(paths)
    [warning] = step._unknown_keys()
    assert "none of the customers occurs in it" in warning


def _begun(world: World, *visits: Visit) -> None:
    world.run([world.drop_plans([("a", "small", 1)]), world.drop_labels([("a", MARCH, 0)]),
               world.drop_visits(visits or [Visit("a", FIRST, 2.0, 1, "home")])])  # fmt: skip


def _changed(world: World, old: str, new: str) -> World:
    """Return the world with other settings."""
    path = world.home.path / "settings.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return World(load(world.home.path), world.ledger, world.engine, world.visits, world.labels, world.plans, 50)


def test_the_order_of_columns_in_the_settings_does_not_count(world: World) -> None:
    _begun(world, Visit("a", FIRST, 2.0, 1, "home"), Visit("a", FIRST + DAY, 5.0, 3, "help"))
    turned = _changed(
        world, "minutes: number, pages: integer, page: text", "page: text, pages: integer, minutes: number"
    )
    turned.run([turned.drop_labels([("a", MARCH - DAY, 1)])])
    assert_as_expected(turned)


def test_a_changed_computed_column_of_a_source_without_a_time_counts(tmp_path: Path) -> None:
    text = SETTINGS.replace("since: date}", 'since: date}\n    computed: {twice: "seats * 2"}', 1)
    with _world(tmp_path / "home", text) as world:
        _begun(world)
        thrice = _changed(world, "seats * 2", "seats * 3")
        thrice.run([])
        assert thrice.table()["a", MARCH, False]["plans_twice_last"] == 3.0


def test_settings_changed_between_two_attempts_make_no_name_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("churnwatch.pipeline.feature_step.FeatureStep._write_table", _full)
        with pytest.raises(OSError, match="No space left"):
            _begun(world)
    changed = _changed(world, "pace: [sum]", "pace: [sum, max]")
    step = FeatureStep(changed.home, world.ledger, world.engine, schemas.current(changed.home, world.ledger))
    step.update(world.ledger, 1)  # the same run, taken up again
    assert_as_expected(changed)


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_row_of_the_end_of_time_moves_the_present_to_tomorrow_at_most(world: World) -> None:
    _begun(world, Visit("a", dt.datetime(9999, 12, 31), 2.0, 1, "home"))  # noqa: DTZ001
    [now] = [snapshot for _, snapshot, current in world.table() if current]
    assert now == dt.datetime.combine(utc_now().date() + DAY, dt.time())


def test_a_label_of_the_beginning_of_time_has_no_features_and_stops_nobody(world: World) -> None:
    _begun(world)
    world.run([world.drop_labels([("a", dt.datetime(1, 1, 1), 1)])])  # noqa: DTZ001
    assert world.table()["a", dt.datetime(1, 1, 1), False]["visits_count_all"] == 0  # noqa: DTZ001
    assert world.table()["a", MARCH, False]["visits_count_all"] == 1


def test_what_was_so_before_may_be_so_again(world: World) -> None:
    _begun(world)
    for plan in ("large", "small"):
        world.run([world.drop_plans([("a", plan, 1)])])
        assert world.table()["a", MARCH, False]["plans_plan_last"] == plan


def test_of_files_of_one_run_the_one_of_the_highest_number_came_last(world: World) -> None:
    _begun(world)
    paths = [world.drop_plans([("a", plan, 1)]) for plan in ("tenth", "ninth")]
    paths = [paths[0].rename(world.home.source / "plans-10.csv"), paths[1].rename(world.home.source / "plans-9.csv")]
    world.run(paths)
    assert world.table()["a", MARCH, False]["plans_plan_last"] == "tenth"


def test_a_value_that_an_expression_cannot_take_is_one_line_without_it(tmp_path: Path) -> None:
    text = SETTINGS.replace("visits_minutes_sum_all / (visits_count_all + 1)", "visits_page_last")
    with _world(tmp_path / "home", text) as world:
        with pytest.raises(DataError, match="a value in the data is not what an expression takes it for") as raised:
            _begun(world, Visit("a", FIRST, 2.0, 1, "sekret"))
        assert "sekret" not in str(raised.value)


def test_every_feature_is_described() -> None:
    words = dict(described(parse(SETTINGS)))
    assert words["visits_minutes_sum_7d"] == "sum of `minutes` in the last 7d"
    assert words["visits_page_share_home_all"] == "share of `home` in `page` ever"
    assert words["visits_days_since_last"] == "days since the last row"
    assert words["per_visit"] == "`visits_minutes_sum_all / (visits_count_all + 1)`"

"""A small world of labels and sources, its features computed by brute force from the raw rows, to hold ours against."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from churnwatch.pipeline import datasets, schemas
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.compaction import compact
from churnwatch.pipeline.datasets import MAIN, Dataset, Intake
from churnwatch.pipeline.engine import Engine
from churnwatch.pipeline.feature_step import FeatureStep, Pairs
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.scan import observe
from churnwatch.pipeline.settings import Home

SETTINGS = """\
target: left
positive: 1
id: id
date: day
columns: {id: text, day: date, left: integer}
labels: "labels*.csv"
sources:
  plans:
    files: "plans*.csv"
    key: id
    columns: {id: text, plan: text, seats: integer, since: date}
  visits:
    files: "visits*.csv"
    key: id
    time: at
    columns: {id: text, at: date, minutes: number, pages: integer, page: text}
    computed: {pace: "minutes / (pages + 1)"}
    features:
      "*": [count, days_since_last, trend]
      minutes: [count, sum, mean, min, max, std, trend, last]
      pages: [sum, max, "share:1", distinct]
      page: [last, distinct, "share:home"]
      pace: [sum]
      at: [distinct, last]
    windows: [7d, 30d, all]
expressions:
  per_visit: "visits_minutes_sum_all / (visits_count_all + 1)"
"""
FIRST = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - rows have no zone


@dataclass(frozen=True)
class Visit:
    id: str
    at: dt.datetime
    minutes: float | None
    pages: int | None
    page: str

    def csv(self) -> str:
        cells = (self.id, self.at.isoformat(sep=" "), self.minutes, self.pages, self.page)
        return ",".join("" if cell is None else str(cell) for cell in cells)


@dataclass
class World:
    """What was dropped so far, and the home that took it in."""

    home: Home
    ledger: Ledger
    engine: Engine
    visits: list[Visit] = field(default_factory=list)
    labels: dict[tuple[str, dt.datetime], int] = field(default_factory=dict)
    plans: dict[str, tuple[str, int]] = field(default_factory=dict)
    _number: int = 0

    def drop(self, kind: str, lines: Sequence[str]) -> Path:
        """Put a file into the source folder."""
        self._number += 1
        header = {"visits": "id,at,minutes,pages,page", "labels": "id,day,left", "plans": "id,plan,seats,since"}[kind]
        path = self.home.source / f"{kind}-{self._number:03d}.csv"
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return path

    def drop_visits(self, visits: Sequence[Visit]) -> Path:
        """Drop visits; equal rows count once."""
        self.visits += [each for each in dict.fromkeys(visits) if each not in self.visits]
        return self.drop("visits", [each.csv() for each in visits])

    def drop_labels(self, labels: Sequence[tuple[str, dt.datetime, int]]) -> Path:
        """Drop labels."""
        self.labels |= {(who, day): left for who, day, left in labels}
        return self.drop("labels", [f"{who},{day.date()},{left}" for who, day, left in labels])

    def drop_plans(self, held: Sequence[tuple[str, str, int]]) -> Path:
        """Drop rows of a source without a time: the newest counts."""
        for who, plan, seats in held:
            self.plans[who] = (plan, seats)
        return self.drop("plans", [f"{who},{plan},{seats},2025-12-01" for who, plan, seats in held])

    def run(self, paths: Sequence[Path], *, compacted: bool = False) -> FeatureStep:
        """Take files in and bring the feature table up to date, as a run does."""
        sources = [self._seen(path) for path in paths]
        settings = (self.home.settings.sha256, self.home.settings.canonical())
        self._number += 1
        run = self.ledger.begin_run(run_id=str(self._number), reason="drop", at=iso(utc_now()), settings=settings,
                                    code_version="1", inputs=[each.file.file for each in sources])  # fmt: skip
        beside = [
            Dataset(name, schemas.resolve_source(self.home, self.ledger, name)) for name in self.home.settings.sources
        ]
        main = schemas.resolve(self.home, self.ledger, self.engine, datasets.of_main(self.home.settings, sources))
        intake = Intake(self.home, self.ledger, self.engine, self.engine, run, iso(utc_now()))
        intake.take([*beside, Dataset(MAIN, main)], sources, promise_holdout=True)
        step = FeatureStep(self.home, self.ledger, self.engine, main)
        step.update(self.ledger, run)
        if compacted:
            kept = [each for pairs in Pairs for each in step.kept_sets(pairs)]
            compact(self.home, self.ledger, self.engine, kept, run)
        return step

    def _seen(self, path: Path) -> Source:
        signature = observe(self.home.source, path.name)
        assert signature is not None
        return Source(self.ledger.see_file(signature, sha256=path.name, at=iso(utc_now())), path)

    def table(self) -> dict[tuple[str, dt.datetime, bool], dict[str, Any]]:
        """Return the feature table by customer, snapshot, and whether it is the customer as of now."""
        found = {}
        for pairs in Pairs:
            rows = self.engine.arrow(
                f"SELECT * FROM {self.engine.scan([self.home.ingested / pairs.file])} f"
            ).to_pylist()
            found |= {(row["id"], row["_cw_snapshot"], pairs is Pairs.NOW): row for row in rows}
        return found

    def expected(self, who: str, snapshot: dt.datetime) -> dict[str, Any]:
        """Compute a customer's features from all visits before a snapshot."""
        rows = [each for each in self.visits if each.id == who and each.at < snapshot]
        # of equal times the row that came in last is the last one
        last = max(enumerate(rows), key=lambda pair: (pair[1].at, pair[0]))[1] if rows else None
        plan, seats = self.plans.get(who, (None, None))
        since = (snapshot.date() - dt.date(2025, 12, 1)).days if plan else None
        made: dict[str, Any] = {"plans_plan_last": plan, "plans_seats_last": seats, "plans_since_age_days": since}
        made |= {
            "visits_days_since_last": (snapshot.date() - last.at.date()).days if last else None,
            "visits_trend": _trend(rows, snapshot, lambda _: 1.0),
            "visits_minutes_trend": _trend(rows, snapshot, lambda visit: visit.minutes),
            "visits_minutes_last": last.minutes if last else None,
            "visits_page_last": last.page if last else None,
            "visits_at_age_days": (snapshot.date() - last.at.date()).days if last else None,
        }
        for window, days in (("7d", 7), ("30d", 30), ("all", 100_000)):
            within = [each for each in rows if each.at >= snapshot - dt.timedelta(days=days)]
            made |= {f"visits_{name}_{window}": value for name, value in _over(within).items()}
        made["per_visit"] = made["visits_minutes_sum_all"] / (len(rows) + 1)
        return made


def _over(rows: Sequence[Visit]) -> dict[str, Any]:
    minutes = [each.minutes for each in rows if each.minutes is not None]
    pages = [each.pages for each in rows if each.pages is not None]
    pace = [each.minutes / (each.pages + 1) for each in rows if each.minutes is not None and each.pages is not None]
    return {
        "count": len(rows),
        "minutes_count": len(minutes),
        "minutes_sum": math.fsum(minutes),
        "minutes_mean": statistics.fmean(minutes) if minutes else None,
        "minutes_min": min(minutes, default=None),
        "minutes_max": max(minutes, default=None),
        "minutes_std": statistics.stdev(minutes) if len(minutes) > 1 else None,
        "pages_sum": sum(pages),
        "pages_max": max(pages, default=None),
        "pages_share_1": pages.count(1) / len(pages) if pages else None,
        "pages_distinct": len(set(pages)),
        "page_distinct": len({each.page for each in rows}),
        "page_share_home": [each.page for each in rows].count("home") / len(rows) if rows else None,
        "pace_sum": math.fsum(pace),
        "at_distinct": len({each.at.date() for each in rows}),
    }


def _trend(rows: Sequence[Visit], snapshot: dt.datetime, value: Callable[[Visit], float | None]) -> float | None:
    month = dt.timedelta(days=30)
    now = math.fsum(value(each) or 0.0 for each in rows if each.at >= snapshot - month)
    before = math.fsum(value(each) or 0.0 for each in rows if snapshot - 2 * month <= each.at < snapshot - month)
    return (now - before) / (abs(now) + abs(before)) if now or before else None


def assert_as_expected(world: World) -> None:
    """Hold the whole feature table against the features computed by brute force."""
    table = world.table()
    past = {(who, snapshot) for who, snapshot, current in table if not current}
    assert past == set(world.labels)
    for (who, snapshot, _), row in table.items():
        for name, value in world.expected(who, snapshot).items():
            close = (
                row[name] == value
                if value is None or isinstance(value, str)
                else math.isclose(
                    row[name], value, rel_tol=1e-9, abs_tol=1e-6 if "std" in name or "pace" in name else 1e-9
                )
            )
            assert close, f"{name} of {who} at {snapshot}: {row[name]!r} where {value!r} is expected"

"""Three runs to crash: a first model, a promotion with odd files, and one that keeps the champion and merges parts.

Each begins with a home as the runs before it left it. Small, so that a run takes a second; otherwise as in life: the
real estimator, sources with features, a report at the end.
"""

from __future__ import annotations

import csv
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import canonical
import pyarrow as pa
import traced

from churnwatch.daemon import work
from churnwatch.pipeline import compaction, gate, settings, train
from churnwatch.pipeline.gate import Compared, Decision, Evidence
from churnwatch.pipeline.run import Outcome, Progress
from churnwatch.pipeline.sample import Like, write
from churnwatch.pipeline.settings import Home

SOURCE = "dropped"
SETTINGS = f"""\
source_folder: ../{SOURCE}
target: Churn
positive: Yes
id: customerID
date: month
snapshot: date
labels: "telco*.csv"
sources:
  calls:
    files: "calls*.csv"
    key: customerID
    time: at
    columns: {{customerID: text, at: date, minutes: number}}
    features: {{"*": [count], minutes: [mean]}}
    windows: [all]
training:
  estimators: [logistic]
  folds: 2
  threads: 1
gate:
  policy: better
  min_positives: 5
"""
Look = Callable[[Home], Iterable[str]]
ROWS = 100
NAMES = ("first", "promoted", "kept, merged")


@dataclass(frozen=True)
class Stage:
    """A run to crash: the home before it, with its files dropped, and what the gate will say."""

    name: str
    before: Path
    dropped: Path
    decision: Decision

    def begin(self, folder: Path) -> Home:
        """Return a copy of the home before the run, with its files dropped."""
        shutil.copytree(self.before, folder, symlinks=True)
        self.drop_beside(folder)
        return settings.load(folder)

    def drop_beside(self, home: Path) -> None:
        """Put the files where a home looks for them: the very same ones, since a copy has other times."""
        (home.parent / SOURCE).symlink_to(self.dropped)

    def run(self, home: Home, progress: Progress) -> list[Outcome]:
        """Do what one turn of the daemon does."""
        gate._better = self._decided
        return work.once(home, reason="drop", progress=progress)

    def taken_up(self, home: Home, expected: canonical.Dump, look: Look = lambda _: ()) -> tuple[str, ...]:
        """Do one more turn after whatever happened to a run; return what is wrong then, `look` finding more of it."""
        again = traced.finish(self.run, home)
        wrong = [] if again.code == traced.OK else [f"taken up, it ended with {again.code}: {' / '.join(again.said)}"]
        try:
            wrong += [*look(home), *canonical.problems(home)]
            return (*wrong, *canonical.differences(canonical.dump(home), expected))
        except (sqlite3.DatabaseError, OSError, pa.ArrowException) as error:
            return (*wrong, f"cannot be looked at: {error}")

    def _decided(self, found: Compared) -> Evidence:
        return gate._evidence(found, self.decision, "As the test wants it.")


def made(folder: Path, only: str | None = None) -> list[Stage]:
    """Make the stages below a folder, each from the one before; all, or only the one of a name."""
    train._THRESHOLDS = 5  # tuning the threshold is a third of so small a run
    compaction.FANOUT = 2
    months = write(folder / "months", Like.TELCO, months=3, rows=ROWS, seed=3)
    before, stages = folder / "begin" / "home", []
    before.mkdir(parents=True)
    (before / settings.FILE_NAME).write_text(SETTINGS, encoding="utf-8")
    for name, (decision, drop) in zip(NAMES, _DROPS, strict=True):
        dropped = folder / f"dropped for {name}"
        dropped.mkdir()
        drop(dropped, months)
        stages.append(Stage(name, before, dropped, decision))
        if name == only:
            return stages[-1:]
        before = _after(stages[-1], folder / f"after {name}" / "home")
    return stages


def _after(stage: Stage, folder: Path) -> Path:
    """Return the home that a stage's run leaves."""
    folder.parent.mkdir()
    ended = traced.finish(stage.run, stage.begin(folder))
    assert ended.code == traced.OK, ended.said
    return folder


def _first(source: Path, months: list[Path]) -> None:
    shutil.copy(months[0], source)
    _calls(source / "calls-1.csv", months[0])


def _second(source: Path, months: list[Path]) -> None:
    """Drop a month, some of its rows broken or known, the month before once more, a request, and what is no CSV."""
    lines = months[1].read_text().splitlines(keepends=True)
    known = months[0].read_text().splitlines(keepends=True)[1:6]
    (source / months[1].name).write_text("".join([*lines, *known, "too,few,cells\n"]))
    shutil.copy(months[0], source / "telco-again.csv")
    (source / "telco-no-table.csv").write_bytes(bytes(range(256)) * 4)
    with months[2].open(newline="") as file, (source / "request.csv").open("w", newline="") as request:
        csv.writer(request).writerows(row[:-1] for row in csv.reader(file))
    _calls(source / "calls-2.csv", months[1])


def _third(source: Path, months: list[Path]) -> None:
    shutil.copy(months[2], source)
    _calls(source / "calls-3.csv", months[2])


def _calls(path: Path, month: Path) -> None:
    chance = random.Random(path.name)  # noqa: S311 - made-up calls, no secrets
    with month.open(newline="") as file:
        customers = [row["customerID"] for row in csv.DictReader(file)]
    lines = [f"{who},2025-{chance.randint(1, 9):02d}-01,{chance.randint(1, 90)}" for who in customers]
    path.write_text("\n".join(["customerID,at,minutes", *lines]) + "\n")


_DROPS = ((Decision.FIRST, _first), (Decision.PROMOTED, _second), (Decision.KEPT, _third))

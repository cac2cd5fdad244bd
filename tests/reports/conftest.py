"""Homes with a ledger, written record by record: a report needs no run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from churnwatch.pipeline import settings
from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import (
    Batch,
    Curve,
    Decision,
    FileEvent,
    FileState,
    GroupCount,
    Metric,
    Model,
    Prediction,
    Profile,
    Quarantine,
    Signature,
    Status,
    Step,
    Verdict,
)
from churnwatch.pipeline.settings import Home
from churnwatch.reports.build import build

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
BEGIN = datetime(2026, 1, 3, 14, 5, tzinfo=UTC)
STEPS = ("ingest", "test champion", "train", "evaluate", "promote", "predict")
COUNTS = {"true_negatives": 60.0, "false_positives": 10.0, "false_negatives": 12.0, "true_positives": 18.0}


def curve(run: int, version: int, rows: int = 100, leavers: int = 30) -> list[Curve]:
    """A model that names the leavers first, the less surely the later."""
    return [
        Curve(run, version, place, 1 - called / rows, called, min(leavers, called * 2 // 3), 0.5 * called)
        for place, called in enumerate(range(5, rows + 1, 5))
    ]


@dataclass
class Book:
    """Writes runs as the pipeline would."""

    home: Home
    ledger: Ledger
    champion: int | None = None
    at: datetime = field(default=BEGIN)

    def tick(self) -> str:
        self.at += timedelta(minutes=7)
        return iso(self.at)

    def begin(self, *, path: str = "january.csv") -> tuple[int, int]:
        """Open a run with one file; return run and file."""
        number = 1 + next((row["run"] for row in self.ledger.runs(1)), 0)
        seen = self.ledger.see_file(Signature(path, 100, number, number), sha256=f"{number:x}", at=self.tick())
        given = self.home.settings
        run = self.ledger.begin_run(
            run_id=f"id{number}", reason="drop", at=self.tick(), settings=(given.sha256, given.canonical()),
            code_version="1", inputs=[seen.file],
        )  # fmt: skip
        self.ledger.begin_attempt(run, at=self.tick(), pid=1, settings=(given.sha256, given.canonical()))
        return run, seen.file

    def fail(self, *, error: str, status: Status = Status.FAILED, path: str = "broken.csv") -> None:
        """A run that comes to nothing."""
        run, file = self.begin(path=path)
        self.ledger.add(FileEvent(file, run, self.tick(), FileState.QUARANTINED, reason=error))
        self.ledger.end_attempt(run, 1, at=self.tick(), status=status, wall_s=0.2, error=error)

    def learn(
        self,
        *,
        f1: float = 0.6,
        in_use: dict[str, float] | None = None,
        decision: Decision | None = None,
        path: str = "january.csv",
        column: str = "tenure",
        missing: int = 2,
        sentence: str | None = None,
        curves: bool = False,
    ) -> int:
        """A whole run; return the version that it trained."""
        run, file = self.begin(path=path)
        decided = decision or (Decision.KEPT if self.champion else Decision.FIRST)
        ledger, at = self.ledger, self.tick()
        ledger.add(FileEvent(file, run, at, FileState.INGESTED, 103, 100, 2, 1))
        ledger.add(Batch(run, run, file, 100, 100, 30, 10, 3, None, None))
        ledger.add(Quarantine(run, file, "type", column, "not a number", 1, 17))
        ledger.add(Profile(run, column, 100, missing, missing / 100, 9, 1.0, 1.0, 1.0, 0.0, 2.0))
        ledger.add(Profile(run, "complete", 100, 0, 0.0, 9, None, None, None, None, None))
        if self.champion is not None:
            self._metrics(run, self.champion, "champion", "prequential", 0.5, batch=run, cells=in_use)
        ledger.add(Model(run, run, "logistic", "{}", 0.4, f"v{run}", "0", "0", 900, 250, at))
        self._metrics(run, run, "candidate", "train", f1 + 0.1)
        self._metrics(run, run, "candidate", "holdout", f1)
        ledger.add(Metric(run, None, "baseline", "holdout", "f1", 0.3, 100))
        if curves:
            ledger.add(*curve(run, run), GroupCount(run, run, "senior", "1", 40, 12, 10, 8))
        said = sentence or f"{decided.value.capitalize()}: F1 {f1:.3f}."
        ledger.add(Verdict(run, at, decided, "proven", "f1", run, self.champion, 100, 30, f1, 0.55, f1 - 0.55, -0.01,
                           0.02, 0.2, "[1]", said, None))  # fmt: skip
        if decided.promotes:
            self.release(run, kind=decided.value, run=run)
        self._finish(run, at, said)
        return run

    def release(self, version: int, *, kind: str, run: int | None = None, actor: str = "gate", why: str = "") -> None:
        """Let a version serve."""
        intent = self.ledger.add_intent(version, at=self.tick(), run=run, kind=kind, actor=actor, why=why or None)
        self.ledger.add_release(intent, at=self.tick())
        self.champion = version

    def _metrics(
        self,
        run: int,
        version: int,
        subject: str,
        split: str,
        f1: float,
        *,
        batch: int | None = None,
        cells: dict[str, float] | None = None,
    ) -> None:
        values = {"f1": f1, "precision": f1, "recall": f1, **(cells or COUNTS)}
        self.ledger.add_all(
            Metric(run, version, subject, split, name, value, 100, batch) for name, value in values.items()
        )

    def _finish(self, run: int, at: str, note: str) -> None:
        self.ledger.add_all(Step(run, 1, step, at, 0.5, 0.4, 200_000_000) for step in STEPS)
        assert self.champion is not None
        self.ledger.add(Prediction(run, None, self.champion, f"run-{run:05d}.parquet", "0", 90, 20, self.tick()))
        self.ledger.end_attempt(run, 1, at=self.tick(), status=Status.DONE, wall_s=3.0, note=note)


@dataclass
class FakeFinding:
    kind: str
    package: str
    installed: str = "1.0"
    latest: str | None = None
    advisory: str | None = None
    fixed_in: str | None = None
    reason: str | None = None


@dataclass
class FakeCheck:
    """A package check as `packages` hands it to the ledger."""

    checked_at: str = iso(NOW - timedelta(days=2))
    packages: int = 60
    outdated: int | None = 0
    vulnerable: int | None = 0
    unknown: int = 0
    error: str | None = None
    findings: tuple[Any, ...] = ()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    folder = tmp_path / "practice"
    folder.mkdir()
    (folder / "settings.yaml").write_text("target: left\npositive: Yes\nid: customer\n", encoding="utf-8")
    return settings.load(folder)


@contextmanager
def opened(home: Home) -> Iterator[Book]:
    """Open the ledger for one transaction; a thousand commits would only test the disk."""
    with Ledger.open(home.ledger) as ledger, ledger.transaction():
        yield Book(home, ledger)


@pytest.fixture
def book(home: Home) -> Iterator[Book]:
    with opened(home) as found:
        yield found


def page(book: Book, **wanted: Any) -> str:
    """Return the report as it would be written now."""
    return build(book.home, book.ledger, now=NOW, **wanted).read_text(encoding="utf-8")


def read(home: Home, **wanted: Any) -> str:
    """Return the report through a reader of its own."""
    with Reader.open(home.ledger) as reader:
        return build(home, reader, now=NOW, **wanted).read_text(encoding="utf-8")

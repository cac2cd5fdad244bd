"""Writing the ledger: migrations, and one transaction for every change.

`BEGIN IMMEDIATE` takes the write lock at once: a transaction that reads first and writes later fails under
concurrency. Opening is serialised by a lock file, since two processes must not migrate at the same time.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from sqlite_utils import Database

from churnwatch.pipeline import files
from churnwatch.pipeline.api_keys import KeyEvent
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.migrations import NAMES, ledger_migrations
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.notices import Alert, Delivery, DeliveryAttempt, DeliveryEnd, WeeklyMail
from churnwatch.pipeline.records import (
    AcceptanceCase,
    Aggregated,
    AmountTenth,
    Approval,
    Batch,
    Bucket,
    Bucketing,
    BucketMove,
    Call,
    CampaignEffect,
    CohortMonth,
    CompiledForm,
    Curve,
    Drift,
    Experiment,
    ExperimentMetric,
    Explanation,
    FileEvent,
    FileFinding,
    GoalProgress,
    GroupCount,
    Importance,
    Metric,
    Model,
    MonthlyChurn,
    MoveReason,
    OfferMade,
    Part,
    PartReplacement,
    Prediction,
    Profile,
    Quarantine,
    Request,
    RunWarning,
    Signature,
    SourceFile,
    Status,
    Step,
    UpliftModel,
    Verdict,
)
from churnwatch.pipeline.transactions import immediate

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

log = logging.getLogger("churnwatch.ledger")
_TABLES: dict[type, str] = {
    AcceptanceCase: "acceptance_cases",
    Aggregated: "aggregated",
    Alert: "alerts",
    AmountTenth: "amount_tenths",
    Approval: "approvals",
    Batch: "batches",
    Bucket: "buckets",
    Bucketing: "bucketings",
    BucketMove: "bucket_moves",
    Call: "call_list",
    CampaignEffect: "campaign_effects",
    CohortMonth: "cohorts",
    Curve: "curves",
    Delivery: "deliveries",
    DeliveryAttempt: "delivery_attempts",
    DeliveryEnd: "delivery_ends",
    Drift: "drifts",
    Experiment: "experiments",
    ExperimentMetric: "experiment_metrics",
    Explanation: "explanations",
    FileEvent: "file_events",
    FileFinding: "file_findings",
    GoalProgress: "goal_progress",
    GroupCount: "group_counts",
    Importance: "importances",
    KeyEvent: "key_events",
    Metric: "metrics",
    Model: "models",
    MonthlyChurn: "monthly_churn",
    MoveReason: "move_reasons",
    OfferMade: "offers",
    UpliftModel: "uplift_models",
    Part: "parts",
    PartReplacement: "part_replacements",
    Prediction: "predictions",
    Profile: "profiles",
    Quarantine: "quarantines",
    Request: "requests",
    RunWarning: "run_warnings",
    CompiledForm: "compiled_forms",
    SourceFile: "files",
    Step: "steps",
    Verdict: "decisions",
    WeeklyMail: "weekly_mails",
}


class PackageCheckLike(Protocol):
    """What the ledger keeps of a package check."""

    @property
    def checked_at(self) -> str:
        """When."""

    @property
    def packages(self) -> int:
        """How many were looked at."""

    @property
    def outdated(self) -> int | None:
        """How many are outdated; None: unknown."""

    @property
    def vulnerable(self) -> int | None:
        """How many are vulnerable; None: unknown."""

    @property
    def unknown(self) -> int:
        """How many could not be checked."""

    @property
    def error(self) -> str | None:
        """Why a whole part could not be checked."""

    @property
    def findings(self) -> Sequence[DataclassInstance]:
        """One for each package that is not in order."""


class Ledger(Reader):
    """An open ledger that can be written. Every method is one transaction, or joins the one around it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._db = Database(connection)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open for writing; make or migrate the tables first where needed.

        Raises:
            LedgerError: the file is damaged, is no ledger, or was written by a newer version.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not os.access(path, os.W_OK):  # else SQLite leaves files beside it that nobody may write
            raise LedgerError(f"{path}: it may not be written. Mend its rights, and those of the files beside it.")
        try:
            connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise LedgerError(f"{path}: {error}. Check its rights, and that no folder lies there.") from error
        try:
            _make_ready(connection, path)
            yield cls(connection)
        except sqlite3.OperationalError as error:
            raise LedgerError(f"{path}: {error}. Check free space and rights; nothing was acknowledged.") from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise LedgerError(f"{path}: not a ledger, or damaged ({error}). Put back a backup.") from error
        finally:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside one change: all of it or nothing; inside another transaction, part of that."""
        if self._connection.in_transaction:
            yield
            return
        with immediate(self._connection):
            yield

    def add(self, *records: DataclassInstance) -> None:
        """Append records to their tables."""
        with self.transaction():
            for record in records:
                self._insert(_TABLES[type(record)], _columns(record))

    def add_all(self, records: Iterable[DataclassInstance]) -> None:
        """Append many records of one kind."""
        rows = list(records)
        if rows:
            with self.transaction():
                self._db.table(_TABLES[type(rows[0])]).insert_all(map(_columns, rows))

    def _insert(self, table: str, row: dict[str, Any]) -> int:
        with self.transaction():
            return int(self._db.table(table).insert(row).last_rowid or 0)

    # -- runs --------------------------------------------------------------------------------------------------

    def begin_run(
        self, *, run_id: str, reason: str, at: str, settings: tuple[str, str], code_version: str, inputs: Sequence[int]
    ) -> int:
        """Return the number of the run with this identity, new or known; `settings` is hash and canonical text."""
        with self.transaction():
            known = self._value("SELECT run FROM runs WHERE run_id = ?", run_id)
            if known is not None:
                return int(known)
            self.keep_settings(settings, at)
            run = self._insert(
                "runs",
                {"run_id": run_id, "reason": reason, "created_at": at, "settings_sha256": settings[0],
                 "code_version": code_version},
            )  # fmt: skip
            self._db.table("run_files").insert_all({"run": run, "file": file} for file in inputs)
            return run

    def keep_settings(self, settings: tuple[str, str], at: str) -> None:
        """Keep settings, given as hash and canonical text, if they are new."""
        row = {"settings_sha256": settings[0], "canonical": settings[1], "at": at}
        self._db.table("settings").insert(row, ignore=True)

    def begin_attempt(self, run: int, *, at: str, pid: int, settings: tuple[str, str]) -> int:
        """Open a further attempt of a run, under the settings now in force, and return its number."""
        with self.transaction():
            self.keep_settings(settings, at)
            attempt = 1 + int(self._value("SELECT coalesce(max(attempt), 0) FROM attempts WHERE run = ?", run))
            self._insert("attempts", {"run": run, "attempt": attempt, "started_at": at, "pid": pid,
                                      "settings_sha256": settings[0]})  # fmt: skip
            return attempt

    def end_attempt(
        self,
        run: int,
        attempt: int,
        *,
        at: str,
        status: Status,
        wall_s: float | None = None,
        error: str | None = None,
        note: str | None = None,
        warning: str | None = None,
    ) -> None:
        """Close an attempt."""
        row = {"run": run, "attempt": attempt, "ended_at": at, "status": status.value, "wall_s": wall_s,
               "error": error, "note": note, "warning": warning}  # fmt: skip
        self._insert("attempt_ends", row)

    # -- source files ------------------------------------------------------------------------------------------

    def see_file(self, seen: Signature, *, sha256: str, at: str) -> SourceFile:
        """Return the file of this path, signature and content, new or known."""
        with self.transaction():
            known = self._one(
                "SELECT * FROM files"
                " WHERE path = ? AND size_bytes = ? AND mtime_ns = ? AND ctime_ns = ? AND sha256 = ?",
                seen.path, seen.size_bytes, seen.mtime_ns, seen.ctime_ns, sha256,
            )  # fmt: skip
            if known is not None:
                return SourceFile(**known)
            row = {**dataclasses.asdict(seen), "sha256": sha256, "seen_at": at}
            return SourceFile(file=self._insert("files", row), **row)

    # -- schema, releases, pins, packages ----------------------------------------------------------------------

    def add_schema(self, canonical: str, *, at: str, dataset: str = "") -> int:
        """Record a data set's schema and return its key version."""
        return self._insert("schemas", {"canonical": canonical, "at": at, "dataset": dataset})

    def add_intent(
        self, version: int, *, at: str, run: int | None, kind: str, actor: str, why: str | None = None
    ) -> int:
        """Record that a release is about to be switched."""
        return self._insert(
            "intents", {"version": version, "at": at, "run": run, "kind": kind, "actor": actor, "why": why}
        )

    def add_release(self, intent: int, *, at: str) -> None:
        """Record that the release was switched."""
        self._insert("releases", {"intent": intent, "at": at})

    def add_pin(self, version: int | None, *, at: str, actor: str, why: str | None) -> None:
        """Pin a version, or with None let the next run promote again."""
        self._insert("pins", {"version": version, "at": at, "actor": actor, "why": why})

    def add_package_check(self, check: PackageCheckLike) -> None:
        """Record a package check with its findings."""
        with self.transaction():
            row = {name: getattr(check, name) for name in
                   ("checked_at", "packages", "outdated", "vulnerable", "unknown", "error")}  # fmt: skip
            number = self._insert("package_checks", row)
            self._db.table("package_findings").insert_all(
                {"check_id": number, **_columns(finding)} for finding in check.findings
            )


def _columns(record: DataclassInstance) -> dict[str, Any]:
    return {
        name: value.value if isinstance(value, Enum) else value for name, value in dataclasses.asdict(record).items()
    }


def _make_ready(connection: sqlite3.Connection, path: Path) -> None:
    """Set a connection up, and make or migrate the tables where needed, one process at a time.

    While a ledger is being made, a second connection that as much as looks at it can make SQLite say "locked" at
    once, to either of them and whatever the timeout. So nobody touches it before it is their turn.
    """
    db = Database(connection)
    with files.lock(path.with_name(f".{path.name}.lock"), busy="", wait=True):
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if _pending(db, path):
            _keep(connection, path, db)
            ledger_migrations.apply(db)


def _keep(connection: sqlite3.Connection, path: Path, db: Database) -> None:
    """Keep a copy of a ledger beside it before its tables are changed."""
    done = [migration.name for migration in ledger_migrations.applied(db)]
    if not done:
        return  # it is being made
    kept = path.with_name(f"{path.name}.before-{ledger_migrations.pending(db)[0].name}")
    with files.written_beside(kept) as beside:
        Reader(connection).copy_to(beside)
    log.warning("%s: made by an older churnwatch; a copy of it as it was is kept as %s", path, kept.name)


def _pending(db: Database, path: Path) -> bool:
    """Tell whether there is something to migrate; refuse what a newer version wrote."""
    newer = {migration.name for migration in ledger_migrations.applied(db)} - NAMES
    if newer:
        raise LedgerError(f"{path}: written by a newer churnwatch ({', '.join(sorted(newer))}). Install that one.")
    return bool(ledger_migrations.pending(db))

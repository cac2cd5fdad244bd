"""One run, in order. The only module that knows the order.

    take in → ingest and profile → test the champion → measure drift → train → evaluate and decide → promote → predict →
    explain → sort into buckets

Every step puts its result on disk and into the ledger before the next begins, so a run that was cut short is taken
up at the first step without a result, and ends as the uninterrupted one would.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import resource
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib import metadata

from churnwatch.pipeline import (
    bucketing,
    drift_step,
    estimating,
    explaining,
    files,
    follow_up,
    intake,
    learning,
    predicting,
    promotion,
    scan,
    schedule,
    schemas,
    taking,
)
from churnwatch.pipeline.campaigns import CAMPAIGNS
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.datasets import MAIN, Dataset, fits, of_main, role
from churnwatch.pipeline.engine import DuckDB, Engine, duckdb_engine
from churnwatch.pipeline.errors import ChurnwatchError, ReleaseError
from churnwatch.pipeline.feature_step import Pairs
from churnwatch.pipeline.ingest import QUARANTINE
from churnwatch.pipeline.late_labels import LABELS, REQUESTS
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.records import CLOCK, MOST_BREAKDOWNS, FileEvent, FileState, Signature, Status, Step
from churnwatch.pipeline.settings import Home, Settings
from churnwatch.pipeline.spark import spark_engine
from churnwatch.pipeline.workspace import Workspace

Progress = Callable[[str], None]
EXCHANGE = "exchange"  # the folder through which a cluster and this process hand tables to each other
log = logging.getLogger("churnwatch.run")


@dataclass(frozen=True)
class Outcome:
    """How one attempt of a run ended."""

    run: int
    status: Status
    line: str
    warnings: tuple[str, ...] = ()


def recover(home: Home, ledger: Ledger, *, why: str = "the process ended before the run did") -> None:
    """Bring everything into a known state after whatever happened before: a crash, a kill, a power cut.

    Attempts without an end are interrupted (the caller holds the home's lock, so none can be running); files of
    runs that broke down too often are given up; an open promotion is rolled forward; what interrupted writes left
    is removed.
    """
    at = iso(utc_now())
    for attempt in ledger.open_attempts():
        ledger.end_attempt(attempt["run"], attempt["attempt"], at=at, status=Status.INTERRUPTED, error=why)
        log.warning("run %s was interrupted: %s", attempt["run"], why)
    for run in ledger.given_up(MOST_BREAKDOWNS):
        _give_up(ledger, run, at)
    _finish_promotion(home, ledger)
    for folder, names in (
        # Only what runs write: a command such as `export` may be writing beside it this very moment.
        (home.ingested, "part*"),
        (home.ingested, "ingestedfiles*"),
        *((home.ingested, f"{pairs}*") for pairs in Pairs),
        *((home.ingested / source, "*") for source in (REQUESTS, LABELS, CAMPAIGNS, *home.settings.sources)),
        (home.ingested / QUARANTINE, "run-*"),
        (home.models, "v*"),
        (home.predictions, "run-*"),
    ):
        files.sweep(folder, names)
    shutil.rmtree(home.ingested / EXCHANGE, ignore_errors=True)


def _finish_promotion(home: Home, ledger: Ledger) -> None:
    """Roll an open promotion forward; where its files are damaged the release stays, and the daemon goes on."""
    try:
        promoted = promotion.roll_forward(home, ledger)
    except ReleaseError as error:
        log.error("a promotion that was cut short cannot be finished: %s", error)  # noqa: TRY400 - expected
        return
    if promoted is not None:
        log.warning("the promotion of %s had been cut short; it is done now", promoted.name)


def _give_up(ledger: Ledger, run: int, at: str) -> None:
    known = {row["file"] for row in ledger.run_file_states(run)}
    for file in ledger.run_files(run):
        if file.file not in known:
            reason = f"run {run} broke down {MOST_BREAKDOWNS} times; see `churnwatch show {run}`, then `retry`"
            ledger.add(FileEvent(file.file, run, at, FileState.FAILED, reason=reason))


def work(
    home: Home,
    ledger: Ledger,
    *,
    reason: str,
    stable: Collection[Signature] | None = None,
    progress: Progress = lambda _: None,
) -> list[Outcome]:
    """Take up unfinished runs, then make one run of everything that is there and new.

    Args:
        home: whose source folder is looked at.
        stable: the files that may be read; None: all that are there.
        ledger: open for writing.
        reason: what set this off, such as `drop` or `once`.
        progress: is told the name of each step as it begins.

    Returns the outcome of each attempt, none where there was nothing to do. What is expected to go wrong is an
    outcome; a bug is raised once the ledger knows of it.
    """
    outcomes = [_attempt(home, ledger, row["run"], progress) for row in ledger.unfinished(MOST_BREAKDOWNS)]
    unfinished = [file for row in ledger.unfinished(MOST_BREAKDOWNS) for file in ledger.run_files(row["run"])]
    open_inputs, held = {file.path for file in unfinished}, {file.sha256 for file in unfinished}
    seen = scan.look(home.source, home.looked_into)
    wanted = [
        (signature, seen[signature])
        for signature in scan.pending(ledger, seen)
        if signature.path not in open_inputs and (stable is None or signature in stable)
    ]
    sources = home.settings.sources
    roles = partial(role, home.settings)
    # Without a date, the same labels may be said of the next requests.
    timeless = [LABELS, *(name for name, source in sources.items() if source.time is None)]
    take = partial(intake.take, ledger, home.source, dataset_of=roles, reread=timeless)
    taken = take(wanted, at=iso(utc_now()), held=held)
    while taken.new:
        outcomes.append(_attempt(home, ledger, _begin(home, ledger, taken.new, reason), progress))
        if outcomes[-1].status is not Status.DONE:
            break  # the twins wait for it
        alike = partial(_meant_as, home.settings)
        twins = intake.without_refused(ledger, taken, run=outcomes[-1].run, at=iso(utc_now()), alike=alike)
        taken = take(twins, at=iso(utc_now()))  # what is new now had no rows read from its first copy
    due = schedule.due(ledger, home.settings.retrain)
    if due is not None and due <= utc_now() and all(each.status is Status.DONE for each in outcomes):
        outcomes.append(_attempt(home, ledger, _begin(home, ledger, (), CLOCK, due=due), progress))
    return outcomes


def _meant_as(settings: Settings, path: str) -> tuple[str, bool, str]:
    """Return all that a file's name says about how it is read."""
    suffix = next(each for each in scan.SUFFIXES if path.lower().endswith(each))
    return role(settings, path), settings.labels is not None and fits(path, settings.labels), suffix


def _begin(home: Home, ledger: Ledger, sources: Sequence[Source], reason: str, *, due: datetime | None = None) -> int:
    """Return the run that these inputs, settings, code and due time make: the same ones never make a second run."""
    inputs = [source.file.file for source in sources]
    code = metadata.version("churnwatch")
    identity = {
        "files": sorted((source.file.path, source.file.sha256, source.file.ctime_ns) for source in sources),
        "settings": home.settings.sha256,
        "code": code,
        "retries": ledger.retries(inputs),
        "champion_at_hand": ledger.champion() is not None,
        **({} if due is None else {"due": iso(due)}),
    }
    run_id = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    return ledger.begin_run(run_id=run_id, reason=reason, at=iso(utc_now()), settings=_settings(home),
                            code_version=code, inputs=inputs)  # fmt: skip


def _settings(home: Home) -> tuple[str, str]:
    return home.settings.sha256, home.settings.canonical()


def _attempt(home: Home, ledger: Ledger, run: int, progress: Progress) -> Outcome:
    """Make one attempt of a run and record how it ended."""
    begun = time.monotonic()
    attempt = ledger.begin_attempt(run, at=iso(utc_now()), pid=os.getpid(), settings=_settings(home))
    try:
        with (
            duckdb_engine(
                home.state / "spill", threads=home.settings.training.threads, memory_gb=home.settings.memory_gb
            ) as local,
            _engine(home, local) as engine,
        ):
            line, warnings = _Recorded(home, ledger, local, engine, run, attempt, progress).all()
    except (ChurnwatchError, OSError, MemoryError, sqlite3.OperationalError) as error:
        line = _line(error)
        log.error("run %s failed: %s", run, line)  # noqa: TRY400 - expected, so one line and no traceback
        _end(ledger, run, attempt, Status.FAILED, begun, error=line)
        return Outcome(run, Status.FAILED, line)
    except Exception as error:
        _end(ledger, run, attempt, Status.BROKEN, begun, error=f"a bug: {type(error).__name__}; the log has more")
        raise
    _end(ledger, run, attempt, Status.DONE, begun, note=line, warning="; ".join(warnings) or None)
    verdict = ledger.verdict(run)  # its own warning stands with the decision, not with the attempt
    doubtful = (verdict.warning,) if verdict is not None and verdict.warning else ()
    return Outcome(run, Status.DONE, line, (*doubtful, *warnings))


@contextmanager
def _engine(home: Home, local: DuckDB) -> Iterator[Engine]:
    """Return what works on the data set: the engine within the process, or a cluster."""
    if home.settings.engine == "duckdb":
        yield local
        return
    with spark_engine(home.settings.engine, home.ingested / EXCHANGE) as engine:
        yield engine


def _line(error: BaseException) -> str:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}; the run is taken up again once that is mended"
    return str(error) or type(error).__name__


def _end(
    ledger: Ledger,
    run: int,
    attempt: int,
    status: Status,
    begun: float,
    *,
    error: str | None = None,
    note: str | None = None,
    warning: str | None = None,
) -> None:
    wall_s = round(time.monotonic() - begun, 4)
    ledger.end_attempt(run, attempt, at=iso(utc_now()), status=status, wall_s=wall_s, error=error, note=note,
                       warning=warning)  # fmt: skip


class _Recorded:
    """The steps of one attempt, each timed and recorded."""

    def __init__(
        self, home: Home, ledger: Ledger, local: DuckDB, engine: Engine, run: int, attempt: int, progress: Progress
    ) -> None:
        self._home, self._ledger, self._local, self._engine = home, ledger, local, engine
        self._run, self._attempt, self._progress = run, attempt, progress

    def all(self) -> tuple[str, tuple[str, ...]]:
        """Do what is left of the run; return what came of it in one sentence, and the warnings."""
        folder = self._home.source
        sources = [Source(file, scan.located(folder, file.path)) for file in self._ledger.run_files(self._run)]
        at = Workspace(self._home, self._ledger, self._local, self._engine, self._datasets(sources), self._run)
        if sources:
            with self._step("ingest"):
                taking.ingest_files(at, sources)
        if at.has_sources:
            with self._step("features"):
                taking.make_features(at)
        line = self._learn(at)
        with self._step("predict"):
            predicting.predict_all(at)
        with self._step("explain"):
            explaining.explain_customers(at)
        if bucketing.is_due(at):
            with self._step("buckets"):
                bucketing.sort_customers(at)
        if at.has_news() or at.has_news_of_campaigns():
            with self._step("follow up"):
                follow_up.count_churn(at)
                follow_up.measure_campaigns(at)
        with self._step("compact"):
            taking.compact_parts(at)
        return line, tuple(dict.fromkeys(at.warnings))  # a step that is made again says again what is kept of it

    def _datasets(self, sources: Sequence[Source]) -> list[Dataset]:
        """Return the data sets, the sources first: so that what can be told of a customer is there before the row."""
        home, ledger = self._home, self._ledger
        beside = [Dataset(name, schemas.resolve_source(home, ledger, name)) for name in home.settings.sources]
        main = schemas.resolve(home, ledger, self._local, of_main(home.settings, sources))
        return [*beside, Dataset(MAIN, main)]

    def _learn(self, at: Workspace) -> str:
        if at.has_news():
            with self._step("test champion"):
                learning.test_champion(at)
                estimating.compare(at)
        if at.batches:
            with self._step("drift"):
                drift_step.measure(at)
        if not at.has_news() and not at.is_scheduled:
            return taking.no_news(at)
        plan = drift_step.plan(at)
        if not plan.trains:
            return plan.why
        with self._step("train"):
            why_not = learning.train_candidate(at, plan.training)
        if why_not is not None:
            return f"Nothing was trained: {why_not}."
        with self._step("evaluate"):
            sentence = learning.decide(at)
        with self._step("promote"):
            learning.promote(at)
        return f"{sentence}{learning.chosen_window(at)} {plan.why}".rstrip()

    @contextmanager
    def _step(self, step: str) -> Iterator[None]:
        self._progress(step)
        started, wall, cpu = iso(utc_now()), time.monotonic(), time.process_time()
        yield
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._ledger.add(
            Step(self._run, self._attempt, step, started, round(time.monotonic() - wall, 4),
                 round(time.process_time() - cpu, 4), peak)
        )  # fmt: skip

"""The run's files → the data sets that they belong to: the customers' rows, and the sources beside them.

A declared glob decides first which data set a file belongs to; what matches none belongs to the customers' rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from churnwatch.pipeline import bookkeeping, ingest, load, profile
from churnwatch.pipeline.activity_intake import ActivityIntake
from churnwatch.pipeline.campaign_intake import take_campaigns
from churnwatch.pipeline.campaigns import CAMPAIGNS
from churnwatch.pipeline.dialect import Dialect
from churnwatch.pipeline.engine import DuckDB, Engine
from churnwatch.pipeline.late_intake import LateIntake
from churnwatch.pipeline.late_labels import LABELS
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Classified, Opened, Refused, Source
from churnwatch.pipeline.records import Profile, RunWarning, SourceFile
from churnwatch.pipeline.scan import look
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Home, Settings

MAIN = ""


@dataclass(frozen=True)
class Dataset:
    """A data set: the customers' rows (`MAIN`), or the source of this name."""

    name: str
    schema: Schema

    @property
    def is_main(self) -> bool:
        """Whether its rows are learned from as they are."""
        return self.name == MAIN

    def folder(self, home: Home) -> Path:
        """Return where its parts lie."""
        return home.ingested / self.name if self.name else home.ingested


def role(settings: Settings, path: str) -> str:
    """Return the name of the source that a file belongs to, or that it holds late labels or campaigns; else `MAIN`."""
    if settings.campaigning is not None and fits(path, settings.campaigning.files):
        return CAMPAIGNS
    if settings.late_labels is not None and fits(path, settings.late_labels):
        return LABELS
    return next((name for name, source in settings.sources.items() if fits(path, source.files)), MAIN)


def fits(path: str, pattern: str) -> bool:
    """Tell whether a file's path fits a glob, whose folder is no glob."""
    folder, _, name = path.rpartition("/")
    in_folder, _, names = pattern.rpartition("/")
    return folder == in_folder and fnmatchcase(name, names)


def of_main(settings: Settings, sources: Iterable[Source]) -> list[Source]:
    """Return the files of the customers' rows."""
    return [source for source in sources if role(settings, source.file.path) == MAIN]


def paths(home: Home, ledger: Reader, dataset: str = MAIN, *, definition: str | None = None) -> list[Path]:
    """Return where the parts of a data set lie."""
    return [home.ingested / part.part for part in ledger.parts(dataset, definition=definition)]


def pinned(settings: Settings, ledger: Reader, dataset: str = MAIN) -> Dialect | None:
    """Return the dialect in which the newest file of a data set was read, None before there is one."""
    known = [row["text"] for row in ledger.dialects() if role(settings, row["path"]) == dataset]
    return Dialect(**json.loads(known[-1])) if known else None


def tests(home: Home) -> list[Source]:
    """Return the files of the test folder."""
    if not home.tests.exists():
        return []
    seen = sorted(look(home.tests).items(), key=lambda each: each[0].path)
    return [
        Source(SourceFile(number, s.path, s.size_bytes, s.mtime_ns, s.ctime_ns, "", ""), path)
        for number, (s, path) in enumerate(seen, start=1)
    ]


class Intake:
    """Takes a run's files into their data sets. Everything becomes known to the ledger in one transaction."""

    def __init__(self, home: Home, ledger: Ledger, local: DuckDB, engine: Engine, run: int, at: str) -> None:
        self._home, self._ledger, self._run, self._at = home, ledger, run, at
        self._local, self._engine = local, engine
        self._records: list[Any] = []
        self._profiles: dict[str, Profile] = {}  # by name: a customers' column may be called as a source's is shown
        self._requests: tuple[Opened, ...] = ()
        self._parts: list[Path] = []  # of the main data set
        self._beside: dict[str, tuple[list[Path], Opened]] = {}  # new parts of sources, and the last file of each
        self._next_batch = 0
        self.warnings: list[str] = []

    def take(self, datasets: Sequence[Dataset], sources: Sequence[Source], *, promise_holdout: bool) -> None:
        """Put the new rows of all files into the data sets."""
        there = [source for source in sources if source.unchanged()]
        settings = self._home.settings
        for dataset in datasets:
            mine = [source for source in there if role(settings, source.file.path) == dataset.name]
            if mine or dataset.is_main:
                self._into(dataset, mine, promise_holdout=promise_holdout and dataset.is_main)
            if dataset.is_main and settings.late_labels is not None:
                self._join_labels(dataset, there, promise_holdout=promise_holdout)
            if dataset.is_main:
                self._make_labels(dataset, promise_holdout=promise_holdout)
                self._take_campaigns(dataset, there)
        warnings = [RunWarning(self._run, text) for text in self.warnings]
        self._ledger.add(*self._records, *self._profiles.values(), *warnings)

    def _into(self, dataset: Dataset, sources: Sequence[Source], *, promise_holdout: bool) -> None:
        home, settings = self._home, self._home.settings
        before = pinned(settings, self._ledger, dataset.name)
        found = load.classify(sources, dataset.schema, settings.csv, before)
        found = self._without_labels(found) if dataset.is_main else found
        loaded = load.load(found.labelled, dataset.schema, settings.csv, self._local)
        ingested = ingest.ingest(
            loaded,
            dataset.schema,
            self._engine,
            dataset.folder(home),
            local=self._local,
            history=paths(home, self._ledger, dataset.name),
            next_batch=self._ledger.next_batch() if dataset.is_main else None,
            dedup=settings.dedup == "on",
            promise_holdout=promise_holdout,
        )
        stem = f"run-{self._run:05d}-{dataset.name}" if dataset.name else f"run-{self._run:05d}"
        ingest.write_quarantine(self._local, home.ingested / ingest.QUARANTINE / f"{stem}.parquet")
        new_rows = sum(part.rows for part in ingested.parts)
        profiles = profile.profile(dataset.schema, self._engine, ingested.rows, rows=new_rows) if new_rows else ()
        self.warnings += bookkeeping.file_warnings(ingested.accounts, named=dataset.schema.id is not None)
        for account in ingested.accounts:
            self._records += bookkeeping.file_records(self._run, self._at, account, with_batch=dataset.is_main)
        self._records += bookkeeping.dialect_records(self._run, ingested.accounts, found.labelled, before)
        for refused in (*found.refused, *loaded.refused):
            self._records.append(bookkeeping.refusal_record(self._run, self._at, refused))
        self._records += [bookkeeping.quarantine_record(self._run, each) for each in loaded.quarantines]
        for each in profiles:
            record = bookkeeping.profile_record(self._run, each, dataset.name)
            self._profiles.setdefault(record.column_name, record)
        for part in ingested.parts:
            self._records.append(bookkeeping.part_record(self._run, self._at, part, home.ingested, dataset.name))
        if dataset.is_main:
            self._requests, self._parts = found.requests, [part.path for part in ingested.parts]
            self._next_batch = self._ledger.next_batch() + len(ingested.accounts)
        elif loaded.opened:
            self._beside[dataset.name] = [part.path for part in ingested.parts], loaded.opened[-1]

    def _join_labels(self, main: Dataset, sources: Sequence[Source], *, promise_holdout: bool) -> None:
        """Keep requests and labels, and put the rows that they make together into the main data set."""
        home, settings = self._home, self._home.settings
        labels = [source for source in sources if role(settings, source.file.path) == LABELS]
        if not labels and not self._requests:
            return
        late = LateIntake(home, self._ledger, self._local, self._engine, main.schema, self._run, self._at)
        joined = late.take(
            self._requests,
            labels,
            pinned(settings, self._ledger, LABELS),
            history=[*paths(home, self._ledger), *self._parts],
            next_batch=self._next_batch,
            promise_holdout=promise_holdout,
        )
        self._records += joined.records
        self.warnings += joined.warnings
        if joined.parts:
            scanned = self._engine.scan([*self._parts, *(part.path for part in joined.parts)])
            for each in profile.profile(main.schema, self._engine, scanned):
                self._profiles[each.column_name] = bookkeeping.profile_record(self._run, each)

    def _make_labels(self, main: Dataset, *, promise_holdout: bool) -> None:
        """Make the rows to learn from, where a source tells who left and has news."""
        home, rule = self._home, self._home.settings.churn
        if rule is None or rule.source not in self._beside:
            return
        new_rows, told_by = self._beside[rule.source]
        made = ActivityIntake(home, self._local, self._engine, main.schema, rule, self._run, self._at).take(
            told_by,
            [*paths(home, self._ledger, rule.source), *new_rows],
            new_rows,
            history=paths(home, self._ledger),
            next_batch=self._next_batch,
            promise_holdout=promise_holdout,
        )
        self._records += made.records
        if made.parts:
            for each in profile.profile(
                main.schema, self._engine, self._engine.scan([part.path for part in made.parts])
            ):
                self._profiles[each.column_name] = bookkeeping.profile_record(self._run, each)

    def _take_campaigns(self, main: Dataset, sources: Sequence[Source]) -> None:
        campaigns = [source for source in sources if role(self._home.settings, source.file.path) == CAMPAIGNS]
        if campaigns:
            pin, history = (
                pinned(self._home.settings, self._ledger, CAMPAIGNS),
                paths(self._home, self._ledger, CAMPAIGNS),
            )
            self._records += take_campaigns(
                campaigns, main.schema, self._home, self._local, self._engine, self._run, self._at, pin, history
            )

    def _without_labels(self, found: Classified) -> Classified:
        """Refuse files that should hold outcomes and have none, instead of taking them for requests to score."""
        labels = self._home.settings.labels
        if self._home.settings.churn is not None:
            reason = f"line 1: it has the column `{self._home.settings.target}`, which `churn` makes of a source's rows"
            refused = (*found.refused, *(Refused(each.source, reason) for each in found.labelled))
            return Classified((), found.requests, refused)
        wrong = [each for each in found.requests if labels and fits(each.source.file.path, labels)]
        reason = f"line 1: `labels` says that it holds outcomes, but it has no column `{self._home.settings.target}`"
        refused = (*found.refused, *(Refused(each.source, reason) for each in wrong))
        return Classified(found.labelled, tuple(each for each in found.requests if each not in wrong), refused)

"""A run's requests and files of labels → what is kept of both, and the batches that they make together.

Nothing here is known to the ledger yet: the records go into the one transaction of the run's intake.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churnwatch.pipeline import bookkeeping, ingest, late_labels, load
from churnwatch.pipeline.dialect import Dialect
from churnwatch.pipeline.engine import DuckDB, Engine, literal, name
from churnwatch.pipeline.ingest import FileAccount, WrittenPart
from churnwatch.pipeline.late_labels import DATE, FATE, LABELS, REASONS, REQUESTS, Fate
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.load import Loaded, Opened, Piece, QuarantineCount, Source
from churnwatch.pipeline.read import Opening
from churnwatch.pipeline.records import FileFinding, Request
from churnwatch.pipeline.scan import located
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Home

_MOST_WAIT = 0.5  # share of a file's labels without a request, above which the two most likely do not belong together


@dataclass(frozen=True)
class Joined:
    """What came of requests and labels: records for the ledger, new parts of the main data set, warnings."""

    records: tuple[Any, ...]
    parts: tuple[WrittenPart, ...]
    warnings: tuple[str, ...]


class LateIntake:
    """Takes the requests and the labels of one run."""

    def __init__(
        self, home: Home, ledger: Reader, local: DuckDB, engine: Engine, main: Schema, run: int, at: str
    ) -> None:
        self._home, self._ledger, self._run, self._at = home, ledger, run, at
        self._local, self._engine, self._main = local, engine, main
        self._records: list[Any] = []
        self._warnings: list[str] = []

    def take(
        self,
        requests: Sequence[Opened],
        labels: Sequence[Source],
        pinned: Dialect | None,
        *,
        history: Sequence[Path],
        next_batch: int,
        promise_holdout: bool,
    ) -> Joined:
        """Keep the requests' rows, find the row of each label, and put those with a label into the main data set.

        Args:
            requests: this run's files without the target.
            labels: this run's files of labels.
            pinned: the dialect of the labels before them.
            history: the parts of the main data set, with those of this run.
            next_batch: the number of the first batch.
            promise_holdout: whether rows are promised to the holdout.
        """
        asked = [*self._paths(REQUESTS), *self._keep(requests)]
        opened = self._read(labels, pinned)
        known = self._paths(LABELS)
        elsewhere = self._engine is not self._local
        if elsewhere:
            self._engine.table("late_new", self._local.arrow("SELECT * FROM late_new"))
        late_labels.find_fates(
            self._main, self._engine, requests=asked, known=known, horizon_days=self._home.settings.horizon_days
        )
        if elsewhere:
            self._local.table("late_fates", self._engine.arrow("SELECT * FROM late_fates"))
        self._account(opened)
        self._keep_labels()
        parts = self._learn_from(opened, asked, history, next_batch, promise_holdout=promise_holdout)
        return Joined(tuple(self._records), parts, tuple(self._warnings))

    def _paths(self, dataset: str) -> list[Path]:
        return [self._home.ingested / part.part for part in self._ledger.parts(dataset)]

    def _add_part(self, part: WrittenPart, dataset: str) -> None:
        self._records.append(bookkeeping.part_record(self._run, self._at, part, self._home.ingested, dataset))

    # -- requests ----------------------------------------------------------------------------------------------

    def _keep(self, requests: Sequence[Opened]) -> list[Path]:
        """Write the rows of requests that are not kept yet.

        Equal rows with a date are the same thing asked again; without one they are the customer at two times.
        """
        there = {each.file for each in self._ledger.requests()}
        schema, settings = late_labels.request_schema(self._main), self._home.settings
        fresh = [each for each in requests if each.source.file.file not in there]
        if not fresh:
            return []
        loaded = load.load(fresh, schema, settings.csv, self._local)
        found = ingest.ingest(
            loaded,
            schema,
            self._engine,
            self._home.ingested / REQUESTS,
            local=self._local,
            history=self._paths(REQUESTS),
            next_batch=None,
            dedup=settings.dedup == "on" and self._main.date is not None,
            promise_holdout=False,
        )
        for part in found.parts:
            self._add_part(part, REQUESTS)
        self._records += [Request(a.source.file.file, self._run, a.batch, a.accepted) for a in found.accounts]
        return [part.path for part in found.parts]

    # -- labels ------------------------------------------------------------------------------------------------

    def _read(self, labels: Sequence[Source], pinned: Dialect | None) -> tuple[Opened, ...]:
        csv = self._home.settings.csv
        found = late_labels.open_labels(labels, self._main, csv, pinned)
        loaded = late_labels.type_labels(found, self._main, csv, self._local)
        for refused in (*found.refused, *loaded.refused):
            self._records.append(bookkeeping.refusal_record(self._run, self._at, refused))
        self._records += [bookkeeping.quarantine_record(self._run, each) for each in loaded.quarantines]
        accounts = [FileAccount(each.source, 0) for each in loaded.opened]
        self._records += bookkeeping.dialect_records(self._run, accounts, loaded.opened, pinned)
        return loaded.opened

    def _account(self, opened: Sequence[Opened]) -> None:
        """Say of each file what became of its labels; those that cannot count are quarantined."""
        fates: dict[int, Counter[str]] = defaultdict(Counter)
        waited: dict[int, Counter[str]] = defaultdict(Counter)
        query = f"SELECT _cw_waited, _file, {FATE}, count(*) FROM late_fates GROUP BY _cw_waited, _file, {FATE}"
        for was_waiting, file, fate, rows in self._local.rows(query):
            (waited if was_waiting else fates)[file][fate] = rows
        self._quarantine()
        bad = dict(self._local.rows("SELECT _file, count(*) FROM late_bad GROUP BY _file"))
        for each in opened:
            number = each.source.file.file
            self._records += self._of_file(each, fates[number], bad.get(number, 0))
        for file, counts in sorted(waited.items()):
            self._records += self._of_waited(file, counts)

    def _quarantine(self) -> None:
        """Put labels that cannot count to the rows that broke a check, each with its reason and its text."""
        main, local = self._main, self._local
        reasons = " ".join(f"WHEN {literal(fate)} THEN {literal(reason)}" for fate, reason in REASONS.items())
        cells = ", ".join(
            f"CAST({column} AS VARCHAR)" for column in (name(main.id or ""), DATE, name(main.target or ""))
        )
        local.table(
            "late_refused",
            f"SELECT _file, _line, 'label' AS check_name, {literal(main.target or '')} AS column_name,"
            f" CASE {FATE} {reasons} END AS reason, concat_ws(',', {cells}) AS text FROM late_fates"
            f" WHERE _cw_waited = 0 AND {FATE} IN ({', '.join(map(literal, REASONS))})",
        )
        counted = local.rows(
            "SELECT _file, check_name, column_name, reason, count(*), min(_line) FROM late_refused"
            " GROUP BY _file, check_name, column_name, reason ORDER BY _file, min(_line)"
        )
        self._records += [bookkeeping.quarantine_record(self._run, QuarantineCount(*row)) for row in counted]
        local.table("bad", "SELECT * FROM late_bad UNION ALL SELECT * FROM late_refused")
        target = self._home.ingested / ingest.QUARANTINE / f"run-{self._run:05d}-{LABELS}.parquet"
        ingest.write_quarantine(local, target)

    def _of_file(self, opened: Opened, fates: Counter[str], bad: int) -> Iterator[Any]:
        account = FileAccount(
            opened.source,
            batch=0,
            findings=opened.findings,
            accepted=fates[Fate.LABELS] + fates[Fate.WAITS],
            duplicate=fates[Fate.AGAIN],
            quarantined=bad + sum(fates[fate] for fate in REASONS),
        )
        path, waits = opened.source.file.path, fates[Fate.WAITS]
        if waits:
            text = f"{waits:,} label(s) wait for a request of their customer at or before their date"
            yield FileFinding(self._run, opened.source.file.file, "labels", text)
        if waits > _MOST_WAIT * account.read:
            self._warnings.append(
                f"{path}: {waits:,} of {account.read:,} labels wait for a request of their customer; is it"
                f" still to come, or is `{self._main.id}` another number in the two?"
            )
        yield from bookkeeping.file_records(self._run, self._at, account, with_batch=False)

    def _of_waited(self, file: int, fates: Counter[str]) -> Iterator[FileFinding]:
        said = {
            Fate.LABELS: "were joined to a request that came later",
            Fate.AGAIN: "say again what was known of their row by then",
            Fate.CONTRADICTS: "contradict what was known of their row by then, which counts",
        }
        for fate, words in said.items():
            if fates[fate]:
                text = f"{fates[fate]:,} label(s) that waited {words}"
                yield FileFinding(self._run, file, "labels", text)

    def _keep_labels(self) -> None:
        query = late_labels.kept(self._run)
        if self._engine.rows(f"SELECT count(*) FROM ({query}) k")[0][0]:
            self._add_part(ingest.write_query(self._engine, query, self._home.ingested / LABELS, "part"), LABELS)

    # -- rows to learn from ------------------------------------------------------------------------------------

    def _learn_from(
        self,
        opened: Sequence[Opened],
        asked: Sequence[Path],
        history: Sequence[Path],
        next_batch: int,
        *,
        promise_holdout: bool,
    ) -> tuple[WrittenPart, ...]:
        """Put the rows whose label came into the main data set, a batch for each file of labels."""
        if not asked:
            return ()
        late_labels.join(self._main, self._engine, asked)
        local = self._local
        local.table("typed", self._engine.arrow("SELECT * FROM late_joined"))
        local.table("bad", "SELECT * FROM late_bad WHERE false")
        rows = dict(local.rows("SELECT _file, count(*) FROM typed GROUP BY _file"))
        if not rows:
            return ()
        here = {each.source.file.file: each for each in opened}
        files = tuple(here.get(file) or self._opened_before(file) for file in sorted(rows))
        found = ingest.ingest(
            Loaded(files, (), (), (), (Piece("typed", rows),)),
            self._main,
            self._engine,
            self._home.ingested,
            local=local,
            history=history,
            next_batch=next_batch,
            dedup=self._home.settings.dedup == "on",
            promise_holdout=promise_holdout,
        )
        for account in found.accounts:
            self._records.append(bookkeeping.batch_record(self._run, account))
            if account.duplicate:
                text = f"{account.duplicate:,} label(s) make a row that was there before, and is not learned from twice"
                self._records.append(FileFinding(self._run, account.source.file.file, "labels", text))
        for part in found.parts:
            self._add_part(part, "")
        return found.parts

    def _opened_before(self, file: int) -> Opened:
        """Return a file whose labels waited; it is not read again, so nothing of how it was read matters."""
        source = self._ledger.source_file(file)
        path = located(self._home.source, source.path)
        return Opened(Source(source, path), Opening(path, "utf-8", Dialect(","), ()), ())

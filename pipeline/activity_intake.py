"""A run's rows of the source that tells who left → rows to learn from, a batch for each month whose window is over.

Nothing here is known to the ledger yet: the records go into the one transaction of the run's intake. What was once
said of a customer and month stays, since a model may have learned from it; rows that come late and say otherwise are
counted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from churnwatch.pipeline import activity, bookkeeping, ingest
from churnwatch.pipeline.activity import Activity
from churnwatch.pipeline.clock import utc_now
from churnwatch.pipeline.engine import DuckDB, Engine, name, timestamp
from churnwatch.pipeline.ingest import FileAccount, WrittenPart
from churnwatch.pipeline.late_intake import Joined
from churnwatch.pipeline.load import Loaded, Opened, Piece
from churnwatch.pipeline.records import FileFinding
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Home
from churnwatch.pipeline.settings_campaigns import ChurnRule


class ActivityIntake:
    """Makes the labelled rows of one run."""

    def __init__(
        self, home: Home, local: DuckDB, engine: Engine, main: Schema, rule: ChurnRule, run: int, at: str
    ) -> None:
        self._home, self._local, self._engine, self._main = home, local, engine, main
        self._rule, self._source = rule, home.settings.sources[rule.source]
        self._run, self._at = run, at
        self._records: list[Any] = []
        self._parts: list[WrittenPart] = []

    def take(
        self,
        told_by: Opened,
        rows: Sequence[Path],
        new_rows: Sequence[Path],
        *,
        history: Sequence[Path],
        next_batch: int,
        promise_holdout: bool,
    ) -> Joined:
        """Make the rows of all months whose windows are over and that are not there yet.

        Args:
            told_by: the run's last file of the source, by whose name the batches go.
            rows: the parts of the source, with those of this run.
            new_rows: those of this run.
            history: the parts of the main data set.
            next_batch: the number of the first batch.
            promise_holdout: whether rows are promised to the holdout.
        """
        scanned = self._engine.scan(rows)
        made = Activity(self._rule, self._source, scanned)
        self._make_known(history)
        known = {row[0] for row in self._engine.rows("SELECT DISTINCT _cw_snapshot FROM activity_known")}
        for snapshot in self._over(scanned):
            query = made.labels(snapshot)
            if snapshot in known:  # only of whom something new is known
                query = self._of_these(query, new_rows)
            self._engine.table("activity_labels", query)
            self._count_contradictions(snapshot, told_by)
            account = self._ingest(snapshot, told_by, history, next_batch, promise_holdout=promise_holdout)
            if account is not None:
                self._records.append(bookkeeping.batch_record(self._run, account))
                next_batch += 1
        return Joined(tuple(self._records), tuple(self._parts), ())

    def _over(self, scanned: str) -> list[dt.datetime]:
        """Return the months that can be told, whatever a mistyped date says of the future."""
        now = utc_now().replace(tzinfo=None)
        time = name(self._source.time or "")
        first, newest = self._engine.rows(f"SELECT min({time}), max({time}) FROM {scanned} s")[0]
        return [] if first is None else activity.over(self._rule, first, min(newest, now))

    def _make_known(self, history: Sequence[Path]) -> None:
        """Make the table `activity_known` of what was said before."""
        key, date, target = (name(column or "") for column in (self._main.id, self._main.date, self._main.target))
        columns = f"{key} AS _cw_id, {date} AS _cw_snapshot, {target} AS _cw_said"
        nothing = "SELECT CAST(NULL AS STRING) AS _cw_id, CAST(NULL AS TIMESTAMP) AS _cw_snapshot, 0 AS _cw_said"
        found = f"SELECT {columns} FROM {self._engine.scan(history)} h" if history else f"{nothing} WHERE 1 = 0"
        self._engine.table("activity_known", found, lazy=True)

    def _of_these(self, query: str, new_rows: Sequence[Path]) -> str:
        if not new_rows:
            return f"SELECT * FROM ({query}) q WHERE 1 = 0"
        same = f"n.{name(self._source.key)} = q._cw_id"
        return f"SELECT q.* FROM ({query}) q SEMI JOIN {self._engine.scan(new_rows)} n ON {same}"

    def _count_contradictions(self, snapshot: dt.datetime, told_by: Opened) -> None:
        where = f"k._cw_snapshot = {timestamp(snapshot)} AND k._cw_said <> l._y"
        rows = self._engine.rows(
            f"SELECT count(*) FROM activity_labels l JOIN activity_known k ON k._cw_id = l._cw_id AND {where}"
        )[0][0]
        if rows:
            text = f"{rows:,} label(s) of {snapshot:%Y-%m} would be otherwise by rows that came late; they stay"
            self._records.append(FileFinding(self._run, told_by.source.file.file, "labels", text))

    def _ingest(
        self,
        snapshot: dt.datetime,
        told_by: Opened,
        history: Sequence[Path],
        batch: int,
        *,
        promise_holdout: bool,
    ) -> FileAccount | None:
        """Put the labels of one month that are not there yet into the main data set; None where all are."""
        key, date, target = (name(column or "") for column in (self._main.id, self._main.date, self._main.target))
        file, local = told_by.source.file.file, self._local
        fresh = (
            f"SELECT CAST({file} AS BIGINT) AS _file, row_number() OVER (ORDER BY l._cw_id) AS _line,"
            f" l._cw_id AS {key}, {timestamp(snapshot)} AS {date}, CAST(l._y AS BIGINT) AS {target}"
            f" FROM activity_labels l ANTI JOIN activity_known k"
            f" ON k._cw_id = l._cw_id AND k._cw_snapshot = {timestamp(snapshot)}"
        )
        local.table("typed", self._engine.arrow(f"SELECT * FROM ({fresh}) f ORDER BY _line"))
        rows = dict(local.rows("SELECT _file, count(*) FROM typed GROUP BY _file"))
        if not rows:
            return None
        local.table("bad", "SELECT * FROM (SELECT CAST(NULL AS BIGINT) AS _file) b WHERE 1 = 0")
        found = ingest.ingest(
            Loaded((told_by,), (), (), (), (Piece("typed", rows),)),
            self._main,
            self._engine,
            self._home.ingested,
            local=local,
            history=[*history, *(part.path for part in self._parts)],
            next_batch=batch,
            dedup=True,
            promise_holdout=promise_holdout,
        )
        for part in found.parts:
            self._records.append(bookkeeping.part_record(self._run, self._at, part, self._home.ingested))
        self._parts += found.parts
        return found.accounts[0]

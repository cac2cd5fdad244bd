"""A run's files of campaigns → their data set; nothing is known to the ledger yet, the records go into its intake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from churnwatch.pipeline import bookkeeping, campaigns, ingest
from churnwatch.pipeline.campaigns import CAMPAIGNS
from churnwatch.pipeline.dialect import Dialect
from churnwatch.pipeline.engine import DuckDB, Engine
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Home


def take_campaigns(
    sources: Sequence[Source],
    main: Schema,
    home: Home,
    local: DuckDB,
    engine: Engine,
    run: int,
    at: str,
    pinned: Dialect | None,
    history: Sequence[Path],
) -> list[Any]:
    """Put the new rows of files of campaigns into their data set; return what the ledger keeps of them.

    Args:
        sources: the files.
        main: the columns of the customers' rows.
        home: whose settings say how files are written.
        local: where files are read and typed.
        engine: where the data set is.
        run: the run.
        at: the time now.
        pinned: the dialect of the files before them.
        history: the parts of the data set.
    """
    wanted = campaigns.schema(main)
    loaded = campaigns.read(sources, wanted, home.settings.csv, pinned, local)
    found = ingest.ingest(
        loaded,
        wanted,
        engine,
        home.ingested / CAMPAIGNS,
        local=local,
        history=history,
        next_batch=None,
        dedup=True,  # the same done to the same customer on the same day is one thing, whatever customers' rows are
        promise_holdout=False,
    )
    ingest.write_quarantine(local, home.ingested / ingest.QUARANTINE / f"run-{run:05d}-{CAMPAIGNS}.parquet")
    records: list[Any] = []
    for account in found.accounts:
        records += bookkeeping.file_records(run, at, account, with_batch=False)
    records += bookkeeping.dialect_records(run, found.accounts, loaded.opened, pinned)
    records += [bookkeeping.refusal_record(run, at, each) for each in loaded.refused]
    records += [bookkeeping.quarantine_record(run, each) for each in loaded.quarantines]
    records += [bookkeeping.part_record(run, at, part, home.ingested, CAMPAIGNS) for part in found.parts]
    return records

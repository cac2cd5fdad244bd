"""What the commands do, each one function; `cli` only parses and prints."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from churnwatch.daemon import work
from churnwatch.daemon.attention import DAEMON_LOCK
from churnwatch.daemon.settle import Settler
from churnwatch.daemon.writing import ledger_of
from churnwatch.pipeline import datasets, export, feature_step, files, predict_file, registry, scan, schemas, settings
from churnwatch.pipeline.csv_file import write_csv
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.errors import NotFoundError
from churnwatch.pipeline.metrics import amount
from churnwatch.pipeline.run import Outcome
from churnwatch.pipeline.settings import Home

_LOOK_EVERY_S = 0.1


def run_once(folder: Path, progress: Callable[[str], None]) -> list[Outcome]:
    """Work off what lies in the source folder, once it is stable, and end.

    Raises:
        BusyError: a daemon works on this home.
    """
    home = settings.load(folder)
    lock = home.state / DAEMON_LOCK
    busy = f"{home.path}: a daemon is running (process {files.holder(lock)}); it works off what is there by itself."
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # `retry` wakes whoever holds the lock; here it is awake already
    with files.lock(lock, busy=busy):
        home.source.mkdir(parents=True, exist_ok=True)
        settler = Settler(home.settings.stability_s)
        while True:
            now = time.monotonic()
            seen = scan.look(home.source, home.looked_into)
            settled = settler.look(seen, now)
            if not seen or settled.ready:
                return work.once(home, reason="once", stable=settled.stable, progress=progress)
            time.sleep(_LOOK_EVERY_S)


def predict_csv(folder: Path, source: Path, output: Path) -> tuple[str, list[str]]:
    """Predict a file's customers with the champion.

    Returns what was predicted in words, and what there is to say about the file.

    Raises:
        NotFoundError: there is no champion yet.
    """
    home = settings.load(folder)
    with ledger_of(home) as ledger, duckdb_engine(home.state / "spill") as engine:
        champion = ledger.champion()
        if champion is None:
            raise NotFoundError("there is no model yet; drop a CSV with the target first.")
        schema = schemas.current(home, ledger)
        opened = predict_file.open_file(source, schema, home.settings.csv, datasets.pinned(home.settings, ledger))
        model = registry.load(home.models, champion.model, unpickle=home.settings.model_format.unpickles)
        featured = feature_step.featured(home, ledger, engine, schema)
        found, loaded = predict_file.predict_opened(
            opened, model, schema, home.settings.csv, engine, featured, version=champion.model.name
        )
    write_csv(found.table, output)
    left_out = [
        f"{each.rows} row(s) left out, first on line {each.first_line}: {each.column_name or 'row'} {each.reason}"
        for each in loaded.quarantines
    ]
    said = f"{found.positives:,} of them expected to leave"
    if found.amount is not None:
        said = f"{amount(found.amount)} expected of them in all"
    return f"{len(found.table):,} customers, {said}", [*opened.findings, *left_out]


def export_csv(folder: Path, output: Path) -> int:
    """Write the de-duplicated data set as one CSV; return how many rows it has.

    Raises:
        NotFoundError: nothing was ingested yet.
    """
    home = settings.load(folder)
    with ledger_of(home) as ledger, duckdb_engine(home.state / "spill") as engine:
        parts = [home.ingested / part.part for part in ledger.parts()]
        if not parts:
            raise NotFoundError("nothing was ingested yet; drop a CSV into the source folder first.")
        return export.export(schemas.current(home, ledger), engine, parts, output, key=home.settings.latest_key)


def open_home(folder: Path) -> Home:
    """Return a home whose folders are there."""
    home = settings.load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    return home

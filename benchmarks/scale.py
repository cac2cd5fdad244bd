"""What millions of rows cost on this machine, held against the goals: one table a benchmark.

    python benchmarks/scale.py [NAME …] [--rows N …] [--scale 0.01] [--data FOLDER] [--plot FILE]

Data is generated once, by processes of their own, and kept in a folder. Each measured work has a process of its own
as well, so that its peak memory is that of the work with the libraries it needs, and not that of making the data.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import harness
import joblib
import matplotlib.figure
import numpy as np
import pandas as pd
import pyarrow as pa
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from churnwatch.pipeline import (
    cells,
    datasets,
    files,
    ingest,
    load,
    predict,
    profile,
    run,
    sample_kkbox,
    schema,
    schemas,
    settings,
    train,
)
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.compaction import compact
from churnwatch.pipeline.datasets import MAIN, Dataset, Intake
from churnwatch.pipeline.engine import Engine, duckdb_engine, literal, name
from churnwatch.pipeline.feature_step import FeatureStep
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.records import SourceFile, Status
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.pipeline.scan import observe

DROP = 50_000  # rows of one drop
KNOWN = 5_000  # of them, ingested before
PART = 1_000_000  # rows of one part of the history
CUSTOMERS = 1_000_000
REPEATS = 5
THREADS = 2
MEMORY_GB = float(os.environ["MEMORY_GB"]) if "MEMORY_GB" in os.environ else None  # as the setting; children inherit
SETTINGS = """\
target: left
positive: 1
id: id
columns: {id: text, a: integer, b: number, c: number, left: integer}
packages: {check: never}
training: {mode: refit, estimators: [logistic], threads: 2}
"""
WIDE = [f"x{number}" for number in range(27)]
NARROW = WIDE[:5]


# -- what is printed ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One line of a table."""

    what: str
    goal: str
    measured: str
    ratio: str = ""
    met: bool | None = None
    value: float = 0.0

    @property
    def cells(self) -> list[str]:
        """Return what stands in the table."""
        verdict = {None: "", True: "met", False: "missed"}[self.met]
        return [self.what, self.goal, self.measured, self.ratio, verdict]


def _shown(value: float, unit: str) -> str:
    return f"{value:,.0f} MB" if unit == "MB" else f"{value:.3f} s" if value < 10 else f"{value:.1f} s"


def _most(what: str, value: float, goal: float, unit: str = "s") -> Figure:
    """Return a figure that is to be at most the goal."""
    return Figure(what, f"≤ {goal:g} {unit}", _shown(value, unit), met=value <= goal, value=value)


def _plain(what: str, value: float, unit: str = "s") -> Figure:
    """Return a figure without a goal."""
    return Figure(what, "", _shown(value, unit), value=value)


def _times(what: str, measured: float, base: float, *, most: float | None = None, least: float | None = None) -> Figure:
    """Return a figure whose ratio to another has a goal."""
    ratio = measured / base
    met = ratio <= most if most is not None else ratio >= (least or 0.0)
    goal = f"≤ {most:g}×" if most is not None else f"≥ {least:g}×"
    return Figure(what, goal, _shown(measured, "s"), f"{ratio:.2f}×", met)


def _memory(what: str, ours: float, theirs: float, most: float) -> Figure:
    """Return how our peak memory stands to a peer's."""
    return Figure(what, f"ours ≤ {most:g}", _shown(theirs, "MB"), f"{ours / theirs:.2f}", ours / theirs <= most)


# -- processes ---------------------------------------------------------------------------------------------------


def _in_child(work: Callable[..., Any], **given: Any) -> dict[str, Any]:
    """Run a function of this module in a process of its own; return what it returned, and its peak memory."""
    command = [sys.executable, __file__, "--child", work.__name__, json.dumps(given, default=str)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # as the daemon sets it; training takes more by itself
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{work.__name__} ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def _child(work: str, given: str) -> None:
    found = globals()[work](**json.loads(given))
    print(json.dumps({**(found or {}), "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    """Return this process' peak memory; unlike `ru_maxrss`, without what its parent had when it was forked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _kept(target: Path, work: Callable[..., Any], **given: Any) -> Path:
    """Return a folder of generated data, made in a process of its own where it is not there yet."""
    if not target.exists():
        beside = target.with_name(f"{target.name}.tmp")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        _in_child(work, folder=beside, **given)
        beside.rename(target)
    return target


@contextmanager
def _scratch(data: Path) -> Iterator[Path]:
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data) as folder:
        yield Path(folder)


def measure_nothing() -> None:
    """Import what all of them import, and do nothing."""


# -- rows of customers -------------------------------------------------------------------------------------------


def _rows(start: int, rows: int) -> str:
    """Return the query of made-up customers' rows; the same numbers are always the same rows."""
    share = "CAST(hash(i, {0}) % 1000000 AS DOUBLE) / 1000000"
    b, c, luck = (share.format(seed) for seed in (2, 3, 4))
    leaves = f"CAST({luck} < 1 / (1 + exp(2 - 4 * {b} + 3 * {c})) AS BIGINT)"
    return (
        f"SELECT 'c' || (i % {CUSTOMERS}) AS id, CAST(hash(i, 1) % 1000 AS BIGINT) AS a, {b} AS b, {c} AS c,"
        f' {leaves} AS "left" FROM range({start}, {start + rows}) AS t(i)'
    )


def _write_csv(path: Path, query: str) -> Path:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT csv, HEADER)")
    return path


def _shape() -> tuple[schema.Schema, settings.Settings]:
    given = settings.parse(SETTINGS)
    return schema.from_settings(given, given.declared), given


def make_history(folder: str, rows: int) -> None:
    """Write a history as parts that look as if ingested."""
    shape, _ = _shape()
    with duckdb_engine(Path(folder) / "spill") as engine:
        for batch, start in enumerate(range(0, rows, PART), start=1):
            size = min(PART, rows - start)
            ingest.write_query(engine, _with_keys(_rows(start, size), shape, batch), Path(folder), "part")


def _with_keys(query: str, shape: schema.Schema, batch: int) -> str:
    columns = ", ".join(name(column) for column in shape.names)
    first, second = cells.md5_halves("_md5")
    return (
        f"SELECT {columns}, {first} AS _h, {second} AS _h2, CAST({batch} AS BIGINT) AS _batch, _line,"
        f" {cells.holdout(shape)} AS _holdout FROM (SELECT *, row_number() OVER () + 1 AS _line,"
        f" md5({cells.key_text(shape)}) AS _md5 FROM ({query}) r)"
    )


def make_csvs(folder: str, rows: int, each: int, known: int = 0) -> None:
    """Write rows as CSV files of equal size; of each file but the first, some rows stood in the one before."""
    for number, start in enumerate(range(0, rows, each)):
        before = min(known, start)
        size = min(each, rows - start)
        _write_csv(Path(folder) / f"rows-{number:04d}.csv", _rows(start - before, size))


def make_drops(folder: str, after: int) -> None:
    """Write a first drop, and one that follows a history of so many rows and repeats some of them."""
    _write_csv(Path(folder) / "first.csv", _rows(10**10, DROP))
    _write_csv(Path(folder) / "later.csv", _rows(max(0, after - KNOWN), DROP))


def _history(data: Path, rows: int) -> tuple[list[Path], Path]:
    """Return the parts of a history, and the folder of drops for it."""
    history = _kept(data / f"history-{rows}", make_history, rows=rows)
    return sorted(history.glob("part-*.parquet")), _kept(data / f"drops-after-{rows}", make_drops, after=rows)


# -- drop, history -----------------------------------------------------------------------------------------------


def _ingested(path: Path, engine: Engine, history: Sequence[Path], folder: Path) -> tuple[dict[str, float], int]:
    """Ingest one file; return the seconds of each step, profile included, and the number of new rows."""
    shape, given = _shape()
    stat = path.stat()
    source = Source(SourceFile(1, path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, "", ""), path)
    watch = _Watch()
    found = load.classify([source], shape, given.csv)
    loaded = load.load(found.labelled, shape, given.csv, engine)
    watch.lap("load")
    ingested = ingest.ingest(loaded, shape, engine, folder, history=history, next_batch=1, dedup=True,
                             promise_holdout=True)  # fmt: skip
    watch.lap("ingest")
    [account] = ingested.accounts
    profile.profile(shape, engine, ingested.rows, rows=account.accepted)
    watch.lap("profile")
    return watch.laps, account.accepted


@dataclass
class _Watch:
    """Seconds by step."""

    laps: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, step: str) -> float:
        """End a step, and return how long it took."""
        now = time.perf_counter()
        self.laps[step], self._last = now - self._last, now
        return self.laps[step]


def measure_drop(path: str, history: list[str], folder: str, expected: int) -> dict[str, Any]:
    """Ingest a drop a few times; return the median."""
    took = []
    with duckdb_engine(Path(folder) / "spill", threads=THREADS, memory_gb=MEMORY_GB) as engine:
        for _ in range(REPEATS):
            laps, accepted = _ingested(Path(path), engine, [Path(part) for part in history], Path(folder))
            assert accepted == expected, accepted
            took.append(sum(laps.values()))
    return {"seconds": statistics.median(took), "worst": max(took)}


def measure_pandas(paths: list[str], drop: str) -> dict[str, float]:
    """Read everything again and de-duplicate it."""
    begun = time.perf_counter()
    read = pd.read_parquet if paths[0].endswith(".parquet") else pd.read_csv
    columns = {"columns" if read is pd.read_parquet else "usecols": ["id", "a", "b", "c", "left"]}
    pd.concat([*(read(path, **columns) for path in paths), pd.read_csv(drop)]).drop_duplicates()
    return {"seconds": time.perf_counter() - begun}


def _measured_drop(parts: Sequence[Path], drops: Path, scratch: Path, *, first: bool = False) -> dict[str, Any]:
    drop = drops / ("first.csv" if first else "later.csv")
    known = 0 if first else KNOWN
    return _in_child(measure_drop, path=drop, history=[] if first else [*map(str, parts)], folder=scratch,
                     expected=DROP - known)  # fmt: skip


def drop(data: Path, rows: int) -> Iterator[Figure]:
    """One drop, ingest only, beside the first one and beside pandas doing everything again."""
    parts, drops = _history(data, rows)
    csvs = sorted(_kept(data / f"csv-{rows}", make_csvs, rows=rows, each=PART).glob("*.csv"))
    with _scratch(data) as scratch:
        first = _measured_drop(parts, drops, scratch, first=True)
        later = _measured_drop(parts, drops, scratch)
    label = f"{DROP:,}-row drop at {rows:,} rows"
    yield _most(f"{label}: ingest, median of {REPEATS} (worst {later['worst']:.2f} s)", later["seconds"], 0.2)
    yield _times(f"{label}: against the first drop ({first['seconds']:.3f} s)", later["seconds"], first["seconds"],
                 most=2)  # fmt: skip
    yield _plain(f"{label}: peak memory", later["peak_mb"], "MB")
    for kind, paths in (("Parquet", parts), ("CSV", csvs)):
        peer = _in_child(measure_pandas, paths=[*map(str, paths)], drop=drops / "later.csv")
        yield _times(f"pandas reads and de-duplicates all again, {kind}", peer["seconds"], later["seconds"], least=5)
        yield _memory(f"pandas' peak memory, {kind}", later["peak_mb"], peer["peak_mb"], 0.25)


def history(data: Path, rows: int) -> Iterator[Figure]:
    """One drop at this much history."""
    parts, drops = _history(data, rows)
    with _scratch(data) as scratch:
        found = _measured_drop(parts, drops, scratch)
    yield _plain(f"{DROP:,}-row drop at {rows:,} rows, {found['peak_mb']:,.0f} MB", found["seconds"])


def _plot(points: Sequence[tuple[int, float]], path: Path) -> None:
    """Draw seconds over millions of rows."""
    figure = matplotlib.figure.Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([rows / 1e6 for rows, _ in points], [seconds for _, seconds in points], marker="o")
    axes.set(xlabel="history, million rows", ylabel="seconds", ylim=(0, None), xlim=(0, None),
             title=f"Ingest of a {DROP:,}-row drop")  # fmt: skip
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


# -- drops -------------------------------------------------------------------------------------------------------


def _home(folder: Path, text: str) -> settings.Home:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.yaml").write_text(text)
    home = settings.load(folder)
    for each in home.folders():
        each.mkdir(exist_ok=True)
    return home


def _take_in(home: settings.Home, ledger: Ledger, engine: Engine, paths: Sequence[Path]) -> int:
    """Take files into the home's data sets as a run does, without training; return the run."""
    at, kept = iso(utc_now()), (home.settings.sha256, home.settings.canonical())
    sources = [Source(_seen(home, ledger, path, at), path) for path in paths]
    number = ledger.begin_run(run_id=paths[0].name, reason="drop", at=at, settings=kept, code_version="0",
                              inputs=[each.file.file for each in sources])  # fmt: skip
    attempt = ledger.begin_attempt(number, at=at, pid=os.getpid(), settings=kept)
    beside = [Dataset(each, schemas.resolve_source(home, ledger, each)) for each in home.settings.sources]
    main = Dataset(MAIN, schemas.resolve(home, ledger, engine, datasets.of_main(home.settings, sources)))
    Intake(home, ledger, engine, engine, number, at).take([*beside, main], sources, promise_holdout=True)
    ledger.end_attempt(number, attempt, at=iso(utc_now()), status=Status.DONE, wall_s=0.0)
    return number


def _seen(home: settings.Home, ledger: Ledger, path: Path, at: str) -> SourceFile:
    signature = observe(home.source, path.name)
    assert signature is not None
    return ledger.see_file(signature, sha256=files.sha256_of(path), at=at)


def _into(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Put files into a folder without copying their bytes."""
    for path in paths:
        os.link(path, folder / path.name)
    return [folder / path.name for path in paths]


def measure_drops(csvs: list[str], folder: str, *, compacted: bool) -> dict[str, Any]:
    """Take drops in one after another, through the ledger; return the seconds."""
    home = _home(Path(folder), SETTINGS)
    paths = _into(home.source, [Path(path) for path in csvs])
    took = []
    with (
        Ledger.open(home.ledger) as ledger,
        duckdb_engine(home.state / "spill", threads=THREADS, memory_gb=MEMORY_GB) as engine,
    ):
        for path in paths:
            watch = _Watch()
            number = _take_in(home, ledger, engine, [path])
            if compacted:
                compact(home, ledger, engine, (), number)
            took.append(watch.lap("drop"))
        parts = len(ledger.parts())
    return {"seconds": sum(took), "last": statistics.median(took[-10:]), "parts": parts}


def drops(data: Path, rows: int) -> Iterator[Figure]:
    """Drops one after another, their parts accumulating."""
    made = _kept(data / f"drops-{rows}", make_csvs, rows=rows, each=DROP, known=KNOWN)
    csvs = [*map(str, sorted(made.glob("*.csv")))]
    for compacted in (False, True):
        with _scratch(data) as scratch:
            found = _in_child(measure_drops, csvs=csvs, folder=scratch, compacted=compacted)
        label = f"{len(csvs)} drops of {DROP:,} rows, {'with' if compacted else 'without'} compaction"
        last = f"{found['parts']} parts, one of the last drops {found['last']:.2f} s"
        yield _most(f"{label} ({last})", found["seconds"], 40)
        yield _most(f"{label}: peak memory", found["peak_mb"], 300, "MB")


# -- keys --------------------------------------------------------------------------------------------------------


def _keys(numbers: str) -> str:
    half = "CAST(CAST(hash(i, {0}) AS HUGEINT) - 9223372036854775808 AS BIGINT)"
    return f"SELECT {half.format(1)} AS _h, {half.format(2)} AS _h2 FROM {numbers} AS t(i)"


def make_keys(folder: str, rows: int) -> None:
    """Write the keys of a history, as its parts have them."""
    with duckdb_engine(Path(folder) / "spill") as engine:
        for start in range(0, rows, 10 * PART):
            numbers = f"range({start}, {min(start + 10 * PART, rows)})"
            ingest.write_query(engine, _keys(numbers), Path(folder), "part")


def measure_keys(parts: list[str], rows: int, folder: str) -> dict[str, Any]:
    """De-duplicate a drop of which half the rows are known."""
    shape, _ = _shape()
    half = DROP // 2
    known = f"SELECT CAST(floor(i * ({rows} / {half}.0)) AS BIGINT) FROM range({half}) AS r(i)"
    numbers = f"({known} UNION ALL SELECT {rows} + i FROM range({half}) AS r(i))"
    took = []
    with duckdb_engine(Path(folder) / "spill", threads=THREADS, memory_gb=MEMORY_GB) as engine:
        columns = "'c' AS id, 1 AS a, 0.5 AS b, 0.5 AS c, 1 AS \"left\", CAST(1 AS BIGINT) AS _batch, false AS _holdout"
        engine.table("keyed", f"SELECT {columns}, k.*, row_number() OVER () AS _line FROM ({_keys(numbers)}) k")
        for _ in range(REPEATS):
            watch = _Watch()
            ingest._find_fresh(shape, engine, [Path(part) for part in parts], dedup=True)  # noqa: SLF001 - this step alone
            took.append(watch.lap("keys"))
        [(fresh,)] = engine.rows("SELECT count(*) FROM fresh")
    assert fresh == half, fresh
    return {"seconds": statistics.median(took)}


def keys(data: Path, rows: int) -> Iterator[Figure]:
    """De-duplication alone."""
    parts = sorted(_kept(data / f"keys-{rows}", make_keys, rows=rows).glob("part-*.parquet"))
    with _scratch(data) as scratch:
        found = _in_child(measure_keys, parts=[*map(str, parts)], rows=rows, folder=scratch)
    label = f"{DROP:,} keys against {rows:,}"
    yield _most(f"{label}, median of {REPEATS}", found["seconds"], 0.5 if rows <= 50_000_000 else 1.5)
    yield _plain(f"{label}: peak memory", found["peak_mb"], "MB")


# -- csv ---------------------------------------------------------------------------------------------------------


def make_csv(folder: str, rows: int) -> None:
    """Write one file of about 80 bytes a row."""
    wide = f"SELECT '{'c' * 35}' || id AS id, a, b, c, \"left\", 'not asked for' AS more FROM ({_rows(0, rows)}) r"
    _write_csv(Path(folder) / "all.csv", wide)


def measure_csv(path: str, folder: str, expected: int) -> dict[str, Any]:
    """Ingest one file; return the seconds of each step."""
    with duckdb_engine(Path(folder) / "spill", threads=THREADS, memory_gb=MEMORY_GB) as engine:
        laps, accepted = _ingested(Path(path), engine, [], Path(folder))
    assert accepted == expected, accepted
    return {"laps": laps}


def csv(data: Path, rows: int) -> Iterator[Figure]:
    """One large CSV file into a part with keys."""
    path = _kept(data / f"csv-one-{rows}", make_csv, rows=rows) / "all.csv"
    with _scratch(data) as scratch:
        found = _in_child(measure_csv, path=path, folder=scratch, expected=rows)
    laps = found["laps"]
    label = f"CSV of {path.stat().st_size / 1e9:.2f} GB, {rows:,} rows → Parquet with keys"
    yield _most(f"{label} ({_steps(laps)})", sum(laps.values()), 40)
    yield _most(f"{label}: peak memory", found["peak_mb"], 600, "MB")


def _steps(laps: dict[str, float]) -> str:
    return ", ".join(f"{step} {seconds:.1f} s" for step, seconds in laps.items())


# -- kkbox -------------------------------------------------------------------------------------------------------


def make_kkbox(folder: str, rows: int) -> None:
    """Write four months of a music service, and two drops of logs: the day after the newest, and one before it."""
    csvs = Path(folder)
    sample_kkbox.write(csvs, months=4, rows=rows, seed=0)
    newest = max(csvs.glob("user_logs-*.csv"))
    for kind, day in (("late", "2026-04-29"), ("next", "2026-05-01")):
        _write_csv(
            csvs / f"user_logs-{kind}.csv",
            f"SELECT * REPLACE (DATE '{day}' AS date, total_secs + 0.5 AS total_secs)"
            f" FROM read_csv({literal(str(newest))}) LIMIT {rows * 3 // 5}",
        )


def make_kkbox_home(folder: str, csvs: str) -> None:
    """Take the months in, one after another, and leave the features to be made."""
    home = _home(Path(folder), settings_for("kkbox"))
    with (
        Ledger.open(home.ledger) as ledger,
        duckdb_engine(home.state / "spill", threads=THREADS, memory_gb=MEMORY_GB) as engine,
    ):
        for month in range(1, 5):
            paths = sorted(Path(csvs).glob(f"*-2026-{month:02d}.csv"))
            _take_in(home, ledger, engine, _into(home.source, paths))
    shutil.rmtree(home.source)
    home.source.mkdir()


def _copied(home: Path, target: Path) -> Path:
    """Copy a home; its parts never change, so they are linked."""
    shutil.copytree(home, target, symlinks=True, copy_function=_link_parts)
    return target


def _link_parts(source: str, target: str) -> None:
    if source.endswith(".parquet"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def measure_features(home: str, drop: str | None = None) -> dict[str, Any]:
    """Bring the features up to date, after a drop if one is given; return the seconds of both."""
    there = settings.load(Path(home))
    watch = _Watch()
    with (
        Ledger.open(there.ledger) as ledger,
        duckdb_engine(there.state / "spill", threads=THREADS, memory_gb=MEMORY_GB) as engine,
    ):
        if drop:
            number = _take_in(there, ledger, engine, _into(there.source, [Path(drop)]))
        else:
            number = max(row["run"] for row in ledger.runs())
        watch.lap("ingest")
        main = schemas.current(there, ledger)
        FeatureStep(there, ledger, engine, main).update(ledger, number)
        watch.lap("features")
        rows = engine.rows(f"SELECT count(*) FROM {engine.scan([there.ingested / 'features.parquet'])}")[0][0]
    return {**watch.laps, "rows": rows}


def kkbox(data: Path, rows: int) -> Iterator[Figure]:
    """The feature step over everything, then after a further drop of logs."""
    csvs = _kept(data / f"kkbox-{rows}", make_kkbox, rows=rows)
    made = _kept(data / f"kkbox-home-{rows}", make_kkbox_home, csvs=csvs)
    with _scratch(data) as scratch:
        home = _copied(made, scratch / "home")
        first = _in_child(measure_features, home=home)
        label = f"features of {first['rows']:,} customers' rows from {_logs_and_more(home)} rows"
        yield _most(label, first["features"], 10)
        yield _most(f"{label}: peak memory", first["peak_mb"], 1024, "MB")
        for kind, says in (("late", "of a day before the newest"), ("next", "of the next day")):
            found = _in_child(measure_features, home=home, drop=csvs / f"user_logs-{kind}.csv")
            label = f"{rows * 3 // 5:,} further logs {says}"
            yield _most(f"{label}: ingest", found["ingest"], 1.5)
            yield _most(f"{label}: features", found["features"], 1.5)
            yield _plain(f"{label}: peak memory", found["peak_mb"], "MB")


def _logs_and_more(home: Path) -> str:
    there = settings.load(home)
    with Ledger.open(there.ledger) as ledger:
        return f"{sum(part.rows for name in there.settings.sources for part in ledger.parts(name)):,}"


# -- predict, train ----------------------------------------------------------------------------------------------


def make_matrix(folder: str, rows: int, columns: list[str]) -> None:
    """Write columns of numbers with a label that depends on the first two."""
    made = ", ".join(f"CAST(hash(i, {number}) % 1000000 AS DOUBLE) / 1000000 AS {column}"
                     for number, column in enumerate(columns))  # fmt: skip
    luck = "CAST(hash(i, 99) % 1000000 AS DOUBLE) / 1000000"
    with duckdb_engine(Path(folder) / "spill") as engine:
        engine.write(
            f"SELECT *, CAST({luck} < 1 / (1 + exp(2 - 4 * x0 + 3 * x1)) AS BIGINT) AS y"
            f" FROM (SELECT 'c' || i AS id, i, {made} FROM range({rows}) AS t(i))",
            Path(folder) / "matrix.parquet",
        )


def _matrix(path: str, columns: list[str]) -> Rows:
    frame = pd.read_parquet(path, columns=[*columns, "y"])
    return Rows(frame[columns], frame["y"].to_numpy(dtype=np.int64), None)


def make_model(folder: str, matrix: str) -> None:
    """Fit a boosting model to the first rows of a matrix."""
    rows = _matrix(matrix, WIDE)
    first = Rows(rows.X.head(DROP), rows.y[:DROP], None)
    training = settings.Training(mode="refit", estimators=("boosting",))
    candidate = train.train(first, training, numeric=tuple(WIDE), categorical=())
    assert isinstance(candidate, train.Candidate)
    joblib.dump(candidate.model, Path(folder) / "model")


def measure_predict(matrix: str, model: str, folder: str) -> dict[str, Any]:
    """Predict every row of a matrix."""
    kinds = {
        "id": settings.Column(type=settings.ColumnType.TEXT),
        "y": settings.Column(type=settings.ColumnType.INTEGER),
    }
    kinds |= {column: settings.Column(type=settings.ColumnType.NUMBER) for column in WIDE}
    shape = schema.from_settings(settings.parse("target: y\npositive: 1\nid: id\n"), kinds)
    fitted = joblib.load(model)
    with duckdb_engine(Path(folder) / "spill", threads=THREADS, memory_gb=MEMORY_GB) as engine:
        watch = _Watch()
        found = predict.predict(fitted, shape, engine, f"SELECT * FROM {engine.scan([Path(matrix)])}", keep=["id"],
                                version="v1", ranked=True)  # fmt: skip
        watch.lap("seconds")
    return {**watch.laps, "rows": len(found.table)}


def predictions(data: Path, rows: int) -> Iterator[Figure]:
    """A fitted boosting model over many features."""
    matrix = _kept(data / f"matrix-{len(WIDE)}-{rows}", make_matrix, rows=rows, columns=WIDE) / "matrix.parquet"
    model = _kept(data / f"model-{rows}", make_model, matrix=matrix) / "model"
    with _scratch(data) as scratch:
        found = _in_child(measure_predict, matrix=matrix, model=model, folder=scratch)
    label = f"{found['rows']:,} rows × {len(WIDE)} features, boosting"
    yield _most(label, found["seconds"], 3)
    yield _plain(f"{label}: peak memory", found["peak_mb"], "MB")


def measure_train(matrix: str, estimator: str) -> dict[str, Any]:
    """Train one estimator with its threshold."""
    rows = _matrix(matrix, NARROW)
    training = settings.Training(mode="refit", estimators=(estimator,), threads=THREADS)
    watch = _Watch()
    candidate = train.train(rows, training, numeric=tuple(NARROW), categorical=())
    watch.lap("seconds")
    assert isinstance(candidate, train.Candidate)
    return {**watch.laps, "f1": candidate.comparisons[0].value}


def measure_sklearn(matrix: str, estimator: str) -> dict[str, Any]:
    """Do the same fits with scikit-learn alone."""
    rows = _matrix(matrix, NARROW)
    watch = _Watch()
    with threadpool_limits(limits=THREADS):
        _, _, f1 = _tuned(estimator, rows.X, rows.y)
    watch.lap("seconds")
    return {**watch.laps, "f1": f1}


def _tuned(estimator: str, X: pd.DataFrame, y: Any) -> tuple[Pipeline, float, float]:
    """Return a fitted estimator, the threshold of the best F1 in cross-validation, and that F1.

    The quickest way that scikit-learn offers: `TunedThresholdClassifierCV` takes two to three times as long.
    """
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    held_out = cross_val_predict(_untuned(estimator), X, y, cv=folds, method="predict_proba")[:, 1]
    precision, recall, thresholds = precision_recall_curve(y, held_out)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.argmax(f1[:-1]))
    return _untuned(estimator).fit(X, y), float(thresholds[best]), float(f1[best])


def _untuned(estimator: str) -> Pipeline:
    if estimator == "logistic":
        return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=1000))
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.04, max_iter=250, max_leaf_nodes=8, max_features=0.5, min_samples_leaf=10,
        l2_regularization=1.0, early_stopping=False, random_state=0,
    )  # fmt: skip
    return make_pipeline(boosting)


def training(data: Path, rows: int) -> Iterator[Figure]:
    """Fits with a tuned threshold, against scikit-learn alone."""
    matrix = _kept(data / f"matrix-{len(NARROW)}-{rows}", make_matrix, rows=rows, columns=NARROW) / "matrix.parquet"
    for estimator in ("logistic", "boosting"):
        ours = _in_child(measure_train, matrix=matrix, estimator=estimator)
        theirs = _in_child(measure_sklearn, matrix=matrix, estimator=estimator)
        label = f"{estimator}, {rows:,} rows × {len(NARROW)} features, six fits"
        peer = f"scikit-learn alone {theirs['seconds']:.1f} s"
        same = f"F1 {ours['f1']:.3f} and {theirs['f1']:.3f}"
        yield _times(f"{label} ({peer}; {same})", ours["seconds"], theirs["seconds"], most=1.5)
        peak = f"scikit-learn alone {theirs['peak_mb']:,.0f} MB"
        yield _plain(f"{label}: peak memory ({peak})", ours["peak_mb"], "MB")


# -- run ---------------------------------------------------------------------------------------------------------


def make_run_home(folder: str, csvs: list[str]) -> None:
    """Take a history in, of which the last file trains and releases a first model."""
    home = _home(Path(folder), SETTINGS)
    with Ledger.open(home.ledger) as ledger:
        with duckdb_engine(home.state / "spill", threads=THREADS, memory_gb=MEMORY_GB) as engine:
            for path in csvs[:-1]:
                _take_in(home, ledger, engine, _into(home.source, [Path(path)]))
        _into(home.source, [Path(csvs[-1])])
        _work(home, ledger)
    shutil.rmtree(home.source)
    home.source.mkdir()


def _work(home: settings.Home, ledger: Ledger) -> run.Outcome:
    [outcome] = run.work(home, ledger, reason="drop")
    assert outcome.status is Status.DONE, outcome.line
    return outcome


def measure_run(home: str, drop: str) -> dict[str, Any]:
    """Work one drop off, from the file to the predictions."""
    there = settings.load(Path(home))
    shutil.copy(drop, there.source)
    with Ledger.open(there.ledger) as ledger:
        watch = _Watch()
        outcome = _work(there, ledger)
        watch.lap("seconds")
        model = ledger.model_of_run(outcome.run)
        laps = {row["step"]: row["wall_s"] for row in ledger.steps(outcome.run)}
    assert model is not None
    return {**watch.laps, "laps": laps, "rows": model.train_rows}


def measure_run_with_pandas(paths: list[str], drop: str, model: str, rows: int, folder: str) -> dict[str, Any]:
    """Do the same as a script would: read all again, test the champion, train, evaluate both, predict."""
    watch = _Watch()
    everything = pd.concat([pd.read_csv(path) for path in (*paths, drop)]).drop_duplicates(ignore_index=True)
    watch.lap("read")
    champion = joblib.load(model)
    new = everything.tail(DROP - KNOWN)
    _scores(champion, champion.threshold, new)
    promised = pd.util.hash_array(everything["id"].to_numpy()) % 100 < 30
    judges, learned = everything[promised].tail(5 * PART), everything[~promised]
    learned = learned.sample(min(rows, len(learned)), random_state=0)
    watch.lap("test")
    with threadpool_limits(limits=THREADS):
        candidate, threshold, _ = _tuned("logistic", learned[["a", "b", "c"]], learned["left"])
    watch.lap("train")
    _scores(champion, champion.threshold, judges)
    f1 = _scores(candidate, threshold, judges)[0]
    watch.lap("evaluate")
    newest = everything.drop_duplicates("id", keep="last")
    current = newest[newest["left"] == 0]
    probability = candidate.predict_proba(current[["a", "b", "c"]])[:, 1]
    ranked = current[["id"]].assign(probability=probability).sort_values("probability", ascending=False)
    ranked.to_csv(Path(folder) / "predictions.csv", index=False)
    watch.lap("predict")
    return {"laps": watch.laps, "f1": f1}


def _scores(fitted: Any, threshold: float, rows: pd.DataFrame) -> list[float]:
    probability = fitted.predict_proba(rows[["a", "b", "c"]])[:, 1]
    y = rows["left"]
    return [
        f1_score(y, probability >= threshold),
        roc_auc_score(y, probability),
        average_precision_score(y, probability),
    ]


def whole_run(data: Path, rows: int) -> Iterator[Figure]:
    """One more drop from the file to the predictions, against a script with pandas."""
    csvs = [*map(str, sorted(_kept(data / f"csv-{rows}", make_csvs, rows=rows, each=PART).glob("*.csv")))]
    made = _kept(data / f"run-home-{rows}", make_run_home, csvs=csvs)
    drop_file = _kept(data / f"drops-after-{rows}", make_drops, after=rows) / "later.csv"
    with _scratch(data) as scratch:
        home = _copied(made, scratch / "home")
        ours = _in_child(measure_run, home=home, drop=drop_file)
        [model] = (made / "models" / "v1").glob("*.pkl")
        theirs = _in_child(measure_run_with_pandas, paths=csvs, drop=drop_file, model=model, rows=ours["rows"],
                           folder=scratch)  # fmt: skip
    label = f"run of one more drop at {rows:,} rows, {ours['rows']:,} of them trained on"
    yield _plain(f"{label} ({_steps(ours['laps'])})", ours["seconds"])
    peer = sum(theirs["laps"].values())
    yield _times(f"a script with pandas ({_steps(theirs['laps'])})", peer, ours["seconds"], least=1.5)
    yield Figure("peak memory; the script's", "", _shown(theirs["peak_mb"], "MB"),
                 f"ours {_shown(ours['peak_mb'], 'MB')}")  # fmt: skip


# -- command -----------------------------------------------------------------------------------------------------

MILLION = 1_000_000
BENCHMARKS: dict[str, tuple[Callable[[Path, int], Iterator[Figure]], tuple[int, ...]]] = {
    "drop": (drop, (10 * MILLION,)),
    "drops": (drops, (200 * DROP,)),
    "keys": (keys, (50 * MILLION, 200 * MILLION)),
    "csv": (csv, (30 * MILLION,)),
    "kkbox": (kkbox, (500_000,)),
    "predict": (predictions, (500_000,)),
    "train": (training, (10 * MILLION,)),
    "run": (whole_run, (10 * MILLION,)),
    "history": (history, (MILLION, 10 * MILLION, 50 * MILLION, 100 * MILLION)),
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all where none is named")
    parser.add_argument("--rows", nargs="+", type=int, help="sizes in place of a benchmark's own (kkbox: members)")
    parser.add_argument("--scale", type=float, default=1.0, help="a factor of all sizes, to try things out")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "churnwatch-scale")
    parser.add_argument("--plot", type=Path, help="a PNG or SVG of `history`")
    wanted = parser.parse_args()
    if unknown := set(wanted.names) - BENCHMARKS.keys():
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    _print_versions(wanted.scale)
    for benchmark in wanted.names or BENCHMARKS:
        measure, sizes = BENCHMARKS[benchmark]
        sizes = tuple(max(2 * KNOWN, int(size * wanted.scale)) for size in wanted.rows or sizes)
        found = [(size, figure) for size in sizes for figure in measure(wanted.data, size)]
        print(f"\n### {benchmark}\n")
        harness.print_table(["what", "goal", "measured", "ratio", ""], [figure.cells for _, figure in found])
        sys.stdout.flush()
        if benchmark == "history" and wanted.plot:
            _plot([(size, figure.value) for size, figure in found], wanted.plot)


def _print_versions(scale: float) -> None:
    versions = ", ".join(f"{each.__name__} {each.__version__}" for each in (duckdb, pa, pd, sklearn, np))
    print(f"Python {sys.version.split()[0]}, {versions}; {os.cpu_count()} cores")
    print(f"Of every peak memory, the imported libraries are {_in_child(measure_nothing)['peak_mb']:,.0f} MB.")
    if scale != 1.0:
        print(f"Sizes × {scale:g}: goals are those of the full sizes, so nothing here says that one is met.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(*sys.argv[2:])
    else:
        main()

"""The budgets of docs/architecture.md, measured on this machine, one table.

    python benchmarks/speed.py [status] [idle] [release] [ingest]

`ingest` writes a history of --history rows (default 10 million, about 1 GB) and compares with pandas in the same run.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd

from churnwatch.pipeline import ingest, load, profile, sample, schema, settings
from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import SourceFile
from churnwatch.pipeline.sample_settings import settings_for

RUNS = 10


def status(scratch: Path, _: int) -> Iterator[list[Any]]:
    """`churnwatch status` as a whole process, median of 20."""
    home = _home(scratch / "status")
    sample.write(home / "sourcedata", "telco", months=3, rows=500, seed=0)
    harness.churnwatch("--home", home, "run", "--once")
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        harness.churnwatch("--home", home, "status")
        took.append(time.perf_counter() - begun)
    yield ["`churnwatch status`, median of 20", "≤ 0.15 s", f"{statistics.median(took):.3f} s"]


def idle(scratch: Path, _: int) -> Iterator[list[Any]]:
    """An idle daemon for a minute, after it has worked."""
    home = _home(scratch / "idle")
    sample.write(home / "sourcedata", "telco", months=1, rows=500, seed=0)
    with harness.daemon(home) as process:
        harness.wait_for(home, {"telco-2026-01.csv"})
        time.sleep(5)
        before = _cpu_s(process.pid)
        time.sleep(60)
        yield ["idle daemon, CPU over a minute", "none", f"{_cpu_s(process.pid) - before:.2f} s"]
        yield ["idle daemon, resident memory", "≤ 40 MB", f"{_rss_mb(process.pid):.0f} MB"]


def release(scratch: Path, _: int) -> Iterator[list[Any]]:
    """From a 1,000-row CSV closed to the release switched, with a planted improvement, `refit`, 1 s stability.

    The first file's labels are shuffled, so nothing can be learned from it; the drop brings rows that tell the truth.
    """
    took = []
    for number in range(RUNS):
        home = _home(
            scratch / f"release-{number}", "stability_s: 1.0\ntraining: {mode: refit, estimators: [logistic]}\n"
        )
        poor, good = _planted(scratch / f"data-{number}", seed=number)
        with harness.daemon(home):
            shutil.copy(poor, home / "sourcedata")
            harness.wait_for(home, {poor.name})
            time.sleep(1)
            shutil.copy(good, home / "sourcedata")
            closed = time.time()
            harness.wait_for(home, {good.name})
        with Reader.open(home / "churnwatch.db") as ledger:
            took += [_epoch(row["from_at"]) - closed for row in ledger.releases() if row["run"] == 2]
    yield [f"1,000-row CSV closed → release switched, median of {len(took)} in {RUNS} tries", "≤ 5 s",
           f"{statistics.median(took):.2f} s (worst {max(took):.2f} s)"]  # fmt: skip


def _planted(folder: Path, *, seed: int) -> tuple[Path, Path]:
    poor, good = sample.write(folder, "telco", months=2, rows=1000, seed=seed)
    frame = pd.read_csv(poor, dtype=str)
    frame["Churn"] = np.random.default_rng(seed).permutation(frame["Churn"].to_numpy())
    frame.to_csv(poor, index=False)
    return poor, good


def ingest_at_scale(scratch: Path, history: int) -> Iterator[list[Any]]:
    """A 50,000-row drop at `history` rows, beside the first drop and beside pandas doing everything again."""
    columns = {name: settings.Column(type=kind) for name, kind in
               (("id", settings.ColumnType.TEXT), ("a", settings.ColumnType.INTEGER), ("b", settings.ColumnType.NUMBER),
                ("c", settings.ColumnType.NUMBER), ("left", settings.ColumnType.INTEGER))}  # fmt: skip
    given = settings.parse("target: left\npositive: 1\nid: id\n")
    shape = schema.from_settings(given, columns)
    drops = [scratch / f"drop-{number}.csv" for number in range(2)]
    for number, path in enumerate(drops):
        _write_rows(path, number * 50_000, 50_000)
    with duckdb_engine(scratch / "spill") as engine:
        first = _best(lambda: _ingest(drops[0], shape, given, engine, []))
        parts = _history(scratch / "parts", history, shape, given, engine, scratch)
        later = _best(lambda: _ingest(drops[1], shape, given, engine, parts))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    everything = scratch / "all.csv"
    _write_rows(everything, 10**9, history)
    pandas_s, pandas_mb = _pandas(everything, drops[1])
    label = f"50,000-row drop at {history:,} rows"
    yield [f"{label}: ingest", "≤ 0.2 s", f"{later:.3f} s"]
    yield [f"{label}: against the first drop ({first:.3f} s)", "≤ 2×", f"{later / first:.2f}×"]
    yield [
        f"{label}: pandas reads and de-duplicates all again ({pandas_s:.1f} s)",
        "≥ 5× slower",
        f"{pandas_s / later:.0f}×",
    ]
    yield [f"{label}: memory, {memory:.0f} MB, to pandas' {pandas_mb:.0f} MB", "≤ 1/4", f"{memory / pandas_mb:.2f}"]


def _ingest(path: Path, shape: schema.Schema, given: settings.Settings, engine: Any, history: list[Path]) -> float:
    """Return the seconds from the file to the part on disk, profile included."""
    stat = path.stat()
    source = load.Source(SourceFile(1, path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, "", ""), path)
    begun = time.perf_counter()
    found = load.classify([source], shape, given.csv)
    loaded = load.load(found.labelled, shape, given.csv, engine)
    ingest.ingest(loaded, shape, engine, history=history, next_batch=1, dedup=True, promise_holdout=True)
    profile.profile(shape, engine)
    part = ingest.write_part(engine, path.parent / "out")
    took = time.perf_counter() - begun
    assert part is not None
    return took


def _best(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(5))


def _history(
    folder: Path, rows: int, shape: schema.Schema, given: settings.Settings, engine: Any, scratch: Path
) -> list[Path]:
    """Write a history in drops of a million rows, through the same ingest."""
    parts = []
    for start in range(0, rows, 1_000_000):
        path = scratch / "history.csv"
        _write_rows(path, 10**9 + start, min(1_000_000, rows - start))
        stat = path.stat()
        source = load.Source(SourceFile(1, path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, "", ""), path)
        loaded = load.load(load.classify([source], shape, given.csv).labelled, shape, given.csv, engine)
        ingest.ingest(loaded, shape, engine, history=[], next_batch=1, dedup=True, promise_holdout=True)
        part = ingest.write_part(engine, folder)
        assert part is not None
        parts.append(part.path)
    return parts


def _write_rows(path: Path, start: int, rows: int) -> None:
    rng = np.random.default_rng(start)
    with path.open("w") as file:
        for begin in range(start, start + rows, 1_000_000):
            size = min(1_000_000, start + rows - begin)
            frame = pd.DataFrame({"id": [f"c{number}" for number in range(begin, begin + size)],
                                  "a": rng.integers(0, 1000, size), "b": rng.random(size).round(6),
                                  "c": rng.random(size).round(6), "left": rng.integers(0, 2, size)})  # fmt: skip
            frame.to_csv(file, index=False, header=begin == start)


def _pandas(everything: Path, drop: Path) -> tuple[float, float]:
    """Return seconds and peak MB of the pandas way, in a process of its own."""
    code = (
        "import sys, time, resource, pandas as pd\n"
        "t = time.perf_counter()\n"
        "all_ = pd.concat([pd.read_csv(p) for p in sys.argv[1:]]).drop_duplicates()\n"
        "print(time.perf_counter() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    )
    done = subprocess.run(
        [*harness.CHURNWATCH[:1], "-c", code, str(everything), str(drop)], capture_output=True, text=True, check=True
    )
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def _home(folder: Path, extra: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "settings.yaml").write_text(settings_for(sample.Like.TELCO) + "packages: {check: never}\n" + extra)
    (folder / "sourcedata").mkdir()
    return folder


def _epoch(text: str) -> float:
    return from_iso(text).timestamp()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _rss_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


BENCHMARKS = {"status": status, "idle": idle, "release": release, "ingest": ingest_at_scale}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(BENCHMARKS))
    parser.add_argument("--history", type=int, default=10_000_000)
    wanted = parser.parse_args()
    rows = []
    for name in wanted.names:
        with tempfile.TemporaryDirectory() as scratch:
            rows += list(BENCHMARKS[name](Path(scratch), wanted.history))
    harness.print_table(["what", "budget", "measured"], rows)


if __name__ == "__main__":
    main()

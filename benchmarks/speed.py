"""The budgets of docs/architecture.md, measured on this machine, one table.

    python benchmarks/speed.py [status] [idle] [release]

Those of ingest are measured by benchmarks/scale.py (`drop`).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd

from churnwatch.pipeline import sample
from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.sample_settings import settings_for

RUNS = 10


def status(scratch: Path) -> Iterator[list[Any]]:
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


def idle(scratch: Path) -> Iterator[list[Any]]:
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


def release(scratch: Path) -> Iterator[list[Any]]:
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


BENCHMARKS = {"status": status, "idle": idle, "release": release}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(BENCHMARKS))
    wanted = parser.parse_args()
    rows = []
    for name in wanted.names:
        with tempfile.TemporaryDirectory() as scratch:
            rows += list(BENCHMARKS[name](Path(scratch)))
    harness.print_table(["what", "budget", "measured"], rows)


if __name__ == "__main__":
    main()

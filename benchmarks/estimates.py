"""What is expected before the labels come, against the truth: in simulation, and month by month on real data.

    CHURNWATCH_DATA=FOLDER python benchmarks/estimates.py [--settings TEXT] [bank_marketing retail simulation]

Each month comes as a request without the target first, then its labels as a file of id, date and target. The first one
comes with its labels. `--settings` is YAML that goes below the others, such as `training: {calibration: none}`.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np

from churnwatch.pipeline import coverage, run, settings
from churnwatch.pipeline.estimate import estimate
from churnwatch.pipeline.evaluate import evaluate
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.settings import Home

NAMES = ("f1", "precision", "recall", "accuracy", "roc_auc")


@dataclass(frozen=True)
class Data:
    """A set of months; `made_id` where it names no customers: rows are numbered."""

    target: str
    positive: str
    id: str
    date: str
    delimiter: str = ","
    made_id: bool = False
    left_out: tuple[str, ...] = ()


SETS = {
    "bank_marketing": Data("y", "yes", "client", "seen_on", ";", made_id=True, left_out=("duration",)),
    "retail": Data("churned", "1", "CustomerID", "snapshot"),
}


def rows_of(path: Path, data: Data) -> list[dict[str, str]]:
    """Return a month's rows, with an id and a date where there are none."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=data.delimiter))
    for number, row in enumerate(rows):
        for column in data.left_out:
            del row[column]
        if data.made_id:
            row |= {data.id: f"{path.stem}-{number}", data.date: f"{path.stem}-01"}
    return rows


def drop(home: Home, name: str, rows: list[dict[str, str]], columns: list[str]) -> None:
    """Drop a file and let the home work on it."""
    with (home.source / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        [outcome] = run.work(home, ledger, reason="benchmark")
    assert outcome.status == "done", outcome


def measure(folder: Path, data: Data, months: list[Path], more: str) -> Home:
    """Let a home live through all months."""
    folder.mkdir()
    text = f"target: {data.target}\npositive: {data.positive}\nid: {data.id}\ndate: {data.date}\nlabels: labels-*.csv\n"
    (folder / settings.FILE_NAME).write_text(f"{text}{more}\n")
    home = settings.load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    first, *later = months
    rows = rows_of(first, data)
    drop(home, f"customers-{first.stem}.csv", rows, list(rows[0]))
    for month in later:
        rows = rows_of(month, data)
        drop(home, f"customers-{month.stem}.csv", rows, [column for column in rows[0] if column != data.target])
        drop(home, f"labels-{month.stem}.csv", rows, [data.id, data.date, data.target])
    return home


def by_month(home: Home) -> Iterator[list[Any]]:
    """Yield each request with estimate and truth, and what would have been said of the estimate then."""
    with Ledger.open(home.ledger) as ledger:
        found = {name: list(reversed(ledger.estimates(name))) for name in ("f1", "roc_auc")}
        compared = ledger.compared_estimates("f1")
    ranked = {row["file"]: row for row in found["roc_auc"]}
    for row in found["f1"]:
        known = coverage.coverage([each for each in compared if each["run"] < row["run"]])
        cells = [cell for each in (row, ranked.get(row["file"])) for cell in _cells(each)]
        yield [row["path"].removeprefix("customers-").removesuffix(".csv"), row["rows"], *cells,
               "muted" if known.is_muted else "shown"]  # fmt: skip


def _cells(row: dict[str, Any] | None) -> tuple[str, str]:
    if row is None:
        return "-", "-"
    if row["truth"] is None:
        return f"{row['value']:.2f} ({row['low']:.2f}–{row['high']:.2f})", "too few"
    held = "" if row["low"] <= row["truth"] <= row["high"] else " ✗"
    return f"{row['value']:.2f} ({row['low']:.2f}–{row['high']:.2f})", f"{row['truth']:.2f}{held}"


def held(home: Home) -> list[Any]:
    """Return for each metric how many of all estimates held the truth."""
    cells = []
    with Ledger.open(home.ledger) as ledger:
        for name in NAMES:
            rows = ledger.compared_estimates(name)
            hit = sum(row["low"] <= row["truth"] <= row["high"] for row in rows)
            error = np.mean([abs(row["value"] - row["truth"]) for row in rows])
            cells.append(f"{hit} of {len(rows)}, off by {error:.3f}")
    return cells


def simulate() -> None:
    """Print how often intervals hold the truth where probabilities are true, and when estimates fall silent."""
    rng, table = np.random.default_rng(1), []
    for size, batches in ((100, 1000), (1000, 500), (10_000, 100)):
        table.append([f"true probabilities, {size:,} rows", batches, *_shares(rng, size, batches, power=1.0)])
        table.append([f"the relation has changed, {size:,} rows", batches, *_shares(rng, size, batches, power=1.3)])
    harness.print_table(["world", "batches", *NAMES], table)
    probability = rng.beta(0.6, 2.0, 100_000)
    times = []
    for _ in range(20):
        begun = time.process_time()
        estimate(probability, threshold=0.35)
        times.append(time.process_time() - begun)
    print(f"\nan estimate of 100,000 rows: {1000 * float(np.median(times)):.0f} ms of the processor")


def _shares(rng: np.random.Generator, size: int, batches: int, *, power: float) -> list[str]:
    hits = dict.fromkeys(NAMES, 0)
    for _ in range(batches):
        said = rng.beta(0.6, 2.0, size)
        y = (rng.random(size) < said**power).astype(np.int64)
        truth = evaluate(y, said, threshold=0.35)
        for each in estimate(said, threshold=0.35):
            hits[each.name] += each.low <= truth.get(each.name, np.nan) <= each.high
    return [f"{hits[name] / batches:.1%}" for name in NAMES]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["simulation", *SETS])
    parser.add_argument("--settings", default="", help="YAML that goes below the others")
    wanted = parser.parse_args()
    if "simulation" in wanted.names:
        simulate()
    for name in (each for each in wanted.names if each in SETS):
        months = sorted((Path(os.environ["CHURNWATCH_DATA"]) / name).glob("*.csv"))
        with tempfile.TemporaryDirectory() as scratch:
            home = measure(Path(scratch) / name, SETS[name], months, wanted.settings)
            print(f"\n{name} {wanted.settings}\n")
            harness.print_table(["month", "rows", "F1 expected", "F1", "ROC AUC expected", "ROC AUC", "F1 then"],
                                list(by_month(home)))  # fmt: skip
            print()
            harness.print_table(["data", *NAMES], [[name, *held(home)]])


if __name__ == "__main__":
    main()

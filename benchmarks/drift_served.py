"""A world that turns round while a model serves: what the outcomes say, who is told, and what the daemon makes of it.

    python benchmarks/drift_served.py [--calls 1000]

A daemon and `churnwatch serve` work on one home. Customers are asked about one at a time, and after each hundred calls
what came of them is told. From the third hundred to the sixth, more and more of these outcomes are those of the
customer on the other end of the hundred by probability: as many leave as ever, but others do. With the last hundred the
outcomes make a batch, which is a labelled drop. Then as many customers of the new world are asked about again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import CHURNWATCH, churnwatch, daemon, wait_for

from churnwatch.pipeline import sample, settings
from churnwatch.pipeline.ledger.reader import Reader

HUNDRED = 100
TURN = 4  # hundreds in which the world turns, after the second
DROPPED = 3000
SETTINGS = """\
target: Churn
positive: Yes
id: customerID
exclude: [month]
scan_interval_s: 1
holdout_batches: 1
training: {{estimators: [logistic], window: last 1 batches, search_candidates: 4}}
packages: {{check: never}}
serve: {{port: 0, batch_rows: {calls}}}
"""
NUMBERS = ("SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges")
Customer = dict[str, Any]


def customers(folder: Path, calls: int) -> list[Customer]:
    """Drop a first file into a home, and return customers that are not in it."""
    [path] = sample.write(folder, sample.Like.TELCO, months=1, rows=DROPPED + 2 * calls, seed=11)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "sourcedata" / "customers.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[:DROPPED])
    return [
        {name: float(cell) if name in NUMBERS else cell for name, cell in row.items() if cell and name != "month"}
        for row in rows[DROPPED:]
    ]


@contextmanager
def api(home: Path) -> Iterator[str]:
    """Serve a home; yield the address."""
    command = [*CHURNWATCH, "--home", str(home), "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[2].rstrip(";")
        finally:
            process.terminate()


def ask(address: str, path: str, body: Any = None) -> Any:
    """Return what the API answers."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{address}{path}", data), timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def serve(address: str, asked: Sequence[Customer], share: float, rng: random.Random) -> dict[str, Any]:
    """Ask about customers one at a time, tell what came of them, and return the performance of just these.

    Args:
        address: of the API.
        asked: the customers, with what would come of them had the world not turned.
        share: of the outcomes that are those of the customer on the other end.
        rng: draws which.
    """
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    answers = [
        ask(address, "/predict?explain=false", {k: v for k, v in each.items() if k != "Churn"}) for each in asked
    ]
    ranked = sorted(range(len(asked)), key=lambda place: answers[place]["probability"])
    other = dict(zip(ranked, reversed(ranked), strict=True))
    told = [
        {"id": answer["id"], "target": asked[other[place] if rng.random() < share else place]["Churn"]}
        for place, answer in enumerate(answers)
    ]
    ask(address, "/outcomes", told)
    time.sleep(1.1)  # so that the next begins in another second
    end = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    return dict(ask(address, f"/performance?start={start}&end={end}"))


def attention(home: Path) -> list[str]:
    """Return what `status` says of what was served."""
    said = json.loads(churnwatch("--home", home, "status", "--json"))["attention"]
    return [each for each in said if "served" in each or "drift" in each or "log loss" in each]


def shown(name: str, found: dict[str, Any], told: Sequence[str]) -> None:
    metrics = {each["name"]: each for each in found["metrics"]}
    f1, auc = metrics["f1"], metrics["roc_auc"]["value"]
    interval = f"{f1['value']:.2f} ({f1['low']:.2f} to {f1['high']:.2f})"
    models = ", ".join(each["model"] for each in found["models"])
    print(
        f"| {name} | {models} | {found['outcomes']} | {interval} | {auc:.2f} | {'; '.join(told) or 'no'} |", flush=True
    )


def new_run(home: Path, after: int) -> dict[str, Any]:
    """Wait for a run of the daemon to end, and return it."""
    while True:
        with Reader.open(settings.load(home).ledger) as ledger:
            [newest] = ledger.runs(limit=1)
        if newest["run"] > after and newest["status"] is not None and newest["ended_at"] is not None:
            return newest
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1000)
    calls = parser.parse_args().calls
    rng = random.Random(7)  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        (home / "sourcedata").mkdir(parents=True)
        (home / "settings.yaml").write_text(SETTINGS.format(calls=calls))
        asked = customers(home, calls)
        with daemon(home):
            wait_for(home, {"customers.csv"})
            with api(home) as address:
                print("| calls | model | outcomes | F1 | ROC AUC | attention |\n|---|---|---|---|---|---|")
                hundreds = calls // HUNDRED
                for number in range(hundreds):
                    of_these = asked[number * HUNDRED : (number + 1) * HUNDRED]
                    found = serve(address, of_these, min(1.0, max(0.0, (number - 1) / TURN)), rng)
                    last = f"{number * HUNDRED + 1} to {(number + 1) * HUNDRED}"
                    shown(last, found, attention(home) if number < hundreds - 1 else ["the outcomes make a batch"])
                run = new_run(home, 1)
                print(f"\nrun {run['run']}: {run['note']} {run['warning'] or ''}\n")
                time.sleep(2)  # the API takes a new release up within a second
                print("| calls | model | outcomes | F1 | ROC AUC | attention |\n|---|---|---|---|---|---|")
                shown("as many in the new world", serve(address, asked[calls:], 1.0, rng), [])


if __name__ == "__main__":
    sys.exit(main())

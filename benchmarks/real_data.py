"""The whole loop on real public data: init --from, a daemon, files dropped by cp, one table.

CHURNWATCH_DATA=FOLDER python benchmarks/real_data.py [--keep DIR] [NAME …]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import harness


def files_of(data: Path, name: str) -> list[list[Path]]:
    """Return the drops of a set, each a list of files."""
    if name == "attrition practice":
        return [sorted((data / "attrition/practicedata").glob("*.csv"))]
    if name == "attrition production":
        return [sorted((data / "attrition/sourcedata").glob("*.csv"))]
    if name == "telco":
        return [[data / "telco/telco-customer-churn.csv"], [data / "telco/telco-customer-churn-missing.csv"]]
    return [[path] for path in sorted((data / name).glob("*.csv"))]


NAMES = ("attrition practice", "attrition production", "telco", "telecom", "bank_marketing", "retail")
EXTRA = {"bank_marketing": ["--exclude", "duration"]}


def measure(data: Path, name: str, home: Path) -> list[Any]:
    """Work through one set and return its row of the table."""
    drops = files_of(data, name)
    harness.churnwatch("init", home, "--from", drops[0][0], *EXTRA.get(name, []))
    if name.startswith("attrition"):
        shutil.copy(data / "attrition/testdata/testdata.csv", home / "testdata")
        with (home / "settings.yaml").open("a") as file:
            file.write("\n# five test rows prove nothing\ngate: better\n")
    begun = time.monotonic()
    with harness.daemon(home):
        for drop in drops:
            for path in drop:
                shutil.copy(path, home / "sourcedata" / path.name)
            harness.wait_for(home, {path.name for path in drop})
    seconds = time.monotonic() - begun
    return summary(name, home, len(drops), seconds)


def summary(name: str, home: Path, drops: int, seconds: float) -> list[Any]:
    """Ask the home what came of it, through its own commands."""
    state = json.loads(harness.churnwatch("--home", home, "status", "--json"))
    history = json.loads(harness.churnwatch("--home", home, "runs", "--json", "--last", "1000"))
    champion, rows = state["champion"], state["rows"]
    judged = next(run for run in history if champion["version"] in (run["candidate"], run["champion"]))
    shown = json.loads(harness.churnwatch("--home", home, "show", str(judged["run"]), "--json"))
    metrics = {
        m["name"]: m["value"]
        for m in shown["metrics"]
        if m["version"] == champion["version"] and m["split"] == "holdout"
    }
    decisions = [run["decision"] for run in history]
    counted = ", ".join(f"{decisions.count(d)} {d}" for d in dict.fromkeys(reversed(decisions)) if d)
    auc = f"{metrics['roc_auc']:.3f}" if "roc_auc" in metrics else "-"
    return [name, drops, rows["read"], rows["accepted"], rows["duplicate"], rows["quarantined"],
            f"v{champion['version']} {champion['estimator']}", f"{metrics['f1']:.3f}", auc, champion["holdout_rows"],
            counted, f"{seconds:.0f}"]  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--keep", type=Path, help="make the homes here and leave them")
    wanted = parser.parse_args()
    data = Path(os.environ["CHURNWATCH_DATA"])
    with tempfile.TemporaryDirectory() as scratch:
        folder = wanted.keep or Path(scratch)
        rows = [measure(data, name, folder / name.replace(" ", "-")) for name in wanted.names]
    harness.print_table(["data", "drops", "read", "accepted", "duplicate", "quarantined", "champion", "F1", "ROC AUC",
                         "holdout rows", "decisions", "s"], rows)  # fmt: skip


if __name__ == "__main__":
    main()

"""How far back to learn from: each window on data whose months come one by one, one table a set.

CHURNWATCH_DATA=FOLDER python benchmarks/windows.py [NAME …] [--estimators logistic boosting] [--windows all compare]

Every month is predicted by a model that learned from the months before it, through the window of the row; `static`
learned from the first month and never again. F1 over all rows that were predicted, and the mean of the months' F1.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, log_loss

from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.train import Candidate, train

SETS: dict[str, dict[str, Any]] = {
    "bank_marketing": {"target": "y", "positive": "yes", "id": None, "without": ["duration"], "sep": ";"},
    "retail": {"target": "churned", "positive": "1", "id": "CustomerID", "without": ["snapshot"], "sep": ","},
}
WINDOWS: dict[str, dict[str, Any]] = {
    "all": {},
    "last 3 batches": {"window": "last 3 batches"},
    "last 6 batches": {"window": "last 6 batches"},
    "last 12 batches": {"window": "last 12 batches"},
    "half-life 2 batches": {"half_life": 2.0},
    "half-life 6 batches": {"half_life": 6.0},
    "compare": {"window": "compare"},
}


def rows_of(data: Path, name: str) -> Rows:
    """Read all months of a set, numbered as they come."""
    about = SETS[name]
    months = [pd.read_csv(path, sep=about["sep"]) for path in sorted((data / name).glob("*.csv"))]
    batches = np.repeat(np.arange(1, len(months) + 1), [len(month) for month in months])
    table = pd.concat(months, ignore_index=True)
    y = (table.pop(about["target"]).astype("str") == about["positive"]).to_numpy(dtype=np.int64)
    ids = table.pop(about["id"]).astype("str") if about["id"] else None
    X = table.drop(columns=about["without"])
    numbers = X.select_dtypes("number").columns
    return Rows(X.astype(dict.fromkeys(X.columns, "str") | dict.fromkeys(numbers, "float64")), y, ids, batches)


def trained(rows: Rows, training: Training) -> Candidate:
    """Train on rows of which every column is learned from."""
    numeric = tuple(rows.X.select_dtypes("number").columns)
    categorical = tuple(column for column in rows.X if column not in numeric)
    found = train(rows, training, numeric=numeric, categorical=categorical)
    assert isinstance(found, Candidate), found
    return found


def predicted(rows: Rows, training: Training, *, static: bool = False) -> tuple[list[Any], Counter[str]]:
    """Predict every month but the first by what came before it; return each with its decisions, and what was chosen."""
    months, chosen, candidate = [], Counter[str](), None
    for batch in np.unique(rows.batches)[1:]:
        if candidate is None or not static:
            candidate = trained(rows.where(rows.batches < batch), training)
        asked = rows.where(rows.batches == batch)
        probability = candidate.probabilities(asked)
        months.append((asked.y, probability, probability >= candidate.threshold))
        chosen[candidate.window.name] += 1
    return months, chosen


def summary(name: str, months: Sequence[Any], chosen: Counter[str]) -> list[Any]:
    """Return a window's line of the table."""
    y, probability, decided = (np.concatenate(each) for each in zip(*months, strict=True))
    monthly = [f1_score(truth, said, zero_division=0.0) for truth, _, said in months]
    told = ", ".join(f"{window} {times}×" for window, times in chosen.most_common())
    return [name, f"{f1_score(y, decided):.3f}", f"{np.mean(monthly):.3f}", f"{log_loss(y, probability):.4f}",
            told if len(chosen) > 1 else ""]  # fmt: skip


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SETS))
    parser.add_argument("--estimators", nargs="+", default=["logistic"])
    parser.add_argument("--windows", nargs="+", choices=["static", *WINDOWS], default=["static", *WINDOWS])
    wanted = parser.parse_args()
    for name in wanted.names:
        rows = rows_of(Path(os.environ["CHURNWATCH_DATA"]), name)
        training = {"estimators": tuple(wanted.estimators)}
        lines = [
            summary(
                window, *predicted(rows, Training(**training, **WINDOWS.get(window, {})), static=window == "static")
            )
            for window in wanted.windows
        ]
        print(f"\n{name}, {', '.join(wanted.estimators)}\n")
        harness.print_table(["window", "F1", "mean of months", "log loss", "chosen"], lines)


if __name__ == "__main__":
    main()

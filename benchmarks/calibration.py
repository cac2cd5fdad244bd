"""What calibration does to probabilities: log loss and Brier on held-out customers, one table.

CHURNWATCH_DATA=FOLDER python benchmarks/calibration.py [--splits 3] [NAME …]

Seven tenths of the customers are learned from, the others are predicted, so often with other seeds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import GroupShuffleSplit

from churnwatch.pipeline import sample
from churnwatch.pipeline.calibration import calibrated, calibrator
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.fitting import Table, fit, held_out, margin_method
from churnwatch.pipeline.folds import folds
from churnwatch.pipeline.settings import Training

SETS: dict[str, tuple[str, str, str, str]] = {  # file, target, positive, id
    "generated": ("", "Churn", "Yes", "customerID"),
    "telco": ("telco/telco-customer-churn.csv", "Churn", "Yes", "customerID"),
    "telecom": ("telecom/bigml_churn.csv", "churn", "True", "phone number"),
}
ESTIMATORS = ("logistic", "boosting", "sklearn.ensemble.RandomForestClassifier")
METHODS: tuple[Any, ...] = ("none", "sigmoid", "isotonic")


def rows_of(data: Path, name: str) -> Rows:
    """Read a set; what is made up is made up anew."""
    file, target, positive, customer = SETS[name]
    with tempfile.TemporaryDirectory() as scratch:
        made = [data / file] if file else sample.write(Path(scratch), sample.Like.TELCO, months=2, rows=3000, seed=5)
        table = pd.concat([pd.read_csv(path, na_values=" ") for path in made], ignore_index=True)
    table = table.drop_duplicates().dropna(subset=[target, customer]).drop(columns="month", errors="ignore")
    y = (table.pop(target).astype("str") == positive).to_numpy(dtype=np.int64)
    ids = table.pop(customer).astype("str")
    numbers = table.select_dtypes("number").columns
    kinds = dict.fromkeys(table.columns, "str") | dict.fromkeys(numbers, "float64")
    return Rows(table.astype(kinds), y, ids)


def measured(rows: Rows, estimator: str, class_weight: Any, splits: int) -> list[str]:
    """Return log loss and Brier for each method, means over the splits; the methods share what was trained."""
    training = Training(class_weight=class_weight)
    found = [
        list(_of_split(rows, learned, asked, estimator, training))
        for learned, asked in GroupShuffleSplit(splits, test_size=0.3, random_state=0).split(rows.X, groups=rows.ids)
    ]
    return ["{:.4f} / {:.4f}".format(*values) for values in np.mean(found, axis=0)]


def _of_split(
    rows: Rows, learned: Any, asked: Any, estimator: str, training: Training
) -> Iterator[tuple[float, float]]:
    known, judged = (rows.where(np.isin(np.arange(len(rows)), which)) for which in (learned, asked))
    numeric = tuple(rows.X.select_dtypes("number").columns)
    table = Table.of(known, numeric, tuple(column for column in rows.X if column not in numeric))
    pipeline, parts = table.pipeline(estimator, training, {}), folds(known, training.folds, seed=training.seed)
    assert parts is not None
    margins = held_out(pipeline, table, parts, margin_method(pipeline))
    fitted = fit(pipeline, table)
    for method in METHODS:
        found = None if method == "none" else calibrator(method, margins, known.y)
        model = fitted if found is None else calibrated(fitted, found)
        probability = model.predict_proba(judged.X[list(table.columns)])[:, 1]
        yield log_loss(judged.y, probability), brier_score_loss(judged.y, probability)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SETS))
    parser.add_argument("--splits", type=int, default=3)
    wanted = parser.parse_args()
    lines = []
    for name in wanted.names:
        rows = rows_of(Path(os.environ["CHURNWATCH_DATA"]), name)
        lines += [
            [name, estimator.rpartition(".")[2], weight, *measured(rows, estimator, weight, wanted.splits)]
            for estimator in ESTIMATORS
            for weight in ("none", "balanced")
        ]
    harness.print_table(["data", "estimator", "class_weight", *METHODS], lines)


if __name__ == "__main__":
    main()

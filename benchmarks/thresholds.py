"""How good the threshold is, for customers that did not choose it: the best for some labels, and the one that is taken.

CHURNWATCH_DATA=FOLDER python benchmarks/thresholds.py [--draws 200] [--estimators logistic,boosting,…] [NAME …]

The rows are cross-validated once. Then four fifths of the customers are drawn, which choose by their calibrated
probabilities and labels; F1 is that of the others. The gain is paired, over the draws.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import harness
import numpy as np
import numpy.typing as npt
from quality_sets import SETS
from sklearn.metrics import f1_score

from churnwatch.pipeline.calibration import calibrator
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.fitting import Table, held_out, margin_method
from churnwatch.pipeline.folds import folds
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.thresholds import best_threshold, steady_threshold

Floats = npt.NDArray[np.float64]
_DRAWN = 0.8


def drawings(rows: Rows, margins: Floats, number: int) -> Iterator[tuple[list[float], list[float]]]:
    """Yield the thresholds that drawn customers choose, the best for them and the steady one, and F1 of the others."""
    rng = np.random.default_rng(0)
    customers = np.arange(len(rows)) if rows.ids is None else np.unique(rows.ids.to_numpy(), return_inverse=True)[1]
    for _ in range(number):
        drawn = (rng.random(customers.max() + 1) < _DRAWN)[customers]
        known, others = rows.where(drawn), ~drawn
        fitted = calibrator("sigmoid", margins[drawn], known.y)
        assert fitted is not None
        probability = fitted.predict(margins)
        parts = folds(known, 5, seed=0)
        assert parts is not None
        chosen = [
            best_threshold(known.y, probability[drawn])[0],
            steady_threshold(known.y, probability[drawn], "f1", None, parts)[0],
        ]
        yield chosen, [float(f1_score(rows.y[others], probability[others] >= each)) for each in chosen]


def main() -> None:
    """Print a row for each set of data and estimator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["telco", "telecom", "retail"])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--estimators", default="logistic,boosting,deep_boosting,sklearn.naive_bayes.GaussianNB")
    wanted = parser.parse_args()
    printed = []
    for each in (each for each in SETS if each.name in wanted.names):
        rows, schema = each.rows(Path(os.environ["CHURNWATCH_DATA"]))
        table, parts = Table.of(rows, schema.numeric, schema.categorical), folds(rows, 5, seed=0)
        assert parts is not None
        for name in wanted.estimators.split(","):
            pipeline = table.pipeline(name, Training(), {})
            margins = held_out(pipeline, table, parts, margin_method(pipeline))
            chosen, f1 = map(np.array, zip(*drawings(rows, margins, wanted.draws), strict=True))
            moved, gains = np.std(chosen, axis=0), f1[:, 1] - f1[:, 0]
            error = np.std(gains, ddof=1) / np.sqrt(len(gains))
            values = [f"{value:.4f}" for value in f1.mean(axis=0)]
            printed.append(
                [each.name, name.rpartition(".")[2], *(f"{move:.3f}" for move in moved), *values,
                 f"{gains.mean():+.4f} ± {1.96 * error:.4f}"]
            )  # fmt: skip
    harness.print_table(
        ["data", "estimator", "the best moves by", "the taken by", "F1 of the best", "of the taken", "gain"], printed
    )


if __name__ == "__main__":
    main()

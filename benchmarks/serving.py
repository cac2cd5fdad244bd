"""What serving costs, measured on this machine.

    python benchmarks/serving.py [process]

`process`: predictions and explanations in process, without HTTP: the compiled form beside the model itself, which is
asked through a DataFrame. CPU time of one thread, so that what else goes on counts less.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import harness
import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from threadpoolctl import threadpool_limits

from churnwatch.pipeline import bins, compiled, ensembles, estimators
from churnwatch.pipeline.calibration import calibrated, calibrator
from churnwatch.pipeline.compiled import Compiled, Original
from churnwatch.pipeline.encoding import columns_of
from churnwatch.pipeline.fitting import margin_method
from churnwatch.pipeline.records import CompiledForm

ROWS, BULK, SINGLE = 5_000, 200_000, 2_000
NUMERIC, TEXTS = [f"number {each}" for each in range(10)], [f"text {each}" for each in range(10)]
KINDS = ("logistic", "boosting", "deep_boosting", "stacking")


def process() -> Iterator[list[Any]]:
    """One row: median and 99th percentile of 2,000; of the model itself of 30. Bulk: the best of three, or one."""
    X = _rows(ROWS, seed=0)
    y = _labels(X)
    rows = columns_of(_rows(BULK, seed=1))
    for kind in KINDS:
        model = _model(kind, X, y)
        begun = time.thread_time()
        form = compiled.predictor(model, bins.of_frame(X), CompiledForm(1, "", ROWS, 0.0, None))
        made_s = time.thread_time() - begun
        itself = compiled.predictor(model, bins.of_frame(X), None)
        yield [kind, *_single(form, itself, rows), *_bulk(form, itself, rows), f"{made_s:.2f}"]


def _single(form: Compiled | Original, itself: Compiled | Original, rows: Any) -> list[str]:
    ones = [{column: values[place : place + 1] for column, values in rows.items()} for place in range(SINGLE)]
    plain, explained = _took(form.predictions, ones), _took(lambda one: _both(form, one), ones)
    by_frame, explained_by_frame = (
        _took(itself.predictions, ones[:30]),
        _took(lambda one: _both(itself, one), ones[:30]),
    )
    return [
        _ms(plain),
        f"{np.median(by_frame) / np.median(plain):.0f}",
        _ms(explained),
        f"{np.median(explained_by_frame) / np.median(explained):.0f}",
    ]


def _both(form: Compiled | Original, one: Any) -> None:
    form.predictions(one)
    form.contributions(one)


def _took(call: Callable[[Any], Any], ones: list[Any]) -> list[float]:
    took = []
    for one in ones:
        begun = time.thread_time()
        call(one)
        took.append(time.thread_time() - begun)
    return took


def _ms(took: list[float]) -> str:
    return f"{np.median(took) * 1e3:.3f} / {np.quantile(took, 0.99) * 1e3:.3f}"


def _bulk(form: Compiled | Original, itself: Compiled | Original, rows: Any) -> list[str]:
    fast = BULK / min(_took(form.predictions, [rows] * 3))
    slow = BULK / min(_took(itself.predictions, [rows]))
    return [f"{fast:,.0f}", f"{fast / slow:.1f}"]


def _rows(n: int, *, seed: int) -> pd.DataFrame:
    """Return rows of 20 columns: ten numbers, every tenth missing, ten texts of three to twelve categories."""
    rng = np.random.default_rng(seed)
    numbers = {column: np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)) for column in NUMERIC}
    texts = {
        column: pd.Series(rng.choice([f"category {each}" for each in range(3 + place)], n), dtype="str")
        for place, column in enumerate(TEXTS)
    }
    return pd.DataFrame({**numbers, **texts})


def _labels(X: pd.DataFrame) -> Any:
    rng = np.random.default_rng(2)
    said = X[NUMERIC].fillna(0).sum(axis=1) + 2 * (X["text 0"] == "category 0") + (X["text 5"] == "category 3")
    return (said + rng.normal(size=len(X)) > 1).to_numpy().astype(np.int64)


def _model(kind: str, X: pd.DataFrame, y: Any) -> FixedThresholdClassifier:
    """Return a model as training makes it, but for the folds."""
    if kind == "stacking":
        parts = {name: _fitted(name, X, y) for name in ("logistic", "boosting", "deep_boosting")}
        margins = np.column_stack([_margins(each, X) for each in parts.values()])
        inner: Any = ensembles.stacked(parts, ensembles.stacking(margins, y), X, y)
    else:
        pipeline = _fitted(kind, X, y)
        sigmoid = calibrator("sigmoid", _margins(pipeline, X), y)
        assert sigmoid is not None
        inner = calibrated(pipeline, sigmoid)
    return FixedThresholdClassifier(FrozenEstimator(inner), threshold=0.5).fit(X, y)


def _fitted(name: str, X: pd.DataFrame, y: Any) -> Any:
    made = estimators.build(name, numeric=NUMERIC, categorical=TEXTS, parameters={}, class_weight="none", seed=0)
    return made.fit(X, y)


def _margins(pipeline: Any, X: pd.DataFrame) -> Any:
    return getattr(pipeline, margin_method(pipeline))(X)


HEADERS = ["model", "one row, ms (p50 / p99)", "× the model", "explained, ms (p50 / p99)", "× the model",
           "rows/s in bulk", "× the model", "made in s"]  # fmt: skip
BENCHMARKS = {"process": (HEADERS, process)}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(BENCHMARKS))
    for name in parser.parse_args().names:
        headers, benchmark = BENCHMARKS[name]
        with threadpool_limits(limits=1):
            harness.print_table(headers, list(benchmark()))


if __name__ == "__main__":
    main()

"""Would more rows help? One estimator, trained on more and more of the customers, judged on the same holdout rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import msgspec
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from churnwatch.pipeline.ensembles import parts
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.metrics import METRICS
from churnwatch.pipeline.overfitting import Estimate, Floats, estimates, gaps, mean
from churnwatch.pipeline.row_bootstrap import log_losses
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.train import Candidate, Untrainable, train

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)  # of the training customers
_PANELS = ("f1", "roc_auc", "log_loss")


@dataclass(frozen=True)
class Point:
    """A model that learned from some of the customers.

    Attributes:
        rows: how many rows it learned from.
        train: its metrics on these.
        holdout: its metrics on the holdout.
        losses: (n,) its log loss on each holdout row.
    """

    rows: int
    train: dict[str, Estimate]
    holdout: dict[str, Estimate]
    losses: Floats


def measure(
    candidate: Candidate,
    rows: Rows,
    judged: Rows,
    training: Training,
    *,
    numeric: tuple[str, ...],
    categorical: tuple[str, ...],
) -> Iterator[Point]:
    """Yield the points of the curve, fewest rows first; the last is the candidate itself.

    Each set of customers is part of the next one. Where too few rows can be trained on, there is no point.

    Args:
        candidate: trained on all rows; the others have its estimator and parameters, and thresholds of their own.
        rows: what it learned from, in its window.
        judged: the holdout.
        training: how it was trained.
        numeric: columns of numbers.
        categorical: columns of texts.
    """
    found_before = {each.estimator: each.parameters for each in candidate.searches}
    alike = msgspec.structs.replace(
        training,
        mode="refit",
        estimators=(candidate.estimator, *parts(training.estimators)),  # of which an ensemble is made; else unused
        parameters={**training.parameters, **found_before, candidate.estimator: candidate.parameters},
        window="all",
        half_life=candidate.window.half_life,
    )
    drawn = _drawn(rows, training.seed)
    for share in SHARES[:-1]:
        part = rows.where(drawn < share)
        try:
            found = train(part, alike, numeric=numeric, categorical=categorical)
        except DataError:
            continue  # an estimator that needs more rows
        if not isinstance(found, Untrainable):
            yield _point(found, part, judged)
    yield _point(candidate, rows, judged)


def _drawn(rows: Rows, seed: int) -> Floats:
    """Return a number from 0 to 1 for each row, the same for all rows of a customer."""
    numbers = pd.Series(np.arange(len(rows)), index=rows.X.index).astype("str")
    names = numbers if rows.ids is None else rows.ids.fillna(numbers)
    hashed = pd.util.hash_pandas_object(names.astype("object"), index=False, hash_key=f"{seed:016d}"[-16:])
    return hashed.to_numpy() / 2.0**64


def _point(model: Candidate, learned: Rows, judged: Rows) -> Point:
    seen, unseen = model.probabilities(learned), model.probabilities(judged)
    return Point(
        len(learned),
        estimates(learned.y, seen, threshold=model.threshold),
        estimates(judged.y, unseen, threshold=model.threshold),
        log_losses(judged.y, unseen),
    )


# -- what it says ------------------------------------------------------------------------------------------------


def verdict(points: Sequence[Point], *, most: float) -> str:
    """Say what a curve says: do more rows help, and has the model learned by heart?

    Two of its models are compared on the same holdout rows, row by row: the last, and the one of at most half its rows.

    Args:
        points: of the curve.
        most: `training.max_gap`.
    """
    fewer = [point for point in points if 2 * point.rows <= points[-1].rows]
    fell = mean(fewer[-1].losses - points[-1].losses) if fewer else None
    if fell is None:
        return "There are too few rows for a learning curve."
    sentence = _of_rows(f"from {fewer[-1].rows:,} to {points[-1].rows:,} rows the log loss on the holdout", fell)
    gap = gaps(points[-1].train, points[-1].holdout).get("f1")
    if gap is None or gap.low <= most:
        return sentence
    return f"{sentence} The gap of F1 to the training rows ({gap.in_words}) says that the model has learned by heart."


def _of_rows(what: str, fell: Estimate) -> str:
    if fell.low > 0:
        return f"More rows would still help: {what} fell (by {fell.in_words})."
    if fell.high < 0:
        return f"More rows made it no better: {what} rose (by {(-fell).in_words})."
    return f"The curve is flat, as far as the holdout can tell: {what} hardly changed (by {(-fell).in_words})."


def draw(points: Sequence[Point], path: Path, *, title: str) -> None:
    """Draw a curve: each metric on the holdout and on the training rows, with its interval, as SVG.

    Args:
        points: of the curve.
        path: of the SVG.
        title: a line above the picture.
    """
    with mpl.rc_context({"svg.hashsalt": "churnwatch"}):
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        for axes, metric in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
            _line(axes, [(p.rows, p.train[metric]) for p in points if metric in p.train], "training rows")
            _line(axes, [(p.rows, p.holdout[metric]) for p in points if metric in p.holdout], "holdout")
            axes.set_title(METRICS[metric].title, fontsize=10)
            axes.set_xlabel("rows learned from")
            axes.legend(frameon=False, fontsize=8)
        figure.suptitle(title, fontsize=11)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _line(axes: Axes, points: Sequence[tuple[int, Estimate]], label: str) -> None:
    rows, found = [rows for rows, _ in points], [each for _, each in points]
    [line] = axes.plot(rows, [each.value for each in found], marker="o", label=label)
    axes.fill_between(rows, [each.low for each in found], [each.high for each in found], alpha=0.15,
                      color=line.get_color(), linewidth=0)  # fmt: skip

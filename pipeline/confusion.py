"""The confusion matrix as a picture, for the version's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure


def draw(metrics: Mapping[str, float], path: Path, *, title: str) -> None:
    """Draw the four counts of a model's decisions against the truth.

    Args:
        metrics: with true_negatives, false_positives, false_negatives, true_positives.
        path: of the PNG.
        title: a line above the picture.
    """
    counts = [[metrics["true_negatives"], metrics["false_positives"]],
              [metrics["false_negatives"], metrics["true_positives"]]]  # fmt: skip
    figure = Figure(figsize=(4.2, 3.8), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues", vmin=0)
    middle = max(max(row) for row in counts) / 2
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            axes.text(x, y, f"{count:,.0f}", ha="center", va="center", fontsize=14,
                      color="white" if count > middle else "black")  # fmt: skip
    axes.set_xticks([0, 1], ["stays", "leaves"])
    axes.set_yticks([0, 1], ["stayed", "left"])
    axes.set_xlabel("predicted")
    axes.set_ylabel("what happened")
    axes.set_title(title, fontsize=10)
    figure.savefig(path, format="png", metadata={"Software": None})

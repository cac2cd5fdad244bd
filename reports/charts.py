"""The report's charts: values in, inline SVG out. Each comes wide and narrow; the style sheet shows one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from churnwatch.pipeline.metrics import METRICS, Metric
from churnwatch.reports import words
from churnwatch.reports.chart_parts import FEWEST_RUNS, NARROW, Chart, both, columns, frame, label_ends, number_runs
from churnwatch.reports.model_facts import Matrix, Point, TenthRow
from churnwatch.reports.svg import (
    BLUE,
    MUTED,
    ORANGE,
    PAPER,
    RULE,
    Canvas,
    canvas,
)

MOST_WIDE, MOST_NARROW = 60, 30  # runs in the chart of the headline metric


def metric_chart(points: Sequence[Point], metric: str) -> Chart | None:
    """Draw a metric over runs: on new batches before learning, of candidates on the holdout, and who was released."""
    if len(points) < FEWEST_RUNS:
        return None
    of = METRICS[metric]
    described = "; ".join(_point_words(point, metric) for point in points[-12:])
    svgs = both("metric", f"{_title(of)} over runs", described,
                 lambda surface, wide: _draw_metric(surface, points, metric, wide=wide), (330, 290))  # fmt: skip
    return Chart(svgs)


def _title(of: Metric) -> str:
    return of.title[0].upper() + of.title[1:]


def _point_words(point: Point, metric: str) -> str:
    in_use, holdout = words.told(point.in_use, metric, 2), words.told(point.holdout, metric, 2)
    said = [f"run {point.run}: new batches {in_use}, holdout {holdout}"]
    return ", ".join([*said, f"v{point.candidate} {point.decision}"] if point.decision else said)


def _draw_metric(surface: Canvas, points: Sequence[Point], metric: str, *, wide: bool) -> None:
    of = METRICS[metric]
    points = points[-MOST_WIDE:] if wide else points[-MOST_NARROW:]
    axes = surface.axes(left=54 if of.relative else 34, right=98 if wide else 84, top=34, bottom=30)
    baseline = [(x, point.baseline) for x, point in enumerate(points) if point.baseline is not None]
    in_use = [(x, point.in_use) for x, point in enumerate(points) if point.in_use is not None]
    holdout = [(x, point.holdout) for x, point in enumerate(points) if point.holdout is not None]
    ends = [each for point in points for each in (point.in_use_low, point.in_use_high) if each is not None]
    frame(
        axes,
        [*(value for _, value in (*baseline, *in_use, *holdout)), *ends],
        len(points),
        most=math.inf if of.relative else 1.0,
    )
    number_runs(surface, axes, [point.run for point in points], wide=wide)
    _mark_releases(surface, axes, points, wide=wide)
    crowded = len(points) > (40 if wide else 20)
    axes.plot(*columns(baseline), color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    dots: dict[str, Any] = {"marker": None if crowded else "o", "markersize": 4.5, "markeredgewidth": 0}
    band = [(x, point.in_use_low, point.in_use_high) for x, point in enumerate(points) if point.in_use_low is not None]
    axes.fill_between(*(zip(*band, strict=True) if band else ((), (), ())), color=BLUE, alpha=0.16, linewidth=0)
    axes.plot(*columns(in_use), color=BLUE, linewidth=2.2, solid_capstyle="round", **dots)
    for promotes, fill in ((False, PAPER), (True, ORANGE)):
        some = [(x, value) for x, value in holdout if points[x].promotes is promotes]
        rings: dict[str, Any] = {
            "marker": "o",
            "markersize": 4.0 if crowded else 6.5,
            "markeredgewidth": 1.6,
            "markerfacecolor": fill,
        }
        axes.plot(*columns(some), color=ORANGE, linestyle="none", **rings)
    for x, point in enumerate(points):
        for value in (each for each in (point.in_use, point.holdout) if each is not None):
            surface.tell(axes, x, value, _point_words(point, metric))
    lines = [(baseline, "baseline", MUTED), (in_use, "new batches", BLUE), (holdout, "holdout", ORANGE)]
    label_ends(surface, axes, [(some[-1][1], name, colour) for some, name, colour in lines if some], len(points))


def _mark_releases(surface: Canvas, axes: Axes, points: Sequence[Point], *, wide: bool) -> None:
    """Draw a line where a version was released, with its name and the decision above; what would touch is left out."""
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    pixels = axes.get_position().width * surface.width / (right - left)
    free = float("inf")
    for place in range(len(points) - 1, -1, -1):
        point = points[place]
        if not point.promotes:
            continue
        axes.plot([place, place], [low, high], color=RULE, linewidth=1)
        version = f"v{point.candidate}"
        for name in (f"{version} {point.decision}", version) if wide else (version,):
            half = 2 + 3.5 * len(name)
            if place * pixels + half <= free:
                surface.write(axes, place, high + 0.06 * (high - low), name, ha="center", fontweight="bold")
                free = place * pixels - half
                break


def tenths_chart(tenths: Sequence[TenthRow]) -> Chart | None:
    """Draw what was expected of each tenth of the holdout, the highest first, beside what came."""
    if not tenths:
        return None
    described = "; ".join(
        f"tenth {row.tenth}: expected {words.amount(row.expected)}, came {words.amount(row.real)}" for row in tenths
    )
    svgs = both("tenths", "Expected and real amount by tenths", described,
                 lambda surface, _: _draw_tenths(surface, tenths), (240, 220))  # fmt: skip
    return Chart(svgs, (("blue", "what came"), ("orange", "what was expected")))


def _draw_tenths(surface: Canvas, tenths: Sequence[TenthRow]) -> None:
    axes = surface.axes(left=54, right=4, top=12, bottom=30)
    places, real = range(len(tenths)), [row.real for row in tenths]
    expected = [row.expected for row in tenths]
    axes.bar(places, real, width=0.62, color=BLUE, alpha=0.45, linewidth=0)
    axes.plot(places, expected, color=ORANGE, marker="o", markersize=5.5, markeredgewidth=0, linewidth=1.6)
    low, high = min(0.0, *real, *expected), max(0.0, *real, *expected)
    axes.set(xlim=(-0.5, len(tenths) - 0.5), ylim=(1.08 * low, 1.08 * high or 1))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xticks(list(places), [surface.token(f"{row.tenth}") for row in tenths])


def matrix_chart(matrix: Matrix | None) -> Chart | None:
    """Draw a model's decisions against what happened."""
    if matrix is None or not matrix.rows:
        return None
    cells = (
        (0, 1, matrix.true_positives, "rightly named", BLUE),
        (1, 1, matrix.false_negatives, "missed", ORANGE),
        (0, 0, matrix.false_positives, "false alarm", ORANGE),
        (1, 0, matrix.true_negatives, "rightly left alone", BLUE),
    )
    described = ", ".join(f"{name}: {count:,}" for _, _, count, name, _ in cells)
    with canvas(NARROW, 236) as surface:
        axes = surface.axes(left=54, right=0, top=26, bottom=0)
        axes.set(xlim=(0, 2), ylim=(0, 2), xticks=[], yticks=[])
        for x, y, count, name, colour in cells:
            _cell(surface, axes, (x, y), count=count, name=name, colour=colour, part=count / matrix.rows)
        for at, name in ((0.5, "model says: leaves"), (1.5, "model says: stays")):
            surface.write(axes, at, 2.12, name, ha="center", color=MUTED)
        for at, name in ((1.5, "left"), (0.5, "stayed")):
            surface.write(axes, -0.05, at, name, ha="right", color=MUTED)
        drawn = surface.finish("matrix", "Confusion matrix", described, "small")
    return Chart((drawn.svg,))


def _cell(surface: Canvas, axes: Axes, at: tuple[int, int], *, count: int, name: str, colour: str, part: float) -> None:
    """Draw one cell, the stronger the more rows it has, but never so strong that its text cannot be read."""
    x, y = at
    xs, ys = (x + 0.01, x + 0.99), (y + 0.015, y + 0.985)
    axes.fill([xs[0], xs[1], xs[1], xs[0]], [ys[0], ys[0], ys[1], ys[1]], facecolor=colour, alpha=0.1 + 0.34 * part,
              linewidth=0)  # fmt: skip
    surface.write(axes, x + 0.5, y + 0.58, f"{count:,}", ha="center", fontsize=21, fontweight="bold")
    surface.write(axes, x + 0.5, y + 0.28, f"{name}, {words.share(part)}", ha="center")

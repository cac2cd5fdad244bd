"""The report's charts: values in, inline SVG out. Each comes wide and narrow; the style sheet shows one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from churnwatch.pipeline.metrics import METRICS, Metric
from churnwatch.reports import words
from churnwatch.reports.facts import Matrix, Missing, MissingRow, Point, TenthRow, Timings
from churnwatch.reports.svg import (
    BLUE,
    GREY,
    MUTED,
    ORANGE,
    PAPER,
    RULE,
    TEAL,
    TEXT,
    Canvas,
    canvas,
)

WIDE, NARROW = 720, 350  # pixels: the reading column, and a phone's
FEWEST_RUNS = 2  # below it a chart over runs shows nothing that a sentence does not
MOST_SPARKLINES = 12
MOST_WIDE, MOST_NARROW = 60, 30  # runs in the chart of the headline metric
_STEP_COLOURS = ((BLUE, "blue"), (TEAL, "teal"), (ORANGE, "orange"))  # by how much time they take


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart in one or two sizes, and the key to its colours: class and name."""

    svgs: tuple[str, ...]
    key: tuple[tuple[str, str], ...] = ()


def _both(
    identity: str, title: str, described: str, draw: Callable[[Canvas, bool], None], heights: tuple[int, int]
) -> tuple[str, ...]:
    """Draw for the reading column and for a phone."""
    found = []
    for name, width, height in (("wide", WIDE, heights[0]), ("narrow", NARROW, heights[1])):
        with canvas(width, height) as surface:
            draw(surface, name == "wide")
            found.append(surface.finish(f"{identity}-{name}", title, described, name).svg)
    return tuple(found)


# -- the headline metric over runs -----------------------------------------------------------------------------


def metric_chart(points: Sequence[Point], metric: str) -> Chart | None:
    """Draw a metric over runs: on new batches before learning, of candidates on the holdout, and who was released."""
    if len(points) < FEWEST_RUNS:
        return None
    of = METRICS[metric]
    described = "; ".join(_point_words(point, metric) for point in points[-12:])
    svgs = _both("metric", f"{_title(of)} over runs", described,
                 lambda surface, wide: _draw_metric(surface, points, of, wide=wide), (330, 290))  # fmt: skip
    return Chart(svgs)


def _title(of: Metric) -> str:
    return of.title[0].upper() + of.title[1:]


def _point_words(point: Point, metric: str) -> str:
    in_use, holdout = words.told(point.in_use, metric, 2), words.told(point.holdout, metric, 2)
    said = [f"run {point.run}: new batches {in_use}, holdout {holdout}"]
    return ", ".join([*said, f"v{point.candidate} {point.decision}"] if point.decision else said)


def _draw_metric(surface: Canvas, points: Sequence[Point], of: Metric, *, wide: bool) -> None:
    points = points[-MOST_WIDE:] if wide else points[-MOST_NARROW:]
    axes = surface.axes(left=54 if of.relative else 34, right=98 if wide else 84, top=34, bottom=30)
    baseline = [(x, point.baseline) for x, point in enumerate(points) if point.baseline is not None]
    in_use = [(x, point.in_use) for x, point in enumerate(points) if point.in_use is not None]
    holdout = [(x, point.holdout) for x, point in enumerate(points) if point.holdout is not None]
    _frame(
        axes, [value for _, value in (*baseline, *in_use, *holdout)], len(points), most=math.inf if of.relative else 1.0
    )
    _number_runs(surface, axes, [point.run for point in points], wide=wide)
    _mark_releases(surface, axes, points)
    crowded = len(points) > (40 if wide else 20)
    axes.plot(*_columns(baseline), color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    dots: dict[str, Any] = {"marker": None if crowded else "o", "markersize": 4.5, "markeredgewidth": 0}
    axes.plot(*_columns(in_use), color=BLUE, linewidth=2.2, solid_capstyle="round", **dots)
    for promotes, fill in ((False, PAPER), (True, ORANGE)):
        some = [(x, value) for x, value in holdout if points[x].promotes is promotes]
        rings: dict[str, Any] = {
            "marker": "o",
            "markersize": 4.0 if crowded else 6.5,
            "markeredgewidth": 1.6,
            "markerfacecolor": fill,
        }
        axes.plot(*_columns(some), color=ORANGE, linestyle="none", **rings)
    ends = [(baseline, "baseline", MUTED), (in_use, "new batches", BLUE), (holdout, "holdout", ORANGE)]
    _label_ends(surface, axes, [(some[-1][1], name, colour) for some, name, colour in ends if some], len(points))


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _frame(axes: Axes, values: Sequence[float], slots: int, *, most: float) -> None:
    """Set limits with air around the values, none above `most`, and light horizontal lines to read them by."""
    low, high = min(values), max(values)
    air = max(0.03 if most < math.inf else 0.03 * high, 0.12 * (high - low))
    axes.set_ylim(max(0.0, low - air), min(most, high + air) if high < most else 1.02)
    axes.set_xlim(-0.4, slots - 0.6)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)


def _number_runs(surface: Canvas, axes: Axes, runs: Sequence[int], *, wide: bool) -> None:
    """Write some of the runs' numbers below, the newest always."""
    most = 10 if wide else 5
    step = -(-len(runs) // most)
    places = list(range(len(runs) - 1, -1, -step))
    labels = [f"{runs[place]}" for place in places]
    labels[-1] = f"run {labels[-1]}"
    axes.set_xticks(places, [surface.token(label) for label in labels])


def _mark_releases(surface: Canvas, axes: Axes, points: Sequence[Point]) -> None:
    """Draw a line where a version was released, with its name above; names that would touch are left out."""
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    pixels = axes.get_position().width * surface.width / (right - left)
    free = float("inf")
    for place in range(len(points) - 1, -1, -1):
        point = points[place]
        if not point.promotes:
            continue
        axes.plot([place, place], [low, high], color=RULE, linewidth=1)
        name = f"v{point.candidate}"
        need = 4 + 7 * len(name)
        if free - place * pixels >= need:
            surface.write(axes, place, high + 0.06 * (high - low), name, ha="center", fontweight="bold")
            free = place * pixels


def _label_ends(
    surface: Canvas, axes: Axes, ends: Sequence[tuple[float, str, str]], slots: int, gap: float = TEXT + 4
) -> None:
    """Name each series at its right end, pushed apart where they would touch."""
    low, high = axes.get_ylim()
    unit = (high - low) / (axes.get_position().height * surface.height)  # one pixel in data units
    place = low - gap * unit
    for value, name, colour in sorted(ends):
        place = max(value, place + gap * unit)
        surface.write(axes, slots - 0.6 + 0.02 * slots, place, name, ha="left", color=colour, fontweight="bold")


# -- expected and real amounts ---------------------------------------------------------------------------------


def tenths_chart(tenths: Sequence[TenthRow]) -> Chart | None:
    """Draw what was expected of each tenth of the holdout, the highest first, beside what came."""
    if not tenths:
        return None
    described = "; ".join(
        f"tenth {row.tenth}: expected {words.amount(row.expected)}, came {words.amount(row.real)}" for row in tenths
    )
    svgs = _both("tenths", "Expected and real amount by tenths", described,
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


# -- confusion matrix ------------------------------------------------------------------------------------------


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


# -- timings ---------------------------------------------------------------------------------------------------


def timing_chart(timings: Timings) -> Chart | None:
    """Draw wall time by step, run by run: the steps that take most, and the rest together."""
    if len(timings.runs) < FEWEST_RUNS:
        return None
    totals = {row.step: sum(walls.get(row.step, 0.0) for _, walls in timings.runs) for row in timings.steps}
    top = sorted(totals, key=lambda step: -totals[step])[: len(_STEP_COLOURS)]
    stack = [(step, colour, name) for step, (colour, name) in zip(top, _STEP_COLOURS, strict=False)]
    stack.sort(key=lambda each: list(totals).index(each[0]))
    described = "; ".join(f"run {run}: {words.duration(sum(walls.values()))}" for run, walls in timings.runs[-12:])
    svgs = _both("timings", "Wall time by step and run", described,
                 lambda surface, wide: _draw_timings(surface, timings, stack, wide=wide), (260, 240))  # fmt: skip
    rest = (("grey", "all other steps"),) if len(totals) > len(top) else ()
    return Chart(svgs, (*((name, step) for step, _, name in stack), *rest))


def _draw_timings(surface: Canvas, timings: Timings, stack: Sequence[tuple[str, str, str]], *, wide: bool) -> None:
    axes = surface.axes(left=46, right=4, top=12, bottom=30)
    runs = [run for run, _ in timings.runs]
    layers = [([walls.get(step, 0.0) for _, walls in timings.runs], colour) for step, colour, _ in stack]
    named = {step for step, _, _ in stack}
    layers.append(([_rest(walls, named) for _, walls in timings.runs], GREY))
    slots = max(len(runs), 6)  # few bars are not to become walls
    floor = [0.0] * len(runs)
    for heights, colour in layers:
        axes.bar(range(len(runs)), heights, bottom=floor, width=0.62, color=colour, linewidth=0)
        floor = [low + height for low, height in zip(floor, heights, strict=True)]
    axes.set(xlim=(-0.5, slots - 0.5), ylim=(0, max(floor) * 1.05 or 1))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 3, 5, 6, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    _number_runs(surface, axes, runs, wide=wide)


def _rest(walls: Mapping[str, float], named: set[str]) -> float:
    return sum(wall for step, wall in walls.items() if step not in named)


def _tick(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 120 else f"{seconds:g} s"  # noqa: PLR2004 - two minutes


# -- missing values --------------------------------------------------------------------------------------------


def missing_chart(missing: Missing) -> Chart | None:
    """Draw the share of missing values over runs, one line of hills for each column, all on one scale."""
    rows = missing.columns.shown[:MOST_SPARKLINES]
    if not rows or len(missing.runs) < FEWEST_RUNS:
        return None
    described = "; ".join(f"{row.column}: at most {words.share(row.highest)}" for row in rows)
    height = 24 + 30 * len(rows)
    svgs = _both("missing", "Share of missing values over runs", described,
                 lambda surface, wide: _draw_missing(surface, missing, rows, wide=wide), (height, height))  # fmt: skip
    return Chart(svgs)


def _draw_missing(surface: Canvas, missing: Missing, rows: Sequence[MissingRow], *, wide: bool) -> None:
    left, characters = (170, 24) if wide else (104, 14)
    axes = surface.axes(left=left, right=56, top=2, bottom=22)
    slots = len(missing.runs)
    gap = 9 * (slots - 1) / (surface.width - left - 56)  # nine pixels
    axes.set(xlim=(0, slots - 1), ylim=(-len(rows) + 0.9, 1), yticks=[])
    scale = 0.78 / max(row.highest for row in rows)
    for number, row in enumerate(rows):
        _hills(axes, row, -number, scale)
        surface.write(axes, -gap, 0.22 - number, words.plain(row.column, characters), ha="right")
        newest = row.shares[-1]
        surface.write(axes, slots - 1 + gap, 0.22 - number, words.share(newest), ha="left", color=MUTED)
    axes.set_xticks([0, slots - 1], [surface.token(f"run {missing.runs[0]}"), surface.token(f"{missing.runs[-1]}")])


def _hills(axes: Axes, row: MissingRow, base: float, scale: float) -> None:
    """Draw one column; where a run did not have it there is a gap, and dots keep what stands between gaps visible."""
    places = list(range(len(row.shares)))
    tops = [math.nan if share is None else base + scale * share for share in row.shares]
    dots = "o" if None in row.shares else None
    axes.plot([0, places[-1]], [base, base], color=RULE, linewidth=0.8, clip_on=False)
    axes.fill_between(places, base, tops, color=BLUE, alpha=0.22, linewidth=0)
    axes.plot(places, tops, color=BLUE, linewidth=1.5, clip_on=False, marker=dots, markersize=2.5, markeredgewidth=0)

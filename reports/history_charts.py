"""Charts of what the ledger has of many runs: time by step, missing values by column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from churnwatch.reports import words
from churnwatch.reports.chart_parts import FEWEST_RUNS, Chart, both, number_runs
from churnwatch.reports.data_facts import Missing, MissingRow
from churnwatch.reports.svg import (
    BLUE,
    GREY,
    MUTED,
    ORANGE,
    RULE,
    TEAL,
    Canvas,
)
from churnwatch.reports.work_facts import Timings

MOST_SPARKLINES = 12
_STEP_COLOURS = ((BLUE, "blue"), (TEAL, "teal"), (ORANGE, "orange"))  # by how much time they take


def timing_chart(timings: Timings) -> Chart | None:
    """Draw wall time by step, run by run: the steps that take most, and the rest together."""
    if len(timings.runs) < FEWEST_RUNS:
        return None
    totals = {row.step: sum(walls.get(row.step, 0.0) for _, walls in timings.runs) for row in timings.steps}
    top = sorted(totals, key=lambda step: -totals[step])[: len(_STEP_COLOURS)]
    stack = [(step, colour, name) for step, (colour, name) in zip(top, _STEP_COLOURS, strict=False)]
    stack.sort(key=lambda each: list(totals).index(each[0]))
    described = "; ".join(f"run {run}: {words.duration(sum(walls.values()))}" for run, walls in timings.runs[-12:])
    svgs = both("timings", "Wall time by step and run", described,
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
    number_runs(surface, axes, runs, wide=wide)


def _rest(walls: Mapping[str, float], named: set[str]) -> float:
    return sum(wall for step, wall in walls.items() if step not in named)


def _tick(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 120 else f"{seconds:g} s"  # noqa: PLR2004 - two minutes


def missing_chart(missing: Missing) -> Chart | None:
    """Draw the share of missing values over runs, one line of hills for each column, all on one scale."""
    rows = missing.columns.shown[:MOST_SPARKLINES]
    if not rows or len(missing.runs) < FEWEST_RUNS:
        return None
    described = "; ".join(f"{row.column}: at most {words.share(row.highest)}" for row in rows)
    height = 24 + 30 * len(rows)
    svgs = both("missing", "Share of missing values over runs", described,
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

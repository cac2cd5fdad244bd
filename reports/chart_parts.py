"""What several charts are made of: two sizes, frames, numbers of runs, names at the ends of lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from churnwatch.reports.svg import RULE, TEXT, Canvas, canvas

WIDE, NARROW = 720, 350  # pixels: the reading column, and a phone's
FEWEST_RUNS = 2  # below it a chart over runs shows nothing that a sentence does not


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart in one or two sizes, and the key to its colours: class and name."""

    svgs: tuple[str, ...]
    key: tuple[tuple[str, str], ...] = ()


def both(
    identity: str, title: str, described: str, draw: Callable[[Canvas, bool], None], heights: tuple[int, int]
) -> tuple[str, ...]:
    """Draw for the reading column and for a phone."""
    found = []
    for name, width, height in (("wide", WIDE, heights[0]), ("narrow", NARROW, heights[1])):
        with canvas(width, height) as surface:
            draw(surface, name == "wide")
            found.append(surface.finish(f"{identity}-{name}", title, described, name).svg)
    return tuple(found)


def columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the first and the second of each pair."""
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def frame(axes: Axes, values: Sequence[float], slots: int, *, most: float) -> None:
    """Set limits with air around the values, none above `most`, and light horizontal lines to read them by."""
    low, high = min(values), max(values)
    air = max(0.03 if most < math.inf else 0.03 * high, 0.12 * (high - low))
    axes.set_ylim(max(0.0, low - air), min(most, high + air) if high < most else 1.02)
    axes.set_xlim(-0.4, slots - 0.6)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)


def number_runs(surface: Canvas, axes: Axes, runs: Sequence[int], *, wide: bool) -> None:
    """Write some of the runs' numbers below, the newest always."""
    most = 10 if wide else 5
    step = -(-len(runs) // most)
    places = list(range(len(runs) - 1, -1, -step))
    labels = [f"{runs[place]}" for place in places]
    labels[-1] = f"run {labels[-1]}"
    axes.set_xticks(places, [surface.token(label) for label in labels])


def label_ends(
    surface: Canvas, axes: Axes, ends: Sequence[tuple[float, str, str]], slots: int, gap: float = TEXT + 4
) -> None:
    """Name each series at its right end, pushed apart where they would touch."""
    low, high = axes.get_ylim()
    unit = (high - low) / (axes.get_position().height * surface.height)  # one pixel in data units
    place = low - gap * unit
    for value, name, colour in sorted(ends):
        place = max(value, place + gap * unit)
        surface.write(axes, slots - 0.6 + 0.02 * slots, place, name, ha="left", color=colour, fontweight="bold")

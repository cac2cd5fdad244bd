"""A first look at a file → one HTML page that needs nothing else."""

from __future__ import annotations

import io
import itertools
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jinja2
import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from churnwatch.pipeline.firstlook.column_types import one_line
from churnwatch.pipeline.firstlook.exploration import Bucket, ColumnLook, Exploration
from churnwatch.pipeline.firstlook.explore_text import number
from churnwatch.pipeline.settings import ColumnType

# Colours that stand for the page's own, so that one drawing serves by day and by night.
_COLOURS = {"#010101": "var(--ink)", "#020202": "var(--bar)", "#030303": "var(--rate)", "#040404": "var(--line)"}
_INK, _BAR, _RATE, _LINE = _COLOURS
_LEVEL_LABEL = 5  # characters; ten longer ones would run into each other
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # letters, not outlines: small, and read by a screen reader
    "svg.hashsalt": "churnwatch",  # the same file gives the same page
    "text.parse_math": False,
    "axes.edgecolor": _LINE,
    "axes.titlecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "font.size": 9,
}


def render_html(exploration: Exploration) -> str:
    """Return the first look as one self-contained page."""
    return _template().render(found=exploration, parts=_parts(exploration))


def chart(look: ColumnLook, rate: float | None) -> Markup:
    """Draw how a column's numbers are distributed and, beside it, how many left in each of its tenths."""
    tenths = [bucket for bucket in look.buckets if bucket.rate is not None and not bucket.gathered]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.6, 1.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_histogram(left, look)
        if rate is not None and tenths and look.part != "target":
            _draw_rates(right, tenths, rate)
        else:
            right.set_axis_off()
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return Markup(_inline(out.getvalue(), _alt(look)))  # noqa: S704  (drawn here, from numbers only)


def _draw_histogram(axes: Axes, look: ColumnLook) -> None:
    if look.histogram is None:
        axes.set_axis_off()
        return
    edges, counts = look.histogram.edges, look.histogram.counts
    widths = [high - low for low, high in itertools.pairwise(edges)]
    axes.bar(edges[:-1], counts, width=widths, align="edge", color=_BAR, edgecolor="none", linewidth=0)
    axes.set_title("rows", loc="left", fontsize=9)
    is_date = look.type is ColumnType.DATE
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _day(x) if is_date else number(x)))
    axes.xaxis.set_major_locator(MaxNLocator(3 if is_date else 5))
    _plain(axes)


def _day(seconds: float) -> str:
    return str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).date())


def _draw_rates(axes: Axes, tenths: list[Bucket], rate: float) -> None:
    places = range(len(tenths))
    axes.bar(places, [bucket.rate or 0.0 for bucket in tenths], width=0.8, color=_RATE)
    axes.axhline(rate, color=_INK, linewidth=0.8, linestyle=(0, (4, 3)))
    by_value = not any(" to " in bucket.label for bucket in tenths)
    axes.set_title("share that left, by value" if by_value else "share that left, from lowest to highest tenth",
                   loc="left", fontsize=9)  # fmt: skip
    shown = [bucket.label.split(" to ")[0] for bucket in tenths]
    slanted = 30 if max(map(len, shown)) > _LEVEL_LABEL else 0
    axes.set_xticks(list(places), shown, fontsize=8, rotation=slanted)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0%}"))
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.grid(axis="y", color=_LINE, linewidth=0.5)
    axes.set_axisbelow(True)


def _inline(svg: str, alt: str) -> str:
    """Make a drawing part of the page: no prologue, no ids that another drawing has too, the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(<svg [^>]*?)width="[^"]*" *', r"\1", svg)
    svg = re.sub(r'(<svg [^>]*?)height="[^"]*" *', r"\1", svg)
    for stand_in, colour in _COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{alt}" ', 1)


def _alt(look: ColumnLook) -> str:
    of = look.profile
    if look.span is not None:
        return f"from {look.span[0]} to {look.span[1]}"
    return f"from {number(of.minimum)} to {number(of.maximum)}, median {number(of.median)}"


def _parts(found: Exploration) -> list[tuple[ColumnLook, Markup | None]]:
    """Give each column with more than one value to show its chart, if it is one of numbers or dates."""
    return [
        (look, None if look.type is ColumnType.TEXT else chart(look, found.rate))
        for look in found.columns
        if look.varies
    ]


def _code(line: str) -> Markup:
    """Escape a line, and show what stands in backticks as a name."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(one_line(line, 400)))))  # noqa: S704  (just escaped)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("churnwatch.pipeline.firstlook"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "one_line": one_line, "code": _code}
    return environment.get_template("explore.html.j2")

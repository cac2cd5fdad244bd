"""Charts of customers: who moved between the buckets, what counts, what offers earn, how many leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from churnwatch.pipeline.records import MonthlyChurn
from churnwatch.reports import words
from churnwatch.reports.chart_parts import FEWEST_RUNS, NARROW, Chart, both
from churnwatch.reports.customer_facts import Earning, Reasons, Sorted
from churnwatch.reports.model_facts import Curves
from churnwatch.reports.svg import BLUE, GREY, INK, MUTED, ORANGE, RULE, TEAL, Canvas, canvas

_BUCKETS = {"A": ORANGE, "B": GREY, "C": BLUE}
_BEND = np.linspace(0, 1, 25)
_EASED = 3 * _BEND**2 - 2 * _BEND**3
_AIR = 0.03  # between two buckets, as a share of all customers
_LINES = (BLUE, ORANGE, TEAL)

Stack = Mapping[str | None, tuple[float, float]]


def moves_chart(found: Sorted) -> Chart | None:
    """Draw who was in which bucket before and is now, as bands between two stacks; None where nobody was before."""
    if not found.moves:
        return None
    pairs = {(each.from_bucket, each.to_bucket): each.customers for each in found.moves}
    described = "; ".join(
        f"from {came or 'nowhere'} to {to or 'nowhere'}: {number:,}" for (came, to), number in pairs.items()
    )
    svgs = both("moves", "Customers who moved between buckets", described,
                lambda surface, wide: _draw_moves(surface, pairs, wide=wide), (300, 280))  # fmt: skip
    return Chart(svgs)


def _draw_moves(surface: Canvas, pairs: Mapping[tuple[str | None, str | None], int], *, wide: bool) -> None:
    margin = 120 if wide else 84
    axes = surface.axes(left=margin, right=margin, top=24, bottom=4)
    befores = dict.fromkeys([*_BUCKETS, None], 0)
    afters = dict(befores)
    for (came, to), number in pairs.items():
        befores[came] += number
        afters[to] += number
    total = sum(pairs.values())
    left, right = _stacked(befores, total), _stacked(afters, total)
    axes.set(xlim=(0, 1), ylim=(1 + 3 * _AIR, 0), xticks=[], yticks=[])
    _flows(axes, pairs, left, right, total)
    for x, stack, sums, gone, align in ((-0.03, left, befores, "new", "right"), (1.03, right, afters, "gone", "left")):
        for bucket, (top, height) in stack.items():
            if sums[bucket]:
                surface.write(
                    axes, x, top + height / 2, f"{bucket or gone}  {sums[bucket]:,}", ha=align, fontweight="bold"
                )
    for x, name, align in ((-0.03, "before", "right"), (1.03, "now", "left")):
        surface.write(axes, x, -0.06, name, ha=align, color=MUTED)


def _stacked(sums: Mapping[str | None, int], total: int) -> Stack:
    """Return where each bucket begins and how high it is, from the top."""
    found, top = {}, 0.0
    for bucket, number in sums.items():
        found[bucket] = (top, number / total)
        top += number / total + (_AIR if number else 0)
    return found


def _flows(
    axes: Axes, pairs: Mapping[tuple[str | None, str | None], int], left: Stack, right: Stack, total: int
) -> None:
    at_left, at_right = ({bucket: top for bucket, (top, _) in stack.items()} for stack in (left, right))
    order: list[str | None] = [*_BUCKETS, None]
    for came, to in ((came, to) for came in order for to in order):
        height = pairs.get((came, to), 0) / total
        if not height:
            continue
        a, b = at_left[came], at_right[to]
        upper = a + (b - a) * _EASED
        moved = came != to
        axes.fill_between(_BEND, upper, upper + height, color=_BUCKETS.get(to or came or "C", GREY), linewidth=0,
                          alpha=0.75 if moved else 0.28)  # fmt: skip
        at_left[came] += height
        at_right[to] += height


def importance_chart(found: Reasons) -> Chart | None:
    """Draw by how much each column moves what the model says of a customer, on average."""
    former = found.former_version
    known = [(row.column, row.mean_absolute, row.former) for row in found.rows.shown if row.mean_absolute is not None]
    if not known:
        return None
    described = "; ".join(f"{column}: {value:.2f}" for column, value, _ in known)
    height = 30 + 24 * len(known)

    def draw(surface: Canvas) -> None:
        axes = _bars(surface, [column for column, *_ in known])
        values = [value for _, value, _ in known]
        axes.barh(range(len(known)), values, height=0.6, color=BLUE, alpha=0.8, linewidth=0)
        most = max(*values, *(each or 0.0 for *_, each in known)) or 1.0
        axes.set_xlim(0, 1.3 * most)
        for place, (_, value, before) in enumerate(known):
            surface.write(axes, 1.3 * most, place, f"{value:.2f}", ha="right", color=MUTED)
            if before is not None:
                axes.plot([before, before], [place - 0.38, place + 0.38], color=ORANGE, linewidth=2)

    svg = _drawn("importance", "Importance: mean absolute contribution", described, height, draw)
    key = (("blue", "the model in use"), ("orange", f"v{former} before it")) if former is not None else ()
    return Chart((svg,), key)


def permutation_chart(found: Reasons) -> Chart | None:
    """Draw what is lost on the holdout without each column, with 90 % intervals."""
    known = [
        (row.column, row.permutation, row.low, row.high)
        for row in found.rows.shown
        if row.permutation is not None and row.low is not None and row.high is not None
    ]
    if not known:
        return None
    described = "; ".join(f"{column}: {value:.4f} ({low:.4f} to {high:.4f})" for column, value, low, high in known)

    def draw(surface: Canvas) -> None:
        axes = _bars(surface, [column for column, *_ in known])
        axes.plot([0, 0], [-0.6, len(known) - 0.4], color=MUTED, linewidth=1)
        for place, (_, value, low, high) in enumerate(known):
            axes.plot([low, high], [place, place], color=BLUE, linewidth=2, alpha=0.5)
            axes.plot([value], [place], color=BLUE, marker="o", markersize=6, markeredgewidth=0)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.grid(axis="x", color=RULE, linewidth=0.8)

    svg = _drawn("permutation", "Permutation importance on the holdout", described, 30 + 24 * len(known), draw)
    return Chart((svg,))


def _bars(surface: Canvas, names: Sequence[str]) -> Axes:
    axes = surface.axes(left=128, right=10, top=4, bottom=24)
    axes.set(ylim=(len(names) - 0.4, -0.6), xticks=[])
    axes.set_yticks(range(len(names)), [surface.token(words.plain(name, 18)) for name in names])
    axes.tick_params(axis="y", colors=INK)
    axes.set_axisbelow(True)
    return axes


def profit_chart(earnings: Sequence[Earning], curves: Curves | None) -> Chart | None:
    """Draw what each offer would have earned on the holdout, by the probability from which on it is made."""
    if not earnings or curves is None:
        return None
    shown = earnings[: len(_LINES)]
    described = "; ".join(f"{each.offer}: at most {words.count(max(each.profits))}" for each in shown)
    x = curves.thresholds

    def draw(surface: Canvas) -> None:
        axes = surface.axes(left=54, right=18, top=30, bottom=44)
        low = max(-max(map(max, (each.profits for each in shown))), min(map(min, (each.profits for each in shown))))
        high = max(map(max, (each.profits for each in shown)))
        axes.set(xlim=(0, max(x)), ylim=(1.15 * min(low, 0.0) - 1e-9, 1.25 * max(high, 0.0) + 1e-9))
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.count(value)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axes.grid(color=RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.plot([0, max(x)], [0, 0], color=MUTED, linewidth=1)
        for each, colour in zip(shown, _LINES, strict=False):
            axes.plot(x, each.profits, color=colour, linewidth=2.2)
            best = each.profits.index(max(each.profits))
            axes.plot([x[best]], [each.profits[best]], color=colour, marker="o", markersize=7, markeredgewidth=0)
        lower, upper = axes.get_ylim()
        surface.write(axes, 0, upper + 0.07 * (upper - lower), "profit per 1,000 customers", ha="left", color=MUTED)
        surface.write(axes, max(x), lower - 0.16 * (upper - lower), "probability from which on it is made", ha="right",
                      color=MUTED)  # fmt: skip

    svg = _drawn("profit", "Threshold against profit", described, 300, draw)
    names = ("blue", "orange", "teal")
    return Chart((svg,), tuple((name, each.offer) for name, each in zip(names, shown, strict=False)))


def churn_chart(months: Sequence[MonthlyChurn]) -> Chart | None:
    """Draw the share of active customers who left, month by month, with its interval."""
    if len(months) < FEWEST_RUNS:
        return None
    described = "; ".join(f"{each.month}: {words.share(each.rate)} of {each.active:,}" for each in months)
    svgs = both("churn", "Monthly churn", described,
                lambda surface, wide: _draw_churn(surface, months, wide=wide), (260, 240))  # fmt: skip
    return Chart(svgs)


def _draw_churn(surface: Canvas, months: Sequence[MonthlyChurn], *, wide: bool) -> None:
    axes = surface.axes(left=44, right=70, top=14, bottom=30)
    places, rates = range(len(months)), [each.rate for each in months]
    axes.fill_between(places, [each.low for each in months], [each.high for each in months], color=BLUE, alpha=0.16,
                      linewidth=0)  # fmt: skip
    axes.plot(places, rates, color=BLUE, linewidth=2.2, marker="o", markersize=4.5, markeredgewidth=0)
    axes.set(xlim=(-0.2, len(months) - 0.8), ylim=(0, 1.1 * max(each.high for each in months)))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    step = -(-len(months) // (9 if wide else 4))
    shown = list(range(len(months) - 1, -1, -step))
    axes.set_xticks(shown, [surface.token(months[place].month) for place in shown])
    end = len(months) - 0.8 + 0.015 * len(months)
    surface.write(axes, end, rates[-1], words.share(rates[-1]), ha="left", color=BLUE, fontweight="bold")


def _drawn(identity: str, title: str, described: str, height: int, draw: Callable[[Canvas], None]) -> str:
    with canvas(NARROW, height) as surface:
        draw(surface)
        return surface.finish(identity, title, described, "cell").svg

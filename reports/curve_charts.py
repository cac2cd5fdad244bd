"""Charts of a model on the holdout, all drawn from the same cuts: one square each, two of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from churnwatch.reports import words
from churnwatch.reports.chart_parts import NARROW, Chart
from churnwatch.reports.model_facts import Bin, Curves
from churnwatch.reports.svg import BLUE, GREY, MUTED, ORANGE, PAPER, RULE, TEAL, Canvas, canvas

_HEIGHT = 300
_TOP_SHARES = (0.1, 0.2)  # of the customers, for what a gain says in words
Line = tuple[Sequence[float], Sequence[float]]
Captioned = tuple[str, Chart, str]


def drawn(curves: Curves | None, auc: float | None) -> list[Captioned]:
    """Return every chart of a model's curves with its title and its caption; nothing without curves."""
    if curves is None:
        return []
    found = (
        ("ROC", roc_chart(curves, auc), "Each point is a threshold. The further to the upper left, the better."),
        (
            "Precision and recall",
            precision_recall_chart(curves),
            "The more of the leavers are named, the more others are.",
        ),
        ("Gain", gain_chart(curves), "What calling a tenth or a fifth of the customers reaches."),
        ("Lift", lift_chart(curves), "How many times more leavers than on average."),
        (
            "Calibration",
            calibration_chart(curves),
            "On the line, probabilities mean what they say. Bars: 90 % intervals.",
        ),
        ("Threshold", threshold_chart(curves), _best(curves)),
    )
    return [(title, chart, caption) for title, chart, caption in found if chart is not None]


def _best(curves: Curves) -> str:
    most = max(curves.f1)
    there = curves.thresholds[curves.f1.index(most)]
    here = curves.f1[curves.place]
    return f"F1 is {here:.2f} at the threshold in use; on these rows it is most at {there:.2f}: {most:.2f}."


def roc_chart(curves: Curves, auc: float | None) -> Chart:
    """Draw the leavers that are named over those who stay and are named, threshold by threshold."""

    def draw(surface: Canvas) -> None:
        axes = _square(surface, "share of the stayers named", "share of the leavers named")
        _diagonal(surface, axes, "a coin", (0.3, 0.23))
        _curve(axes, (curves.false_positive_rates, curves.recalls))
        _at_threshold(surface, axes, curves, curves.false_positive_rates, curves.recalls)
        if auc is not None:
            surface.write(axes, 0.98, 0.06, f"area {auc:.2f}", ha="right", color=BLUE, fontweight="bold")

    points = _listed("stayers named", "leavers named", curves.false_positive_rates, curves.recalls)
    described = f"Area under the curve {words.score(auc, 2)}. {points}"
    return _drawn("roc", "ROC curve", described, draw)


def precision_recall_chart(curves: Curves) -> Chart:
    """Draw precision over recall, threshold by threshold, above the share that leaves anyway."""

    def draw(surface: Canvas) -> None:
        axes = _square(surface, "share of the leavers named (recall)", "of the named, who leave (precision)")
        axes.plot([0, 1], [curves.prevalence] * 2, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        surface.write(axes, 0.02, curves.prevalence + 0.04, "naming anybody", color=MUTED)
        _curve(axes, (curves.recalls[1:][curves.firm], curves.precisions[curves.firm]))
        _at_threshold(surface, axes, curves, curves.recalls, (curves.precisions[0], *curves.precisions))

    described = _listed("recall", "precision", curves.recalls[1:], curves.precisions)
    return _drawn("precision-recall", "Precision and recall", described, draw)


def gain_chart(curves: Curves) -> Chart:
    """Draw what share of the leavers is reached by calling so many customers, the likeliest first."""

    def draw(surface: Canvas) -> None:
        axes = _square(surface, "share of the customers called", "share of the leavers reached")
        _diagonal(surface, axes, "calling at random", (0.5, 0.435))
        _curve(axes, (curves.called, curves.recalls))
        for share in _TOP_SHARES:
            reached = curves.reached(share)
            axes.plot([share, share], [0, reached], color=RULE, linewidth=1)
            axes.plot([share], [reached], color=BLUE, marker="o", markersize=6, markeredgewidth=0)
            surface.write(axes, share + 0.03, reached - 0.01, words.share(reached), ha="left", fontweight="bold")

    said = "; ".join(f"calling {words.share(each)} reaches {words.share(curves.reached(each))}" for each in _TOP_SHARES)
    return _drawn("gain", "Gain", said, draw)


def lift_chart(curves: Curves) -> Chart | None:
    """Draw how many times more leavers than on average each group has, the likeliest first."""
    if not curves.bins:
        return None
    lifts = [each.share / curves.prevalence for each in curves.bins]

    def draw(surface: Canvas) -> None:
        axes = surface.axes(left=34, right=8, top=14, bottom=44)
        axes.bar(range(len(lifts)), lifts, width=0.66, color=BLUE, alpha=0.75, linewidth=0)
        axes.plot([-0.5, len(lifts) - 0.5], [1, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        axes.set(xlim=(-0.6, len(lifts) - 0.4), ylim=(0, 1.15 * max(lifts)), yticks=[])
        axes.set_xticks(range(len(lifts)), [surface.token(f"{place + 1}") for place in range(len(lifts))])
        for place, lift in enumerate(lifts):
            surface.write(axes, place, lift + 0.04 * max(lifts), f"{lift:.1f}", ha="center", fontweight="bold")
        surface.write(axes, len(lifts) - 0.45, 1 + 0.05 * max(lifts), "average", ha="right", color=MUTED)
        _below(surface, axes, f"{len(lifts)} groups of customers, the likeliest to leave first")

    described = "; ".join(f"group {place}: {lift:.1f} times the average" for place, lift in enumerate(lifts, start=1))
    return _drawn("lift", "Lift", described, draw)


def calibration_chart(curves: Curves) -> Chart | None:
    """Draw how many left of those of whom so many were expected to, with 90 % intervals."""
    if not curves.bins:
        return None
    most = min(1.0, 1.08 * max(max(each.high, each.expected) for each in curves.bins))

    def draw(surface: Canvas) -> None:
        axes = _square(surface, "share expected to leave", "share who left", most=most)
        _diagonal(surface, axes, "as expected", (0.93 * most, 0.98 * most), most)
        for each in curves.bins:
            axes.plot([each.expected] * 2, [each.low, each.high], color=BLUE, linewidth=2, alpha=0.45)
        axes.plot([each.expected for each in curves.bins], [each.share for each in curves.bins], color=BLUE,
                  linestyle="none", marker="o", markersize=6.5, markeredgewidth=0)  # fmt: skip

    return _drawn("calibration", "Calibration", "; ".join(map(_bin_words, curves.bins)), draw)


def _bin_words(each: Bin) -> str:
    interval = f"90 % interval {words.share(each.low)} to {words.share(each.high)}"
    return f"{each.rows:,} rows: expected {words.share(each.expected)}, left {words.share(each.share)} ({interval})"


def threshold_chart(curves: Curves) -> Chart:
    """Draw precision, recall and F1 over the threshold."""

    def draw(surface: Canvas) -> None:
        axes = _square(surface, "probability from which on the model says “leaves”", "", left=34)
        x = curves.thresholds
        axes.plot([curves.threshold] * 2, [0, 1], color=ORANGE, linewidth=1.2)
        surface.write(axes, curves.threshold + 0.015, 0.04, f"in use: {curves.threshold:.2f}", ha="left", color=ORANGE,
                      fontweight="bold")  # fmt: skip
        recalls, f1, firm = curves.recalls[1:], curves.f1, curves.firm
        axes.set_xlim(0, min(1.0, 1.1 * max(x)))
        for places, y, colour in ((firm, curves.precisions, GREY), (slice(None), recalls, TEAL), (firm, f1, BLUE)):
            _curve(axes, (x[places], y[places]), colour)
        near, four_fifths = _nearest(x, 0.1), _nearest(recalls, 0.8)
        for name, place, height, colour in (
            ("recall", four_fifths, recalls[four_fifths] + 0.03, TEAL),
            ("F1", near, f1[near] + 0.06, BLUE),
            ("precision", near, curves.precisions[near] - 0.08, MUTED),
        ):
            surface.write(axes, x[place] + 0.015, height, name, ha="left", color=colour, fontweight="bold")

    described = _listed("threshold", "F1", curves.thresholds, curves.f1)
    return _drawn("threshold", "F1, precision and recall by threshold", described, draw)


def _drawn(identity: str, title: str, described: str, draw: Callable[[Canvas], None]) -> Chart:
    with canvas(NARROW, _HEIGHT) as surface:
        draw(surface)
        return Chart((surface.finish(identity, title, described, "cell").svg,))


def _square(surface: Canvas, across: str, up: str, *, most: float = 1.0, left: float = 40) -> Axes:
    """Return axes from 0 to `most` in percent, with the vertical one's name above and the other's below."""
    axes = surface.axes(left=left, right=18, top=30, bottom=44)
    axes.set(xlim=(0, most), ylim=(0, most * 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    surface.write(axes, 0, most * 1.02 + most * 18 / (_HEIGHT - 74), up, ha="left", color=MUTED)
    _below(surface, axes, across)
    return axes


def _nearest(values: Sequence[float], wanted: float) -> int:
    """Return the place of the value that is nearest."""
    return min(range(len(values)), key=lambda place: abs(values[place] - wanted))


def _below(surface: Canvas, axes: Axes, text: str) -> None:
    low, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    surface.write(axes, right, low - (high - low) * 36 / (_HEIGHT - 74), text, ha="right", color=MUTED)


def _curve(axes: Axes, line: Line, colour: str = BLUE) -> None:
    axes.plot(*line, color=colour, linewidth=2.2, solid_capstyle="round", clip_on=False)


def _diagonal(surface: Canvas, axes: Axes, name: str, at: tuple[float, float], most: float = 1.0) -> None:
    axes.plot([0, most], [0, most], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    surface.write(axes, *at, name, ha="right" if at[0] > most * 0.9 else "left", color=MUTED)


def _at_threshold(surface: Canvas, axes: Axes, curves: Curves, xs: Sequence[float], ys: Sequence[float]) -> None:
    """Mark where the threshold in use stands."""
    place = curves.place + 1  # the lines begin with a point at which nobody is named
    x, y = xs[place], ys[place]
    left = x > 0.5  # noqa: PLR2004 - the label goes where there is room
    axes.plot([x], [y], color=ORANGE, marker="o", markersize=8, markeredgewidth=2, markerfacecolor=PAPER)
    surface.write(axes, x - 0.04 if left else x + 0.04, y - 0.06, f"in use: from {curves.threshold:.2f} on",
                  ha="right" if left else "left", color=ORANGE, fontweight="bold")  # fmt: skip


def _listed(across: str, up: str, xs: Sequence[float], ys: Sequence[float]) -> str:
    """Say some points of a line in words."""
    step = max(1, len(xs) // 10)
    return "; ".join(f"{across} {x:.2f}, {up} {y:.2f}" for x, y in list(zip(xs, ys, strict=True))[::step])

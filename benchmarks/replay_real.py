"""Real data in the order in which it came: a run a month, then all practices over that history; tables and a chart.

    CHURNWATCH_DATA=FOLDER python benchmarks/replay_real.py [--homes DIR] [--chart docs/replay.svg]

Homes that are in DIR already are not made again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import harness
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from rules import policies

from churnwatch.pipeline import history, replay, settings
from churnwatch.pipeline.compared import Compared, Labels
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.history import Past
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.replay import Line
from churnwatch.pipeline.settings import Gate

SETS = {"bank_marketing": ["--exclude", "duration"], "retail": []}
_SERVED = "what served"
_DRAWN = {"never": "#999999", "always": "#d62728", "proven": "#1f77b4", "proven, by ROC AUC": "#2ca02c"}
_RESAMPLES = 2000


def made(data: Path, name: str, home: Path) -> None:
    """Make a home and give it a month at a time."""
    months = sorted((data / name).glob("*.csv"))
    harness.churnwatch("init", home, "--from", months[0], *SETS[name])
    for month in months:
        shutil.copy(month, home / "sourcedata")
        harness.churnwatch("--home", home, "run", "--once")


def past_of(folder: Path) -> Past:
    """Read a home's history."""
    home = settings.load(folder)
    with Reader.open(home.ledger) as ledger, duckdb_engine(home.state / "spill") as engine:
        return history.read(home, ledger, engine)


def lines_of(past: Past) -> dict[str, Line]:
    """Return what served, and what would have by each practice."""
    practices = policies(past.history, resamples=_RESAMPLES)
    return {_SERVED: past.truth, **{each.name: replay.play(past.history, each.rule) for each in practices}}


def rows(past: Past, lines: dict[str, Line]) -> Iterator[list[str]]:
    """Yield a row for each practice."""
    _, always, __ = _decided(past, lines["always"])
    for name, line in lines.items():
        price = replay.price(past.history, line, Gate(), seed=0)
        places, mine, months = _decided(past, line)
        beside = Compared("f1", past.history.y[places], always, mine)
        spread = beside.spread(resamples=_RESAMPLES, seed=0)
        yield [
            name, str(price.swaps), str(price.worse), str(price.clearly_worse), f"{price.f1:.3f}",
            f"{beside.delta:+.3f} ({spread.low:+.3f} to {spread.high:+.3f})", f"{np.mean(months):.3f}",
            f"{price.log_loss:.3f}",
        ]  # fmt: skip


def _decided(past: Past, line: Line) -> tuple[Labels, Labels, list[float]]:
    """Return the rows that were tested, the decisions about them of what served then, and F1 by month."""
    served = [(turn.new, version) for turn, version in zip(past.history.turns, line.served, strict=True) if version]
    decisions = [past.history.decisions(version, new) for new, version in served]
    f1 = [replay.f1([test]) or 0.0 for test in replay.tested(past.history, line)]
    return np.concatenate([new for new, _ in served]), np.concatenate(decisions), f1


def draw(past: Past, lines: dict[str, Line], path: Path) -> None:
    """Draw F1 of each month's rows before anything learned from them; a dot where another version began to serve."""
    with rc_context({"svg.hashsalt": "churnwatch", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        axes = figure.subplots()
        for name, colour in _DRAWN.items():
            tests = replay.tested(past.history, lines[name])
            f1 = {test.run: replay.f1([test]) for test in tests}
            began = [past.history.turns[swap.turn].run + 1 for swap in lines[name].swaps]
            swaps = len(lines[name].swaps)
            axes.plot(list(f1), list(f1.values()), color=colour, linewidth=1.4, label=f"{name} ({swaps} swaps)")
            axes.plot(*zip(*((run, f1[run]) for run in began if run in f1), strict=True) if began else ((), ()),
                      ".", color=colour, markersize=6)  # fmt: skip
        axes.set_xlabel("month")
        axes.set_ylabel("F1, tested before learning")
        axes.set_ylim(0, 1)
        axes.legend(frameon=False, loc="upper left")
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    """Print a table for each set, and draw the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--homes", type=Path, help="keep the homes here")
    parser.add_argument("--chart", type=Path, help="draw bank marketing's months into this SVG")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for name in SETS:
            home = (wanted.homes or Path(scratch)) / name
            if not home.exists():
                made(Path(os.environ["CHURNWATCH_DATA"]), name, home)
            past = past_of(home)
            lines = lines_of(past)
            print(f"\n{name}: {len(past.history.turns)} months\n")
            headers = ["practice", "swaps", "later worse", "clearly", "F1", "less that of `always` (90 %)",
                       "mean of the months", "log loss"]  # fmt: skip
            harness.print_table(headers, list(rows(past, lines)))
            if wanted.chart and name == next(iter(SETS)):
                draw(past, lines, wanted.chart)


if __name__ == "__main__":
    main()

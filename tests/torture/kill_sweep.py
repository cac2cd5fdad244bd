"""Kill a run at each system call that changes its home, start it again, and hold what came of it against a whole one.

    python tests/torture/kill_sweep.py [--every 1]

Needs strace. Three runs are killed: a first model, a promotion, and one that keeps the champion and merges parts; at
every call of theirs, or at every n-th. It takes about two seconds a point and core.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import canonical
import program
import traced
from stages import Stage
from tabulate import tabulate
from traced import Point

from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import Home

KILLED = -9


@dataclass(frozen=True)
class Killed:
    """What came of one kill: what was wrong afterwards, nothing if all was well."""

    stage: str
    point: Point
    wrong: tuple[str, ...] = ()
    reached: bool = True  # a last page of the ledger may be written in one run and not in the next

    @property
    def where(self) -> str:
        """Which kill it was."""
        return f"{self.stage}, {self.point.step}, {self.point.syscall} {self.point.number}"


def kill(stage: Stage, point: Point, expected: canonical.Dump, folder: Path) -> Killed:
    """Kill a run at one call, start it again, and return what is wrong afterwards."""
    home = stage.begin(Path(tempfile.mkdtemp(dir=folder)) / "home")
    at = f"{point.syscall}:signal=SIGKILL:when={point.number}"
    ended = traced.trace(stage.run, home, "-e", f"trace={point.syscall}", "-e", f"inject={at}")
    if ended.code != KILLED:
        return Killed(stage.name, point, reached=False)
    open_attempt = _open_attempt(home)
    wrong = stage.taken_up(home, expected, partial(_not_interrupted, attempt=open_attempt))
    if not wrong:
        shutil.rmtree(home.path)
    return Killed(stage.name, point, wrong)


def _open_attempt(home: Home) -> tuple[int, int] | None:
    """Return run and attempt that the kill left open."""
    try:
        with Reader.open(home.ledger) as ledger:
            return next(((row["run"], row["attempt"]) for row in ledger.open_attempts()), None)
    except LedgerError:
        return None  # it was being made


def _not_interrupted(home: Home, attempt: tuple[int, int] | None) -> Iterator[str]:
    """Yield what is wrong where an attempt that was killed is not shown as interrupted and followed by another."""
    if attempt is None:
        return
    with Reader.open(home.ledger) as ledger:
        shown = [row["status"] for row in ledger.attempts(attempt[0])]
    if shown != ["interrupted", "done"]:
        yield f"attempts of run {attempt[0]} are {shown}"


def sweep(folder: Path, stages: Sequence[Stage], every: int) -> Iterator[Killed]:
    """Kill the run of each stage at every n-th of its points."""
    whole = traced.in_parallel([partial(uninterrupted, stage, folder) for stage in stages])
    yield from traced.in_parallel(
        [
            partial(kill, stage, point, expected, folder)
            for stage, (points, expected) in zip(stages, whole, strict=True)
            for point in points[::every]
        ]
    )


def uninterrupted(stage: Stage, folder: Path) -> tuple[list[Point], canonical.Dump]:
    """Return the points of a run that nothing cuts short, and what it comes to."""
    home = stage.begin(Path(tempfile.mkdtemp(dir=folder)) / "home")
    return traced.seen(stage.run, home), canonical.dump(home)


def table(found: Sequence[Killed]) -> str:
    """Return the kills by step and run."""
    stages = list(dict.fromkeys(each.stage for each in found))
    hit = [each for each in found if each.reached]
    counts = Counter((each.point.step, each.stage) for each in hit)
    bad = Counter(each.point.step for each in hit if each.wrong)
    steps = sorted({step for step, _ in counts})
    rows = [[step, *(counts[step, stage] for stage in stages), bad[step]] for step in steps]
    total = ["all", *(sum(counts[step, stage] for step in steps) for stage in stages), sum(bad.values())]
    headers = ["killed during", *(f"run: {stage}" for stage in stages), "bad"]
    shown = tabulate([*rows, total], headers, tablefmt="github")
    return f"{shown}\nnot reached again: {len(found) - len(hit)}"


def main() -> int:
    """Print the table, and what went wrong."""
    wanted = program.options(__doc__, "kill at every N-th call only").parse_args()
    return program.run(wanted.run, partial(sweep, every=wanted.every), table)


if __name__ == "__main__":
    raise SystemExit(main())

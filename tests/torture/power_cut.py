"""Cut the power at each moment of a run, in four ways, and hold what comes of it against an uninterrupted run.

    python tests/torture/power_cut.py [--every 1] [--without files|folders|ledger]

Nothing is really cut: the run's system calls are traced, and `disk.py` rebuilds from them what a disk would hold after
each, when only what was forced to it is sure. In each such home the run is taken up; nothing may be missing that had
been acknowledged. `--without` leaves out one kind of forcing: then there must be bad states. Needs strace.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import canonical
import disk
import program
import traced
from disk import Cut, Disk, State
from stages import Stage
from tabulate import tabulate

from churnwatch.pipeline import settings
from churnwatch.pipeline.ledger import writer
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.run import Outcome, Progress
from churnwatch.pipeline.settings import Home

WITHOUT = ("files", "folders", "ledger")


@dataclass(frozen=True)
class Moment:
    """What a power cut would leave at a moment, and the steps that had been acknowledged by then."""

    stage: str
    cut: Cut
    call: str
    state: State
    acknowledged: tuple[str, ...]


@dataclass(frozen=True)
class Recovered:
    """What was wrong after the power came back, nothing if all was well."""

    moment: Moment
    wrong: tuple[str, ...]

    @property
    def where(self) -> str:
        """Which moment it was."""
        return f"{self.moment.stage}, {self.moment.cut}, {self.moment.call}"


def moments(stage: Stage, folder: Path, without: str | None) -> tuple[list[Moment], canonical.Dump]:
    """Return all different states that a power cut during a run could leave, and what the run comes to without one.

    Raises:
        AssertionError: the disk rebuilt from the trace is not the one that the run left.
    """
    home = stage.begin(Path(tempfile.mkdtemp(dir=folder)) / "home")
    model = Disk(home.path)
    wanted = f"trace={','.join(disk.CALLS)},sendto"
    ended = traced.trace(_forgetful(stage, without), home, "-e", wanted, "-s", str(1 << 26))
    assert ended.code == traced.OK, ended.said
    found = list(_different(stage, model, ended.lines))
    left = Disk(home.path).now()
    assert model.now() == left, sorted(name for name in left.keys() | model.now().keys()
                                       if left.get(name) != model.now().get(name))  # fmt: skip
    return found, canonical.dump(home)


def _different(stage: Stage, model: Disk, lines: Sequence[str]) -> Iterator[Moment]:
    """Yield the states that differ from all before them."""
    known: set[bytes] = set()
    begun: list[str] = []
    for syscall, given, result in disk.calls(lines):
        if syscall == "sendto" and traced.STEP in given:
            begun.append(traced.step_of(given))
        if not model.apply(syscall, given, result):
            continue
        for cut in Cut:
            state = model.after(cut)
            fingerprint = _fingerprint(state, begun)
            if fingerprint not in known:
                known.add(fingerprint)
                yield Moment(stage.name, cut, f"{syscall}({given[:120]}", state, tuple(begun[:-1]))


def _fingerprint(state: State, begun: Sequence[str]) -> bytes:
    return hashlib.sha256(repr((sorted(state.items()), begun)).encode()).digest()


def recover(stage: Stage, moment: Moment, expected: canonical.Dump, folder: Path) -> Recovered:
    """Give the power back: do one more turn, and return what is wrong then."""
    path = Path(tempfile.mkdtemp(dir=folder)) / "home"
    disk.write(moment.state, path)
    stage.drop_beside(path)
    home = settings.load(path)
    wrong = stage.taken_up(home, expected, partial(_forgotten, moment=moment))
    if not wrong:
        shutil.rmtree(path.parent)
    return Recovered(moment, wrong)


def _forgotten(home: Home, moment: Moment) -> list[str]:
    """Return which acknowledged steps of the first attempt the ledger does not know any more."""
    with Reader.open(home.ledger) as ledger:
        known = {
            row["step"]
            for row in ledger.rows("SELECT step FROM steps WHERE attempt = 1 AND run = (SELECT max(run) FROM runs)")
        }
    return [f"{step} had been acknowledged" for step in moment.acknowledged if step not in known]


def _forgetful(stage: Stage, without: str | None) -> traced.Run:
    """Return a stage's run that leaves out one kind of forcing, to show that this would be noticed."""

    def run(home: Home, progress: Progress) -> list[Outcome]:
        if without == "ledger":
            writer._make_ready = _hasty(writer._make_ready)
        elif without is not None:
            os.fsync = _skipping(os.fsync, stat.S_ISREG if without == "files" else stat.S_ISDIR)
        return stage.run(home, progress)

    return run


def _hasty(make_ready: Callable[..., None]) -> Callable[..., None]:
    def made_ready(connection: sqlite3.Connection, path: Path) -> None:
        make_ready(connection, path)
        connection.execute("PRAGMA synchronous=NORMAL")

    return made_ready


def _skipping(fsync: Callable[[int], None], kind: Callable[[int], bool]) -> Any:
    def skipped(descriptor: int) -> None:
        if not kind(os.fstat(descriptor).st_mode):
            fsync(descriptor)

    return skipped


def sweep(folder: Path, stages: Sequence[Stage], every: int, without: str | None = None) -> Iterator[Recovered]:
    """Recover from every n-th of the states that a power cut could leave."""
    looked_at = traced.in_parallel([partial(moments, stage, folder, without) for stage in stages])
    yield from traced.in_parallel(
        [
            partial(recover, stage, moment, expected, folder)
            for stage, (found, expected) in zip(stages, looked_at, strict=True)
            for moment in found[::every]
        ]
    )


def table(found: Sequence[Recovered]) -> str:
    """Return the states by what was left and by run."""
    stages = list(dict.fromkeys(each.moment.stage for each in found))
    counts = Counter((each.moment.cut, each.moment.stage) for each in found)
    bad = Counter(each.moment.cut for each in found if each.wrong)
    rows = [[cut, *(counts[cut, stage] for stage in stages), bad[cut]] for cut in Cut]
    total = ["all", *(sum(counts[cut, stage] for cut in Cut) for stage in stages), sum(bad.values())]
    headers = ["what the power cut left", *(f"run: {stage}" for stage in stages), "bad"]
    return tabulate([*rows, total], headers, tablefmt="github")


def main() -> int:
    """Print the table, and what went wrong."""
    parser = program.options(__doc__, "look at every N-th state only")
    parser.add_argument("--without", choices=WITHOUT, help="leave out one kind of forcing")
    wanted = parser.parse_args()
    return program.run(wanted.run, partial(sweep, every=wanted.every, without=wanted.without), table)


if __name__ == "__main__":
    raise SystemExit(main())

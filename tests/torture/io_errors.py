"""Let each write-like system call of a run fail, or the disk be full from there on, then give room again.

    python tests/torture/io_errors.py [--every 1] [once full io tmpfs]

once: one call fails for want of room; io: one call fails with an I/O error; full: every call that needs room fails from
that call on; tmpfs: a small file system that really fills. Afterwards one more turn, with room, must make everything
as if nothing had been. Needs strace; `tmpfs` needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import canonical
import program
import traced
from kill_sweep import uninterrupted
from stages import Stage
from tabulate import tabulate
from traced import BUG, OK, Ended, Point

from churnwatch.daemon import attention
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import Home

ROOM = (*traced.WRITES, "fallocate", "ftruncate", "openat", "mkdir", "rename", "symlink", "link")  # what needs some
_SIZES_KB = (64, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2560, 3072)


@dataclass(frozen=True)
class Failed:
    """What came of one failure: how the run took it, and what was wrong afterwards."""

    kind: str
    stage: str
    call: str
    took: str
    wrong: tuple[str, ...]

    @property
    def where(self) -> str:
        """Which failure it was."""
        return f"{self.kind}, {self.stage}, {self.call}"


def fail(
    kind: str, stage: Stage, points: Sequence[Point], index: int, expected: canonical.Dump, folder: Path
) -> Failed:
    """Let one call fail, or all that need room from that one on, and return what came of it."""
    home = stage.begin(Path(tempfile.mkdtemp(dir=folder)) / "home")
    ended = traced.trace(stage.run, home, *_injections(kind, points, index))
    return _afterwards(kind, stage, home, ended, expected, call=points[index].text[:150])


def _injections(kind: str, points: Sequence[Point], index: int) -> Iterator[str]:
    point = points[index]
    calls = {point.syscall: point.number}
    if kind == "full":
        for later in points[index:]:
            if later.syscall in ROOM:
                calls.setdefault(later.syscall, later.number)
    yield from ("-e", f"trace={','.join(calls)}")
    for syscall, number in calls.items():
        error = "EIO" if kind == "io" else "ENOSPC"
        yield from ("-e", f"inject={syscall}:error={error}:when={number}{'+' if kind == 'full' else ''}")


def _afterwards(kind: str, stage: Stage, home: Home, ended: Ended, expected: canonical.Dump, *, call: str) -> Failed:
    """Look at what a failure left, give room, do one more turn, and compare."""
    wrong = (*_unclear(home, ended), *stage.taken_up(home, expected))
    if not wrong:
        shutil.rmtree(home.path)
    took = "went on" if ended.code == OK else "failed in one line"
    return Failed(kind, stage.name, call, took, wrong)


def _unclear(home: Home, ended: Ended) -> Iterator[str]:
    """Yield what nobody could make sense of: a traceback, or a failure that neither status nor log has a word about."""
    if ended.code == OK:
        return
    said = [line for line in ended.said if not line.startswith(traced.STEP)]
    if ended.code == BUG or any("Traceback" in line for line in said):
        yield f"a bug: {' / '.join(said)}"
    try:
        with Reader.open(home.ledger) as ledger:
            lines = attention.of(home, ledger)
    except LedgerError as error:
        lines = [str(error)]
    if not lines and not any(line.startswith(("error: ", "log: ")) for line in said):
        yield "neither status nor log has a word about it"


def on_tmpfs(stage: Stage, size_kb: int, expected: canonical.Dump, folder: Path) -> Failed:
    """Let a run fill a small file system, then make that larger."""
    place = Path(tempfile.mkdtemp(dir=folder))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], check=True)
    try:
        home = stage.begin(place / "home")
        used = sum(path.stat().st_blocks * 512 for path in home.path.rglob("*"))
        _resize(place, used // 1024 + size_kb)
        ended = traced.finish(stage.run, home)
        _resize(place, 64 << 10)
        failed = _afterwards("tmpfs", stage, home, ended, expected, call=f"{size_kb} KB left")
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
    return failed


def _resize(place: Path, size_kb: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size_kb}k", place], check=True)


def sweep(folder: Path, stages: Sequence[Stage], kinds: Sequence[str], every: int) -> Iterator[Failed]:
    """Let every n-th call fail in each way."""
    jobs: list[Callable[[], Failed]] = []
    whole = traced.in_parallel([partial(uninterrupted, stage, folder) for stage in stages])
    for stage, (calls, expected) in zip(stages, whole, strict=True):
        points = [point for point in calls if point.writes]
        for kind in kinds:
            if kind == "tmpfs":
                jobs += [partial(on_tmpfs, stage, size, expected, folder) for size in _SIZES_KB]
                continue
            chosen = [index for index, point in enumerate(points) if kind != "full" or point.syscall in ROOM][::every]
            jobs += [partial(fail, kind, stage, points, index, expected, folder) for index in chosen]
    yield from traced.in_parallel(jobs)


def table(found: Sequence[Failed]) -> str:
    """Return the failures by kind and run."""
    counts = Counter((each.kind, each.stage, each.took) for each in found)
    bad = Counter((each.kind, each.stage) for each in found if each.wrong)
    rows = [
        [kind, stage, counts[kind, stage, "failed in one line"], counts[kind, stage, "went on"], bad[kind, stage]]
        for kind, stage in dict.fromkeys((each.kind, each.stage) for each in found)
    ]
    return tabulate(rows, ["failure", "run", "failed in one line", "went on", "bad"], tablefmt="github")


def main() -> int:
    """Print the table, and what went wrong."""
    parser = program.options(__doc__, "fail every N-th call only")
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=["once", "io", "full", "tmpfs"])
    wanted = parser.parse_args()
    kinds = [kind for kind in wanted.kinds if kind != "tmpfs" or os.geteuid() == 0]
    if kinds != wanted.kinds:
        print("tmpfs is not tried: only root can mount one")
    return program.run(wanted.run, partial(sweep, kinds=kinds, every=wanted.every), table)


if __name__ == "__main__":
    raise SystemExit(main())

"""What is promised about files that come in great numbers, measured with a real daemon: one table.

    python benchmarks/reliability.py [NAME …] [--files 10000]

Every file has one row that no other has, so the ledger's rows tell whether anything was lost or taken in twice.
`limits` needs no daemon: it measures how soon `churnwatch read` refuses what is too large.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import disturbances
import harness

from churnwatch.pipeline import settings
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.reader import Reader

_KILLS = 10


def burst(home: Path, lines: list[str], files: int) -> Iterator[list[Any]]:
    """Files that are written while the daemon is stopped."""
    with harness.daemon(home) as process:
        process.send_signal(signal.SIGSTOP)
        for number in range(files):
            _drop(home, lines, number)
        process.send_signal(signal.SIGCONT)
        took = _wait(home, files)
    yield [
        f"{files:,} files while the daemon is stopped, then continued",
        "≤ 60 s",
        f"{took:.0f} s",
        harness.told(home, files),
    ]


def renames(home: Path, lines: list[str], files: int) -> Iterator[list[Any]]:
    """Files that are written under another name and renamed, on tmpfs, while the daemon works."""
    with harness.daemon(home):
        for number in range(files):
            _drop(home, lines, number, renamed=True)
        took = _wait(home, files)
    what = f"{files:,} files written under another name and renamed, on tmpfs: after the last one"
    yield [what, "≤ 60 s", f"{took:.0f} s", harness.told(home, files)]


def kills(home: Path, lines: list[str], files: int) -> Iterator[list[Any]]:
    """A daemon that is killed with its child at moments drawn by chance, and started again."""
    chance, files = random.Random(0), min(files, 1000)  # noqa: S311 - moments, no secrets
    for number in range(files):
        _drop(home, lines, number)
    for _ in range(_KILLS):
        process = subprocess.Popen([*harness.CHURNWATCH, "--home", str(home), "run"], stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.5, 8))
        process.kill()  # its child hears that nobody is there any more, and ends
        process.wait()
    with harness.daemon(home):
        _wait(home, files)
    yield [
        f"{files:,} files, the daemon killed {_KILLS} times at random",
        "none lost, none twice",
        "",
        harness.told(home, files),
    ]


def limits(home: Path, lines: list[str], files: int) -> Iterator[list[Any]]:  # noqa: ARG001 - of the others
    """Files beyond a limit, each of which is refused; the time is that of the whole command."""
    for what, path in _too_large(home.parent):
        begun = time.monotonic()
        process = subprocess.Popen([*harness.CHURNWATCH, "read", path], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)  # fmt: skip
        with process:
            told = process.stderr.read() if process.stderr else ""
            _, status, usage = os.wait4(process.pid, 0)
            took = time.monotonic() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
        path.unlink()
        assert process.returncode == 1, told
        busy = usage.ru_utime + usage.ru_stime
        measured = f"{took:.1f} s ({busy:.1f} s of the processor), {usage.ru_maxrss >> 10} MB"
        yield [what, "≤ 2 s, ≤ 300 MB", measured, told.strip().partition(f"{path}: ")[2]]


def _too_large(folder: Path) -> Iterator[tuple[str, Path]]:
    path = folder / "drop.csv"
    for what, head, piece in (
        ("a line of 400 MB", b"", b"x" * (1 << 20)),
        ("a line of 400 MB below a header", b"a,b\n", b"x" * (1 << 20)),
        ("a million columns", b"", b""),
    ):
        with path.open("wb") as file:  # in pieces: a process counts for its own what its parent held
            file.write(head)
            file.writelines([piece] * 400 if piece else (b"c%d," % number for number in range(999_999)))
        yield what, path
    packed = folder / "drop.csv.gz"
    with gzip.open(packed, "wb") as file:
        for _ in range(1 << 10):
            file.write(bytes(1 << 20))
    yield f"{packed.stat().st_size >> 10:,} KB of gzip that unpack to 1 GB on one line", packed
    with path.open("wb") as sparse:
        sparse.write(b"a,b\n1,2\n")
        sparse.truncate(200 << 30)
    yield "a file of 200 GB", path


def _drop(home: Path, lines: list[str], number: int, *, renamed: bool = False) -> None:
    target = home / "sourcedata" / f"f{number:05d}.csv"
    beside = target.with_suffix(".tmp") if renamed else target
    beside.write_text(harness.text(lines, [f"b{number}"], first=number))
    if renamed:
        beside.rename(target)


def _wait(home: Path, files: int, limit_s: float = 600.0) -> float:
    begun = time.monotonic()
    while time.monotonic() - begun < limit_s:
        if _settled(home) >= files:
            return time.monotonic() - begun
        time.sleep(0.2)
    raise SystemExit(f"{_settled(home)} of {files} files after {limit_s:.0f} s; see {home / 'daemon.log'}")


def _settled(home: Path) -> int:
    try:
        with Reader.open(settings.load(home).ledger) as ledger:
            return sum(row["state"] == "ingested" for row in ledger.files())
    except LedgerError:
        return 0  # it is being made


BENCHMARKS: dict[str, Callable[[Path, list[str], int], Iterator[list[Any]]]] = {
    "burst": burst,
    "renames": renames,
    "kills": kills,
    "limits": limits,
    **disturbances.BENCHMARKS,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all where none is named")
    parser.add_argument("--files", type=int, default=10_000)
    wanted = parser.parse_args()
    rows = []
    for name in wanted.names or BENCHMARKS:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if name == "renames" else None) as folder:  # noqa: S108
            samples, home = Path(folder) / "samples", Path(folder) / "home"
            harness.churnwatch("sample", "--months", "1", "--rows", "400", samples)
            [sample] = samples.glob("*.csv")
            harness.churnwatch("init", home, "--from", sample)
            rows += list(BENCHMARKS[name](home, sample.read_text().splitlines(keepends=True), wanted.files))
    harness.print_table(["what", "goal", "measured", "ledger"], rows)


if __name__ == "__main__":
    main()

"""What the benchmarks share: a home with a real daemon, and waiting for what the ledger says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from churnwatch.pipeline import settings
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.reader import Reader

CHURNWATCH = [sys.executable, "-m", "churnwatch.daemon.cli"]


def churnwatch(*arguments: str | Path) -> str:
    """Run a command to its end and return what it printed; `status` may well say that something needs attention."""
    done = subprocess.run([*CHURNWATCH, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise SystemExit(f"{' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


@contextmanager
def daemon(home: Path, *, by: Sequence[str] = (), **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the daemon of a home, by way of a command where one is given; its log goes to daemon.log there."""
    with (home / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [*by, *CHURNWATCH, "--home", str(home), "run"],
            stdout=log,
            stderr=log,
            cwd=home,
            env=os.environ | variables,
        )
        try:
            _wait_for_start(home)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _wait_for_start(home: Path) -> None:
    while "watching" not in (home / "daemon.log").read_text():
        time.sleep(0.05)


def wait_for(home: Path, names: set[str], *, limit_s: float = 600.0) -> float:
    """Wait until the runs of these files are done; return the seconds it took."""
    begun = time.monotonic()
    ledger_file = settings.load(home).ledger
    while time.monotonic() - begun < limit_s:
        try:
            with Reader.open(ledger_file) as ledger:
                known = {row["path"]: row for row in ledger.files()}
                if names <= known.keys() and all(_is_done(ledger, known[name]) for name in names):
                    return time.monotonic() - begun
        except LedgerError:
            pass  # it is being made
        time.sleep(0.05)
    raise SystemExit(f"{sorted(names)} not worked off within {limit_s:.0f} s; see {home / 'daemon.log'}")


def _is_done(ledger: Reader, row: dict[str, Any]) -> bool:
    return row["run"] is None or ledger.run(row["run"])["status"] == "done"


def text(lines: list[str], keys: Sequence[str], *, first: int = 0) -> str:
    """Return a file with one row of a sample for each of these keys, from its first row or a later one on."""
    rows = (lines[1 + (first + number) % (len(lines) - 1)].partition(",")[2] for number in range(len(keys)))
    return lines[0] + "".join(f"{key},{row}" for key, row in zip(keys, rows, strict=True))


def told(home: Path, rows: int) -> str:
    """Say what the ledger has, once it was held against what it must have: so many rows, each of them once."""
    with Reader.open(settings.load(home).ledger) as ledger:
        totals, problems = ledger.row_totals(), ledger.problems()
    assert totals == {"read": rows, "accepted": rows, "duplicate": 0, "quarantined": 0}, totals
    assert not problems, problems
    return f"{rows:,} rows, none lost, none twice"


def print_table(headers: list[str], rows: list[list[Any]]) -> None:
    """Print a table in Markdown."""
    print(f"| {' | '.join(headers)} |\n|{'---|' * len(headers)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |")

"""The demo: a real daemon on a home of its own, fed with generated customers month by month, shown as it happens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from churnwatch.daemon import status
from churnwatch.pipeline import sample, settings
from churnwatch.pipeline.errors import LedgerError, UsageError
from churnwatch.pipeline.files import write_text
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import FileState
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.pipeline.settings import Home

MONTHS, ROWS, SEED = 8, 1200, 20260101
_CHANGES_AT = 5  # months from 0: from here on customers behave differently
_LIMIT_S = 120.0
_MARK = ".churnwatch-demo"
_EXTRA = """
stability_s: 0.5
call_capacity: 100
packages: {check: never}   # the demo stays offline; `churnwatch packages` checks when you ask
drift: {search: 100}       # the demo is short; where drift is large, your own home looks for better parameters
"""
Tell = Callable[[str], None]


def demo(folder: Path, tell: Tell) -> None:
    """Show the whole loop.

    Args:
        folder: the demo's home; must be empty, not there, or an earlier demo's.
        tell: takes each line for the terminal.

    Raises:
        UsageError: the folder is somebody else's.
    """
    if (folder / _MARK).exists():
        tell(f"The earlier demo in {folder} is replaced.")
    home = _make(folder)
    tell(f"A home of its own: {home.path}")
    tell(
        f"Its source folder is watched by a real daemon; {MONTHS} months of generated customers are dropped into it.\n"
    )
    with tempfile.TemporaryDirectory() as name, _daemon(home):
        months = _months(Path(name))
        for number, path in enumerate(months):
            _drop(home, path, number, tell)
    _end(home, tell)


def _make(folder: Path) -> Home:
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise UsageError(f"{folder}: not empty, and not a demo's home. Choose another: churnwatch demo --home DIR")
    if folder.exists():
        shutil.rmtree(folder)  # same figures on every run: each demo begins from nothing
    folder.mkdir(parents=True)
    (folder / _MARK).touch()
    write_text(folder / settings.FILE_NAME, settings_for(sample.Like.TELCO) + _EXTRA)
    home = settings.load(folder)
    home.source.mkdir()
    return home


def _months(folder: Path) -> list[Path]:
    return sample.write(
        folder, sample.Like.TELCO, months=MONTHS, rows=ROWS, seed=SEED,
        duplicates=0.04, missing=0.02, broken=3, changes_at=_CHANGES_AT, without_target=MONTHS - 1,
    )  # fmt: skip


@contextmanager
def _daemon(home: Home) -> Iterator[None]:
    """Run the daemon in a process of its own; its log goes to a file."""
    log = home.path / "daemon.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "churnwatch.daemon.cli", "--home", str(home.path), "run"], stdout=file, stderr=file
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _drop(home: Home, path: Path, number: int, tell: Tell) -> None:
    note = {
        0: "the first month; nothing is known yet",
        _CHANGES_AT: "from here on customers behave differently",
        MONTHS - 1: "no column Churn: who of these will leave?",
    }.get(number, "")
    tell(f"cp {path.name} {home.settings.source_folder}/" + (f"    ({note})" if note else ""))
    begun = time.monotonic()
    shutil.copy(path, home.source / path.name)
    row = _wait(home, path.name, begun)
    if row["state"] == FileState.INGESTED:
        tell(f"    {row['rows_read']:,} rows read: {row['accepted']:,} accepted, {row['duplicate']:,} duplicate,"
             f" {row['quarantined']:,} quarantined")  # fmt: skip
    run = _run_of(home, row["run"])
    tell(f"    {run['sentence'] or run['note'] or run['error']}")
    tell(f"    {time.monotonic() - begun:.1f} s from the drop to the end of run {run['run']}\n")


def _wait(home: Home, name: str, begun: float) -> dict[str, Any]:
    """Wait until a file's run is done."""
    while time.monotonic() - begun < _LIMIT_S:
        time.sleep(0.1)
        try:
            with Reader.open(home.ledger) as ledger:
                rows = [row for row in ledger.files() if row["path"] == name]
                if rows and rows[0]["run"] and ledger.run(rows[0]["run"])["status"] == "done":
                    return rows[0]
        except LedgerError:
            continue  # it is being made
    raise UsageError(f"{name} was not worked off within {_LIMIT_S:.0f} s; see {home.path / 'daemon.log'}")


def _run_of(home: Home, number: int) -> dict[str, Any]:
    with Reader.open(home.ledger) as ledger:
        return ledger.run(number)


def _end(home: Home, tell: Tell) -> None:
    with Reader.open(home.ledger) as ledger:
        predictions = ledger.predictions()
    tell("How things stand (churnwatch status):\n")
    tell(status.as_text(status.gather(home.path)))
    tell(f"\nThe report:         {home.report}")
    for row in (next(r for r in reversed(predictions) if r["file"] is None), predictions[-1]):
        whose = "your customers" if row["file"] is None else row["source"]
        path = (home.predictions / row["path"]).with_suffix(".csv")
        tell(f"The predictions:    {path}  ({row['rows']:,} rows: {whose})")
    command, at = _command(), os.path.relpath(home.path)
    tell(f"""
What to try next:
    {command} --home {at} report --open        the report in your browser
    {command} --home {at} runs                 every decision with its reason
    {command} --home {at} rollback --why test  go back to the model before
    {command} explore my-customers.csv                   a first look at your own data
    {command} init my-home --from my-customers.csv       a home for it""")


def _command() -> str:
    """Return what to type: the name, or where it lies when it is not on the path."""
    return "churnwatch" if shutil.which("churnwatch") else os.path.relpath(Path(sys.executable).with_name("churnwatch"))

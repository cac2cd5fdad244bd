"""What is done to the folder, to files and to runs while a real daemon works; part of reliability.py's table.

Every row has a key that no other has, so the ledger's rows tell whether anything was lost or taken in twice.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import harness

from churnwatch.pipeline import scan, settings
from churnwatch.pipeline.errors import LedgerError, NotFoundError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Signature

# Root without what lets it read everything; another user might not even be allowed to start this Python.
_NOT = "-dac_override,-dac_read_search"
_BOUND_BY_RIGHTS = ("setpriv", f"--bounding-set={_NOT}", f"--inh-caps={_NOT}")
_AGAIN = 3  # times that a disturbance is repeated; the longest counts
_RUNNING = "SELECT count(*) AS n FROM attempts WHERE (run, attempt) NOT IN (SELECT run, attempt FROM attempt_ends)"
_HELD = """
import os
import time

from sklearn.linear_model import LogisticRegression


class Held(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        while os.path.exists(os.environ["HELD_WHILE"]):
            time.sleep(0.05)
        return super().fit(X, y, sample_weight)
"""

# -- the folder ------------------------------------------------------------------------------------------------


def removed(home: Path, lines: list[str], _: int) -> Iterator[list[Any]]:
    """The folder is removed, and made again with a file in it."""
    source, took = home / "sourcedata", 0.0
    with harness.daemon(home):
        for number in range(_AGAIN):
            shutil.rmtree(source)
            _until_said(home, "cannot be read", number + 1)
            source.mkdir()
            took = max(took, _taken(home, lines, number))
    yield [f"the folder removed and made again, {_AGAIN} times", "≤ 10 s", f"{took:.1f} s", harness.told(home, _AGAIN)]


def mounted(home: Path, lines: list[str], _: int) -> Iterator[list[Any]]:
    """Another disk is mounted over the folder, and taken away."""
    what = f"a disk mounted over the folder, and taken away, {_AGAIN} times; scan_interval_s: 5"
    if os.geteuid() != 0:
        yield [what, "≤ 15 s", "not measured: needs root", ""]
        return
    source, took = home / "sourcedata", 0.0
    _set(home, "scan_interval_s: 5")
    with harness.daemon(home):
        for number in range(_AGAIN):
            subprocess.run(["mount", "-t", "tmpfs", "none", str(source)], check=True)
            try:
                took = max(took, _taken(home, lines, 2 * number))
            finally:
                subprocess.run(["umount", str(source)], check=True)
            took = max(took, _taken(home, lines, 2 * number + 1))
    yield [what, "≤ 15 s", f"{took:.1f} s", harness.told(home, 2 * _AGAIN)]


def rights(home: Path, lines: list[str], _: int) -> Iterator[list[Any]]:
    """Rights are taken from the folder, then from a file, and given back."""
    source, folder, file = home / "sourcedata", 0.0, 0.0
    with harness.daemon(home, by=_BOUND_BY_RIGHTS if os.geteuid() == 0 else ()):
        for number in range(_AGAIN):
            source.chmod(0o000)
            _until_said(home, "cannot be read (Permission denied)", number + 1)
            source.chmod(0o755)
            folder = max(folder, _taken(home, lines, number))
            path = _write(home, lines, _AGAIN + number, mode=0o000)
            harness.wait_for(home, {path.name})
            assert _state(home, path.name) == "quarantined"
            path.chmod(0o644)
            file = max(file, _until_ingested(home, path.name))
    told = harness.told(home, 2 * _AGAIN)
    yield [f"rights taken from the folder and given back, {_AGAIN} times", "≤ 10 s", f"{folder:.1f} s", told]
    yield [f"rights taken from a file and given back, {_AGAIN} times", "≤ 10 s", f"{file:.1f} s", told]


# -- files -----------------------------------------------------------------------------------------------------


def slow(home: Path, lines: list[str], _: int) -> Iterator[list[Any]]:
    """Files that are written in pieces, with pauses below the stability delay, for far longer than that."""
    files, pieces = 20, 15
    with harness.daemon(home):
        opened = [(home / "sourcedata" / f"s{number}.csv").open("w", buffering=1) for number in range(files)]
        for piece in range(pieces):
            for number, file in enumerate(opened):
                text = harness.text(lines, [f"{number}-{piece}"], first=piece)
                file.write(text if piece == 0 else text.removeprefix(lines[0]))
            time.sleep(0.5)  # the writers' pace
        for file in opened:
            file.close()
        took = harness.wait_for(home, {f"s{number}.csv" for number in range(files)})
    with Reader.open(settings.load(home).ledger) as ledger:
        seen, runs = len(ledger.files()), len(ledger.runs())
    assert (seen, runs) == (files, 1), (seen, runs)
    what = f"{files} files written at once in {pieces} pieces, 0.5 s apart"
    yield [what, "each once and whole", f"1 run, {took:.1f} s after the last piece", harness.told(home, files * pieces)]


def rewritten(home: Path, lines: list[str], _: int) -> Iterator[list[Any]]:
    """A file that is rewritten in place: in turn while a run reads it, and when it is in."""
    chance, rows, times = random.Random(0), 50_000, 20  # noqa: S311 - moments, no secrets
    path = home / "sourcedata" / "w.csv"
    stayed = [lines[0], *(line for line in lines[1:] if line.endswith("No\n"))]  # one class: nothing is trained
    with harness.daemon(home):
        for number in range(times):
            with path.open("r+" if path.exists() else "w") as file:
                file.write(harness.text(stayed, [f"{number}-{row}" for row in range(rows)]))
                file.truncate()
            if number % 2 == 0:
                _until(lambda: _rows(home, _RUNNING) > 0, "no run has begun")
                time.sleep(chance.uniform(0.0, 0.3))  # so long it takes to read it
            else:
                _until_in(home, path)
        told = harness.told(home, rows * len(_of_each(home)))
    whole = _of_each(home)
    assert set(whole.values()) == {rows}, whole
    assert {str(number) for number in range(1, times, 2)} <= whole.keys(), whole
    what = f"a file of {rows:,} rows, rewritten in place {times // 2} times while it is read"
    yield [what, "nothing torn, the last one in", f"{times - len(whole)} left, {len(whole)} in and whole", told]


def _until_in(home: Path, path: Path) -> None:
    """Wait until what stands in a file now is in, and no run goes on."""
    _until(
        lambda: scan.observe(path.parent, path.name) in _settled(home) and not _rows(home, _RUNNING), f"{path}: not in"
    )


def _settled(home: Path) -> set[Signature]:
    with Reader.open(settings.load(home).ledger) as ledger:
        return ledger.settled_signatures()


def _of_each(home: Path) -> dict[str, int]:
    """Return how many rows of each content are in the data set, by the first half of their keys."""
    at = settings.load(home)
    with Reader.open(at.ledger) as ledger:
        parts = [str(at.ingested / part.part) for part in ledger.parts()]
    found = duckdb.execute("SELECT split_part(customerID, '-', 1), count(*) FROM read_parquet($1) GROUP BY 1", [parts])
    return dict(found.fetchall())


def names(home: Path, lines: list[str], _: int) -> Iterator[list[Any]]:
    """Names that say that a file is not there yet, names that are no text, and times that cannot be."""
    hidden = (".h.csv", "p.csv.part", "t.csv.tmp", "t.tmp", "b.csv~", ".~lock.l.csv#", "c.csv.crdownload")
    strange = ("two\nlines.csv", "caf\udce9.csv", "back\\slash.csv", " blank .csv", "-rf.csv", "n" * 251 + ".csv")
    times = {"1970.csv": 0, "2099.csv": 4_085_000_000, "before.csv": -86_400, "2400.csv": 13_600_000_000}
    source = home / "sourcedata"
    with harness.daemon(home):
        for number, name in enumerate((*hidden, *strange, *times)):
            (source / name).write_text(harness.text(lines, [f"n{number}"], first=number))
            if name in times:
                os.utime(source / name, (times[name], times[name]))
        shown = {name.replace("\\", "\\\\").replace("\udce9", "\\xe9") for name in (*strange, *times)}
        took = harness.wait_for(home, shown)
        for name in hidden:
            (source / name).touch()
        _taken(home, lines, 0)  # a run later they are still not taken
    with Reader.open(settings.load(home).ledger) as ledger:
        assert {row["path"] for row in ledger.files()} == {*shown, "f00000.csv"}
    told = harness.told(home, len(shown) + 1)
    yield [f"{len(hidden)} temporary and hidden names", "never taken", "never taken", told]
    yield [f"{len(strange)} names with line breaks, bytes that are no UTF-8 and the like", "taken once",
           f"{took:.1f} s", told]  # fmt: skip
    yield ["files of 1970, 2099, 1969 and 2400", "taken once", f"{took:.1f} s", told]


# -- runs ------------------------------------------------------------------------------------------------------


def hangs(home: Path, lines: list[str], _: int) -> Iterator[list[Any]]:
    """A run that hangs is stopped after its time, and taken up; the next one goes on."""
    with _held(home, "run_timeout_s: 10") as (held, variables), harness.daemon(home, **variables):
        _write(home, lines, 0, rows=400)
        took = _until_said(home, "is stopped", 1)
        held.unlink()
        harness.wait_for(home, {"f00000.csv"})
        next_one = _taken(home, lines, 1)
    yield ["a run that hangs, run_timeout_s: 10", "stopped, recorded, taken up", f"stopped after {took:.1f} s",
           f"{_attempts(home)}; {harness.told(home, 401)}"]  # fmt: skip
    yield ["… the file after it", "≤ 10 s", f"{next_one:.1f} s", harness.told(home, 401)]


def memory(home: Path, lines: list[str], _: int) -> Iterator[list[Any]]:
    """A run that is killed for its memory, and one that gets no more of it."""
    with _held(home) as (held, variables), harness.daemon(home, **variables) as process:
        _write(home, lines, 0, rows=400)
        child = _in_training(home, process.pid)
        os.kill(child, signal.SIGKILL)  # what the kernel does when there is none left
        held.unlink()
        killed = _until_done(home, "f00000.csv")
        held.touch()
        _write(home, lines, 1, rows=20_000)
        child = _in_training(home, process.pid)
        used = int(Path(f"/proc/{child}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(child, resource.RLIMIT_AS, (used // 2, used // 2))  # whatever more it asks for is refused
        held.unlink()
        refused = _until_done(home, "f00001.csv")
        next_one = _taken(home, lines, 2)
    told = f"{_attempts(home)}; {harness.told(home, 20_401)}"
    yield ["a run killed by SIGKILL, as for its memory", "taken up ≤ 20 s", f"{killed:.1f} s", told]
    yield ["a run that gets no more memory (RLIMIT_AS)", "taken up ≤ 20 s", f"{refused:.1f} s", told]
    yield ["… the file after them", "≤ 10 s", f"{next_one:.1f} s", told]


@contextmanager
def _held(home: Path, more: str = "") -> Iterator[tuple[Path, dict[str, str]]]:
    """Have training wait while a file is there; yield the file, and the environment by which the daemon knows it."""
    (home / "heldtraining.py").write_text(_HELD)
    training = "training: {mode: refit, estimators: [heldtraining.Held], folds: 2}"
    _set(home, training, "packages: {check: never}", more)  # so that a run is the only child
    held = home / "held"
    held.touch()
    yield held, {"PYTHONPATH": os.pathsep.join([str(home), os.environ.get("PYTHONPATH", "")]), "HELD_WHILE": str(held)}


def _in_training(home: Path, daemon: int) -> int:
    """Wait until a run has come to its training; return the process id of its child."""
    _until(
        lambda: _rows(home, f"{_RUNNING} AND run IN (SELECT run FROM steps WHERE step = 'ingest')") > 0, "no run trains"
    )
    return int(Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()[0])


def _attempts(home: Path) -> str:
    """Say how all attempts of all runs ended."""
    with Reader.open(settings.load(home).ledger) as ledger:
        ends = ledger.rows("SELECT status FROM attempt_ends ORDER BY run, attempt")
    return ", ".join(row["status"] for row in ends)


# -- what they share -------------------------------------------------------------------------------------------


def _set(home: Path, *lines: str) -> None:
    with (home / settings.FILE_NAME).open("a") as file:
        file.write("\n".join(("", *lines, "")))


def _write(home: Path, lines: list[str], number: int, *, rows: int = 1, mode: int = 0o644) -> Path:
    """Write a file of which nobody reads anything before it has its rights."""
    path = home / "sourcedata" / f"f{number:05d}.csv"
    beside = path.with_suffix(".tmp")
    beside.write_text(harness.text(lines, [f"f{number}-{row}" for row in range(rows)], first=number))
    beside.chmod(mode)
    return beside.rename(path)


def _taken(home: Path, lines: list[str], number: int) -> float:
    """Write a file; return after how many seconds it is in."""
    return _until_ingested(home, _write(home, lines, number).name)


def _until_ingested(home: Path, name: str) -> float:
    return _until(lambda: _state(home, name) == "ingested", f"{name} is not taken in; see {home / 'daemon.log'}")


def _until_done(home: Path, name: str) -> float:
    begun = time.monotonic()
    harness.wait_for(home, {name}, limit_s=60.0)
    return time.monotonic() - begun


def _until_said(home: Path, words: str, times: int) -> float:
    """Wait until the daemon's log has these words so often."""
    log = home / "daemon.log"
    return _until(lambda: log.read_text().count(words) >= times, f"it never said {words!r}; see {log}")


def _until(condition: Callable[[], bool], failure: str, limit_s: float = 60.0) -> float:
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > limit_s:
            raise SystemExit(failure)
        time.sleep(0.05)
    return time.monotonic() - begun


def _state(home: Path, name: str) -> str | None:
    """Return what became of the newest file of a name."""
    try:
        with Reader.open(settings.load(home).ledger) as ledger:
            return str(ledger.file_by_path(name)["state"])
    except (LedgerError, NotFoundError):
        return None


def _rows(home: Path, sql: str) -> int:
    try:
        with Reader.open(settings.load(home).ledger) as ledger:
            return int(ledger.rows(sql)[0]["n"])
    except LedgerError:
        return 0


BENCHMARKS = {each.__name__: each for each in (removed, mounted, rights, slow, rewritten, names, hangs, memory)}

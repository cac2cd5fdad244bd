"""Is everything in order? Each check is OK, or FIX with a command to paste."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from churnwatch.daemon.attention import daemon_pid
from churnwatch.pipeline import registry, settings
from churnwatch.pipeline.clock import from_iso, utc_now
from churnwatch.pipeline.errors import ChurnwatchError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import Home

_LOW_DISK_BYTES = 1 << 30
_NEWEST_RUNS = 5  # that are looked at for drift
_UNIT = Path("/etc/systemd/system/churnwatch.service")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `fix` is a command to paste; None where all is well."""

    what: str
    fix: str | None = None

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return self.fix is None

    @property
    def line(self) -> str:
        """The check as it is printed."""
        return f"OK   {self.what}" if self.fix is None else f"FIX  {self.what}\n     {self.fix}"


def examine(folder: Path) -> list[Check]:
    """Look at everything that a home needs."""
    checks = list(_installation())
    try:
        home = settings.load(folder)
    except ChurnwatchError as error:
        fix = (
            f"churnwatch init {shlex.quote(str(folder))}"
            if "is no home" in str(error)
            else f"${{EDITOR:-vi}} {shlex.quote(str(folder / settings.FILE_NAME))}"
        )
        return [*checks, Check(str(error), fix)]
    checks.append(Check(f"settings: {home.path / settings.FILE_NAME}"))
    checks += _folders(home)
    checks += _disk(home)
    checks += _ledger(home)
    checks += _unit(home)
    return checks


def _installation() -> Iterator[Check]:
    """Hold what is installed against what churnwatch asks for."""
    wrong = []
    for text in metadata.requires("churnwatch") or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found = ""
        if not found or not requirement.specifier.contains(found, prereleases=True):
            wrong.append(str(requirement).split(";")[0].strip())
    if wrong:
        asked = " ".join(shlex.quote(each) for each in wrong)
        yield Check(
            f"packages missing or too old: {', '.join(wrong)}", f"{shlex.quote(sys.executable)} -m pip install {asked}"
        )
    else:
        yield Check(f"installation: churnwatch {metadata.version('churnwatch')}, Python {sys.version.split()[0]}")


def _folders(home: Home) -> Iterator[Check]:
    for path in home.folders():
        quoted = shlex.quote(str(path))
        needed = os.R_OK | os.X_OK if path == home.source else os.R_OK | os.W_OK | os.X_OK
        if not path.is_dir():
            yield Check(f"folder {path} is missing", f"mkdir -p {quoted}")
        elif not os.access(path, needed):
            letters = "rx" if path == home.source else "rwx"
            yield Check(
                f"folder {path} cannot be {'read' if letters == 'rx' else 'written'}",
                f"sudo chmod u+{letters} {quoted}",
            )
        else:
            yield Check(f"folder {path}")


def _disk(home: Home) -> Iterator[Check]:
    free = shutil.disk_usage(home.path).free
    if free < _LOW_DISK_BYTES:
        yield Check(
            f"only {free >> 20} MB are free", f"du -xh --max-depth=2 {shlex.quote(str(home.path))} | sort -h | tail"
        )
    else:
        yield Check(f"disk: {free >> 30} GB free")


def _ledger(home: Home) -> Iterator[Check]:
    if not home.ledger.exists():
        yield Check("ledger: none yet; the first run makes it")
        return
    try:
        with Reader.open(home.ledger) as ledger:
            problems = ledger.problems()
            yield (
                Check(f"ledger: {problems[0]}", "churnwatch restore BACKUP restored  # and make that the home")
                if problems
                else Check(f"ledger: {home.ledger}")
            )
            yield from _release(home, ledger)
            yield from _clock(ledger)
            yield from _drift(home, ledger)
    except ChurnwatchError as error:
        yield Check(str(error), "churnwatch restore BACKUP restored  # and make that the home")


def _release(home: Home, ledger: Reader) -> Iterator[Check]:
    champion = ledger.champion()
    model = champion.model if champion else None
    command = f"churnwatch --home {shlex.quote(str(home.path))}"
    if ledger.open_intent() is not None:
        yield Check("a promotion was begun and not finished", f"{command} run --once")
    problems = registry.release_problems(home.deployment, model)
    for problem in problems:
        yield Check(problem, f"{command} run --once  # or: {command} rollback --why 'damaged release'")
    if not problems:
        yield Check(f"release: {model.name}" if model else "release: none yet")


def _clock(ledger: Reader) -> Iterator[Check]:
    """A clock that went back would put new history before the old."""
    runs = ledger.runs(limit=1)
    newest = from_iso(runs[0]["created_at"]) if runs else utc_now()
    if newest > utc_now() + timedelta(minutes=1):
        yield Check(
            f"the clock is behind the ledger, whose newest run is of {newest:%Y-%m-%d %H:%M} UTC",
            "sudo timedatectl set-ntp true",
        )
    else:
        yield Check("clock")


def _drift(home: Home, ledger: Reader) -> Iterator[Check]:
    """Where the world moves on, a model that is no worse and newer is worth having."""
    runs = ledger.drift_runs(_NEWEST_RUNS)
    drifted = [run for run in runs if any(each.band.retrains for each in ledger.drifts(run))]
    if drifted and home.settings.gating.max_age_runs is None:
        yield Check(f"drift in {len(drifted)} of the last {len(runs)} runs that could tell: with `gate.max_age_runs` a"
                    " candidate that is not worse replaces an old model (docs/settings.md)")  # fmt: skip


def _unit(home: Home) -> Iterator[Check]:
    pid = daemon_pid(home)
    yield Check(f"daemon: running (process {pid})" if pid is not None else "daemon: not running")
    if not _UNIT.exists():
        yield Check("unit: not installed (docs/operations.md says how)")
        return
    verify = shutil.which("systemd-analyze")
    if verify is None:
        yield Check("unit: installed")
        return
    # It exits 0 on a misspelt directive, so its words count, too.
    done = subprocess.run([verify, "verify", str(_UNIT)], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode or done.stderr.strip():
        yield Check(
            f"unit: {done.stderr.strip().splitlines()[0] if done.stderr.strip() else 'refused'}",
            f"systemd-analyze verify {_UNIT}",
        )
    else:
        yield Check(f"unit: {_UNIT}")

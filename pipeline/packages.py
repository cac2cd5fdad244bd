"""Which installed packages are outdated or known to be vulnerable, and of which nobody could say.

pip and pip-audit both fall silent in ways that look like good news: without an index `pip list --outdated`
prints an empty list and succeeds; a package without a record is skipped by pip-audit, which then reports no
vulnerability. So a package counts as checked only when a command named it: as up to date or outdated, and as
audited. Whatever was not named is unknown, and unknown is never OK.

Only the running environment is looked at, through the user's own pip configuration: no address stands here.
churnwatch itself is left out, because it comes from no index and would be unknown for ever.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any, Literal

from packaging.version import Version

from churnwatch.pipeline.clock import iso

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_OWN = "churnwatch"
_SOCKET_TIMEOUT_S = "5"  # of one connection; the hard limit is for the whole command
_LONGEST_LINE = 300
_LEADING_ELSEWHERE = ("PIP_PYTHON", "PIP_AUDIT_OUTPUT")  # another environment, a file instead of stdout
_PIP_LIST = (
    *("-m", "pip", "list", "--format=json", "--exclude", _OWN, "--exclude-editable"),
    *("--disable-pip-version-check", "--no-input", "--timeout", _SOCKET_TIMEOUT_S, "--retries", "1"),
)
_PIP_AUDIT = (
    *("-m", "pip_audit", "--format", "json", "--desc", "off", "--progress-spinner", "off", "--skip-editable"),
    *("--timeout", _SOCKET_TIMEOUT_S),
)


@dataclass(frozen=True)
class Finding:
    """What is to be said of one package; a vulnerable one has a finding for each advisory."""

    kind: Literal["outdated", "vulnerable", "unknown"]
    package: str
    installed: str
    latest: str | None = None
    advisory: str | None = None
    fixed_in: str | None = None  # the nearest later version without this vulnerability
    reason: str | None = None  # why it is unknown


@dataclass(frozen=True)
class PackageCheck:
    """One check of all packages, and how much of it came to be."""

    checked_at: str
    packages: int
    outdated_known: bool  # false when the index answered for no package at all
    vulnerable_known: bool  # false when no package at all was audited
    findings: tuple[Finding, ...]
    error: str | None  # one line: why a part is not known

    @property
    def outdated(self) -> int | None:
        """How many packages have a newer version; None, not 0, when that is not known."""
        return self._count("outdated") if self.outdated_known else None

    @property
    def vulnerable(self) -> int | None:
        """How many packages have a known vulnerability; None, not 0, when that is not known."""
        return self._count("vulnerable") if self.vulnerable_known else None

    @property
    def unknown(self) -> int:
        """For how many packages at least one of the two questions has no answer."""
        both_known = self.outdated_known and self.vulnerable_known
        return self._count("unknown") if both_known else self.packages

    @property
    def ok(self) -> bool:
        """Whether every package is known to be up to date and without a known vulnerability."""
        return self.outdated_known and self.vulnerable_known and not self.findings

    def _count(self, kind: str) -> int:
        return len({finding.package for finding in self.findings if finding.kind == kind})


@dataclass(frozen=True)
class Answer:
    """What a command printed, and one line on what it complained of."""

    stdout: str
    complaint: str


Runner = Callable[[Sequence[str], float], Answer]


@dataclass(frozen=True)
class Part:
    """The answer to one of the two questions: findings, what stayed open, or why all of it did."""

    findings: tuple[Finding, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()  # package, reason
    error: str | None = None


def installed() -> dict[str, str]:
    """Return the version of every package of the running environment, by normalised name, sorted.

    Where a package is found twice, the first on the path counts, as it does for an import.
    """
    found: dict[str, str] = {}
    for distribution in distributions():
        # The remains of a broken removal have no name, or no metadata where a backport has taken over the search.
        with contextlib.suppress(FileNotFoundError):
            metadata = distribution.metadata
            if metadata and "Name" in metadata and "Version" in metadata:
                found.setdefault(_normalised(metadata["Name"]), metadata["Version"])
    return dict(sorted(found.items()))


def check(
    *,
    now: datetime,
    cache_folder: Path,
    timeout_s: float = 60,
    run: Runner | None = None,
    extra_args: Sequence[str] = (),
) -> PackageCheck:
    """Ask pip and pip-audit about every installed package except churnwatch.

    It never raises for what a network, an index or either tool does wrong; that makes packages unknown.

    Args:
        now: when the check is said to have been made.
        cache_folder: where pip-audit keeps what it has been told; made when it is missing.
        timeout_s: the hard limit of each of the three commands (two of pip, one of pip-audit).
        run: runs one command; `run_limited` unless a test says otherwise.
        extra_args: further words for pip-audit, such as another service.
    """
    ask = run or run_limited
    packages = {name: version for name, version in installed().items() if name != _OWN}
    newest = _ask_pip(packages, lambda words: ask([sys.executable, *_PIP_LIST, words], timeout_s))
    audit = [sys.executable, *_PIP_AUDIT, "--cache-dir", str(cache_folder), *extra_args]
    audited = read_audit(packages, ask(audit, timeout_s))
    errors = [part.error for part in (newest, audited) if part.error]
    return PackageCheck(
        checked_at=iso(now),
        packages=len(packages),
        outdated_known=newest.error is None,
        vulnerable_known=audited.error is None,
        findings=(*newest.findings, *audited.findings, *_unknown_findings(packages, newest, audited)),
        error="; ".join(errors) or None,
    )


def _ask_pip(packages: Mapping[str, str], pip_list: Callable[[str], Answer]) -> Part:
    """Ask for both lists; the second only when the first came: a dead index costs one limit, not two."""
    current = pip_list("--uptodate")
    if _rows(current.stdout) is None:
        return Part(error=_no_answer("pip list --uptodate", current))
    return read_versions(packages, current, pip_list("--outdated"))


def read_versions(packages: Mapping[str, str], current: Answer, outdated: Answer) -> Part:
    """Understand `pip list --uptodate` and `pip list --outdated`, both as JSON.

    Together they prove, package by package, that the index answered: a package that is in neither list was
    not found there, or the connection broke.
    """
    up_to_date, newer = _rows(current.stdout), _rows(outdated.stdout)
    if up_to_date is None:
        return Part(error=_no_answer("pip list --uptodate", current))
    if newer is None:
        return Part(error=_no_answer("pip list --outdated", outdated))
    if packages and packages.keys().isdisjoint(up_to_date.keys() | newer.keys()):
        return Part(error=f"the package index knows none of the {len(packages)} packages, or cannot be reached")
    why = "the package index names neither this version nor a newer one"
    return Part(
        findings=tuple(
            Finding("outdated", name, version, latest=newer[name].get("latest_version"))
            for name, version in packages.items()
            if name in newer
        ),
        unknown=tuple((name, why) for name in packages if name not in newer and name not in up_to_date),
    )


def read_audit(packages: Mapping[str, str], audit: Answer) -> Part:
    """Understand pip-audit's JSON; its exit code says nothing, being 1 for findings and for a crash alike."""
    rows = _rows(audit.stdout, "dependencies")
    if rows is None:
        return Part(error=_no_answer("pip-audit", audit))
    findings: list[Finding] = []
    unknown: list[tuple[str, str]] = []
    for name, version in packages.items():
        row = rows.get(name, {"skip_reason": "pip-audit did not look at it"})
        vulnerabilities = row.get("vulns")
        if vulnerabilities is None:
            unknown.append((name, _one_line(str(row.get("skip_reason")))))
        else:
            findings += [_vulnerable(name, version, each) for each in vulnerabilities]
    if packages and len(unknown) == len(packages):
        return Part(error=f"pip-audit could audit none of the {len(packages)} packages: {unknown[0][1]}")
    return Part(findings=tuple(findings), unknown=tuple(unknown))


def run_limited(command: Sequence[str], timeout_s: float) -> Answer:
    """Run a command in a process group of its own, which is killed as a whole at the limit."""
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
            process_group=0,
        ) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout_s)
            except BaseException:  # an interrupt, too, must leave nothing behind
                _kill_group(process.pid)
                raise
    except subprocess.TimeoutExpired:
        return Answer("", f"not finished within {timeout_s:g} s")
    except OSError as error:
        return Answer("", _one_line(f"cannot be started: {error}"))
    return Answer(stdout, _complaint(process.returncode, stderr))


def _kill_group(leader: int) -> None:
    """Kill a group; before its leader is waited for, so that the number cannot be another's by now."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Return the user's environment, without what would make the commands look, or write, elsewhere."""
    ours = {
        "PYTHONSAFEPATH": "1",  # `-m pip` would take a pip.py in the current folder for pip
        "PIPAPI_PYTHON_LOCATION": sys.executable,
        "PIP_VERBOSE": "0",  # in a pip.conf, it puts words before the JSON,
        "PIP_QUIET": "0",  # and this leaves the JSON out
    }
    return {name: value for name, value in os.environ.items() if name not in _LEADING_ELSEWHERE} | ours


def _rows(text: str, key: str | None = None) -> dict[str, dict[str, Any]] | None:
    """Return a command's JSON rows by normalised name, None when the text is something else."""
    try:
        found = json.loads(text)
        return {_normalised(row["name"]): dict(row) for row in (found if key is None else found[key])}
    except (ValueError, TypeError, KeyError):
        return None


def _vulnerable(package: str, version: str, vulnerability: Mapping[str, Any]) -> Finding:
    fixes = [fix for fix in vulnerability.get("fix_versions", ()) if Version(fix) > Version(version)]
    nearest = min(fixes, key=Version, default=None)
    return Finding("vulnerable", package, version, advisory=vulnerability.get("id"), fixed_in=nearest)


def _unknown_findings(packages: Mapping[str, str], *parts: Part) -> list[Finding]:
    """Return one finding for each package that a part, otherwise answered, says nothing of."""
    reasons: dict[str, list[str]] = {}
    for part in parts:
        for name, reason in part.unknown:
            reasons.setdefault(name, []).append(reason)
    return [Finding("unknown", name, packages[name], reason="; ".join(why)) for name, why in sorted(reasons.items())]


def _no_answer(command: str, answer: Answer) -> str:
    return f"{command} gave no answer: {answer.complaint}"


def _complaint(exit_code: int, stderr: str) -> str:
    """Return the last line of what was complained of: pip's error, or the last line of a traceback."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    return _one_line(f"exit code {exit_code}" + (f", {lines[-1]}" if lines else ""))


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"


def _normalised(name: str) -> str:
    """Normalise a name as the indexes do; packaging's own function would load a platform survey with it."""
    return re.sub(r"[-_.]+", "-", name).lower()

"""The fast form: a few of the moments that `kill_sweep.py`, `power_cut.py` and `io_errors.py` look at one by one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import traced

HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def _strace() -> None:
    """Skip with a word where a run cannot be traced, but not in CI."""
    if missing := traced.why_not():
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)


def _run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the long form in a process of its own: it forks, which one with threads had better not."""
    return subprocess.run(
        [sys.executable, str(HERE / program), *options], capture_output=True, text=True, check=False, timeout=600
    )


def _bad(printed: str) -> int:
    return int(printed.split("| all", 1)[1].splitlines()[0].split("|")[-2])


def test_a_run_killed_at_a_system_call_is_taken_up_and_ends_as_the_uninterrupted_one() -> None:
    done = _run("kill_sweep.py", "--every", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert _bad(done.stdout) == 0


def test_a_power_cut_loses_nothing_that_was_acknowledged() -> None:
    done = _run("power_cut.py", "--every", "300")
    assert done.returncode == 0, done.stdout + done.stderr
    assert _bad(done.stdout) == 0


@pytest.mark.parametrize(("forcing", "every"), [("files", "100"), ("folders", "20")])
def test_the_power_cut_test_notices_that_something_is_not_forced_to_the_disk(forcing: str, every: str) -> None:
    done = _run("power_cut.py", "--every", every, "--run", "first", "--without", forcing)
    assert done.returncode == 1, done.stderr
    assert _bad(done.stdout) > 0


def test_a_write_that_fails_and_a_full_disk_cost_one_attempt_and_nothing_else() -> None:
    done = _run("io_errors.py", "--every", "200", "--run", "promoted", "once", "io", "full")
    assert done.returncode == 0, done.stdout + done.stderr

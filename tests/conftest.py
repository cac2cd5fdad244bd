"""What all tests share: homes, generated data, and the guards."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import hypothesis
import pytest

# One thread per library: on two cores more only wait for each other. Set before numpy is first imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"

# Tests are dealt out to processes whose main module has neither a file nor a spec, which pyspark takes for doctests.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__spec__ = ModuleSpec("__main__", None)


# For a night: `--hypothesis-profile=long`.
hypothesis.settings.register_profile("long", max_examples=2000, deadline=None)


# The files that take longest, first: else one process still works on them when the other has nothing left to do.
_LONGEST = ("test_crashes.py", "test_both_engines.py", "test_spark.py", "test_run.py", "test_daemon.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; all else stays in its order."""
    items.sort(key=lambda item: _LONGEST.index(item.path.name) if item.path.name in _LONGEST else len(_LONGEST))


@pytest.fixture(autouse=True)
def _no_leaked_threads() -> Iterator[None]:
    """A test that leaves a thread behind fails."""
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before and not thread.daemon]
    assert not left, f"threads left running: {left}"


@pytest.fixture(autouse=True)
def _no_home_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test works on whatever home the environment names."""
    monkeypatch.delenv("CHURNWATCH_HOME", raising=False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real public data; its tests are skipped, with a word, where there is none."""
    folder = os.environ.get("CHURNWATCH_DATA")
    if not folder:
        pytest.skip("CHURNWATCH_DATA names no folder of real data")
    return Path(folder)

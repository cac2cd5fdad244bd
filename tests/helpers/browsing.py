"""A real browser. Where there is no Chromium, tests that need it are skipped, but never in CI."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

CHROMIUM = Path("/usr/bin/chromium")


def missing(what: str) -> NoReturn:
    """Skip a test, or fail it where all has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; in CI pages have to be seen in a browser")
    pytest.skip(what)


def imported(name: str) -> Any:
    """Import what only tests with a browser need."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(f"{name} is missing: pip install .[test]")


@contextmanager
def started() -> Iterator[Any]:
    """Start the browser."""
    if not CHROMIUM.exists():
        missing(f"{CHROMIUM} is missing: apt-get install chromium")
    with imported("playwright.sync_api").sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()

"""A page → PDF, by a Chromium that is there; never by the daemon, whose unit would not let a browser run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from churnwatch.pipeline.errors import UsageError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_LIMIT_S = 120


def print_pdf(page: Path) -> Path:
    """Print a page beside itself and return where the PDF lies.

    Raises:
        UsageError: there is no Chromium, or it wrote nothing.
    """
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        raise UsageError("No Chromium to print with: install chromium, or open the page and print it there.")
    target = page.with_suffix(".pdf")
    with tempfile.TemporaryDirectory(prefix=".print-", dir=page.parent) as scratch:
        written = Path(scratch) / target.name
        said = _run([browser, *_options(scratch, written), page.resolve().as_uri()])
        if not written.exists():
            raise UsageError(f"{browser} printed nothing: {said}")
        written.replace(target)
    return target


def _options(scratch: str, written: Path) -> list[str]:
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # as root Chromium has none; the page runs its own script only
    return [
        "--headless",
        "--no-pdf-header-footer",
        f"--user-data-dir={scratch}/profile",
        f"--print-to-pdf={written.resolve()}",
        *sandbox,
    ]


def _run(command: list[str]) -> str:
    """Return the last line that a command says, whether or not it succeeds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"it took longer than {_LIMIT_S} s"
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]

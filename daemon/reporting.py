"""Writing the report when somebody asks for it."""

from __future__ import annotations

from pathlib import Path

from churnwatch.daemon import attention
from churnwatch.pipeline import clock, settings
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.reports.build import build, build_run


def write_report(folder: Path, output: Path | None = None, *, run: int | None = None) -> Path:
    """Write a home's report, by default to where the settings say, or the page of one run; return where it is."""
    home = settings.load(folder)
    with Reader.open(home.ledger) as ledger:
        if run is not None:
            return build_run(home, ledger, run, now=clock.utc_now(), output=output)
        return build(home, ledger, now=clock.utc_now(), attention=attention.of(home, ledger), output=output)

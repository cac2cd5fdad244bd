"""One turn of work on a home, whoever asks for it: recover, run what is there, write the report."""

from __future__ import annotations

import logging
from collections.abc import Collection

from churnwatch.daemon import attention, metrics_file
from churnwatch.pipeline import clock, feed, files, packages, run
from churnwatch.pipeline.errors import ChurnwatchError, DataError
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Signature
from churnwatch.pipeline.run import Outcome, Progress
from churnwatch.pipeline.settings import SERVED_FOLDER, Home
from churnwatch.reports.build import build

log = logging.getLogger("churnwatch.work")


def once(
    home: Home,
    *,
    reason: str,
    stable: Collection[Signature] | None = None,
    progress: Progress = lambda _: None,
) -> list[Outcome]:
    """Do all there is to do and bring the report up to date.

    One process at a time works on a home; a second one waits for the first.

    Raises:
        ChurnwatchError: something expected that no run could be charged with, such as an unreadable folder.
    """
    for folder in home.folders():
        folder.mkdir(parents=True, exist_ok=True)
    with files.lock(home.state / "work.lock", busy="", wait=True), Ledger.open(home.ledger) as ledger:
        try:
            run.recover(home, ledger)
            served, why_not = _make_batches(home, ledger)
            stable = None if stable is None else {*stable, *served}
            outcomes = run.work(home, ledger, reason=reason, stable=stable, progress=progress)
        finally:
            progress("report")
            build(home, ledger, now=clock.utc_now(), attention=attention.of(home, ledger))
            metrics_file.write(home, ledger, now=clock.utc_now())
    for outcome in outcomes:
        log.info("run %s %s: %s", outcome.run, outcome.status, outcome.line)
    if why_not is not None:
        raise why_not
    return outcomes


def _make_batches(home: Home, ledger: Ledger) -> tuple[list[Signature], ChurnwatchError | None]:
    """Make files of what was served; return them, or what went wrong, which holds up no other file."""
    try:
        return feed.make_batches(home, ledger, now=clock.utc_now()), None
    except ChurnwatchError as error:
        return [], error
    except OSError as error:
        where = home.source / SERVED_FOLDER
        why = f"{where}: what was served cannot be written there ({error.strerror}). Mend its rights, or make room."
        return [], DataError(why)


def check_packages(home: Home) -> packages.PackageCheck:
    """Check for outdated and vulnerable packages, and record what was found."""
    found = packages.check(
        now=clock.utc_now(), cache_folder=home.state / "pip-audit", timeout_s=home.settings.packages.timeout_s
    )
    with Ledger.open(home.ledger) as ledger:
        ledger.add_package_check(found)
    return found

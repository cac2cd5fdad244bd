"""Log lines for people: plain in the journal, with the time in a terminal. No cell value ever goes into one."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from pathlib import Path

from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.settings import STATE_FOLDER

_ERROR_LOG = "error.log"
_MOST_ERRORS = 50  # in a chain of them


def set_up(*, errors_only: bool = False) -> None:
    """Log to standard error: each step for somebody who watches a terminal; the journal adds the time itself."""
    shape = "%(message)s" if "JOURNAL_STREAM" in os.environ else "%(asctime)s %(message)s"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(shape, datefmt="%H:%M:%S"))
    root = logging.getLogger("churnwatch")
    root.handlers[:] = [handler]
    usual = logging.DEBUG if sys.stderr.isatty() else logging.INFO
    root.setLevel(logging.ERROR if errors_only else usual)


def traceback_of(error: BaseException) -> str:
    """Return where an error came through, without its own words: a library's may hold a customer's value."""
    chain: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in chain and len(chain) < _MOST_ERRORS:
        chain.insert(0, each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "\nwhich led to:\n\n".join(
        f"Traceback (most recent call last):\n{''.join(traceback.format_tb(one.__traceback__))}"
        f"{type(one).__qualname__} (its words are left out)\n"
        for one in chain
    )


def keep_traceback(home: Path, error: BaseException) -> Path | None:
    """Append an error's traceback to the home's error log; return where it is."""
    log = home / STATE_FOLDER / _ERROR_LOG
    try:
        log.parent.mkdir(exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"--- {iso(utc_now())}\n{traceback_of(error)}\n")
    except OSError:
        return None  # no home, or no room: the traceback goes to standard error instead
    return log

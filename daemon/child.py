"""The process in which a run happens: the heavy libraries live and die here, and a crash stays here.

Started as `python -m churnwatch.daemon.child HOME run`; it imports while the files settle, then waits on standard
input for one line of JSON that says what is stable. It says on standard output, in lines of JSON, how far it is.
When standard input ends, whoever started it is gone, and so is it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec

from churnwatch.daemon import logs
from churnwatch.pipeline import settings
from churnwatch.pipeline.errors import ChurnwatchError
from churnwatch.pipeline.records import Signature
from churnwatch.pipeline.settings import Home, Settings

OK, EXPECTED, BUG, ORPHANED, INTERRUPTED = 0, 1, 3, 75, 130
log = logging.getLogger("churnwatch.child")


def main(arguments: Sequence[str]) -> int:
    """Run `HOME run`, `HOME packages`, `HOME migrate` or `HOME notify`; return the exit code."""
    folder, what = Path(arguments[0]), arguments[1]
    logs.set_up()
    try:
        known = {"run": _run, "packages": _check_packages, "migrate": _migrate, "notify": _notify}
        return known[what](folder)
    except (ChurnwatchError, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - expected: one line
        return EXPECTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a bug: where it came through goes into journal and log
        log.error("a bug in the run\n%s", logs.traceback_of(error))  # noqa: TRY400 - without its words
        logs.keep_traceback(folder, error)
        return BUG


def _run(folder: Path) -> int:
    from churnwatch.daemon import work  # noqa: PLC0415 - heavy, and timed: it imports while the files settle

    order = sys.stdin.readline()
    if not order:
        return OK
    threading.Thread(target=_leave_when_orphaned, args=(sys.stdin,), daemon=True).start()
    wanted = json.loads(order)
    home = Home(folder, msgspec.json.decode(wanted["settings"], type=Settings))
    outcomes = work.once(
        home,
        reason=wanted["reason"],
        stable={Signature(*each) for each in wanted["stable"]},
        progress=lambda step: _say({"step": step}),
    )
    for outcome in outcomes:
        _say({"run": outcome.run, "status": outcome.status, "line": outcome.line})
    return OK if all(outcome.status == "done" for outcome in outcomes) else EXPECTED


def _check_packages(folder: Path) -> int:
    from churnwatch.daemon import work  # noqa: PLC0415 - heavy

    with contextlib.suppress(PermissionError):  # a hardened unit may forbid it
        os.nice(10)  # it runs beside the runs, never in their way
    work.check_packages(settings.load(folder))
    return OK


def _migrate(folder: Path) -> int:
    from churnwatch.pipeline.ledger.writer import Ledger  # noqa: PLC0415 - heavy: sqlite-utils imports pandas

    with Ledger.open(settings.load(folder).ledger):
        return OK


def _notify(folder: Path) -> int:
    from churnwatch.daemon import notify  # noqa: PLC0415 - heavy

    notify.once(settings.load(folder))
    return OK


def _leave_when_orphaned(pipe: TextIO) -> None:
    pipe.read()
    os._exit(ORPHANED)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Commands that people are told to type, with the home that they gave on the command line."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

# The commands that work on a home; of the others none is told to somebody who has one.
OF_A_HOME = (
    "alert", "api-returns", "approve", "backup", "campaigns", "churn", "customers", "doctor", "experiment",
    "experiments", "explain", "export", "features", "files", "key", "mail", "models", "packages", "predict", "promote",
    "pull", "reject", "replay", "report", "retry", "rollback", "run", "runs", "serve", "show", "status", "unpin",
)  # fmt: skip
_COMMAND = re.compile(rf"\bchurnwatch (?=(?:{'|'.join(OF_A_HOME)})\b)")


def at_home(text: str, home: Path) -> str:
    """Return a text whose commands find the home that somebody gave by `--home`, not by being there or by a variable.

    Args:
        text: for the terminal, such as ``see `churnwatch show 3` ``.
        home: as it was given, `.` where it was not.
    """
    if home in (Path(), Path(os.environ.get("CHURNWATCH_HOME", ""))):
        return text
    return _COMMAND.sub(lambda _: f"churnwatch --home {shlex.quote(str(home))} ", text)

"""What the programs of the long form share: their options, the stages that they look at, and what they print."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import traced
from stages import NAMES, Stage, made


class Finding(Protocol):
    """What came of one try."""

    @property
    def where(self) -> str:
        """Which one it was."""

    @property
    def wrong(self) -> tuple[str, ...]:
        """What was wrong afterwards, nothing if all was well."""


F = TypeVar("F", bound=Finding)
_SHOWN = 5  # lines of one try


def options(doc: str | None, every: str) -> argparse.ArgumentParser:
    """Return the options that all of them have; `every` says what --every does."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N", help=every)
    parser.add_argument("--run", choices=NAMES, help="one of the three runs only")
    return parser


def run(
    only: str | None, sweep: Callable[[Path, list[Stage]], Iterator[F]], table: Callable[[Sequence[F]], str]
) -> int:
    """Make the stages, try all, tell what is wrong as it is found, and print the table; return 1 if anything was."""
    if missing := traced.why_not():
        raise SystemExit(missing)
    found = []
    with tempfile.TemporaryDirectory() as name:
        for each in sweep(Path(name), made(Path(name), only)):
            found.append(each)
            for line in each.wrong[:_SHOWN]:
                print(f"{each.where}: {line}", flush=True)
    print(table(found))
    return int(any(each.wrong for each in found))

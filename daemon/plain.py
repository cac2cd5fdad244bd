"""`read`: any file as plain CSV. In a module of its own, since it needs none of the libraries for models."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from churnwatch.pipeline import files, read_file
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.settings import Csv

_SHOWN = 10


def read_csv(source: Path, output: Path | None, delimiter: str | None) -> list[str]:
    """Write what would be ingested of a file, to standard output where no file is named; return what there is to say.

    Raises:
        DataError: the file cannot be read as a whole.
    """
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        engine = stack.enter_context(duckdb_engine(Path(scratch)))
        beside = stack.enter_context(files.written_beside(output)) if output is not None else None
        out = stack.enter_context(beside.open("w", encoding="utf-8", newline="")) if beside is not None else sys.stdout
        found = read_file.read_file(source, Csv(delimiter=delimiter), engine, out)
    told = [f"{found.rows:,} row(s) read, {len(found.bad):,} set aside", *found.opening.findings]
    if found.mended:
        lines = ", ".join(map(str, found.mended[:_SHOWN])) + (", …" if len(found.mended) > _SHOWN else "")
        told.append(f"{len(found.mended):,} row(s) with quotes that do not fit, taken for text: line {lines}")
    return told + [f"line {row.line}: {row.reason}" for row in found.bad]

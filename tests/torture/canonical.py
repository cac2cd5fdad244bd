"""What a home comes to, without what two histories of the same drops may differ in: times, attempts, what failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet

from churnwatch.pipeline import registry
from churnwatch.pipeline.feature_step import Pairs
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import Home

TIMES = {
    "at",
    "seen_at",
    "created_at",
    "started_at",
    "ended_at",
    "decided_at",
    "compared_at",
    "mtime_ns",
    "ctime_ns",
    "wall_s",
}
# A run's identity and a manifest hold the times of the source files.
VOLATILE = TIMES | {"cpu_s", "peak_rss_bytes", "pid", "run_id", "manifest_sha256"}
ATTEMPTS = {"attempts", "attempt_ends", "steps", "_sqlite_migrations"}

Dump = dict[str, Any]


def dump(home: Home) -> Dump:
    """Return everything that two homes with the same drops must agree in: the ledger's rows and the files' bytes."""
    return {**ledger_of(home), **files_of(home)}


def ledger_of(home: Home) -> Dump:
    """Return the rows of each table of the ledger."""
    with Reader.open(home.ledger) as ledger:
        tables = [row["name"] for row in ledger.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            f"table {table}": [
                {name: value for name, value in row.items() if name not in VOLATILE}
                for row in ledger.rows(f"SELECT * FROM {table}")
            ]
            for table in sorted(tables)
            if table not in ATTEMPTS and not table.startswith("sqlite_")
        }


def files_of(home: Home) -> Dump:
    """Return the content of each file of the data set, the models, the release and the predictions; links as such."""
    found: Dump = {}
    tables = {home.ingested / pairs.file for pairs in Pairs}
    for folder in (home.ingested, home.models, home.deployment, home.predictions):
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(home.path))
            if path in tables:  # made anew at will, of parts that may have been merged since
                found[name] = repr(pyarrow.parquet.read_table(path).to_pylist())
            elif any(path.name.startswith(f"{pairs}-") for pairs in Pairs):
                continue  # what those links lead to
            elif path.is_symlink():
                found[name] = str(path.readlink())
            elif path.is_file():
                found[name] = path.read_bytes() if path.name != registry.MANIFEST else "a manifest"
    return found


def differences(found: Dump, expected: Dump) -> list[str]:
    """Return in what two dumps differ, one line each."""
    return [
        f"{name}: {_shortened(found, name)}, not {_shortened(expected, name)}"
        for name in sorted(found.keys() | expected.keys())
        if found.get(name) != expected.get(name)
    ]


def problems(home: Home) -> list[str]:
    """Return what is wrong with a home by itself: its ledger, its release, its counts."""
    with Reader.open(home.ledger) as ledger:
        champion = ledger.champion()
        totals = ledger.row_totals()
        counted = totals["accepted"] + totals["duplicate"] + totals["quarantined"]
        return [
            *ledger.problems(),
            *registry.release_problems(home.deployment, champion.model if champion else None),
            *([] if counted == totals["read"] else [f"rows do not add up: {totals}"]),
            *_missing_files(home, ledger),
        ]


def _missing_files(home: Home, ledger: Reader) -> list[str]:
    """Return the parts, models and predictions that the ledger knows and the disk does not."""
    parts = ledger.rows("SELECT part FROM parts WHERE part NOT IN (SELECT part FROM part_replacements)")
    known: list[Path] = [
        *(home.ingested / row["part"] for row in parts),
        *(home.models / model.folder / name for row in ledger.models() for model in [ledger.model(row["version"])]
          for name in registry.release_files(home.models / model.folder, model)),
        *(home.predictions / row["path"] for row in ledger.predictions()),
    ]  # fmt: skip
    return [f"{path.relative_to(home.path)}: the ledger knows it, the disk does not" for path in known
            if not path.is_file() or not path.stat().st_size]  # fmt: skip


def _shortened(dumped: Dump, name: str) -> str:
    if name not in dumped:
        return "nothing"
    value = dumped[name]
    return f"{len(value)} bytes" if isinstance(value, bytes) else repr(value)[:200]

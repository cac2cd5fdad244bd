"""What does not come as files by itself → files in the source folder: rows of a table, or objects found by fsspec.

A file is written beside under a hidden name and renamed, so that the daemon takes it up like any other. Where a pull
goes on is read from the data set and the ledger; there is no state of its own that could disagree with them. No
message has a cell's value in it, nor an address as it was given: a password may stand there.
"""

from __future__ import annotations

import contextlib
import glob
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from churnwatch.pipeline import files, scan
from churnwatch.pipeline.clock import utc_now
from churnwatch.pipeline.datasets import paths, role
from churnwatch.pipeline.engine import duckdb_engine, name
from churnwatch.pipeline.errors import ChurnwatchError, DataError, NotFoundError, SettingsError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.pull_database import Cursor, Table, address_of, connected, write
from churnwatch.pipeline.schema import SQL_TYPES
from churnwatch.pipeline.settings import (
    FILE_NAME,
    Home,
    Pull,
    Settings,
)

LOCK = "pull.lock"
_SHOWN_NAMES = 3


@dataclass(frozen=True)
class Result:
    """What came of pulling a source, or of one object of it that was refused, in one line."""

    line: str
    ok: bool = True


class _NothingNewError(Exception):
    """The file that was written holds nothing new; raised to have it removed."""


def pull(home: Home, names: Sequence[str] = ()) -> Iterator[Result]:
    """Bring what is new of these sources, else of all that have a `pull`; one that fails does not stop the others.

    Raises:
        NotFoundError: there is no such source, or it has no `pull`.
        SettingsError: no source has one.
        BusyError: another pull of this home is under way.
    """
    wanted = _wanted(home.settings, names)
    with files.lock(home.state / LOCK, busy=f"{home.path}: another pull is under way."), _ledger(home) as ledger:
        for source, given in wanted.items():
            try:
                if given.url is not None:
                    yield from _objects(home, ledger, source, given.url)
                else:
                    yield _table(home, ledger, source, given)
            except (ChurnwatchError, OSError) as error:
                yield Result(f"{source}: {error}", ok=False)


def _wanted(settings: Settings, names: Sequence[str]) -> dict[str, Pull]:
    there = {source: table.pull for source, table in settings.sources.items() if table.pull is not None}
    if not there:
        raise SettingsError(f"{FILE_NAME}: no source has a `pull`; docs/settings.md says what it is.")
    for source in names:
        if source not in there:
            raise NotFoundError(f"{source}: no source of that name has a `pull`; these have: {', '.join(there)}.")
    return {source: given for source, given in there.items() if source in names or not names}


@contextlib.contextmanager
def _ledger(home: Home) -> Iterator[Reader | None]:
    """Open the ledger; before the first run there is none, and nothing was ingested."""
    if not home.ledger.exists():
        yield None
        return
    with Reader.open(home.ledger) as ledger:
        yield ledger


def _is_taken(settings: Settings, source: str, path: str) -> bool:
    """Tell whether a file of this name in the source folder would be taken for one of this source."""
    return scan.is_ours(path) and role(settings, path) == source


def _table(home: Home, ledger: Reader | None, source: str, given: Pull) -> Result:
    declared = home.settings.sources[source]
    path = declared.files.replace("*", f"pulled-{utc_now():%Y%m%dT%H%M%SZ}")
    if not _is_taken(home.settings, source, path):
        raise SettingsError(f"{FILE_NAME}: a file such as {path} would not be taken for one of this source; a source"
                            " before it, whose `files` fit too, would have it.")  # fmt: skip
    after = _newest(home, ledger, source, given.cursor)
    address = address_of(source, given.database or "")
    target = home.source / path
    files.sweep(target.parent, f"{declared.files.rpartition('/')[2]}-*")
    with connected(address) as connection:
        table = Table(connection, address, given, declared)
        if after is not None and not table.has_more(after):
            return Result(f"{source}: nothing new")
        rows = _keep(table.batches(after), target, ledger)
    return Result(f"{source}: {rows:,} rows from {address.shown} into {target}" if rows else f"{source}: nothing new")


def _newest(home: Home, ledger: Reader | None, source: str, cursor: str | None) -> Cursor | None:
    """Return the largest value of the cursor that was ingested; what was quarantined does not count."""
    parts = [] if ledger is None or cursor is None else paths(home, ledger, source)
    if cursor is None or not parts:
        return None
    kind = SQL_TYPES[home.settings.sources[source].declared[cursor].type]  # a key is kept as text
    with duckdb_engine(home.state / "spill") as engine:
        found: Cursor | None = engine.rows(
            f"SELECT max(TRY_CAST({name(cursor)} AS {kind})) FROM {engine.scan(parts)} AS p"
        )[0][0]
    return found


def _keep(batches: Generator[pa.RecordBatch, None, None], target: Path, ledger: Reader | None) -> int:
    """Write rows into a file of the source folder, if there is anything new in it; return how many there are."""
    with contextlib.suppress(_NothingNewError), files.written_beside(target) as beside:
        rows = write(batches, beside)
        _refuse_nothing_new(rows, beside, ledger)
        return rows
    return 0


def _refuse_nothing_new(rows: int, path: Path, ledger: Reader | None) -> None:
    """Refuse a file without rows, and one of whose bytes were ingested before: the table has not changed."""
    if rows == 0 or (ledger is not None and ledger.content_owners(files.sha256_of(path), 0)):
        raise _NothingNewError


# -- objects ---------------------------------------------------------------------------------------------------


def _objects(home: Home, ledger: Reader | None, source: str, url: str) -> Iterator[Result]:
    shown = re.sub(r"://.*@", "://", url)
    system, found = _found(source, url, shown)
    seen = {(row["path"], row["size_bytes"]) for row in ledger.files()} if ledger is not None else set()
    below = home.settings.sources[source].files.rpartition("/")[0]
    copied: dict[str, int] = {}
    names: set[str] = set()
    for there, size in found:
        base = there.rpartition("/")[2]
        path = f"{below}/{base}" if below else base
        if refusal := _refusal(home.settings, source, path, names):
            yield Result(f"{source}: {there}: not copied: {refusal}", ok=False)
            continue
        names.add(path)
        if (scan.shown(path), size) not in seen and not _lies_there(home.source / path, size):
            copied[base] = _copy(system, there, home.source / path, size, shown)
    if not copied:
        yield Result(f"{source}: nothing new")
        return
    listed = ", ".join([*copied][:_SHOWN_NAMES]) + (", …" if len(copied) > _SHOWN_NAMES else "")
    yield Result(f"{source}: {len(copied):,} file(s), {sum(copied.values()):,} bytes from {shown} into"
                 f" {home.source / below}: {listed}")  # fmt: skip


def _found(source: str, url: str, shown: str) -> tuple[Any, list[tuple[str, int | None]]]:
    """Return the file system of a url, and every object that its glob finds, with its size if that is known."""
    try:
        import fsspec  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError(f"{shown}: fsspec is not installed: pip install 'churnwatch[remote]'") from None
    try:
        system, pattern = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError):
        raise SettingsError(f"{FILE_NAME}: sources.{source}.pull.url: fsspec has no plugin for {shown};"
                            " it names them all in its documentation (such as s3fs, gcsfs).") from None  # fmt: skip
    with _fetching(shown):
        found = system.glob(pattern, detail=True)
        return system, sorted((there, each.get("size")) for there, each in found.items() if each["type"] == "file")


def _refusal(settings: Settings, source: str, path: str, names: set[str]) -> str | None:
    if not _is_taken(settings, source, path):
        return "its name does not fit the source's `files`, so it would be taken for something else"
    if path in names:
        return "another object that was found has the same name"
    return None


def _lies_there(target: Path, size: int | None) -> bool:
    return target.is_file() and target.stat().st_size == size


def _copy(system: Any, there: str, target: Path, size: int | None, shown: str) -> int:
    files.sweep(target.parent, f"{glob.escape(target.name)}-*")
    with files.written_beside(target) as beside:
        with _fetching(shown):
            system.get_file(there, str(beside))
        came = beside.stat().st_size
        if size is not None and came != size:
            raise DataError(f"{there}: {came:,} bytes came where {size:,} were announced; is it still being written?")
    return came


@contextlib.contextmanager
def _fetching(shown: str) -> Iterator[None]:
    """Turn whatever a plugin of fsspec raises into one line; its own words may hold parts of an address."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - each plugin has errors of its own
        why = getattr(error, "strerror", None) or type(error).__name__
        raise DataError(f"{shown}: cannot be read or copied ({why}).") from None

"""Typed rows → a Parquet part of what is new, and an account of every row read.

    row keys → duplicates within the drop → duplicates of the history → part

The cost grows with the drop: of the history only the key columns are read, and only those keys that occur in the
drop are kept (semi-join, then anti-join). What was loaded in several pieces goes through one after another, as if it
had come in several drops: a part each. Nothing here is visible until the ledger names the parts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from churnwatch.pipeline import cells, files
from churnwatch.pipeline.engine import Engine, name
from churnwatch.pipeline.load import Loaded, Opened, Piece, Source
from churnwatch.pipeline.schema import ROW_COLUMNS, Schema

QUARANTINE = "quarantine"  # the folder, beside the parts, of rows that broke a check


@dataclass(frozen=True)
class FileAccount:
    """What became of the rows of one file: read = accepted + duplicate + quarantined."""

    source: Source
    batch: int
    findings: tuple[str, ...] = ()
    accepted: int = 0
    duplicate: int = 0
    quarantined: int = 0
    labelled: int = 0
    positives: int = 0
    holdout: int = 0
    holdout_positives: int = 0
    first_date: str | None = None
    last_date: str | None = None

    @property
    def read(self) -> int:
        """All rows of the file."""
        return self.accepted + self.duplicate + self.quarantined


@dataclass(frozen=True)
class WrittenPart:
    """A part on disk that the ledger does not know yet."""

    path: Path
    sha256: str
    rows: int
    size_bytes: int


@dataclass(frozen=True)
class Ingested:
    """What became of the files, and the new rows.

    Attributes:
        accounts: one per file, in the order in which they were taken in.
        parts: the new rows on disk.
        rows: what stands after FROM to read the new rows.
    """

    accounts: tuple[FileAccount, ...]
    parts: tuple[WrittenPart, ...]
    rows: str


def ingest(
    loaded: Loaded,
    schema: Schema,
    engine: Engine,
    folder: Path,
    *,
    local: Engine | None = None,
    history: Sequence[Path],
    next_batch: int | None,
    dedup: bool,
    promise_holdout: bool,
) -> Ingested:
    """Give every loaded file a batch and write the rows that are new as parts.

    Args:
        loaded: what `load` made of the files.
        schema: the columns.
        engine: where the history is.
        folder: where the parts are written.
        local: the embedded engine, in which files were read, typed and get their keys; None: the same.
        history: the parts of the data set.
        next_batch: the number of the first new batch; None: the files' own numbers, dealt out in their order.
        dedup: whether a row that was ingested before is left out.
        promise_holdout: whether rows are promised to the holdout (not when a test folder judges).
    """
    local = local or engine
    ordered = _in_order(loaded.opened, schema, local)
    own = sorted(file.source.file.file for file in ordered)
    numbers = {
        file.source.file.file: own[i] if next_batch is None else next_batch + i for i, file in enumerate(ordered)
    }
    local.table("numbered", pa.table({
        "_file": pa.array(list(numbers), pa.int64()),
        "_batch": pa.array(list(numbers.values()), pa.int64()),
    }))  # fmt: skip
    parts: list[WrittenPart] = []
    turns = _turns(loaded.pieces, list(numbers))
    for typed in turns:
        _key_rows(typed, schema, local, promise_holdout=promise_holdout)
        if engine is not local:
            engine.table("keyed", local.arrow("SELECT * FROM keyed"))
        _find_fresh(schema, engine, [*history, *(part.path for part in parts)], dedup=dedup)
        part = write_part(engine, folder)
        parts += [part] if part is not None else []
    rows = engine.scan([part.path for part in parts]) if len(turns) > 1 and parts else "fresh"
    return Ingested(_accounts(ordered, numbers, loaded, schema, local, engine, rows), tuple(parts), rows)


def _turns(pieces: Sequence[Piece], files_in_order: Sequence[int]) -> list[str]:
    """Return what stands after FROM to read the typed rows in turns, each as large as a piece, in the files' order."""
    if len(pieces) == 1:
        return [pieces[0].scanned]
    most = max(sum(piece.rows.values()) for piece in pieces)
    turns: list[dict[str, list[int]]] = []
    size = most
    for file in files_in_order:
        for piece in (each for each in pieces if file in each.rows):
            if size + piece.rows[file] > most:
                turns.append({})
                size = 0
            turns[-1].setdefault(piece.scanned, []).append(file)
            size += piece.rows[file]
    found = [f"({' UNION ALL '.join(_of_files(*each) for each in turn.items())})" for turn in turns]
    return found or [pieces[0].scanned]  # where no row is good, so that there is an account of that


def _of_files(scanned: str, wanted: Sequence[int]) -> str:
    return f"SELECT * FROM {scanned} p WHERE _file IN ({', '.join(map(str, wanted))})"


def _in_order(opened: Sequence[Opened], schema: Schema, engine: Engine) -> list[Opened]:
    """Order files by their first date, then by natural name: part 2 before part 10."""
    firsts: dict[int, str] = {}
    if schema.date is not None:
        firsts = dict(engine.rows(f"SELECT _file, CAST(min({name(schema.date)}) AS VARCHAR) FROM typed GROUP BY _file"))
    return sorted(opened, key=lambda file: (firsts.get(file.source.file.file) or "", _natural(file.source.file.path)))


def _natural(path: str) -> list[tuple[int, str]]:
    pieces = enumerate(re.split(r"([0-9]+)", path))  # texts and numbers in turn
    return [(int(piece), "") if place % 2 else (-1, piece) for place, piece in pieces]


def _key_rows(typed: str, schema: Schema, engine: Engine, *, promise_holdout: bool) -> None:
    columns = ", ".join(name(column) for column in schema.names)
    promised = cells.holdout(schema) if promise_holdout else "false"
    first, second = cells.md5_halves("_md5")
    engine.table(
        "keyed",
        f"SELECT {columns}, {first} AS _h, {second} AS _h2, _batch, _line, {promised} AS _holdout FROM"
        f" (SELECT t.*, n._batch, md5({cells.key_text(schema)}) AS _md5"
        f" FROM {typed} t JOIN numbered n ON n._file = t._file)",
    )


def _find_fresh(schema: Schema, engine: Engine, history: Sequence[Path], *, dedup: bool) -> None:
    columns = ", ".join(name(column) for column in (*schema.names, *ROW_COLUMNS))
    if not dedup:
        engine.table("fresh", f"SELECT {columns} FROM keyed ORDER BY _batch, _line")
        return
    if schema.keeps_newest and schema.id is not None:
        _find_changes(schema.id, columns, engine, history)
        return
    if engine.rows("SELECT _h FROM keyed GROUP BY _h, _h2 HAVING count(*) > 1 LIMIT 1"):
        nth = "row_number() OVER (PARTITION BY _h, _h2 ORDER BY _batch, _line) AS _nth"
        engine.table("firsts", f"SELECT {columns} FROM (SELECT *, {nth} FROM keyed) k WHERE _nth = 1")
    else:  # which is the rule, and a third of the time of numbering them all
        engine.table("firsts", f"SELECT {columns} FROM keyed", lazy=True)
    new = "firsts"
    if history:
        engine.table(
            "seen",
            f"SELECT h._h, h._h2 FROM {engine.scan(history)} h SEMI JOIN firsts k ON h._h = k._h",
        )
        new = "firsts n ANTI JOIN seen d ON n._h = d._h AND n._h2 = d._h2"
    engine.table("fresh", f"SELECT {columns} FROM {new} ORDER BY _batch, _line")


def _find_changes(key: str, columns: str, engine: Engine, history: Sequence[Path]) -> None:
    """Make the table `fresh` of rows that say something else of a key than its newest row: A, B, A are three."""
    engine.table(
        "lasts",
        f"SELECT *, row_number() OVER (PARTITION BY {name(key)} ORDER BY _batch, _line) AS _key FROM"
        " (SELECT *, row_number() OVER (PARTITION BY _h, _h2 ORDER BY _batch DESC, _line DESC) AS _nth FROM keyed) k"
        " WHERE _nth = 1",
    )
    new = "lasts n"
    if history:
        newest = f"row_number() OVER (PARTITION BY h.{name(key)} ORDER BY h._batch DESC, h._line DESC) AS _nth"
        of_them = f"{engine.scan(history)} h SEMI JOIN keyed k ON h.{name(key)} = k.{name(key)}"
        engine.table("seen", f"SELECT _h, _h2 FROM (SELECT h._h, h._h2, {newest} FROM {of_them}) q WHERE _nth = 1")
        new = "lasts n ANTI JOIN seen d ON n._h = d._h AND n._h2 = d._h2 AND n._key = 1"
    engine.table("fresh", f"SELECT {columns} FROM {new} ORDER BY _batch, _line")


def _accounts(
    ordered: Sequence[Opened],
    numbers: dict[int, int],
    loaded: Loaded,
    schema: Schema,
    local: Engine,
    engine: Engine,
    new_rows: str,
) -> tuple[FileAccount, ...]:
    typed: Counter[int] = Counter()
    for piece in loaded.pieces:
        typed.update(piece.rows)
    bad = dict(local.rows("SELECT _file, count(*) FROM bad GROUP BY _file"))
    date = f"CAST({name(schema.date)} AS STRING)" if schema.date else "CAST(NULL AS STRING)"
    counted = engine.rows(
        "SELECT _batch, count(*), count(y), count(y) FILTER (WHERE y > 0), count(y) FILTER (WHERE _holdout),"
        " count(y) FILTER (WHERE _holdout AND y > 0), min(d), max(d)"
        f" FROM (SELECT _batch, _holdout, {cells.label(schema)} AS y, {date} AS d FROM {new_rows} f) c GROUP BY _batch"
    )
    fresh = {row[0]: row[1:] for row in counted}
    accounts = []
    for file in ordered:
        number = file.source.file.file
        empty = FileAccount(file.source, numbers[number], file.findings, quarantined=bad.get(number, 0))
        accepted, labelled, positives, holdout, holdout_positives, first, last = fresh.get(
            numbers[number], (0, 0, 0, 0, 0, None, None)
        )
        accounts.append(
            replace(
                empty,
                accepted=accepted,
                duplicate=typed[number] - accepted,
                labelled=labelled,
                positives=positives,
                holdout=holdout,
                holdout_positives=holdout_positives,
                first_date=first,
                last_date=last,
            )
        )
    return tuple(accounts)


def write_part(engine: Engine, folder: Path) -> WrittenPart | None:
    """Write the table `fresh` as one immutable part named by its content; None when nothing is new."""
    rows = engine.rows("SELECT count(*) FROM fresh")[0][0]
    return write_query(engine, "SELECT * FROM fresh", folder, "part") if rows else None  # in its order


def write_query(engine: Engine, query: str, folder: Path, stem: str) -> WrittenPart:
    """Write a query's rows as one immutable part, durably; its name is `stem` and what it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{stem}.tmp"
    rows = engine.write(query, beside)
    sha256 = files.sha256_of(beside)
    target = folder / f"{stem}-{sha256[:16]}.parquet"
    size = beside.stat().st_size
    files.fsync(beside)
    beside.rename(target)
    files.fsync(folder)
    return WrittenPart(target, sha256, rows, size)


def write_quarantine(engine: Engine, target: Path) -> int:
    """Write the table `bad`, each row with file, line, column, reason and its text; return how many there are."""
    rows = int(engine.rows("SELECT count(*) FROM bad")[0][0])
    if rows:
        with files.written_beside(target) as beside:
            engine.write("SELECT * FROM bad ORDER BY _file, _line", beside)
    return rows

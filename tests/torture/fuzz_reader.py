"""Fuzz what reads files, guided by coverage: nothing may be raised but what is expected, and nothing take long.

    python tests/torture/fuzz_reader.py [read blocks typed packed] [--seconds 600] [--failures FOLDER]
    python tests/torture/fuzz_reader.py read --replay FILE

    read     bytes → a CSV → what `churnwatch read` writes: nothing made up, nothing lost
    blocks   the same as a whole, and cut into blocks that the engine reads in parallel: they must agree
    typed    the same → typed by a schema, its rows accepted, duplicates or set aside, and all of them accounted for
    packed   bytes → a file packed by gzip or zstd, or Parquet → as `read` and as `typed`

Each target is a process of its own, since a library may take it down. It goes on after a failure: one input of each
kind of failure is kept, with its traceback. An input that takes more than 2 s of the processor is a failure, too.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Any

try:
    import atheris
except ImportError:
    sys.exit("atheris is missing: pip install .[torture]")

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import csv

import pyarrow as pa
import pyarrow.parquet
from polluted import examples

with atheris.instrument_imports(include=["churnwatch.pipeline"]), redirect_stderr(io.StringIO()):  # it names each
    from churnwatch.pipeline import blocks, ingest, read_file, schema
    from churnwatch.pipeline.engine import DuckDB, duckdb_engine, name
    from churnwatch.pipeline.errors import ChurnwatchError, DataError
    from churnwatch.pipeline.firstlook.column_types import infer_types
    from churnwatch.pipeline.firstlook.head import read_sample
    from churnwatch.pipeline.load import Opened, Source, load, open_source
    from churnwatch.pipeline.read import text_of
    from churnwatch.pipeline.read_file import FileRead
    from churnwatch.pipeline.records import SourceFile
    from churnwatch.pipeline.settings import Column, ColumnType, Csv, Settings

SLOW_S = 2.0
_MOST_BYTES = 1 << 16
_SEEDS = 300
_HUNG_S = 60
_QUOTES = str.maketrans("", "", "\"'\\")
_TYPES = [ColumnType.TEXT, ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.DATE, ColumnType.TEXT]
_CSV = Csv()
_TOKENS = [
    *(",", ";", "\t", "|", " ", '"', '""', '","', "'", "\\", '\\"', "\n", "\r", "\r\n", "\0", "name0", "name1"),
    *("1e400", "inf", "1_000", "-0.0", "00123", "99999999999999999999", "2026-02-30", "2026-01-02", "1,5", "NaN"),
    *("é", "\u2028", "\ufeff", "\x85", "=1+1"),
]  # fmt: skip
_TOKEN_BYTES = [b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x81", b"\x00\xd8", b"PAR1", b"\x1f\x8b\x08"]


# -- what is asked of the reader ---------------------------------------------------------------------------------


class Reader:
    """One engine and one folder for all inputs of a process."""

    def __init__(self, engine: DuckDB, folder: Path) -> None:
        self._engine, self._folder = engine, folder

    def read(self, content: bytes) -> None:
        path = self._written(content, ".csv")
        found, rows = self._read(path)
        if found is not None:
            text = _text(path, found)
            _nothing_is_made_up(rows, text)
            _nothing_is_lost(found, rows, text)

    def blocks(self, content: bytes) -> None:
        path = self._written(content, ".csv")
        found, rows = self._read(path)
        with _cut_into_blocks(max(64, len(content) // 4)):
            again, rows_again = self._read(path)
        assert (again and (again.rows, again.bad)) == (found and (found.rows, found.bad)), "blocks give other counts"
        assert found is None or rows_again == rows, "blocks give other rows"

    def typed(self, content: bytes) -> None:
        self._typed(self._written(content, ".csv"))

    def packed(self, content: bytes) -> None:
        for suffix, starts in ((".csv.gz", b"\x1f"), (".csv.zst", b"\x28"), (".parquet", b"P")):
            if content.startswith(starts):
                path = self._written(content, suffix)
                self._read(path)
                self._typed(path)

    def _typed(self, path: Path) -> None:
        status = path.stat()
        file = SourceFile(1, path.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, "", "")
        with suppress(ChurnwatchError):  # such as columns of names that cannot be used
            schema_ = self._schema(Source(file, path))
            opened = open_source(Source(file, path), schema_, _CSV)
            if isinstance(opened, Opened):
                self._account(opened, schema_)

    def _written(self, content: bytes, suffix: str) -> Path:
        path = self._folder / f"drop{suffix}"
        path.write_bytes(content)
        return path

    def _read(self, path: Path) -> tuple[FileRead | None, list[list[str]]]:
        out = io.StringIO(newline="")
        try:
            found = read_file.read_file(path, _CSV, self._engine, out)
        except DataError:
            return None, []
        _, *rows = csv.reader(io.StringIO(out.getvalue(), newline=""))
        assert len(rows) == found.rows, "the plain CSV has another number of rows"
        assert {len(row) for row in rows} <= {len(found.opening.columns)}, "the plain CSV is ragged"
        return found, rows

    def _schema(self, source: Source) -> schema.Schema:
        """Return types of one kind after the other for the seeds' columns, else those inferred of the file."""
        columns = {f"name{place}": Column(type=kind) for place, kind in enumerate(_TYPES)}
        for width in (3, 4, 5):
            fixed = schema.Schema(dict(list(columns.items())[:width]), target="name1", positive="1", id="name0")
            opened = open_source(source, fixed, _CSV)
            if isinstance(opened, Opened) and set(opened.opening.header) == set(fixed.names):
                return fixed
        sample = read_sample(source.path, None, self._engine)
        found = infer_types(self._engine, "sample", sample.columns, _CSV)
        return schema.from_settings(Settings(target=sample.columns[-1], positive="1"), found.columns)

    def _account(self, opened: Opened, schema_: schema.Schema) -> None:
        """Hold the account of the rows against a count of them, and the texts that were accepted against the source."""
        there = _rows_of(opened, self._engine)
        loaded = load([opened], schema_, _CSV, self._engine)
        taken = ingest.ingest(
            loaded, schema_, self._engine, self._folder, history=(), next_batch=1, dedup=True, promise_holdout=True
        )
        for part in taken.parts:
            part.path.unlink()
        assert there is None or not loaded.refused, "refused, though it can be read"
        [account] = taken.accounts or [None]
        if account is None:
            return
        assert account.read == there, f"{account} of {there} rows"
        texts = [name(column) for column, kind in schema_.columns.items() if kind.type is ColumnType.TEXT]
        rows = self._engine.rows(f"SELECT {', '.join(texts)} FROM {taken.rows} f") if texts else []
        assert not texts or len(rows) == account.accepted
        if not opened.opening.is_parquet:
            with text_of(opened.source.path, opened.opening.encoding) as text:
                bare = text.read().translate(_QUOTES)
            assert all(cell.translate(_QUOTES) in bare for cell in {cell for row in rows for cell in row if cell})


@contextmanager
def _cut_into_blocks(size: int) -> Iterator[None]:
    """Have files read in small blocks, in parallel where that is possible at all."""
    before = blocks.BLOCK, blocks._LARGE
    blocks.BLOCK, blocks._LARGE = size, 0
    yield
    blocks.BLOCK, blocks._LARGE = before


def _text(path: Path, found: FileRead) -> str:
    """Return the text of a file behind its header."""
    with text_of(path, found.opening.encoding) as text:
        content = text.read()
    lines = io.StringIO(content, newline="").readlines()
    return "".join(lines[found.opening.body - 1 :])


def _rows_of(opened: Opened, engine: DuckDB) -> int | None:
    """Count all rows of a file that are read or set aside; None where it cannot be read to its end."""
    count = 0
    try:
        for block in blocks.read_blocks(opened.opening, engine, table="counted"):
            rows = engine.rows(f"SELECT * FROM {name(block.rows)}") if isinstance(block.rows, str) else block.rows
            count += len(rows) + len(block.bad)
            blocks.forget(block, engine)
    except (OSError, UnicodeError):
        return None
    return count


def _nothing_is_made_up(rows: list[list[str]], text: str) -> None:
    """The cells stand in the source in their order, as they are but for quotes and what escapes them."""
    bare, at = text.translate(_QUOTES), 0
    for row in rows:
        for cell in row:
            wanted = cell.translate(_QUOTES)
            at = bare.find(wanted, at)
            assert at >= 0, "a cell that does not stand in the source, or not there"
            at += len(wanted)


def _nothing_is_lost(found: FileRead, rows: list[list[str]], text: str) -> None:
    """All letters and digits behind the header are in a row or in what was set aside."""
    there = Counter(filter(str.isalnum, text))
    kept = Counter(letter for row in rows for cell in row for letter in cell if letter.isalnum())
    kept.update(letter for bad in found.bad for letter in bad.text if letter.isalnum())
    assert kept == there, "letters that are in no row and in nothing set aside"


TARGETS: dict[str, Callable[[Reader, bytes], None]] = {
    "read": Reader.read,
    "blocks": Reader.blocks,
    "typed": Reader.typed,
    "packed": Reader.packed,
}


# -- what it begins with -----------------------------------------------------------------------------------------


def seeds(target: str) -> Iterator[bytes]:
    drawn = [each.content for each in examples(_SEEDS)]
    if target == "packed":
        for number, content in enumerate(drawn[:60]):
            yield _packed(content, ("gzip", "zstd")[number % 2])
        yield from _parquets()
        return
    yield from drawn
    yield "name0,name1,name2,name3\na,1,1.5,2026-01-02\n00123,-7,1e400,2026-02-30 10:00\nb,x,inf,\n".encode("utf-16")
    yield b"id;day;amount;left\n1;31.12.2025;1,5;yes\n2;01.02.2026;2,5;no\n3;;NA;no\n"
    yield b"name0,name1,name2\n" + b"".join(b'r%d,%d,"a, ""b"" %d"\n' % (n, n, n) for n in range(900))
    yield b"name0;name1;name2;name3\n" + b"2;3;4,5;2026-01-02\nshort\n" * 500
    yield b'name0,name1,name2\n1,"' + b'a,"b",' * 3000


def _packed(content: bytes, how: str) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, how) as stream:
        stream.write(content)
    return bytes(out.getvalue())


def _parquets() -> Iterator[bytes]:
    columns = {"name0": ["a", "", None], "name1": [1, None, -1], "name2": [0.5, float("nan"), None]}
    for table in (pa.table(columns), pa.table({"name0": [[1], [], None]}), pa.table({"a": pa.array([], pa.date32())})):
        out = pa.BufferOutputStream()
        pyarrow.parquet.write_table(table, out)
        yield bytes(out.getvalue())


# -- one process per target --------------------------------------------------------------------------------------


class Fuzzed:
    """What came out so far."""

    def __init__(self, target: str, failures: Path) -> None:
        self._target, self._failures = target, failures
        self.executions, self.kinds, self.slow = 0, set[str](), 0
        self.slowest_s, self.slowest_bytes = 0.0, 0

    def take(self, one: Callable[[bytes], None], content: bytes) -> None:
        self.executions += 1
        begun = time.process_time()  # of the processor, since others may be using the box
        try:
            one(content)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            self._failed(error, content)
        took = time.process_time() - begun
        if took > SLOW_S:
            self.slow += 1
            self._keep(f"slow-{self.slow}", content, f"{took:.1f} s\n")
        if took > self.slowest_s:
            self.slowest_s, self.slowest_bytes = took, len(content)

    def _failed(self, error: Exception, content: bytes) -> None:
        """Keep the first input of each kind: an error's class and the last place of ours that it came through."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "pipeline" in frame.filename or frame.filename == __file__]
        kind = f"{type(error).__name__} {Path(ours[-1].filename).name}:{ours[-1].lineno}"
        if kind not in self.kinds:
            self.kinds.add(kind)
            self._keep(f"failure-{len(self.kinds)}", content, "".join(traceback.format_exception(error)))

    def _keep(self, what: str, content: bytes, why: str) -> None:
        (self._failures / f"{self._target}-{what}").write_bytes(content)
        (self._failures / f"{self._target}-{what}.txt").write_text(why)


def fuzz(target: str, folder: Path, failures: Path, seconds: float) -> None:
    """Fuzz in this process until the time is over; what came out stands in `out.json`, also should it be killed."""
    fuzzed = Fuzzed(target, failures)
    with duckdb_engine(folder / "spill", threads=1) as engine:
        reader = Reader(engine, folder)
        ends, saved = time.monotonic() + seconds, 0.0

        def one(content: bytes) -> None:
            nonlocal saved
            fuzzed.take(lambda given: TARGETS[target](reader, given), content)
            now = time.monotonic()
            if now > saved + 1 or now > ends:
                saved = now
                told = {**vars(fuzzed), "kinds": sorted(fuzzed.kinds), "_failures": None}
                (folder / "out.json").write_text(json.dumps(told))
            if now > ends:
                os._exit(0)

        (folder / "tokens").write_text("".join(f'"{_escaped(token)}"\n' for token in _tokens()))
        options = [f"-max_len={_MOST_BYTES}", f"-timeout={_HUNG_S}", "-rss_limit_mb=4096", "-len_control=20"]
        options += [f"-dict={folder / 'tokens'}", f"-artifact_prefix={failures}/{target}-"]
        atheris.Setup([sys.argv[0], str(folder / "corpus"), *options], one)
        atheris.Fuzz()


def _tokens() -> list[bytes]:
    return [*(token.encode() for token in _TOKENS), *_TOKEN_BYTES]


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


def run(target: str, seconds: float, failures: Path) -> list[Any]:
    """Fuzz a target in a process of its own; return a row of the table."""
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        folder = Path(scratch)
        (folder / "corpus").mkdir()
        for number, content in enumerate(seeds(target)):
            (folder / "corpus" / f"seed-{number}").write_bytes(content)
        command = [sys.executable, __file__, target, "--inside", scratch]
        command += ["--seconds", str(seconds), "--failures", str(failures)]
        with (failures / f"{target}.log").open("w") as log:
            code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        corpus = len(list((folder / "corpus").iterdir()))
        told = json.loads((folder / "out.json").read_text())
    for kind in told["kinds"]:
        print(f"{target}: {kind}", file=sys.stderr)
    ended = "" if code == 0 else f"; the process ended with {_ending(code)}, see {failures / f'{target}.log'}"
    return [
        target,
        f"{seconds:,.0f}",
        f"{told['executions']:,}",
        f"{corpus:,}",
        f"{len(told['kinds'])} kinds{ended}",
        f"{told['slow']}",
        f"{told['slowest_s']:.2f} s ({told['slowest_bytes']:,} bytes)",
    ]


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"code {code}"


def main() -> int:
    """Print a table; the code is 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; by default all")
    parser.add_argument("--seconds", type=float, default=300.0, help="for each target (default: 300)")
    kept = Path(tempfile.gettempdir()) / "fuzz-failures"
    parser.add_argument(
        "--failures", type=Path, default=kept, help=f"where inputs that fail are kept (default: {kept})"
    )
    parser.add_argument("--replay", type=Path, help="one input, again")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    targets = given.targets or list(TARGETS)
    given.failures.mkdir(parents=True, exist_ok=True)
    if given.inside:
        fuzz(targets[0], given.inside, given.failures, given.seconds)
    if given.replay:
        with tempfile.TemporaryDirectory() as scratch, duckdb_engine(Path(scratch) / "spill", threads=1) as engine:
            TARGETS[targets[0]](Reader(engine, Path(scratch)), given.replay.read_bytes())
        return 0
    rows = [run(target, given.seconds, given.failures.resolve()) for target in targets]
    heads = ["target", "seconds", "executions", "corpus", "exceptions", "over 2 s", "slowest input"]
    for row in (heads, ["---"] * len(heads), *rows):
        print(f"| {' | '.join(row)} |")
    return int(any(row[4] != "0 kinds" or row[5] != "0" for row in rows))


if __name__ == "__main__":
    sys.exit(main())

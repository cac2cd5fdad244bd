"""Small homes, files and tables for the tests of the pipeline."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from spark_server import SparkServer

from churnwatch.pipeline import settings, thresholds
from churnwatch.pipeline.engine import DuckDB, duckdb_engine
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.records import SourceFile
from churnwatch.pipeline.sample import Like, write
from churnwatch.pipeline.schema import Schema, from_settings
from churnwatch.pipeline.settings import Column, Home, Settings

TELCO = """\
target: Churn
positive: Yes
id: customerID
date: month
training:
  estimators: [logistic]
  folds: 3
gate:
  policy: better
  min_positives: 5
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDB]:
    with duckdb_engine(tmp_path / "spill", threads=2) as opened:
        yield opened


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "churnwatch.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def fewer_thresholds() -> Iterator[None]:
    """Tuning the threshold is a third of the time of so small a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "_THRESHOLDS", 10)
        yield


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Return what writes the bytes of a file."""

    def written(content: str | bytes) -> Path:
        path = tmp_path / "drop.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[..., Source]:
    """Return what writes a file and says where it lies; files are numbered as they come."""
    numbers = itertools.count(1)

    def make(content: str | bytes, name: str | None = None) -> Source:
        number = next(numbers)
        path = tmp_path / "drops" / (name or f"part{number}.csv")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        status = path.stat()
        file = SourceFile(number, path.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, "", "")
        return Source(file, path)

    return make


@pytest.fixture
def make_schema() -> Callable[..., Schema]:
    """Return what makes a schema of types or whole columns, by default with the target `left` and its value `yes`."""

    def make(columns: Mapping[str, Any] | None = None, **rest: Any) -> Schema:
        declared = columns or {"id": "text", "n": "number", "left": "text"}
        full = msgspec.convert(
            {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in declared.items()},
            dict[str, Column],
        )
        rest.setdefault("target", "left")
        rest.setdefault("positive", "yes")
        return from_settings(Settings(**rest), full)

    return make


@pytest.fixture
def make_home(tmp_path: Path) -> Callable[..., Home]:
    """Return what makes a home of the text of its settings."""

    def make(text: str = TELCO, name: str = "home") -> Home:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / settings.FILE_NAME).write_text(text, encoding="utf-8")
        home = settings.load(folder)
        for each in home.folders():
            each.mkdir(parents=True, exist_ok=True)
        return home

    return make


@pytest.fixture(scope="session")
def telco(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Return four months of made-up customers, 240 rows each."""
    return tuple(write(tmp_path_factory.mktemp("telco"), Like.TELCO, months=4, rows=240, seed=3))


@pytest.fixture(scope="session")
def spark_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkServer]:
    """Return a running server; its tests are skipped, with a word, where there is no Spark."""
    environment = os.environ.get("CHURNWATCH_SPARK")
    if not environment:
        missing = "CHURNWATCH_SPARK names no environment with Spark; .ci/spark makes one"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    server = SparkServer(Path(environment), tmp_path_factory.mktemp("spark"))
    server.start()
    yield server
    server.stop()

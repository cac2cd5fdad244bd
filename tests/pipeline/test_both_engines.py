"""The same runs on DuckDB and on a Spark cluster: the same rows, features, models and predictions."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from spark_server import SparkServer

from churnwatch.pipeline import compaction, datasets, run, sample_kkbox, settings
from churnwatch.pipeline.feature_step import Pairs
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Status
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.pipeline.settings import Home
from churnwatch.pipeline.spark import Spark

pytestmark = pytest.mark.spark
MORE = """
training: {estimators: [logistic], folds: 2}
gate: {policy: better, min_positives: 5}
key: [msno, date]
on_conflict: latest
expressions:
  paid_per_song: "transactions_actual_amount_paid_sum_all / (logs_num_unq_sum_all + 1)"
"""


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return four months of a music service, the last of them with the first one's logs once more."""
    return sample_kkbox.write(tmp_path_factory.mktemp("kkbox"), months=4, rows=150, seed=5)


def _home(folder: Path, engine: str) -> Home:
    folder.mkdir()
    (folder / "settings.yaml").write_text(f"{settings_for('kkbox')}\n{MORE}engine: {engine}\n", encoding="utf-8")
    home = settings.load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    return home


def _run(home: Home, paths: list[Path]) -> list[run.Outcome]:
    for path in paths:
        if not (home.source / path.name).exists():
            shutil.copy(path, home.source / path.name)
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        return run.work(home, ledger, reason="drop")


def _first(months: list[Path]) -> list[Path]:
    return [path for path in months if "2026-04" not in path.name]


def _two_runs(home: Home, months: list[Path]) -> None:
    """Take the first three months in as one run, then the last with a file of known rows in another order."""
    first = _first(months)
    later = [path for path in months if path not in first]
    assert [outcome.status for outcome in _run(home, first)] == [Status.DONE]
    known = home.source / "user_logs-again.csv"
    lines = next(path for path in first if "logs-2026-01" in path.name).read_text(encoding="utf-8").splitlines()
    known.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n", encoding="utf-8")
    assert [outcome.status for outcome in _run(home, later)] == [Status.DONE]


@pytest.fixture(scope="module")
def on_duckdb(tmp_path_factory: pytest.TempPathFactory, months: list[Path]) -> Home:
    home = _home(tmp_path_factory.mktemp("duckdb") / "home", "duckdb")
    _two_runs(home, months)
    return home


@pytest.fixture
def merging_early() -> Iterator[None]:
    """Merge parts from two on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "FANOUT", 2)
        yield


@pytest.mark.usefixtures("merging_early")
def test_the_whole_pipeline_ends_the_same_on_a_cluster(
    tmp_path: Path, months: list[Path], on_duckdb: Home, spark_server: SparkServer
) -> None:
    on_spark = _home(tmp_path / "home", spark_server.url)
    _two_runs(on_spark, months)
    _assert_same(on_spark, on_duckdb)
    assert not list((on_spark.ingested / run.EXCHANGE).iterdir())


def test_a_server_killed_in_the_middle_of_a_write_costs_one_attempt_and_no_row(
    tmp_path: Path, months: list[Path], spark_server: SparkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_duckdb = _home(tmp_path / "duckdb", "duckdb")
    _run(on_duckdb, _first(months))
    on_spark = _home(tmp_path / "home", spark_server.url)
    write, writes = Spark.write, iter(range(100))

    def killing(self: Spark, sql: str, path: Path) -> int:
        if next(writes) in (2, 6):  # a part of rows, then one of partial aggregates
            spark_server.kill()
        return write(self, sql, path)

    monkeypatch.setattr(Spark, "write", killing)
    for _ in range(2):
        [failed] = _run(on_spark, _first(months))
        assert failed.status is Status.FAILED
        assert "\n" not in failed.line
        assert spark_server.url.removeprefix("sc://") in failed.line
        spark_server.start()
    assert [outcome.status for outcome in _run(on_spark, [])] == [Status.DONE]
    _assert_same(on_spark, on_duckdb)


def test_a_server_that_is_not_there_is_one_line_and_nothing_is_lost(
    tmp_path: Path, months: list[Path], on_duckdb: Home
) -> None:
    home = _home(tmp_path / "home", "sc://127.0.0.1:9")
    [failed] = _run(home, _first(months))
    assert failed.status is Status.FAILED
    assert "127.0.0.1:9" in failed.line
    text = (home.path / "settings.yaml").read_text(encoding="utf-8").replace("sc://127.0.0.1:9", "duckdb")
    (home.path / "settings.yaml").write_text(text, encoding="utf-8")
    _two_runs(settings.load(home.path), months)
    _assert_same(settings.load(home.path), on_duckdb)


def _assert_same(home: Home, other: Home) -> None:
    with Ledger.open(home.ledger) as ours, Ledger.open(other.ledger) as theirs:
        for dataset in ("", "members", "transactions", "logs"):
            rows = [_rows(datasets.paths(each, ledger, dataset)) for each, ledger in ((home, ours), (other, theirs))]
            assert rows[0] == rows[1]
        assert ours.row_totals() == theirs.row_totals()
        decisions = [
            [(row["decision"], row["rows"], row["cells"]) for row in each.decisions()] for each in (ours, theirs)
        ]
        assert decisions[0] == decisions[1]
        predictions = [sorted(row["path"] for row in each.predictions()) for each in (ours, theirs)]
    for pairs in Pairs:
        _assert_close(home.ingested / pairs.file, other.ingested / pairs.file, ("msno", "_cw_snapshot"))
    assert predictions[0] == predictions[1]
    for path in predictions[0]:
        _assert_close(home.predictions / path, other.predictions / path, ("msno",))


def _rows(parts: list[Path]) -> list[tuple[Any, ...]]:
    """Return all rows of parts, without the numbers of their batches, which depend on attempts."""
    found = [row for part in parts for row in pyarrow.parquet.read_table(part).drop_columns(["_batch"]).to_pylist()]
    return sorted((tuple(row.values()) for row in found), key=repr)


def _assert_close(path: Path, other: Path, by: tuple[str, ...]) -> None:
    tables = [pyarrow.parquet.read_table(each) for each in (path, other)]
    assert tables[0].column_names == tables[1].column_names
    rows = [sorted(table.to_pylist(), key=lambda row: tuple(row[name] for name in by)) for table in tables]
    assert len(rows[0]) == len(rows[1])
    for mine, yours in zip(*rows, strict=True):
        for name, value in mine.items():
            if name == "_batch":
                continue
            same = (
                math.isclose(value, yours[name], rel_tol=1e-9, abs_tol=1e-9)
                if _number(value, yours[name])
                else (value == yours[name])
            )
            assert same, f"{name}: {value!r} and {yours[name]!r}"


def _number(*values: object) -> bool:
    return all(isinstance(value, float) for value in values)

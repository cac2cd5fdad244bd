"""What was served becomes batches, and these become requests and rows to learn from, each row once."""

from __future__ import annotations

import csv
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from served_world import NOW, outcome, served

from churnwatch.pipeline import bins, feed, run, schemas
from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Status
from churnwatch.pipeline.run import Outcome
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.served.writer import Store
from churnwatch.pipeline.settings import Home, load

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
AT = iso(NOW)
SETTINGS = """\
target: Churn
positive: Yes
id: customerID
date: month
exclude: [gender]
training: {estimators: [logistic], mode: refit, folds: 2, max_gap: 1}
gate: {policy: better, min_positives: 5}
serve: {batch_rows: 100}
"""


def _make(home: Home, *, now: datetime = NOW) -> list[str]:
    with Ledger.open(home.ledger) as ledger:
        return [each.path for each in feed.make_batches(home, ledger, now=now)]


def _work(home: Home) -> list[Outcome]:
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        return run.work(home, ledger, reason="drop")


def _ask(home: Home, question: str) -> list[dict[str, Any]]:
    with Ledger.open(home.ledger) as ledger:
        return ledger.rows(question)


def _serve(home: Home, rows: list[dict[str, str]], *, first: int = 0, told: Mapping[int, float] | None = None) -> None:
    """Log predictions of customers as they stand in a file; their ids are numbers from the first on."""
    numbers = ("SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges")
    sent = [{name: float(cell) if name in numbers else cell for name, cell in row.items()
             if cell != "" and name not in ("customerID", "month", "Churn", "gender")} for row in rows]  # fmt: skip
    with Store.opened(home.serving_log) as store:
        store.add([served(first + place, customer=rows[place]["customerID"], inputs=each)
                   for place, each in enumerate(sent)], lost=0, at=AT)  # fmt: skip
        if told:
            store.tell([outcome(number, target) for number, target in told.items()], told_at=AT)


def _customers(month: Path) -> list[dict[str, str]]:
    with month.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> Home:
    """Return a home that has released a model of the first month."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "settings.yaml").write_text(SETTINGS)
    home = load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    shutil.copy(telco[0], home.source)
    [outcome] = _work(home)
    assert outcome.status is Status.DONE, outcome
    return home


@pytest.fixture
def home(released: Home, tmp_path: Path) -> Home:
    """Return a copy of that home."""
    return load(Path(shutil.copytree(released.path, tmp_path / "home", symlinks=True)))


def test_predictions_are_requests_and_outcomes_are_learned_from(home: Home, telco: tuple[Path, ...]) -> None:
    rows = _customers(telco[1])
    _serve(home, rows, told={number: float(rows[number]["Churn"] == "Yes") for number in range(0, 240, 2)})
    made = _make(home)
    assert [re.sub("-[0-9a-f]{8}-", "-", each) for each in made] == [
        "served/predictions-1-240.parquet",
        "served/outcomes-1-120.parquet",
    ]
    [outcome_of_run] = _work(home)
    assert outcome_of_run.status is Status.DONE, outcome_of_run
    became = {row["path"]: (row["state"], row["accepted"], row["quarantined"])
              for row in _ask(home, "SELECT * FROM what_became_of_files WHERE run = 2")}  # fmt: skip
    assert became == {made[0]: ("predicted", 240, 0), made[1]: ("ingested", 120, 0)}
    [batch] = _ask(home, "SELECT * FROM batches WHERE run = 2")
    left = sum(row["Churn"] == "Yes" for row in rows[::2])
    assert (batch["labelled"], batch["positives"]) == (120, left)
    splits = {row["split"] for row in _ask(home, "SELECT * FROM metrics WHERE run = 2 AND name = 'roc_auc'")}
    assert {"estimated", "prequential", "holdout"} <= splits
    drifts = _ask(home, "SELECT * FROM drifts WHERE run = 2")
    assert {row["file"] is None for row in drifts} == {True, False}
    assert _make(home, now=NOW + timedelta(days=9)) == []
    assert _work(home) == []


def test_no_row_is_in_two_batches_and_none_is_left_out(home: Home, telco: tuple[Path, ...]) -> None:
    rows = _customers(telco[1])
    for first, count in ((0, 99), (99, 101), (200, 40)):
        _serve(home, rows[first : first + count], first=first)
        _make(home)
    _make(home, now=NOW + timedelta(days=1))
    made = sorted(home.source.glob("served/*"), key=lambda path: int(path.stem.split("-")[2]))
    assert [path.stem.split("-")[2:] for path in made] == [["1", "200"], ["201", "240"]]
    found = [each for path in made for each in pa.parquet.read_table(path)["customerID"].to_pylist()]
    assert found == [row["customerID"] for row in rows]


def test_many_rows_make_batches_of_a_size(home: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_MOST", 100)
    _serve(home, _customers(telco[1]))
    assert [path.rpartition("-")[2] for path in _make(home)] == ["100.parquet", "200.parquet", "240.parquet"]


def test_equal_batches_have_other_bytes_so_that_none_is_taken_for_known(home: Home, telco: tuple[Path, ...]) -> None:
    rows = _customers(telco[1])[:100]
    for first in (0, 100):
        _serve(home, rows, first=first)
        _make(home)
    first, second = sorted(home.source.glob("served/*"))
    assert pa.parquet.read_table(first).equals(pa.parquet.read_table(second))
    assert first.read_bytes() != second.read_bytes()


_KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from churnwatch.pipeline import feed
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import load

rename = Path.rename
def killed(path, target):
    if sys.argv[2] == "renamed":
        rename(path, target)
    os.kill(os.getpid(), signal.SIGKILL)
Path.rename = killed
home = load(Path(sys.argv[1]))
with Reader.open(home.ledger) as ledger:
    feed.make_batches(home, ledger, now=datetime.fromisoformat(sys.argv[3]))
"""


@pytest.mark.parametrize("at", ["written", "renamed"])
def test_a_kill_leaves_a_whole_batch_or_none_and_each_row_is_in_one(
    home: Home, telco: tuple[Path, ...], at: str
) -> None:
    _serve(home, _customers(telco[1])[:120])
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(home.path), at, AT], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    hidden = [path.name for path in home.source.glob("served/.*")]
    assert len(hidden) == (1 if at == "written" else 0)
    assert len(_make(home)) == (1 if at == "written" else 0)
    assert _make(home) == []
    [path] = home.source.glob("served/*")
    assert list(home.source.glob("served/.*")) == []
    assert path.stem.split("-")[2:] == ["1", "120"]
    assert pa.parquet.read_metadata(path).num_rows == 120


# -- what a row says -------------------------------------------------------------------------------------------


@pytest.fixture
def table_of(make_schema: Callable[..., Schema]) -> Callable[..., dict[str, Any]]:
    """Return what makes the row of one served prediction, by column."""

    def table(
        inputs: Mapping[str, Any],
        *,
        target: float | None = None,
        columns: Mapping[str, Any] | None = None,
        constant: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> dict[str, Any]:
        schema = make_schema(columns or {"id": "text", "n": "number", "i": "integer", "left": "text"}, **rest)
        row = feed.Row(7, AT, "0042", msgspec.json.encode(inputs).decode(), target)
        targets = ("no", "yes") if target is not None else None
        [found] = feed._table([row], schema, dict(constant or {}), targets).to_pylist()
        return dict(found)

    return table


def test_cells_are_texts_as_a_file_has_them(table_of: Callable[..., dict[str, Any]]) -> None:
    found = table_of({"n": 0.1, "i": 3.0, "unknown": 1}, id="id")
    assert found == {"id": "0042", "n": "0.1", "i": "3"}
    assert table_of({"n": 1e-07, "i": None}) == {"id": None, "n": "1e-07", "i": None}


def test_a_prediction_without_its_date_has_the_time_at_which_it_was_made(
    table_of: Callable[..., dict[str, Any]],
) -> None:
    columns = {"day": "date", "n": "number", "left": "text"}
    assert table_of({}, columns=columns, date="day")["day"] == "2026-03-01T12:00:00.000"
    assert table_of({"day": "2026-01-31"}, columns=columns, date="day")["day"] == "2026-01-31"
    columns["day"] = {"type": "date", "format": "%d/%m/%Y"}
    assert table_of({}, columns=columns, date="day")["day"] == "01/03/2026"


def test_an_outcome_is_written_as_the_target_has_it(table_of: Callable[..., dict[str, Any]]) -> None:
    assert [table_of({}, target=target)["left"] for target in (1.0, 0.0)] == ["yes", "no"]
    amounts = table_of({}, target=41.25, columns={"n": "number", "left": "number"}, task="regression", positive=None)
    assert amounts["left"] == "41.25"


def test_what_never_differed_is_filled_in_and_what_was_sent_stays(table_of: Callable[..., dict[str, Any]]) -> None:
    assert table_of({"n": 2.0}, constant={"n": 1.0, "i": 5.0}) == {"id": None, "n": "2", "i": "5"}


@pytest.mark.parametrize("value", [3.0, -0.5, 0.0])
def test_only_columns_that_had_one_value_are_constant(value: float) -> None:
    same = bins.of_numbers("n", np.full(20, value))
    assert feed._is_constant(same)
    assert bins.typical(same) == value
    assert feed._is_constant(bins.of_texts("t", pd.Series(["a"] * 20)))
    assert not feed._is_constant(bins.of_texts("t", pd.Series(["a"] * 20 + [None])))
    assert not feed._is_constant(bins.of_numbers("n", np.array([value] * 20 + [9.0])))


def test_the_other_value_of_the_target_is_the_most_frequent_one(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        assert feed._constant(home, ledger) == {}
        assert feed._targets(home, ledger, schemas.current(home, ledger)) == ("No", "Yes")

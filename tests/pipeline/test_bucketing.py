"""The step `buckets`, in whole runs of small homes."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from churnwatch.pipeline import bucketing, explaining, files, run
from churnwatch.pipeline.holdback import held_back
from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Status
from churnwatch.pipeline.run import Outcome
from churnwatch.pipeline.settings import Home, load

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
SETTINGS = """\
target: Churn
positive: Yes
id: customerID
date: month
call_capacity: 4
training: {estimators: [logistic], folds: 2}
gate: {policy: better, min_positives: 5}
"""
OFFERS = """\
value: {column: MonthlyCharges, months: 6}
offers:
  call: {discount: 10%, cost: 12, save_rate: 0.5, call: true}
  letter: {discount: 5%, cost: 1, save_rate: 0.2, take_up: 0.5}
  gift: {discount: "20"}
"""


def _run(home: Home) -> Outcome:
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        [outcome] = run.work(home, ledger, reason="drop")
    return outcome


def _drop(home: Home, source: Path) -> None:
    shutil.copy(source, home.source)


def _ask(home: Home, question: str) -> list[dict[str, Any]]:
    with Ledger.open(home.ledger) as ledger:
        return ledger.rows(question)


def _calls(home: Home, number: int) -> pd.DataFrame:
    return pyarrow.parquet.read_table(home.predictions / f"run-{number:05d}-calls.parquet").to_pandas()


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> Home:
    """Return a home with offers that has seen two months."""
    folder = tmp_path_factory.mktemp("offers")
    (folder / "settings.yaml").write_text(SETTINGS + OFFERS)
    home = load(folder)
    for each in home.folders():
        each.mkdir(exist_ok=True)
    for month in telco[:2]:
        _drop(home, month)
        assert _run(home).status is Status.DONE
    return home


@pytest.fixture
def copied(worked: Home, tmp_path: Path) -> Home:
    return load(Path(shutil.copytree(worked.path, tmp_path / "home", symlinks=True)))


def test_all_that_are_predicted_are_sorted_and_the_sums_are_those_of_the_file(worked: Home) -> None:
    table = _calls(worked, 2)
    [head] = _ask(worked, "SELECT * FROM bucketings WHERE run = 2")
    assert head["customers"] == len(table) == _ask(worked, "SELECT rows FROM predictions WHERE run = 2")[0]["rows"]
    assert (head["decided_by"], head["value_months"], head["former_run"]) == ("profit", 6, 1)
    assert head["sha256"] == files.sha256_of(worked.predictions / head["path"])
    for row in _ask(worked, "SELECT * FROM buckets WHERE run = 2"):
        own = table[table["bucket"] == row["bucket"]]
        assert row["customers"] == len(own)
        assert row["expected_leavers"] == pytest.approx(own["probability"].sum())
        assert row["expected_loss"] == pytest.approx(own["expected_loss"].sum())
        assert row["expected_profit"] == pytest.approx(own["expected_profit"].sum())
        assert row["value"] == pytest.approx((own["expected_loss"] / own["probability"]).sum())
    assert (table["bucket"] == "A").sum() == 4
    assert table["bucket"].is_monotonic_increasing


def test_what_is_expected_of_a_customer_follows_from_the_settings(worked: Home, telco: tuple[Path, ...]) -> None:
    charges = pd.concat([pd.read_csv(month) for month in telco[:2]]).set_index("customerID")["MonthlyCharges"]
    first = _calls(worked, 2).iloc[0]
    p, v = first["probability"], 6 * charges.loc[[first["id"]]].iloc[-1]
    assert first["expected_loss"] == pytest.approx(p * v)
    assert first["offer"] == "call"
    assert first["expected_profit"] == pytest.approx(p * 0.5 * 0.9 * v - (1 - p) * 0.1 * v - 12)


def test_who_moved_is_told_by_customer_and_counted(worked: Home) -> None:
    before, now = (_calls(worked, number).set_index("id")["bucket"] for number in (1, 2))
    table = _calls(worked, 2).set_index("id")
    assert _calls(worked, 1)["former_bucket"].isna().all()
    told = table["former_bucket"].dropna().to_dict()
    assert told == before[before.index.isin(now.index)].to_dict()
    moves = _ask(worked, "SELECT * FROM bucket_moves WHERE run = 2")
    gone = sum(row["customers"] for row in moves if row["to_bucket"] is None)
    assert gone == len(set(before.index) - set(now.index))
    assert sum(row["customers"] for row in moves) == len(now) + gone
    assert _ask(worked, "SELECT * FROM bucket_moves WHERE run = 1") == []


def test_why_customers_came_into_a_and_left_it_follows_from_the_contributions_of_both_runs(
    copied: Home, telco: tuple[Path, ...]
) -> None:
    former = copied.predictions / "run-00002-calls.parquet"  # as if A had been others: all customers are in both runs
    before = pyarrow.parquet.read_table(former)
    swapped = pa.array([{"A": "C", "B": "B", "C": "A"}[each] for each in before["bucket"].to_pylist()])
    pyarrow.parquet.write_table(before.set_column(1, "bucket", swapped), former)
    _drop(copied, telco[2])
    assert _run(copied).status is Status.DONE
    table = _calls(copied, 3).set_index("id")
    was, now = table["former_bucket"], table["bucket"]
    moved = {
        "into": table.index[(now == "A") & was.isin(["B", "C"])],
        "out of": table.index[(was == "A") & (now != "A")],
    }
    change = _contributions(copied, 3) - _contributions(copied, 2)
    rows = _ask(copied, "SELECT * FROM move_reasons WHERE run = 3")
    assert {row["direction"] for row in rows} == {direction for direction, ids in moved.items() if len(ids)}
    assert rows
    for row in rows:
        ids = moved[row["direction"]]
        assert row["customers"] == len(ids)
        assert row["mean_change"] == pytest.approx(change.loc[ids, row["column_name"]].mean())


def _contributions(home: Home, number: int) -> pd.DataFrame:
    path = home.predictions / f"run-{number:05d}-reasons.parquet"
    return pyarrow.parquet.read_table(path).to_pandas().set_index("customerID").drop(columns="base")


def test_offers_are_told_with_what_they_earn_and_those_without_a_save_rate_claim_nothing(worked: Home) -> None:
    made = _calls(worked, 2)["offer"].value_counts()
    rows = {row["offer"]: row for row in _ask(worked, "SELECT * FROM offers WHERE run = 2")}
    assert {name: row["customers"] for name, row in rows.items()} == {**made.to_dict(), "gift": 0}
    assert rows["gift"]["expected_profit"] is None
    assert rows["call"]["profit_at_half"] < rows["call"]["expected_profit"] < rows["call"]["profit_at_one_and_a_half"]
    v = rows["call"]["median_value"]
    assert rows["call"]["threshold_at_median"] == pytest.approx((0.1 * v + 12) / (0.5 * 0.9 * v + 0.1 * v))


def test_the_ledger_keeps_the_top_of_the_list_and_no_more(worked: Home) -> None:
    with Ledger.open(worked.ledger) as ledger:
        listed = customers.call_list(ledger, 2)
    assert [row["place"] for row in listed] == [1, 2, 3, 4]
    assert [row["id"] for row in listed] == _calls(worked, 2)["id"].head(4).tolist()


def test_people_get_a_csv_in_the_order_in_which_to_call(worked: Home) -> None:
    with (worked.predictions / "run-00002.csv").open(newline="") as file:
        header, first, *rest = csv.reader(file)
    assert header == ["customerID", "bucket", "probability", "expected loss", "offer", "expected profit", "why",
                      "held back by", "decision", "model"]  # fmt: skip
    top = _calls(worked, 2).iloc[0]
    assert first[:2] == [top["id"], "A"]
    assert float(first[2]) == round(top["probability"], 4)
    assert len(rest) == len(_calls(worked, 2)) - 1
    assert first[6] == top["raises"]
    assert {row[8] for row in rest} == {"leaves", "stays"}


def test_what_was_sorted_is_not_sorted_again(copied: Home) -> None:
    before = (copied.predictions / "run-00002-calls.parquet").stat().st_mtime_ns
    with Ledger.open(copied.ledger) as ledger:
        at = type("At", (), {"ledger": ledger, "run": 2})()
        assert bucketing.is_due(at)
        bucketing.sort_customers(at)
    assert (copied.predictions / "run-00002-calls.parquet").stat().st_mtime_ns == before
    assert len(_ask(copied, "SELECT * FROM bucketings")) == 2


def test_where_the_former_list_is_gone_nobody_is_said_to_have_moved(copied: Home, telco: tuple[Path, ...]) -> None:
    (copied.predictions / "run-00002-calls.parquet").unlink()
    _drop(copied, telco[2])
    assert "run-00002-calls.parquet is gone or damaged" in "; ".join(_run(copied).warnings)
    [kept] = _ask(copied, "SELECT text FROM run_warnings WHERE run = 3")  # for an attempt that finds all sorted
    assert kept["text"].startswith("run-00002-calls.parquet is gone")
    assert _ask(copied, "SELECT former_run FROM bucketings WHERE run = 3") == [{"former_run": None}]
    assert _ask(copied, "SELECT * FROM bucket_moves WHERE run = 3") == []


def test_a_value_that_cannot_be_read_fails_the_run_until_it_is_mended(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    home = make_home(f"{SETTINGS}value: Charges\n")
    _drop(home, telco[0])
    for value, said in (
        ("Charges", "value: the data has no column `Charges`; it has customerID, "),
        ("Contract", "value: column `Contract` is of type text; what a customer is worth is a number."),
    ):
        (home.path / "settings.yaml").write_text(f"{SETTINGS}value: {value}\n")
        outcome = _run(load(home.path))
        assert outcome.status is Status.FAILED
        assert outcome.line.startswith(f"settings.yaml: {said}")
    (home.path / "settings.yaml").write_text(f"{SETTINGS}value: MonthlyCharges\n")
    assert _run(load(home.path)).status is Status.DONE
    assert _ask(home, "SELECT decided_by FROM bucketings") == [{"decided_by": "capacity"}]


def test_without_an_id_there_is_no_list(make_home: Callable[..., Home], telco: tuple[Path, ...]) -> None:
    home = make_home(SETTINGS.replace("id: customerID\n", ""))
    _drop(home, telco[0])
    assert _run(home).status is Status.DONE
    assert _ask(home, "SELECT * FROM bucketings") == []
    assert "buckets" not in {row["step"] for row in _ask(home, "SELECT step FROM steps")}


def test_a_share_of_b_is_left_alone_and_it_is_said_of_whom(copied: Home, telco: tuple[Path, ...]) -> None:
    settings = copied.path / "settings.yaml"
    settings.write_text(settings.read_text() + "holdback: 0.5\n")
    home = load(copied.path)
    _drop(home, telco[2])
    assert _run(home).status is Status.DONE
    table = _calls(home, 3)
    alone = table[table["offer"] == "left alone"]
    drawn = held_back(table["id"], 0.5)
    assert set(alone["id"]) == set(table["id"][drawn & (table["bucket"] == "B")])
    assert len(alone) == _ask(home, "SELECT left_alone FROM bucketings WHERE run = 3")[0]["left_alone"] > 0
    assert alone["expected_profit"].isna().all()
    assert "left alone" in (home.predictions / "run-00003.csv").read_text()


def test_without_the_file_of_reasons_the_call_list_is_made_and_says_so(
    copied: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(at: Any) -> None:
        explained(at)
        (copied.predictions / "run-00003-reasons.parquet").write_bytes(b"PAR1")

    explained = explaining.explain_customers
    monkeypatch.setattr(explaining, "explain_customers", damaged)
    _drop(copied, telco[2])
    outcome = _run(copied)
    assert outcome.status is Status.DONE
    assert "the call list says of nobody why" in "; ".join(outcome.warnings)
    assert _calls(copied, 3)["raises"].isna().all()


def test_it_is_said_why_of_whoever_is_called_or_made_an_offer(worked: Home) -> None:
    table = _calls(worked, 2)
    reached = table["bucket"] != "C"
    assert reached.sum() > 4  # the calls there are
    assert table.loc[reached, "raises"].notna().all()
    assert table.loc[~reached, ["raises", "lowers"]].isna().all(axis=None)

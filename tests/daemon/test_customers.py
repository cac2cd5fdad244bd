from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from churnwatch.daemon.cli import guarded
from churnwatch.daemon.customer_commands import called
from churnwatch.pipeline.bucketing import SHAPE
from churnwatch.pipeline.campaigns import CAMPAIGNS
from churnwatch.pipeline.csv_file import write_csv
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Bucket, Bucketing, BucketMove, OfferMade, Part, Prediction, UpliftModel

SETTINGS = "target: left\npositive: yes\nid: customer\n"
ROWS = (
    "INSERT INTO settings VALUES ('s', '{}', '2026')",
    "INSERT INTO runs VALUES (1, 'r1', 'drop', '2026-01-01T08:00:00.000Z', 's', '1')",
    "INSERT INTO runs VALUES (2, 'r2', 'drop', '2026-02-01T08:00:00.000Z', 's', '1')",
    "INSERT INTO models VALUES (1, 1, 'logistic', '{}', 0.5, 'v1', 'x', 'y', 9, 3, '2026')",
)
CALL = OfferMade(2, "call", "10%", 12.0, 0.3, 1.0, 1, 1, 1, 90.0, 30.0, 150.0, 200.0, 800.0, 800.0, None, 0.31, 0.31)
GIFT = OfferMade(2, "gift", "20", 0.0, None, 1.0, 0, low_value=200.0, median_value=800.0, high_value=800.0)


def _customer(id_: str, bucket: str, probability: float, **rest: Any) -> dict[str, Any]:
    return {**dict.fromkeys(SHAPE.names), "id": id_, "bucket": bucket, "probability": probability, "decision": 1,
            "model": "v1", **rest}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with a run before there were buckets, and one that sorted four customers."""
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    folder = tmp_path / "predictions"
    folder.mkdir()
    with Ledger.open(tmp_path / "churnwatch.db") as ledger:
        for row in ROWS:
            ledger.rows(row)
        ledger.add(*(Prediction(run, None, 1, f"run-{run:05d}.parquet", "x", 3, 1, "2026") for run in (1, 2)))
        head = Bucketing(2, 1, "2026-02-01T08:00:00.000Z", "run-00002-calls.parquet", "x", 4, "profit",
                         "`paid` a month, over 12 months", 12, 1, 1)  # fmt: skip
        sums = [Bucket(2, letter, number, None, 1.0, 900.0, 90.0, 30.0, 150.0) for letter, number in
                (("A", 1), ("B", 2), ("C", 1))]  # fmt: skip
        moves = [BucketMove(2, "B", "A", 1), BucketMove(2, None, "C", 1), BucketMove(2, "A", None, 3),
                 BucketMove(2, "B", "B", 2)]  # fmt: skip
        ledger.add(head, *sums, *moves, CALL, GIFT)
    before = pa.table({"customer": ["=1+1", "1e5"], "probability": [0.2, 0.4], "decision": [0, 0], "model": ["v1"] * 2})
    pyarrow.parquet.write_table(before, folder / "run-00001.parquet")
    rows = [_customer("=1+1", "A", 0.9, former_bucket="B", expected_loss=720.0, offer="call", expected_profit=90.0),
            _customer("1e5", "B", 0.8, raises="tenure: 3", lowers="age: 70"),
            _customer("7", "B", 0.7), _customer("8", "C", 0.1)]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=SHAPE)
    pyarrow.parquet.write_table(table, folder / "run-00002-calls.parquet")
    write_csv(table.select(["id", "bucket", "probability"]), folder / "run-00002.csv")
    return tmp_path


@pytest.fixture
def said(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return what runs `customers` and returns what it says, an error included."""

    def run(*arguments: str, code: int = 0) -> str:
        assert guarded(["--home", str(home), "customers", *arguments]) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    return run


def test_buckets_come_first_then_who_moved_the_offers_and_the_customers(said: Callable[..., str]) -> None:
    text = said()
    told = ["4 current customers, by v1 in run 2", "`paid` a month, over 12 months", "1 of them have no value",
            "A  call", "B  offer", "C  thank", "Since run 1: 1 B → A, 3 gone from A, 1 new in C.",
            "worth no more): 200 / 800.", "never / 0.31", "1 more in B would be worth a `call`",
            "Without a save rate no profit is claimed", "1      =1+1"]  # fmt: skip
    places = [text.index(each) for each in told]
    assert places == sorted(places)
    assert " 1e5 " in text  # an id is a name, and no number
    assert "was" in text
    assert "was" not in said("--bucket", "C")  # a column in which nothing stands


def test_what_decides_an_offer_is_said_with_what_was_measured(said: Callable[..., str], home: Path) -> None:
    told = UpliftModel(2, "gift", 1, None, 1, 100, 50, 10, 20, 0.2, 0.1, 0.3, 0.04, 0.01, 0.07, 0.9)
    rows = [_customer("7", "A", 0.9, offer="gift", expected_profit=90.0, effect=0.345)]
    path = home / "predictions" / "run-00002-calls.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema=SHAPE), path)
    with Ledger.open(home / "churnwatch.db") as ledger:
        ledger.add(told, UpliftModel(2, "call", 0, "no campaign's action is `call`"))
    text = said()
    assert "gift: decided by an uplift model. Of 100 treated and 50 left alone, 20.00 (10.00 to 30.00) points" in text
    assert "call: decided by its save rate. No uplift model decides: no campaign's action is `call`." in text
    assert text.index("measured") < text.index("by customer") < text.index("34.5 points")
    assert "Without a save rate no profit" not in text
    assert json.loads(said("--json"))["uplift"][1]["effect"] == 0.2
    assert "34.5 points" in said("7")


def test_some_of_a_bucket_are_shown_and_how_many_more_there_are(said: Callable[..., str]) -> None:
    text = said("--bucket", "B", "--top", "1")
    assert "1e5" in text
    assert "=1+1" not in text
    assert "… and 1 more: --top 2, or all of them in " in text
    assert f"{Path('predictions') / 'run-00002.csv'}." in text


def test_in_a_terminal_reasons_are_wrapped_within_its_width_beside_large_amounts(
    said: Callable[..., str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "contract: Month-to-month (+0.9; typical), tenure: 1 (+0.8; typical: 28)"
    rows = [_customer("0001-ABCDE", "A", 0.9, expected_loss=1720.5, offer="call", expected_profit=1090.25, raises=why)]
    path = home / "predictions" / "run-00002-calls.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema=SHAPE), path)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    listed = said().partition("place ")[2].partition("\n\n")[0]
    assert "typical: 28)" in " ".join(listed.split())
    assert max(map(len, f"place {listed}".splitlines())) <= 100
    assert "This is what the model sees" in said()


def test_a_bucket_may_be_written_small(said: Callable[..., str]) -> None:
    assert said("--bucket", "b") == said("--bucket", "B")


def test_an_offer_that_is_made_in_a_call_says_so_once(said: Callable[..., str], home: Path) -> None:
    assert "call  " in said().partition("offer  ")[2]
    assert "(by call)" not in said()
    with Ledger.open(home / "churnwatch.db") as ledger:
        ledger.add(replace(CALL, offer="half price"))
    assert "half price (by call)  10%" in said()


def test_what_is_lost_has_a_minus_in_the_list_and_a_hyphen_in_the_csv(said: Callable[..., str], home: Path) -> None:
    with Ledger.open(home / "churnwatch.db") as ledger:
        ledger.add(replace(CALL, offer="half price", profit_at_half=-1373.0))
    assert " −1,373 " in said()


def test_reasons_of_one_customer_stand_on_lines_of_bearable_width(said: Callable[..., str], home: Path) -> None:
    why = ", ".join(f"column number {number}: value (+0.{number}; typical)" for number in range(9))
    table = pa.Table.from_pylist([_customer("long", "A", 0.9, raises=why)], schema=SHAPE)
    pyarrow.parquet.write_table(table, home / "predictions" / "run-00002-calls.parquet")
    lines = said("long").partition("why: ")[2].splitlines()
    assert max(map(len, lines)) <= 100
    assert " ".join(" ".join(lines).split()) == why


def test_what_to_type_next_finds_the_home_that_was_given(
    said: Callable[..., str], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    last = said().splitlines()[-1]
    assert last == f"More of one of them: churnwatch --home {home} explain ID, churnwatch --home {home} customers ID."
    monkeypatch.chdir(home)
    guarded(["customers"])
    assert capsys.readouterr().out.endswith(": churnwatch explain ID, churnwatch customers ID.\n")
    monkeypatch.setenv("CHURNWATCH_HOME", str(home))
    guarded(["customers"])
    assert capsys.readouterr().out.endswith(": churnwatch explain ID, churnwatch customers ID.\n")


def test_a_run_says_in_a_line_what_it_made_of_the_call_list(home: Path) -> None:
    assert called(home, 2) == ["call list: 1 in A, 2 in B, 1 in C. Whom to call first, and why: churnwatch customers"]
    assert called(home, 1) == []


def test_as_json_all_of_it_is_there(said: Callable[..., str]) -> None:
    found = json.loads(said("--json"))
    assert [row["id"] for row in found["customers"]] == ["=1+1", "1e5", "7", "8"]
    assert (found["run"]["decided_by"], len(found["buckets"]), found["offers"][0]["save_rate"]) == ("profit", 3, 0.3)


def test_as_csv_no_text_is_run_by_a_spreadsheet(said: Callable[..., str]) -> None:
    assert list(csv.reader(said("--csv", "--top", "2").splitlines())) == [
        ["id", "bucket", "probability"], ["'=1+1", "A", "0.9"], ["1e5", "B", "0.8"]]  # fmt: skip
    assert len(said("--csv", "--bucket", "B").splitlines()) == 3


def test_a_customers_history_goes_back_to_before_there_were_buckets(said: Callable[..., str]) -> None:
    found = json.loads(said("=1+1", "--json"))["history"]
    assert [(row["run"], row["probability"], row.get("bucket")) for row in found] == [(2, 0.9, "A"), (1, 0.2, None)]
    *_, newest, before, _, why, held = said("1e5").splitlines()
    assert (newest[0], before[0]) == ("2", "1")
    assert (why, held) == ("why: tenure: 3", "held back by: age: 70")
    assert len(json.loads(said("1e5", "--json", "--top", "1"))["history"]) == 1


def test_what_was_done_for_a_customer_is_shown_newest_first(said: Callable[..., str], home: Path) -> None:
    folder = home / "ingesteddata" / CAMPAIGNS
    folder.mkdir(parents=True)
    rows = {"customer": ["1e5", "7", "1e5"], "action": ["call", "call", "mail"], "treated": [None, 1, 0],
            "date": [dt.datetime(2026, month, 5) for month in (1, 2, 3)]}  # noqa: DTZ001  # fmt: skip
    pyarrow.parquet.write_table(pa.table(rows), folder / "part-1.parquet")
    with Ledger.open(home / "churnwatch.db") as ledger:
        ledger.add(Part(f"{CAMPAIGNS}/part-1.parquet", 2, "x", 3, 9, "2026", dataset=CAMPAIGNS))
    *_, mail, call = said("1e5").splitlines()
    assert (mail.split(), call.split()) == (["2026-03-05", "mail", "no"], ["2026-01-05", "call", "yes"])
    assert [row["treated"] for row in json.loads(said("1e5", "--json"))["campaigns"]] == [0, None]
    assert json.loads(said("8", "--json"))["campaigns"] == []
    assert "done for them" not in said("8")


def test_who_is_not_there_is_told_so_without_a_word_of_the_id(said: Callable[..., str], home: Path) -> None:
    assert said("nobody", code=1) == (
        "churnwatch: the last 2 runs predicted no customer with that id; who is known to have left is not predicted."
        f" Ids are those in: churnwatch --home {home} customers\n"
    )


def test_one_customer_is_no_bucket_and_no_csv(said: Callable[..., str]) -> None:
    assert "goes neither with --bucket nor with --csv" in said("7", "--csv", code=2)


def test_files_that_are_gone_are_an_expected_error(said: Callable[..., str], home: Path) -> None:
    for path in (home / "predictions").glob("run-00002*"):
        path.unlink()
    assert "gone or damaged; the next run" in said(code=1)
    assert "gone; the next run" in said("--csv", code=1)
    assert len(json.loads(said("1e5", "--json"))["history"]) == 1


def test_without_an_id_there_is_no_list_and_before_a_run_there_is_none_yet(
    said: Callable[..., str], home: Path
) -> None:
    with Ledger.open(home / "churnwatch.db") as ledger:
        for table in ("offers", "bucket_moves", "buckets", "bucketings"):
            ledger.rows(f"DELETE FROM {table}")
    assert "no customers were sorted yet" in said(code=1)
    (home / "settings.yaml").write_text(SETTINGS.replace("id: customer\n", ""))
    assert "settings.yaml names no `id`, so there is no call list" in said(code=1)

"""What the ledger knows, as the API tells it, held against the ledger."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet
import pytest
from starlette.testclient import TestClient

from churnwatch.pipeline.campaigns import CAMPAIGNS
from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Metric
from churnwatch.pipeline.settings import Home
from churnwatch.pipeline.shares import f1_interval
from churnwatch.serving import app

READS = ("/scoring", "/summarystats", "/diagnostics", "/models", "/customers/x")


def _metrics(split: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in split["metrics"]}


def _first_called(home: Home) -> str:
    with Reader.open(home.ledger) as ledger:
        return str(customers.call_list(ledger, 1)[0]["id"])


# -- scoring ---------------------------------------------------------------------------------------------------


def test_scoring_tells_every_metric_of_the_release_with_the_interval_of_f1(client: TestClient, home: Home) -> None:
    found = client.get("/scoring").json()
    with Reader.open(home.ledger) as ledger:
        rows = {row["name"]: row for row in ledger.metrics(version=1, split="holdout")}
    [holdout] = [each for each in found["splits"] if each["split"] == "holdout"]
    told = _metrics(holdout)
    assert {name: each["value"] for name, each in told.items()} == {name: row["value"] for name, row in rows.items()}
    assert holdout["rows"] == rows["f1"]["rows"]
    hits, false, missed = (round(rows[f"{each}s"]["value"]) for each in
                           ("true_positive", "false_positive", "false_negative"))  # fmt: skip
    assert (told["f1"]["low"], told["f1"]["high"]) == pytest.approx(f1_interval(hits, hits + false + missed))
    assert (found["model"], found["metric"], found["value"]) == ("v1", "f1", rows["f1"]["value"])
    assert (found["low"], found["high"]) == (told["f1"]["low"], told["f1"]["high"])


def test_how_it_did_on_new_rows_comes_first_and_only_of_the_newest_run(client: TestClient, home: Home) -> None:
    counts = {"f1": 0.5, "true_positives": 10.0, "false_positives": 10.0, "false_negatives": 10.0}
    with Ledger.open(home.ledger) as ledger:
        for run in (2, 3):
            ledger.rows(f"INSERT INTO runs SELECT {run}, 'r{run}', reason, created_at, settings_sha256, code_version"
                        " FROM runs WHERE run = 1")  # fmt: skip
            [first] = ledger.batches(1)
            ledger.add(replace(first, batch=run, run=run))
            ledger.add(*(Metric(run, 1, "champion", "prequential", *each, 60, run) for each in counts.items()))
    found = client.get("/scoring").json()
    assert [(each["split"], each["run"], each["batch"]) for each in found["splits"][:2]] == [
        ("prequential", 3, 3), ("holdout", 1, None),
    ]  # fmt: skip
    assert found["value"] == 0.5
    assert (found["low"], found["high"]) == pytest.approx(f1_interval(10, 30))


def test_what_chose_a_window_of_history_comes_last(client: TestClient, home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        ledger.add(Metric(1, 1, "last 6", "window", "log_loss", 0.4, 60))
    splits = [each["split"] for each in client.get("/scoring").json()["splits"]]
    assert splits == ["holdout", "gap", "train", "window"]


# -- data ------------------------------------------------------------------------------------------------------


def test_of_each_column_the_newest_rows_are_summed_up(client: TestClient, home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        before = {row["column_name"]: row for row in ledger.profiles(1)}
        ledger.rows("INSERT INTO runs SELECT 2, 'r2', reason, created_at, settings_sha256, code_version FROM runs")
        ledger.rows("INSERT INTO profiles VALUES (2, 'tenure', 40, 10, 0.25, 7, 1.5, 1.0, 0.5, 0.0, 9.0)")
    found = {each["column"]: each for each in client.get("/summarystats").json()}
    assert found.keys() == before.keys()
    assert (found["tenure"]["run"], found["tenure"]["missing"], found["tenure"]["maximum"]) == (2, 10, 9.0)
    assert (found["MonthlyCharges"]["run"], found["MonthlyCharges"]["mean"]) == (1, before["MonthlyCharges"]["mean"])
    assert found["Contract"]["distinct"] == before["Contract"]["distinct_values"]
    missing = client.get("/diagnostics").json()["missing"]
    assert missing[0] == {"column": "tenure", "run": 2, "rows": 40, "missing": 10, "share": 0.25}


class _Check:
    checked_at, packages, outdated, vulnerable, unknown, error = "2026-11-02T06:00:00.000Z", 60, 1, None, 0, None
    findings = ()


def test_diagnostics_tell_timings_and_packages_with_their_age(client: TestClient, home: Home) -> None:
    before = client.get("/diagnostics").json()
    assert before["packages"] is None
    with Ledger.open(home.ledger) as ledger:
        steps = ledger.steps(1)
        ledger.add_package_check(_Check())
        ledger.rows("INSERT INTO package_findings VALUES (1, 'outdated', 'numpy', '2.0', '2.4', NULL, NULL, NULL)")
    found = client.get("/diagnostics").json()
    assert [each["step"] for each in found["steps"]] == [each["step"] for each in steps]
    assert found["steps"][0]["wall_s"] == steps[0]["wall_s"]
    assert found["packages"]["state"] == "unknown"  # whether any is vulnerable is not known
    assert found["packages"]["findings"] == [
        {"kind": "outdated", "package": "numpy", "installed": "2.0", "detail": "newest: 2.4"}
    ]
    since = dt.datetime.now(dt.UTC) - dt.datetime(2026, 11, 2, 6, tzinfo=dt.UTC)
    assert found["packages"]["age_days"] == pytest.approx(since.total_seconds() / 86400, abs=0.02)


# -- models ----------------------------------------------------------------------------------------------------


def test_models_tell_each_version_with_its_decision_and_when_it_served(client: TestClient) -> None:
    found = client.get("/models").json()
    [version] = found["models"]
    assert (found["in_use"], version["model"], version["decision"]) == ("v1", "v1", "first")
    assert version["metrics"]["f1"] == client.get("/scoring").json()["value"]
    [served] = version["served"]
    assert (served["until"], served["how"], served["by"]) == (None, "first", "gate")


# -- one customer ----------------------------------------------------------------------------------------------


def test_one_customer_is_told_as_the_call_list_has_them(client: TestClient, home: Home) -> None:
    id_ = _first_called(home)
    found = client.get(f"/customers/{id_}").json()
    with Reader.open(home.ledger) as ledger:
        row = customers.call_list(ledger, 1)[0]
    assert (found["id"], found["current"], len(found["history"])) == (id_, True, 1)
    told = found["history"][0]
    assert {name: told[name] for name in ("bucket", "probability", "raises", "lowers")} == {
        name: row[name] for name in ("bucket", "probability", "raises", "lowers")
    }
    assert (told["run"], told["model"], told["decision"]) == (1, "v1", 1)


@pytest.mark.parametrize("id_", ["a/b", "ä ö?#", ".."])
def test_an_id_may_hold_any_sign(client: TestClient, home: Home, id_: str) -> None:
    with Reader.open(home.ledger) as ledger:
        [file] = customers.files(ledger, 1)
    path = home.predictions / file["path"]
    table = pyarrow.parquet.read_table(path)
    renamed = table.set_column(0, table.schema.names[0], pa.array([id_, *table[0].to_pylist()[1:]]))
    pyarrow.parquet.write_table(renamed, path)
    assert client.get(f"/customers/{quote(id_, safe='').replace('.', '%2E')}").json()["id"] == id_


def test_what_campaigns_did_is_told_newest_first(client: TestClient, home: Home) -> None:
    id_ = _first_called(home)
    rows = {home.settings.id: [id_] * 2, "date": [dt.datetime(2026, 2, 1), dt.datetime(2026, 3, 1)],  # noqa: DTZ001
            "action": ["call", "gift"], "treated": [1, 0]}  # fmt: skip
    part = home.ingested / CAMPAIGNS / "part.parquet"
    part.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pa.table(rows), part)
    with Ledger.open(home.ledger) as ledger:
        [first] = ledger.parts()
        ledger.add(replace(first, part=f"{CAMPAIGNS}/part.parquet", dataset=CAMPAIGNS))
    assert client.get(f"/customers/{id_}").json()["campaigns"] == [
        {"at": "2026-03-01", "action": "gift", "treated": 0}, {"at": "2026-02-01", "action": "call", "treated": 1},
    ]  # fmt: skip


def test_whoever_nobody_knows_is_not_found_and_where_ids_are_is_said(client: TestClient) -> None:
    answer = client.get("/customers/nobody")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "churnwatch customers" in answer.json()["detail"]
    assert "nobody" not in answer.json()["detail"]
    assert client.get("/customers/x?runs=0").json()["fields"][0]["field"] == "runs"


# -- nothing yet -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READS)
def test_without_a_ledger_the_answer_says_what_to_do(home: Home, path: str) -> None:
    home.ledger.unlink()
    shutil.rmtree(home.deployment)
    with TestClient(app.create(home, keep=print), base_url="http://localhost") as client:
        answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "churnwatch run --once" in answer.json()["detail"]

"""The pages as they are sent: what they say, and that nothing in them is anything but text."""

from __future__ import annotations

import html
import json
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import page_homes
import pandas as pd
import pyarrow.parquet
import pytest
from starlette.testclient import TestClient

from churnwatch.pipeline import contributions, settings
from churnwatch.pipeline.contributions import Unexplained
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.reason_words import NO_PROMISE
from churnwatch.pipeline.settings import Home
from churnwatch.serving import app, docs_page
from churnwatch.serving.effects import effect, risk_shade, shade

PAGES = ("/", "/customer", "/model", "/docs")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = page_homes.hostile(tmp_path_factory.mktemp("hostile"))
    bugs: list[Exception] = []
    with TestClient(app.create(home, keep=bugs.append), base_url="http://localhost") as found:
        yield found
    assert bugs == []


def _text(page: str) -> str:
    """Return what is read of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def _listed(client: TestClient, query: str = "") -> list[str]:
    """Return the ids that a list shows, in its order."""
    found = re.findall(r'<th scope="row" class="name"><a [^>]*>([^<]*)</a>', client.get(f"/{query}").text)
    return [html.unescape(each) for each in found]


def _calls(home: Home) -> pd.DataFrame:
    [path] = home.predictions.glob("*-calls.parquet")
    return pyarrow.parquet.read_table(path).to_pandas()


@pytest.mark.parametrize("page", [*PAGES, "/customer/nobody", "/static/pages.js"])
def test_every_page_forbids_what_is_not_from_here(client: TestClient, page: str) -> None:
    answer = client.get(page)
    policy = answer.headers["content-security-policy"]
    wanted = ("default-src 'none'", "style-src 'self'", "script-src 'self'", "frame-ancestors 'none'")
    assert {*wanted, "form-action 'self'", "base-uri 'none'"} <= {each.strip() for each in policy.split(";")}
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert ("no-store" in answer.headers["cache-control"]) == (not page.startswith("/static"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_script_and_no_style_of_its_own_and_loads_all_it_names(client: TestClient, page: str) -> None:
    text = client.get(page).text
    assert not re.search(r"<style|<script(?! src=\"/static)| style=| on\w+=", text)
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
    assert len(loaded) == 3
    for each in loaded:
        assert client.get(each).status_code == 200
    assert client.get("/static/../app.py").status_code == 404


def test_the_list_is_a_sample_that_its_link_keeps(client: TestClient, home: Home) -> None:
    first, second = _listed(client), _listed(client, "?page=2")
    assert (len(first), len(second)) == (50, 50)
    assert not set(first) & set(second)
    assert _listed(client) == first
    assert _listed(client, "?seed=2") != first
    order = _calls(home)["id"].tolist()
    assert sorted(first + second, key=order.index) == first + second


def test_the_list_of_a_bucket_is_the_call_list(client: TestClient, home: Home) -> None:
    calls = _calls(home)
    for bucket in ("A", "C"):
        expected = calls[calls["bucket"] == bucket]["id"].tolist()
        assert _listed(client, f"?bucket={bucket}") == expected[:50]
    assert _listed(client, "?bucket=all&page=2") == calls["id"].tolist()[50:100]
    assert "There are no more" in client.get("/?bucket=all&page=99").text


@pytest.mark.parametrize("column", ["tenure", "Contract"])
@pytest.mark.parametrize("bucket", ["", "all"])
def test_the_list_sorts_by_a_field_in_both_directions(client: TestClient, home: Home, column: str, bucket: str) -> None:
    [source] = home.source.glob("*.csv")
    value = pd.read_csv(source).set_index("customerID")[column]
    for down in (0, 1):
        found = value[_listed(client, f"?sort={column}&down={down}&bucket={bucket}")].tolist()
        assert len(found) == 50
        assert found == sorted(found, reverse=bool(down))
    assert 'aria-sort="descending"' in client.get(f"/?sort={column}&down=1").text


def test_the_list_sorts_by_what_the_run_said(client: TestClient, home: Home) -> None:
    calls = _calls(home).set_index("id")
    found = calls.loc[_listed(client, "?sort=:risk&down=0&bucket=all")]["probability"].tolist()
    assert found == sorted(calls["probability"])[:50]
    ids = _listed(client, "?sort=:id&bucket=all")
    assert ids == sorted(calls.index)[:50]
    assert calls.loc[_listed(client, "?sort=:bucket&down=1&bucket=all")]["bucket"].tolist()[0] == "C"


def test_somebody_is_found_by_a_part_of_the_id_whatever_the_sample(client: TestClient, home: Home) -> None:
    ids = _calls(home)["id"].tolist()
    assert _listed(client, f"?find={ids[-1].lower()}") == [ids[-1]]
    assert _listed(client, f"?find={ids[0][:2]}") == [each for each in ids if ids[0][:2] in each][:50]
    assert "No current customer has that in the id" in client.get("/?find=nobody").text


@pytest.mark.parametrize("query", ["?seed=-1", "?page=0", "?page=x", "?seed=" + "9" * 99, "?sort=nothing", "?bucket=D"])
def test_a_link_that_asks_for_nothing_that_there_is_shows_something(client: TestClient, query: str) -> None:
    assert client.get(f"/{query}").status_code == 200


def test_each_value_is_listed_with_what_it_contributes(client: TestClient, home: Home) -> None:
    [path] = home.predictions.glob("*-reasons.parquet")
    id_ = _listed(client)[0]
    why = pyarrow.parquet.read_table(path).to_pandas().set_index("customerID").loc[id_]
    [row] = re.findall(rf">{id_}</a></th>(.*?)</tr>", client.get("/").text, re.DOTALL)
    shown = re.findall(
        r'<td class="[^"]*(up|down)-[1-5]">[^<]* <span class="effect" title="(raises|lowers) it">([+−][0-9.]+)', row
    )
    assert shown
    for side, word, _ in shown:
        assert (side, word) in {("up", "raises"), ("down", "lowers")}
    told = {said for _, _, said in shown}
    assert told <= {effect(each, amounts=False) for each in why.drop("base")}
    assert effect(why.drop("base").abs().max(), amounts=False).strip("+−") in {each.strip("+−") for each in told}


def test_a_customer_is_shown_as_the_api_says(client: TestClient, home: Home) -> None:
    [source] = home.source.glob("*.csv")
    row = pd.read_csv(source).set_index("customerID").drop(columns=["month", "Churn"]).loc[_listed(client)[0]]
    answer = client.post("/predict", content=json.dumps(row.to_dict(), default=lambda each: each.item())).json()
    page = client.get(f"/customer/{row.name}").text
    assert f'id="figure">{100 * answer["probability"]:.1f}\N{NO-BREAK SPACE}%<' in page
    assert f"Bucket {answer['bucket']}." in page
    assert "Expected to leave" in page if answer["decision"] else "Expected to stay" in page
    for contribution in answer["explanation"].values():
        assert f'<span class="now">{effect(contribution, amounts=False)}</span>' in page
    assert NO_PROMISE in page


def test_a_link_changes_fields_and_says_what_moved(client: TestClient) -> None:
    id_ = _listed(client, "?bucket=A")[0]
    before = client.get(f"/customer/{id_}").text
    page = client.get(f"/customer/{id_}?Contract=Two+year&tenure=60").text
    [was], [now] = (re.findall(r'id="figure">([^<]*)', each) for each in (before, page))
    assert f"It was {was}, now {now}." in page
    assert page.count('class="field changed"') == 2
    assert re.search(r"was [+−][0-9]", page)
    assert '<option value="Two year" selected>' in page
    assert "It was" not in before


def test_an_empty_value_of_a_link_is_no_value(client: TestClient) -> None:
    page = client.get("/customer?Contract=&tenure=").text
    assert page.count('class="field changed"') == 2
    assert '<option value="" selected>no value' in page
    assert 'class="wrong"' not in page


@pytest.mark.parametrize(("query", "wrong"), [("tenure=x", "not a number"), ("tenure=3.5", "not a whole number"),
                                              ("tenure=-1", "below 0"), ("tenure=nan", "not a number")])  # fmt: skip
def test_a_wrong_value_of_a_link_is_said_at_its_field_and_counts_for_nothing(
    client: TestClient, query: str, wrong: str
) -> None:
    page, plain = client.get(f"/customer?{query}").text, client.get("/customer").text
    assert f'<strong class="wrong">{wrong}</strong>' in page
    [changed], [same] = (re.findall(r'id="figure">([^<]*)', each) for each in (page, plain))
    assert changed == same


def test_who_is_nobody_is_said_to_be_nobody(client: TestClient) -> None:
    answer = client.get("/customer/nobody")
    assert answer.status_code == 404
    assert "No current customer has that id" in answer.text


def test_the_model_page_says_how_good_it_is_and_how_to_ask(client: TestClient, home: Home) -> None:
    page = _text(client.get("/model").text)
    with Reader.open(home.ledger) as ledger:
        [f1] = [
            row["value"] for row in ledger.metrics(run=1, split="holdout") if row["name"] == "f1" and row["version"]
        ]
    assert f"{f1:.3f}" in page
    low, high = map(
        float, re.findall(r"F1 precision and recall in one number; 1 is perfect \S+ (\S+) to (\S+)", page)[0]
    )
    assert low < f1 < high
    assert "http://localhost/predict" in page
    assert "Released as the first model" in page


def test_the_samples_of_the_model_page_can_be_sent_as_they_are(client: TestClient) -> None:
    page = client.get("/model").text
    [body] = re.findall(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    answer = client.post("/predict", content=html.unescape(body))
    assert answer.status_code == 200
    assert answer.json()["assumed"] == []
    [python] = re.findall(r"<code>(import json.*?)</code>", page, re.DOTALL)
    compile(html.unescape(python), "sample", "exec")


def test_the_api_is_described_from_its_document(client: TestClient) -> None:
    page, document = client.get("/docs").text, client.get("/openapi.json").json()
    for path, item in document["paths"].items():
        for method in item:
            assert f"<code>{method.upper()} {path}</code>" in page
    assert "/customer" not in document["paths"]
    for field in ("Contract", "MonthlyCharges"):
        assert f'class="name">{field}</th>' in page
    assert "from <code>start</code>" in page


def test_references_of_a_document_are_put_in_place() -> None:
    schema = {"$ref": "#/components/s"}
    document = {
        "paths": {"/a": {"post": {"description": "Says a.\n\nAnd b.", "requestBody": {"$ref": "#/components/b"}}}},
        "components": {"b": {"content": {"application/json": {"example": {"x": 1}, "schema": schema}}},
                       "s": {"type": "object", "again": schema}},
    }  # fmt: skip
    [operation] = docs_page.operations(document)
    assert operation.paragraphs == ("Says a.", "And b.")
    assert json.loads(operation.bodies[0].example) == {"x": 1}
    assert json.loads(operation.bodies[0].schema)["again"]["type"] == "object"


@pytest.mark.parametrize("id_", [each for each in page_homes.IDS if "%" not in each])  # it would be decoded twice here
def test_whatever_an_id_holds_its_page_is_found(hostile: TestClient, id_: str) -> None:
    found = re.findall(
        r'<th scope="row" class="name"><a href="([^"]*)"', hostile.get(f"/?find={quote(id_[:150])}").text
    )
    assert f"/customer/{quote(id_, safe='')}" in found
    answer = hostile.get(f"/customer/{quote(id_, safe='')}")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    "page", ["/", "/customer", "/model", "/docs", f"/customer?{quote(page_homes.PLAN)}=<script>alert(4)"]
)
def test_nothing_hostile_is_anything_but_text(hostile: TestClient, page: str) -> None:
    text = hostile.get(page).text
    assert not re.search(r"<script>|<img|<b>|<i>|<plan>", text)
    assert text.count("<script") == 1


def test_values_of_a_form_are_kept_to_the_letter(hostile: TestClient) -> None:
    page = hostile.get("/customer").text
    values = {html.unescape(each) for each in re.findall(r'<option value="([^"]*)"', page)}
    assert values == {*page_homes.PLANS.values(), ""}
    [name] = re.findall(r'<select id="\w+" name="([^"]*)"', page)
    assert html.unescape(name) == page_homes.PLAN
    known = json.loads(html.unescape(re.findall(r'data-known="([^"]*)"', page)[0]))
    sent = {html.unescape(name): page_homes.PLANS["full"], **known["beside"]}
    assert hostile.post("/predict", json=sent).status_code == 200


def test_amounts_are_shown_as_amounts(hostile: TestClient) -> None:
    page = _text(hostile.get("/customer?visits=40").text)
    assert re.search(r"It was [0-9,.]+, now [0-9,.]+\.", page)
    assert "probability" not in page
    assert "price <i>" in page
    assert "Mean absolute error" in _text(hostile.get("/model").text)
    assert "Amount" in _text(hostile.get("/").text)


def test_before_there_is_a_release_each_page_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / settings.FILE_NAME).write_text("target: Churn\npositive: Yes\nid: customerID\n")
    with TestClient(app.create(settings.load(tmp_path), keep=print), base_url="http://localhost") as client:
        for page in ("/", "/customer", "/customer/x", "/model"):
            answer = client.get(page)
            assert answer.status_code == 503
            assert re.search("churnwatch run --once|drop a labelled CSV", answer.text)
        assert "drop a labelled CSV" in client.get("/docs").text


def test_without_an_id_the_list_says_that_customers_have_no_names(home: Home) -> None:
    file = home.path / settings.FILE_NAME
    file.write_text(file.read_text().replace("id: customerID\n", ""))
    with TestClient(app.create(settings.load(home.path), keep=print), base_url="http://localhost") as client:
        assert "name no column of ids" in client.get("/").text
        assert client.get("/customer").status_code == 200
        assert client.get("/customer/x").status_code == 404


def test_files_that_are_gone_are_said_to_be_gone(client: TestClient, home: Home) -> None:
    shutil.rmtree(home.predictions)
    answer = client.get("/")
    assert answer.status_code == 503
    assert "is gone or damaged" in answer.text
    shutil.rmtree(home.ingested)
    assert client.get("/customer/x").status_code == 503
    assert client.get("/customer").status_code == 200


def test_a_model_that_explains_nothing_says_why(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contributions, "explainer", lambda *_: Unexplained("it is of another make"))
    with TestClient(app.create(home, keep=print), base_url="http://localhost") as client:
        page = client.get("/customer?tenure=3").text
    assert "it is of another make" in page
    assert "<svg" not in page
    assert "It was" in page


def test_shades_go_from_blue_by_none_to_red() -> None:
    assert [shade(each, 2.0) for each in (-2.0, -0.9, -0.1, 0.0, 0.1, 0.9, 2.0)] == [-5, -2, 0, 0, 0, 2, 5]
    assert shade(0.0, 0.0) == 0
    assert [risk_shade(each, 0.4, 1.0) for each in (0.0, 0.39, 0.4, 1.0)] == [-5, -1, 1, 5]
    assert [risk_shade(each, 0.0, 0.0) for each in (-1.0, 0.0)] == [-5, 1]


def test_names_of_the_settings_are_what_fields_are_called(home: Home) -> None:
    file = home.path / settings.FILE_NAME
    file.write_text(file.read_text() + "names: {tenure: months as a customer}\n")
    found: dict[str, Any] = {}
    with TestClient(app.create(settings.load(home.path), keep=print), base_url="http://localhost") as client:
        found = {page: client.get(page).text for page in ("/", "/customer")}
    assert all("months as a customer" in each for each in found.values())


def test_what_is_only_tried_is_not_logged(client: TestClient, home: Home, customer: dict[str, Any]) -> None:
    client.post("/predict?what_if=true", json=customer)
    tried = client.post("/predict", json=customer).json()
    client.get("/customer?tenure=3")
    deadline = time.monotonic() + 10
    while not (found := _logged(home)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == [tried["id"]]


def _logged(home: Home) -> list[str]:
    with closing(sqlite3.connect(home.serving_log)) as log:
        return [row[0] for row in log.execute("SELECT uuid FROM served")]

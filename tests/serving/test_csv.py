from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from churnwatch.pipeline import sample, settings
from churnwatch.pipeline.settings import Home
from churnwatch.serving import app, bulk
from churnwatch.serving.release import Current

_CSV = {"content-type": "text/csv"}


def _text(customers: list[dict[str, Any]], *, delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(customers[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(customers)
    return out.getvalue()


def _to_nine_places(text: str) -> str:
    """Round probabilities: sums of other rows beside them may differ in the last bits."""
    return re.sub(r"0\.\d{9}\d+", lambda found: f"{float(found[0]):.9f}", text)


def _answer(client: TestClient, body: str | bytes, media_type: str = "text/csv", delimiter: str = ",") -> list[Any]:
    answer = client.post("/predict", content=body, headers={"content-type": media_type})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), delimiter=delimiter))


def test_a_csv_comes_back_with_what_is_said_of_each_row_as_of_one_customer(
    client: TestClient, customer: dict[str, Any]
) -> None:
    sent = [customer | {"tenure": tenure, "customerID": f"A-{tenure}"} for tenure in range(50)]
    text = _text(sent)
    answer = client.post("/predict", content=text, headers=_CSV)
    lines = answer.text.splitlines()
    assert lines[0] == text.splitlines()[0] + ",probability,decision,bucket,model,problem"
    assert [line.rsplit(",", 5)[0] for line in lines[1:]] == text.splitlines()[1:]
    assert answer.text.endswith("\n")
    assert answer.headers["churnwatch-model"] == "v1"
    single = client.post("/predict", json=sent).json()
    for row, each in zip(csv.DictReader(lines), single, strict=True):
        assert float(row["probability"]) == pytest.approx(each["probability"], abs=1e-12)
        assert (int(row["decision"]), row["bucket"], row["model"]) == (each["decision"], each["bucket"], each["model"])
        assert row["problem"] == ""


def test_it_does_not_matter_where_a_body_is_cut_into_blocks(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = next(sample.generate(sample.Like.TELCO, months=1, rows=150, seed=5, broken=4, missing=0.05))
    whole = _to_nine_places(client.post("/predict", content=month.csv(), headers=_CSV).text)
    for size in (1_500, 9_000):
        monkeypatch.setattr(bulk, "BLOCK", size)
        monkeypatch.setattr("churnwatch.serving.bulk_route.BLOCK", size)
        assert _to_nine_places(client.post("/predict", content=month.csv(), headers=_CSV).text) == whole


def test_a_row_that_cannot_be_predicted_comes_back_in_its_place_and_says_why(
    client: TestClient, customer: dict[str, Any]
) -> None:
    wrong = customer | {"tenure": "three", "MonthlyCharges": "much"}
    lines = _text([customer, wrong, customer | {"tenure": -1}, customer]).splitlines()
    lines.insert(2, lines[1] + ",more")
    lines.insert(3, "few,cells")
    rows = _answer(client, "\n".join(lines))
    assert [row["problem"] for row in rows] == [
        "", "17 cells where the header has 16", "2 cells where the header has 16",
        "`tenure`: not a whole number; `MonthlyCharges`: not a number", "`tenure`: below 0", "",
    ]  # fmt: skip
    assert [bool(row["probability"]) for row in rows] == [True, False, False, False, False, True]
    assert all(row["decision"] == row["bucket"] == row["model"] == "" for row in rows if row["problem"])
    assert (rows[2]["customerID"], rows[3]["tenure"]) == ("few", "three")


def test_cells_mean_what_they_mean_in_a_file(home: Home, customer: dict[str, Any], bugs: list[Exception]) -> None:
    file = home.path / settings.FILE_NAME
    file.write_text(file.read_text() + "\ncsv: {delimiter: ';', decimal: ',', missing: ['n/a']}\n")
    with TestClient(app.create(settings.load(home.path), keep=bugs.append), base_url="http://localhost") as client:
        there = _text([customer | {"MonthlyCharges": "80,5", "TotalCharges": "n/a", "gender": " "}], delimiter=";")
        row = _answer(client, there, delimiter=";")[0]
        json = client.post("/predict", json=customer | {"TotalCharges": None, "gender": None}).json()
    assert float(row["probability"].replace(",", ".")) == pytest.approx(json["probability"], abs=1e-12)
    assert "," in row["probability"]
    assert bugs == []


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("3", 3), (" 3 ", 3), ("+3", 3), ("3.0", 3), ("003", 3), ("", None), (" \t", None)],
)
def test_numbers_are_read_as_in_files(
    client: TestClient, customer: dict[str, Any], cell: str, expected: int | None
) -> None:
    row = _answer(client, _text([customer | {"tenure": cell}]))[0]
    json = client.post("/predict", json=customer | {"tenure": expected}).json()
    assert row["problem"] == ""
    assert float(row["probability"]) == pytest.approx(json["probability"], abs=1e-12)


@pytest.mark.parametrize("cell", ["0x1F", "3e1", "1_000", "inf", "nan", "99999999999999999999", "3.5", "\t3"])
def test_what_is_no_number_in_a_file_is_none_here(client: TestClient, customer: dict[str, Any], cell: str) -> None:
    assert _answer(client, _text([customer | {"tenure": cell}]))[0]["problem"].startswith("`tenure`: not a whole")


def test_what_a_spreadsheet_would_run_comes_back_harmless_and_numbers_as_they_are(
    client: TestClient, customer: dict[str, Any]
) -> None:
    sent = [customer | {"customerID": "=1+1", "tenure": "@x"}, customer | {"customerID": "-5"}, customer]
    rows = _answer(client, _text(sent))
    assert [(row["customerID"], row["tenure"]) for row in rows] == [("'=1+1", "'@x"), ("-5", "3"), ("A-1", "3")]
    assert [bool(row["probability"]) for row in rows] == [False, True, True]


def test_quotes_delimiters_and_line_ends_in_cells_survive(client: TestClient, customer: dict[str, Any]) -> None:
    names = ['a "b", c', "over\ntwo\r\nlines", "tab\tin it", "Ünïcødé"]
    rows = _answer(client, _text([customer | {"customerID": name} for name in names]))
    assert [row["customerID"] for row in rows] == names
    assert all(row["probability"] for row in rows)


@pytest.mark.parametrize(
    ("encoding", "media_type"),
    [("utf-8-sig", "text/csv"), ("utf-16", "text/csv"), ("cp1252", "text/csv"),
     ("utf-16", "text/csv; charset=UTF-16"), ("latin-1", 'text/csv; charset="iso-8859-1"')],
)  # fmt: skip
def test_other_encodings_are_read_and_answered_in_utf_8(
    client: TestClient, customer: dict[str, Any], encoding: str, media_type: str
) -> None:
    rows = _answer(client, _text([customer | {"customerID": "Zoë"}]).encode(encoding), media_type)
    assert [(row["customerID"], row["problem"]) for row in rows] == [("Zoë", "")]


def test_letters_of_another_encoding_are_a_problem_of_their_row(
    client: TestClient, customer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("churnwatch.serving.bulk_route.BLOCK", 4096)
    monkeypatch.setattr(bulk, "BLOCK", 4096)
    text = _text([customer | {"customerID": "Zoë"}] * 60).encode()
    rows = _answer(client, text + text.splitlines(keepends=True)[1].decode().encode("latin-1") + b"\n")
    assert {row["problem"] for row in rows[:60]} == {""}
    assert rows[60]["problem"] == "not UTF-8"


def test_columns_called_as_ours_get_another_name(home: Home, customer: dict[str, Any]) -> None:
    current = Current(home)
    current.look()
    assert current.release is not None
    release = replace(current.release, others=current.release.others | {"Decision"})
    text = _text([customer | {"Decision": "yes"}]).encode()
    answering = bulk.opened(release, home.settings.csv, text, is_all=True, encoding=None)
    assert answering.head().endswith(b",Decision (input),probability,decision,bucket,model,problem")


def test_amounts_come_without_a_decision(home: Home, customer: dict[str, Any]) -> None:
    current = Current(home)
    current.look()
    assert current.release is not None
    text = _text([customer, customer | {"tenure": "x"}]).encode()
    answering = bulk.opened(replace(current.release, amounts=True), home.settings.csv, text, is_all=True, encoding=None)
    assert answering.head().endswith(b",amount,bucket,model,problem")
    [(lines, predicted)] = answering.lines(io.BytesIO(text))
    rows = [line.split(",")[len(customer) :] for line in lines.decode().splitlines()[1:]]
    assert [len(row) for row in rows] == [4, 4]
    assert rows[1] == ["", "", "", "`tenure`: not a whole number"]
    assert predicted == 1


def test_fields_that_the_header_lacks_are_assumed_and_told(client: TestClient, customer: dict[str, Any]) -> None:
    del customer["tenure"], customer["Contract"]
    answer = client.post("/predict", content=_text([customer]), headers=_CSV)
    assert answer.headers["churnwatch-assumed"] == "tenure, Contract"
    row = next(csv.DictReader(io.StringIO(answer.text)))
    json = client.post("/predict", json=customer).json()
    assert float(row["probability"]) == pytest.approx(json["probability"], abs=1e-12)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"\n", "header is empty"),
        (b"customerID,month\nA,2026-01-01\n", "none of the model's fields"),
        (b"tenure,colour\n3,red\n", "no such fields: `colour`"),
        (b"tenure,tenure\n3,3\n", "stand twice"),
        (b"tenure,\x00\n3,3\n", "NUL"),
    ],
)
def test_a_header_that_is_not_of_customers_is_refused(client: TestClient, body: bytes, said: str) -> None:
    answer = client.post("/predict", content=body, headers=_CSV)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


def test_a_header_alone_gets_a_header(client: TestClient, customer: dict[str, Any]) -> None:
    assert _answer(client, _text([customer]).splitlines()[0]) == []


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "text/csv; charset=koi8-r"])
def test_what_is_not_understood_is_refused(client: TestClient, media_type: str) -> None:
    assert client.post("/predict", content=b"tenure\n3\n", headers={"content-type": media_type}).status_code == 415
    packed = client.post("/predict", content=b"x", headers=_CSV | {"content-encoding": "gzip"})
    assert packed.status_code == 415


def test_a_line_without_an_end_breaks_the_answer_off_and_says_so(
    home: Home, customer: dict[str, Any], bugs: list[Exception]
) -> None:
    file = home.path / settings.FILE_NAME
    file.write_text(file.read_text() + "\ncsv: {max_line_mb: 1}\n")
    text = _text([customer] * 20_000) + "x" * (5 << 20)
    with TestClient(app.create(settings.load(home.path), keep=bugs.append), base_url="http://localhost") as client:
        answer = client.post("/predict", content=text, headers=_CSV).text
    rows = list(csv.DictReader(io.StringIO(answer)))
    assert rows[-1]["problem"].startswith("nothing from here on is answered: line 20002 is longer than")
    assert len(rows) == 20_001
    assert bugs == []

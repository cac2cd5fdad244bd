from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from churnwatch.daemon.explain_commands import as_text
from churnwatch.pipeline.reason_words import NO_PROMISE
from churnwatch.pipeline.settings import Home

Churnwatch = Callable[..., Any]


def _first(worked: Home) -> Any:
    newest = max(worked.predictions.glob("run-?????.parquet"))
    return pd.read_parquet(newest).iloc[0]


def test_a_customer_is_explained_with_what_said_so(churnwatch: Churnwatch, worked: Home) -> None:
    predicted = _first(worked)
    found = json.loads(churnwatch("explain", predicted["customerID"], "--json", home=worked).out)
    assert found["prediction"] == pytest.approx(predicted["probability"])
    assert found["decision"] == bool(predicted["decision"])
    summed = found["base"] + sum(each["contribution"] for each in found["reasons"])
    assert summed == pytest.approx(math.log(found["prediction"] / (1 - found["prediction"])), abs=1e-6)
    assert found["model"]["version"] == predicted["model"]
    assert len(found["model"]["sha256"]) == len(found["data"]["sha256"]) == 64
    text = churnwatch("explain", predicted["customerID"], home=worked)
    assert text.code == 0
    assert f"Model {predicted['model']} of run {found['model']['run']}, sha256 {found['model']['sha256']}." in text.out
    assert f"Row of {found['data']['file']}, ingested by run {found['data']['run']}" in text.out
    assert text.out.rstrip().endswith(NO_PROMISE)
    for each in found["reasons"]:
        assert each["column"] in text.out


def test_a_customer_of_a_file_is_explained(
    churnwatch: Churnwatch, worked: Home, months: tuple[Path, ...], tmp_path: Path
) -> None:
    asked = pd.read_csv(months[3], dtype="str").drop(columns="Churn", errors="ignore")
    source = tmp_path / "asked.csv"
    pd.concat([asked.assign(tenure="1"), asked]).to_csv(source, index=False)
    customer = asked["customerID"][5]
    found = json.loads(churnwatch("explain", customer, "--file", source, "--json", home=worked).out)
    values = {each["column"]: each["value"] for each in found["reasons"]}
    assert values["tenure"] == asked["tenure"][5]  # the last row of that customer counts
    assert found["data"] == {"file": "asked.csv", "run": None, "sha256": None}
    missing = churnwatch("explain", "nobody", "--file", source, home=worked)
    assert (missing.code, missing.err) == (1, "churnwatch: asked.csv: no row that can be read has that id.\n")


def test_who_is_not_known_is_not_explained(churnwatch: Churnwatch, worked: Home) -> None:
    found = churnwatch("explain", "it's nobody", home=worked)
    assert found.code == 1
    assert found.err == "churnwatch: no current customer has that id; who is known to have left is not predicted.\n"


def test_without_a_model_or_an_id_nobody_is_explained(
    churnwatch: Churnwatch, home: Home, months: tuple[Path, ...]
) -> None:
    assert "no ledger yet" in churnwatch("explain", "x", home=home).err
    pd.read_csv(months[0]).drop(columns="Churn").to_csv(home.source / "asked.csv", index=False)
    churnwatch("run", "--once", home=home)
    assert churnwatch("explain", "x", home=home).code == 1
    nameless = home.path / "settings.yaml"
    nameless.write_text(nameless.read_text().replace("id: customerID\n", ""))
    assert churnwatch("explain", "x", home=home).err.startswith("churnwatch: settings.yaml: id: names no column")


TOLD = {
    "id": "7\x1b[2J", "prediction": 0.75, "decision": True, "base": -1.0, "why_not": None, "threshold": 0.3,
    "names": {"a": "the first"},
    "reasons": [
        {"column": "a", "value": "1", "typical": "2", "contribution": 2.2},
        {"column": "b\n", "value": "x", "typical": "x", "contribution": -0.1},
    ],
    "model": {"version": "v7", "run": 7, "sha256": "ab"}, "data": {"file": None, "run": None, "sha256": None},
    "says": NO_PROMISE,
}  # fmt: skip


def test_bars_are_as_long_as_contributions_and_nothing_steers_the_terminal() -> None:
    text = as_text(TOLD)
    assert "\x1b" not in text
    lines = {line.split("  ")[0].strip(): line for line in text.splitlines()}
    assert lines["the first"].count("█") == 20
    assert lines["b"].count("▒") == 1
    assert "+2.20" in lines["the first"]
    assert "−0.10" in lines["b"]
    assert "it says −1.00; with all columns 1.10, a probability of 0.750." in text


def test_of_amounts_it_speaks_in_their_unit() -> None:
    text = as_text({**TOLD, "decision": None, "prediction": 1200.0, "base": 1197.9})
    assert "1,200.00 expected." in text
    assert "it says 1,197.90; with all columns 1,200.00." in text
    assert "log-odds" not in text


def test_what_cannot_be_explained_says_why_not() -> None:
    text = as_text({**TOLD, "base": None, "reasons": [], "why_not": "steps do not add up"})
    assert text.endswith("It cannot be said why: steps do not add up.")
    assert NO_PROMISE not in text

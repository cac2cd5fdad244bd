from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

from churnwatch.pipeline import files
from churnwatch.pipeline.settings import Home

Churnwatch = Callable[..., Any]


def _rows(out: str) -> dict[str, list[str]]:
    """Return the table's rows by policy."""
    _, ruler, *rest = out.partition("----")[2].partition("\n")
    assert ruler
    lines = rest[0].split("\n\n")[0].splitlines()
    return {line[:11].strip(): line[11:].split() for line in lines if line.strip()}


def test_replay_shows_what_served_and_what_would_have(churnwatch: Churnwatch, worked: Home) -> None:
    result = churnwatch("replay", home=worked)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("2 runs with 2 candidates and 600 labelled rows.")
    rows = _rows(result.out)
    assert list(rows) == ["what served", "never", "always", "better", "proven", "strict"]
    assert rows["what served"] == rows["better"]
    assert (rows["never"][0], rows["always"][0]) == ("0", "1")
    assert {row[-1] for row in rows.values()} == {"300"}


def test_replay_of_some_policies_shows_each_once(churnwatch: Churnwatch, worked: Home) -> None:
    result = churnwatch("replay", "--policy", "always", "--policy", "never", "--policy", "always", home=worked)
    assert list(_rows(result.out)) == ["what served", "always", "never"]


def test_replay_as_json_has_every_run(churnwatch: Churnwatch, worked: Home) -> None:
    result = churnwatch("replay", "--json", "--policy", "always", home=worked)
    found = json.loads(result.out)
    assert (found["runs"], found["candidates"], found["labelled_rows"], found["notes"]) == (2, 2, 600, [])
    truth, always = found["policies"]
    assert (truth["policy"], always["policy"]) == ("what served", "always")
    first, second = always["by_run"]
    assert first == {"run": 1, "decision": "first", "served": None}
    assert (second["run"], second["decision"], second["served"], second["rows"]) == (2, "promoted", 1, 300)
    assert second["f1"] == always["f1"] == truth["f1"]


def test_replay_says_what_it_had_to_leave_out(churnwatch: Churnwatch, own: Home) -> None:
    shutil.rmtree(own.models / "v2")
    result = churnwatch("replay", home=own)
    assert result.code == 0
    assert "\n\nv2 is left out: " in result.out
    assert _rows(result.out)["always"][0] == "0"


def test_replay_goes_on_while_a_run_does(churnwatch: Churnwatch, worked: Home) -> None:
    with files.lock(worked.state / "work.lock", busy="a run is going on"):
        assert churnwatch("replay", "--policy", "never", home=worked).code == 0


def test_replay_by_a_policy_that_does_not_exist_is_refused(churnwatch: Churnwatch, worked: Home) -> None:
    result = churnwatch("replay", "--policy", "provn", home=worked)
    assert result.code == 2
    assert result.line == (
        "churnwatch: --policy provn: there is no such policy; there are never, always, better, proven, strict."
    )


def test_replay_of_a_home_without_a_run_is_refused(churnwatch: Churnwatch, home: Home) -> None:
    result = churnwatch("replay", home=home)
    assert result.code == 1
    assert result.line.startswith("churnwatch: churnwatch.db: no ledger yet")

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from churnwatch.pipeline.api_keys import hashed
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.settings import Home


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    """Return a home whose ledger is empty."""
    made = make_home()
    with Ledger.open(made.ledger):
        return made


def test_a_token_is_shown_once_and_kept_nowhere(churnwatch: Any, home: Home) -> None:
    made = churnwatch("key", "create", "billing", home=home)
    assert made.code == 0
    token = made.out.removesuffix("\n")
    assert re.fullmatch(r"cw_[A-Za-z0-9_-]{43}", token)
    assert made.line == "billing: may predict. Its token is shown this once; only its hash is kept."
    for file in home.path.glob("churnwatch.db*"):
        assert token.encode() not in file.read_bytes()
    listed = churnwatch("key", "list", "--json", home=home).out + churnwatch("key", "list", home=home).out
    assert token not in listed
    assert hashed(token) not in listed


def test_no_two_tokens_are_alike(churnwatch: Any, home: Home) -> None:
    assert len({churnwatch("key", "create", f"k{number}", home=home).out for number in range(5)}) == 5


def test_a_revoked_key_stays_in_the_list_and_its_name_is_free(churnwatch: Any, home: Home) -> None:
    churnwatch("key", "create", "ann", "--scope", "read", home=home)
    revoked = churnwatch("key", "revoke", "ann", home=home)
    assert (revoked.code, revoked.out) == (
        0, "ann: revoked; a running `churnwatch serve` refuses it within two seconds\n")  # fmt: skip
    assert churnwatch("key", "create", "ann", "--scope", "admin", home=home).code == 0
    first, second = json.loads(churnwatch("key", "list", "--json", home=home).out)
    assert (first["scope"], second["scope"]) == ("read", "admin")
    assert first["revoked_at"] is not None
    assert second["revoked_at"] is None
    assert churnwatch("key", "list", home=home).out.splitlines()[2].split()[:2] == ["ann", "read"]


def test_what_cannot_be_done_is_said_in_a_line(churnwatch: Any, home: Home) -> None:
    churnwatch("key", "create", "ann", home=home)
    twice = churnwatch("key", "create", "ann", home=home)
    at = f"churnwatch --home {home.path}"
    said = f"churnwatch: ann: there is such a key. Take another name, or first: {at} key revoke ann"
    assert (twice.code, twice.line) == (2, said)
    unknown = churnwatch("key", "revoke", "bob", home=home)
    said = f"churnwatch: bob: no key of that name is in force. See them all: {at} key list"
    assert (unknown.code, unknown.line) == (1, said)
    churnwatch("key", "revoke", "ann", home=home)
    assert churnwatch("key", "revoke", "ann", home=home).code == 1


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65, "-a", "<b>", "ä"])
def test_a_name_that_could_be_misread_is_refused(churnwatch: Any, home: Home, name: str) -> None:
    assert churnwatch("key", "create", "--", name, home=home).code == 2
    assert churnwatch("key", "list", home=home).out == "No keys yet; make one: churnwatch key create NAME\n"


def test_a_ledger_is_made_by_no_key(churnwatch: Any, make_home: Callable[..., Home]) -> None:
    home = make_home("bare")
    assert "no ledger yet" in churnwatch("key", "create", "ann", home=home).line
    assert not home.ledger.exists()


def test_nothing_that_others_could_reach_starts_without_a_key(churnwatch: Any, home: Home) -> None:
    refused = churnwatch("serve", "--host", "0.0.0.0", home=home)  # noqa: S104 - what is tested
    assert refused.code == 1
    assert refused.line.startswith("churnwatch: others than this machine could reach the API")
    assert refused.line.endswith(f"Make one: churnwatch --home {home.path} key create NAME")

from __future__ import annotations

import pytest
from guarded_app import client

from churnwatch.pipeline.api_keys import Scope
from churnwatch.pipeline.settings_serve import Serve
from churnwatch.serving.hosts import is_exposed, is_loopback

KEY = {"authorization": "Bearer admin"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8350", "127.0.0.1:1", "[::1]", "[::1]:8350"])
def test_on_this_machine_its_own_names_count(host: str) -> None:
    assert client().get("/customers", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil.example:8350", "localhost@evil.example", "localhost:x", "[::1",
     "::1", "", "127.0.0.1.nip.io", "localhost\t"],
)  # fmt: skip
def test_no_other_name_does_or_a_page_could_have_its_own_point_here(host: str) -> None:
    answer = client().get("/customers", headers={"host": host})
    assert answer.status_code == 400
    assert "`serve.hosts`" in answer.json()["detail"]


def test_a_name_of_the_settings_counts_beside_them() -> None:
    toyed = client(Serve(hosts=("Churn.example.org",)), Scope.ADMIN)
    for host, status in (("churn.example.org", 200), ("localhost", 200), ("evil.example", 400)):
        assert toyed.get("/customers", headers=KEY | {"host": host}).status_code == status


def test_who_listens_for_anybody_without_a_name_has_any() -> None:
    toyed = client(Serve(host="0.0.0.0"), Scope.ADMIN)  # noqa: S104 - what is tested
    assert toyed.get("/customers", headers=KEY | {"host": "192.0.2.7:8350"}).status_code == 200


@pytest.mark.parametrize(("address", "own"), [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True),
                                              ("localhost", True), ("0.0.0.0", False), ("::", False),  # noqa: S104
                                              ("192.0.2.1", False), ("box.example.org", False)])  # fmt: skip
def test_which_addresses_nobody_reaches_from_elsewhere(address: str, own: bool) -> None:
    assert is_loopback(address) is own
    assert is_exposed(Serve(host=address)) is not own


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:8350", "https://localhost", ""])
def test_a_page_from_elsewhere_changes_nothing_even_where_no_key_is_asked_for(origin: str) -> None:
    answer = client().post("/outcomes", headers={"origin": origin})
    assert answer.status_code == 403
    assert "a page from elsewhere" in answer.json()["detail"]


def test_a_page_of_ours_may_ask_and_so_may_a_program() -> None:
    assert client().post("/outcomes", headers={"origin": "http://localhost"}).status_code == 200
    assert client().post("/outcomes").status_code == 200
    assert client().get("/customers", headers={"origin": "http://evil.example"}).status_code == 200


def test_a_bearer_token_is_sent_by_no_browser_on_its_own() -> None:
    toyed = client(None, Scope.ADMIN)
    assert toyed.post("/outcomes", headers=KEY | {"origin": "http://evil.example"}).status_code == 200

from __future__ import annotations

import pytest
from guarded_app import ToyKeys, client, toy

from churnwatch.pipeline.api_keys import Scope
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings_serve import Serve
from churnwatch.serving.access import needed

ANYBODY = Serve(host="0.0.0.0")  # noqa: S104 - what is tested
ALL = tuple(Scope)


def _bearer(scope: str) -> dict[str, str]:
    return {"authorization": f"Bearer {scope}"}


# -- keys ------------------------------------------------------------------------------------------------------


def test_on_this_machine_nothing_is_asked_for_until_there_is_a_key() -> None:
    assert client().post("/predict", content=b"abc").json() == {"bytes": 3}
    refused = client(None, Scope.READ).post("/predict")
    assert refused.status_code == 401
    assert refused.json()["detail"].endswith("churnwatch key create NAME --scope predict")


def test_after_the_last_key_was_revoked_keys_are_still_asked_for() -> None:
    toyed = client(None, Scope.READ)
    toyed.app.state.keys.all.clear()
    assert toyed.get("/customers", headers=_bearer("read")).status_code == 401


@pytest.mark.parametrize("given", [ANYBODY, Serve(hosts=("churn.example.org",)), Serve(proxy="127.0.0.1")])
def test_where_others_can_come_there_is_no_start_without_a_key(given: Serve) -> None:
    with pytest.raises(SettingsError, match=r"no key is in force\. Make one: churnwatch key create NAME"):
        toy(given, ToyKeys())


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [(Scope.PREDICT, {"/predict", "/outcomes"}), (Scope.READ, {"/customers"}),
     (Scope.ADMIN, {"/predict", "/outcomes", "/customers", "/slow?s=0"})],
)  # fmt: skip
def test_a_key_opens_what_its_scope_says(scope: Scope, allowed: set[str]) -> None:
    toyed = client(ANYBODY, *ALL)
    opened = set()
    for path in ("/predict", "/outcomes", "/customers", "/slow?s=0"):
        answer = toyed.request("GET" if path == "/customers" else "POST", path, headers=_bearer(scope))
        assert answer.status_code in {200, 403}
        if answer.status_code == 200:
            opened.add(path)
    assert opened == allowed


def test_what_nobody_thought_of_needs_an_administrator() -> None:
    assert needed("DELETE", "/predict") is Scope.ADMIN
    assert needed("POST", "/predict/") is Scope.ADMIN
    assert needed("GET", "/whatever") is Scope.READ


def test_a_scope_that_is_too_little_is_named() -> None:
    answer = client(ANYBODY, *ALL).post("/predict", headers=_bearer("read"))
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("the scope of this key is read; this needs predict.")


@pytest.mark.parametrize("sent", ["Bearer wrong", "Bearer ", "bearer", "Bearer \xff", "Basic predict", "predict", ""])
def test_what_is_no_key_opens_nothing(sent: str) -> None:
    answer = client(ANYBODY, *ALL).post("/predict", headers={"authorization": sent.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "key" in answer.json()["detail"]


def test_the_kind_of_authorization_is_read_in_any_case() -> None:
    assert client(ANYBODY, *ALL).post("/predict", headers={"authorization": "bEARER predict"}).status_code == 200


def test_a_probe_needs_neither_a_key_nor_a_rate() -> None:
    toyed = client(Serve(host="0.0.0.0", rate_per_s=1), Scope.READ)  # noqa: S104
    assert [toyed.get("/healthz").status_code for _ in range(5)] == [200] * 5


# -- rate ------------------------------------------------------------------------------------------------------


def test_each_key_has_a_rate_of_its_own_and_each_address_without_one() -> None:
    given = Serve(host="0.0.0.0", rate_per_s=2)  # noqa: S104
    toyed = client(given, *ALL)
    statuses = [toyed.get("/customers", headers=_bearer("read")).status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert toyed.get("/customers", headers=_bearer("admin")).status_code == 200
    assert [toyed.get("/customers").status_code for _ in range(4)] == [401, 401, 429, 429]
    refused = toyed.get("/customers", headers=_bearer("read"))
    assert refused.headers["retry-after"] == "1"
    assert "more than 2 requests a second" in refused.json()["detail"]


def test_where_no_key_is_asked_for_there_is_no_rate() -> None:
    toyed = client(Serve(rate_per_s=1))
    assert [toyed.get("/customers").status_code for _ in range(5)] == [200] * 5


# -- headers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/customers", "/nowhere", "/login", "/healthz"])
def test_every_answer_says_what_a_browser_may_do_with_it(path: str) -> None:
    headers = client().get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert len(headers.get_list("content-security-policy")) == 1


def test_a_refusal_has_the_headers_too() -> None:
    assert client(ANYBODY, *ALL).get("/customers").headers["cache-control"] == "no-store"


# -- a proxy ---------------------------------------------------------------------------------------------------

FORWARDED = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https"}


def test_a_proxy_is_believed_from_whom_a_request_comes() -> None:
    toyed = client(Serve(proxy="127.0.0.1", rate_per_s=1), Scope.READ)
    assert toyed.get("/customers", headers=FORWARDED).status_code == 401
    assert toyed.get("/customers", headers=FORWARDED).status_code == 429
    assert toyed.get("/customers", headers=FORWARDED | {"x-forwarded-for": "203.0.113.8"}).status_code == 401


@pytest.mark.parametrize("given", [Serve(rate_per_s=1), Serve(proxy="192.0.2.1", rate_per_s=1)])
def test_nobody_else_is(given: Serve) -> None:
    toyed = client(given, Scope.READ)
    assert toyed.get("/customers", headers=FORWARDED).status_code == 401
    assert toyed.get("/customers", headers=FORWARDED | {"x-forwarded-for": "203.0.113.8"}).status_code == 429

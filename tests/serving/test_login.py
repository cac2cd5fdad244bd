from __future__ import annotations

import pytest
from guarded_app import client
from starlette.testclient import TestClient

from churnwatch.pipeline.api_keys import Scope
from churnwatch.pipeline.settings_serve import Serve

HERE = {"origin": "http://localhost"}


@pytest.fixture
def toyed() -> TestClient:
    return client(None, Scope.READ, Scope.ADMIN)


def _login(toyed: TestClient, key: str = "admin", **form: str) -> None:
    assert toyed.post("/login", data={"key": f" {key}\n", **form}, headers=HERE).status_code == 303


def test_a_person_who_opens_a_page_is_sent_to_the_login_and_back(toyed: TestClient) -> None:
    asked = "/customers?bucket=A&name=%C3%A4"
    sent_away = toyed.get(asked, headers={"accept": "text/html,*/*"})
    assert sent_away.status_code == 303
    page = toyed.get(sent_away.headers["location"])
    assert 'value="/customers?bucket=A&amp;name=%C3%A4"' in page.text
    back = toyed.post("/login", data={"key": "read", "next": asked}, headers=HERE)
    assert (back.status_code, back.headers["location"]) == (303, asked)
    assert toyed.get(asked, headers={"accept": "text/html"}).json() == {"shown": "yes"}


def test_the_cookie_is_for_no_script_and_no_other_site(toyed: TestClient) -> None:
    cookie = toyed.post("/login", data={"key": "read"}, headers=HERE).headers["set-cookie"]
    value, _, attributes = cookie.partition("; ")
    assert value.startswith("churnwatch=")
    assert len(value) > 40
    assert attributes == "HttpOnly; Max-Age=43200; Path=/; SameSite=strict"


def test_under_https_the_cookie_never_goes_without_it() -> None:
    toyed = client(Serve(proxy="127.0.0.1"), Scope.READ)
    forwarded = {"x-forwarded-proto": "https", "origin": "https://localhost"}
    cookie = toyed.post("/login", data={"key": "read"}, headers=forwarded).headers["set-cookie"]
    assert cookie.startswith("__Host-churnwatch=")
    assert "; Secure" in cookie
    value = cookie.partition(";")[0]
    assert toyed.get("/customers", headers={"cookie": value, "x-forwarded-proto": "https"}).status_code == 200
    assert toyed.get("/customers", headers={"cookie": value}).status_code == 401


def test_a_wrong_key_is_told_to_people_and_to_their_readers(toyed: TestClient) -> None:
    page = toyed.post("/login", data={"key": "<b>wrong</b>", "next": "/x"}, headers=HERE)
    assert page.status_code == 401
    assert 'role="alert"' in page.text
    assert 'aria-invalid="true"' in page.text
    assert "wrong" not in page.text
    assert 'value="/x"' in page.text
    assert "set-cookie" not in page.headers


@pytest.mark.parametrize("body", [b"", b"key", b"key=", b"next=%2F", b"\xff=\xfe", b"key=a&key=b"])
def test_a_form_without_a_key_is_none(toyed: TestClient, body: bytes) -> None:
    assert toyed.post("/login", content=body, headers=HERE).status_code == 401


@pytest.mark.parametrize(
    "elsewhere",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\evil", "javascript:alert(1)", "", "/a b", "/\r\nx",
     "/\t/evil.example"],
)  # fmt: skip
def test_a_login_leads_to_no_other_site(toyed: TestClient, elsewhere: str) -> None:
    answer = toyed.post("/login", data={"key": "read", "next": elsewhere}, headers=HERE)
    assert answer.headers["location"] == "/"
    assert 'name="next" value="/"' in toyed.get("/login", params={"next": elsewhere}).text


def test_the_page_escapes_what_it_is_given(toyed: TestClient) -> None:
    assert '"><script>' not in toyed.get("/login", params={"next": '/"><script>alert(1)</script>'}).text


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.example"}, {"origin": "null"}])
def test_what_changes_something_by_a_cookie_must_come_from_a_page_of_ours(
    toyed: TestClient, headers: dict[str, str]
) -> None:
    _login(toyed)
    assert toyed.post("/outcomes", headers=HERE).status_code == 200
    for path in ("/outcomes", "/login", "/logout"):
        assert toyed.post(path, headers=headers).status_code == 403


def test_a_cookie_opens_what_its_key_does(toyed: TestClient) -> None:
    _login(toyed, "read")
    assert toyed.get("/customers").status_code == 200
    assert toyed.post("/predict", headers=HERE).status_code == 403


def test_who_logs_out_is_out(toyed: TestClient) -> None:
    _login(toyed)
    cookie = f"churnwatch={toyed.cookies['churnwatch']}"
    out = toyed.post("/logout", headers=HERE)
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert "churnwatch" not in toyed.cookies
    assert toyed.get("/customers", headers={"cookie": cookie}).status_code == 401


def test_a_revoked_key_logs_out_whoever_came_with_it() -> None:
    toyed = client(None, Scope.READ)
    _login(toyed, "read")
    keys = toyed.app.state.keys
    keys.all.clear()
    assert toyed.get("/customers").status_code == 401


@pytest.mark.parametrize("cookie", ["churnwatch=", "churnwatch=wrong", "other=1", "=", ";;", "churnwatch", "\xff=\xfe"])
def test_what_is_no_cookie_of_ours_opens_nothing(toyed: TestClient, cookie: str) -> None:
    assert toyed.get("/customers", headers={"cookie": cookie.encode("latin-1")}).status_code == 401


def test_a_cookie_is_found_among_others(toyed: TestClient) -> None:
    _login(toyed)
    cookie = f"a=b; churnwatch={toyed.cookies['churnwatch']}; c=d"
    assert toyed.get("/customers", headers={"cookie": cookie}).status_code == 200

"""The login in a real browser: what it sends with a form, and whether everybody can use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import browsing
import pytest
from guarded_app import running

from churnwatch.pipeline.api_keys import Scope
from churnwatch.pipeline.settings_serve import Serve

pytestmark = pytest.mark.browser


@pytest.fixture
def page() -> Iterator[Any]:
    with browsing.started() as browser:
        yield browser.new_page(color_scheme="dark", viewport={"width": 390, "height": 700})


def test_a_person_logs_in_and_sees_what_they_asked_for(page: Any) -> None:
    axe = browsing.imported("axe_playwright_python.sync_playwright").Axe()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    with running(Serve(), Scope.READ) as (_, (_, port)):
        page.goto(f"http://localhost:{port}/customers?bucket=A")
        assert page.url.endswith("/login?next=%2Fcustomers%3Fbucket%3DA")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"  # it has its style
        assert wrong == []
        page.keyboard.type("wrong")  # the field has the focus
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        assert axe.run(page).response["violations"] == []
        page.get_by_label("Key").fill("read")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/customers?bucket=A")
        assert page.evaluate("document.cookie") == ""
        [cookie] = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")

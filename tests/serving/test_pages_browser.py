"""The pages in a real browser, over real sockets."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import browsing
import page_homes
import pytest
import uvicorn

from churnwatch.daemon import key_commands
from churnwatch.pipeline import settings
from churnwatch.pipeline.settings import Home
from churnwatch.reports import words
from churnwatch.serving import app

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


@contextmanager
def _served(home: Home) -> Iterator[str]:
    bugs: list[Exception] = []
    server = uvicorn.Server(uvicorn.Config(app.create(home, keep=bugs.append), port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://localhost:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
    assert bugs == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing.started() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def telco(_released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = shutil.copytree(_released, tmp_path_factory.mktemp("telco") / "home", symlinks=True)
    with _served(settings.load(folder)) as address:
        yield address


@pytest.fixture(scope="module")
def attrition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with _served(page_homes.attrition(tmp_path_factory.mktemp("attrition"))) as address:
        yield address


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with _served(page_homes.hostile(tmp_path_factory.mktemp("hostile"))) as address:
        yield address


@pytest.fixture
def show(browser: Any) -> Iterator[Open]:
    """Open a page; afterwards nothing may have been said on the console, or asked of anybody else."""
    contexts, complaints = [], list[str]()

    def opener(address: str, *, width: int = 1280, scheme: str = "light", script: bool = True) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme,
                                      java_script_enabled=script)  # fmt: skip
        contexts.append(context)
        context.set_default_timeout(5000)
        seen, own = context.new_page(), urlsplit(address).netloc
        seen.on("console", lambda message: complaints.append(message.text))
        seen.on("pageerror", lambda error: complaints.append(str(error)))
        seen.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        seen.on("request", lambda request: None if urlsplit(request.url).netloc in (own, "")
                else complaints.append(request.url))  # fmt: skip
        seen.goto(address)
        return seen

    yield opener
    for context in contexts:
        context.close()
    told = re.compile("status of (403|422)")  # which the browser tells of a key that may not, and of a wrong value
    assert [each for each in complaints if not told.search(each)] == []


def _answered(seen: Any, act: Callable[[], object]) -> Any:
    """Do something, and return what the API answered to it, once that is shown."""
    with seen.expect_response("**/predict*") as waited:
        act()
    answer = waited.value.json()
    said = (
        words.amount(answer["amount"])
        if "amount" in answer
        else f"{100 * answer['probability']:.1f}\N{NO-BREAK SPACE}%"
    )
    seen.wait_for_function("told => document.getElementById('figure').textContent === told", arg=said)
    return answer


def test_a_list_is_sorted_searched_and_paged_and_a_customer_is_a_click_away(show: Open, attrition: str) -> None:
    seen = show(f"{attrition}/?bucket=all")
    first = seen.locator("tbody th").first.inner_text()
    seen.get_by_role("link", name="number_of_employees").click()
    numbers = [
        int(each.split("\n")[0].replace(",", "")) for each in seen.locator("tbody td:last-child").all_inner_texts()
    ]
    assert numbers == sorted(numbers, reverse=True)
    assert seen.locator("th[aria-sort]").inner_text().startswith("number_of_employees")
    seen.get_by_role("link", name="Next").focus()
    seen.keyboard.press("Enter")
    seen.get_by_role("link", name="Previous").wait_for()
    assert parse_qs(urlsplit(seen.url).query) == {"bucket": ["all"], "sort": ["number_of_employees"], "down": ["1"],
                                                  "page": ["2"]}  # fmt: skip
    seen.get_by_label("Find an id").fill(first)
    seen.keyboard.press("Enter")
    seen.get_by_text("1 to 1 of 1").wait_for()
    seen.get_by_role("link", name=first).click()
    assert seen.get_by_role("heading", level=1).inner_text() == first


@pytest.mark.parametrize("home", ["telco", "attrition"])
def test_a_change_is_predicted_at_once_and_taken_back(show: Open, request: pytest.FixtureRequest, home: str) -> None:
    address = request.getfixturevalue(home)
    seen = show(f"{address}/?bucket=all")
    seen.locator("tbody a").first.click()
    before, alone = seen.locator("#figure").inner_text(), seen.url
    field = seen.locator("input[data-number]").first
    own = field.input_value()
    answer = _answered(seen, lambda: field.fill(str(int(float(own)) + 7)))
    after = seen.locator("#figure").inner_text()
    assert after == f"{100 * answer['probability']:.1f}\N{NO-BREAK SPACE}%"
    assert f"It was {before}, now {after}." in seen.get_by_role("status").inner_text()
    row = seen.locator(".field.changed")
    name = field.get_attribute("name")
    assert row.locator(".effect .now").inner_text() == f"{answer['explanation'][name]:+.2f}".replace("-", "−")
    assert seen.url == f"{alone}?{quote(name)}={int(float(own)) + 7}"
    seen.get_by_role("link", name="Reset").click()
    seen.wait_for_function("old => document.getElementById('figure').textContent === old", arg=before)
    assert (field.input_value(), seen.url, row.count()) == (own, alone, 0)


def test_a_link_keeps_the_state_with_and_without_the_script(show: Open, telco: str) -> None:
    seen = show(f"{telco}/customer")
    _answered(seen, lambda: seen.get_by_label("Contract").select_option("Two year"))
    _answered(seen, lambda: seen.get_by_label("tenure").fill(""))
    said = seen.locator("#figure").inner_text(), seen.locator("#status").inner_text()
    assert "&" in seen.url
    rows = seen.locator("li.field .effect").all_inner_texts()
    bars = seen.locator("rect.now").evaluate_all("all => all.map(each => Math.round(each.getAttribute('width')))")
    for script in (True, False):
        again = show(seen.url, script=script)
        assert (again.locator("#figure").inner_text(), again.locator("#status").inner_text()) == said
        assert again.locator("li.field .effect").all_inner_texts() == rows
        found = [round(float(each.get_attribute("width"))) for each in again.locator("rect.now").all()]
        assert found == bars


def test_without_its_script_a_form_does_it(show: Open, telco: str) -> None:
    seen = show(f"{telco}/customer", script=False)
    before = seen.locator("#figure").inner_text()
    seen.get_by_label("Contract").select_option("Two year")
    seen.get_by_role("button", name="Predict").click()
    assert f"It was {before}, now" in seen.get_by_role("status").inner_text()
    seen.get_by_role("link", name="Reset").click()
    assert seen.locator("#figure").inner_text() == before


def test_what_is_wrong_is_said_at_its_field_and_goes_away(show: Open, telco: str) -> None:
    seen = show(f"{telco}/customer")
    field = seen.get_by_label("tenure")
    with seen.expect_response("**/predict*") as waited:
        field.fill("-5")
    assert waited.value.status == 422
    seen.locator(".wrong", has_text="below 0").wait_for()
    assert field.get_attribute("aria-invalid") == "true"
    _answered(seen, lambda: field.fill("5"))
    assert (seen.locator(".wrong").count(), field.get_attribute("aria-invalid")) == (0, None)


def test_a_customer_with_any_id_can_be_opened_and_changed(show: Open, hostile: str) -> None:
    for id_ in page_homes.IDS[:2]:
        seen = show(f"{hostile}/?find={quote(id_[:150])}")
        seen.locator("tbody a").first.click()
        assert seen.get_by_role("heading", level=1).inner_text().startswith(" ".join(id_.split())[:100])
        assert (seen.locator("script").count(), seen.locator("img, b, i").count()) == (1, 0)
    before = seen.locator("#figure").inner_text()
    _answered(seen, lambda: seen.locator("select").select_option(index=3))
    assert seen.locator("#figure").inner_text() != before
    again = show(seen.url)
    assert again.locator("#figure").inner_text() == seen.locator("#figure").inner_text()


def test_the_api_can_be_tried(show: Open, telco: str) -> None:
    seen = show(f"{telco}/model")
    seen.get_by_role("button", name="Send").click()
    seen.get_by_role("region", name="Answer").get_by_text('"probability"').wait_for()
    assert re.fullmatch(r"200 after \d+ ms", seen.get_by_role("status").inner_text())
    assert seen.get_by_role("button", name="Copy").count() == 2


def test_no_page_keeps_anybody_out_or_scrolls_sideways(show: Open, telco: str, attrition: str) -> None:
    axe = browsing.imported("axe_playwright_python.sync_playwright").Axe()
    for address in (f"{attrition}/", f"{telco}/customer?tenure=40", f"{telco}/model", f"{attrition}/docs"):
        seen = show(address, width=390)
        for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
            seen.emulate_media(color_scheme=scheme)
            results = axe.run(seen, options=rules)
            assert results.violations_count == 0, f"{address}, {scheme}\n{results.generate_report()}"
        assert seen.evaluate("document.documentElement.scrollWidth") <= 390


def test_who_may_only_read_can_try_what_if_too_and_logs_out(show: Open, home: Home) -> None:
    token, _ = key_commands.create(home.path, "reader", "read")
    with _served(home) as address:
        seen = show(f"{address}/customer")
        seen.get_by_label("Key").fill(token)
        seen.get_by_role("button", name="Log in").click()
        before = seen.locator("#figure").inner_text()
        seen.get_by_label("Contract").select_option("Two year")
        seen.get_by_text(f"It was {before}, now").wait_for()
        seen.get_by_role("button", name="Log out").click()
        seen.get_by_label("Key").wait_for()
        seen.goto(f"{address}/customer")
        assert "/login" in seen.url

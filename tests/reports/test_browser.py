"""The page in a real browser. Where there is no Chromium these are skipped, but never in CI."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from churnwatch.pipeline.settings import Home
from tests.reports.conftest import opened, read
from tests.reports.test_build import many_runs, rich

CHROMIUM = Path("/usr/bin/chromium")
SIZES = {"phone": 390, "desk": 1280}
Show = Callable[..., Any]

pytestmark = pytest.mark.browser


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{what}; in CI the report has to be seen in a browser")
    pytest.skip(what)


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        _missing(f"{name} is missing: pip install .[test]")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        _missing(f"{CHROMIUM} is missing: apt-get install chromium")
    with _imported("playwright.sync_api").sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser: Any, home: Home) -> Iterator[Show]:
    """Open a home's report; afterwards nothing may have been said on the console or asked of a network."""
    contexts, complaints = [], []

    def opener(fill: Callable[[Any], object], *, width: int = 1280, scheme: str = "light") -> Any:
        with opened(home) as book:
            fill(book)
        read(home)
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        seen = context.new_page()
        seen.on("console", lambda message: complaints.append(message.text))
        seen.on("pageerror", lambda error: complaints.append(str(error)))
        seen.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        seen.on("request", lambda request: None if request.url.startswith(("file:", "data:"))
                else complaints.append(request.url))  # fmt: skip
        seen.goto(home.report.as_uri())
        return seen

    yield opener
    for context in contexts:
        context.close()
    assert complaints == []


def empty(_: Any) -> None:
    """A ledger without runs."""


def long(book: Any) -> None:
    many_runs(book, 200)


@pytest.mark.parametrize("width", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize("fill", [empty, rich, long])
def test_the_page_never_scrolls_sideways(show: Show, fill: Callable[[Any], object], width: int) -> None:
    seen = show(fill, width=width)
    seen.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert seen.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_names_are_only_text(show: Show) -> None:
    seen = show(rich)
    seen.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert seen.locator("script, img").count() == 0
    assert seen.get_by_text("<script>alert(1)</script>.csv").first.is_visible()


@pytest.mark.parametrize(("width", "shown", "hidden"), [(390, "narrow", "wide"), (1280, "wide", "narrow")])
def test_a_screen_gets_the_charts_drawn_for_it(show: Show, width: int, shown: str, hidden: str) -> None:
    seen = show(rich, width=width)
    assert seen.locator(f".chart.{shown}").first.is_visible()
    assert not seen.locator(f".chart.{hidden}").first.is_visible()


def test_the_text_of_charts_is_large_enough_to_read(show: Show) -> None:
    seen = show(rich, width=390)
    sizes = seen.evaluate(
        "[...document.querySelectorAll('.chart.narrow text')].map(each => each.getBoundingClientRect().height)"
    )
    assert sizes
    assert min(sizes) >= 9


def test_charts_keep_inside_their_frame(show: Show) -> None:
    seen = show(rich, width=390)
    outside = seen.evaluate(
        "[...document.querySelectorAll('.chart text')].filter(each => each.getBoundingClientRect().right >"
        " document.documentElement.clientWidth || each.getBoundingClientRect().left < 0).map(each => each.textContent)"
    )
    assert outside == []


def test_dark_and_light_are_each_drawn_in_their_own_colours(show: Show) -> None:
    inks = set()
    for scheme in ("light", "dark"):
        seen = show(rich, scheme=scheme)
        paper = seen.evaluate("getComputedStyle(document.body).backgroundColor")
        ink = seen.evaluate("getComputedStyle(document.querySelector('.chart .fill-ink')).fill")
        assert ink == seen.evaluate("getComputedStyle(document.body).color")
        assert ink != paper
        inks.add(ink)
    assert len(inks) == 2


def test_the_keyboard_reaches_the_content_first_and_its_focus_shows(show: Show) -> None:
    seen = show(rich)
    seen.keyboard.press("Tab")
    assert seen.evaluate("document.activeElement.className") == "skip"
    assert seen.locator(".skip").bounding_box()["y"] >= 0
    seen.keyboard.press("Tab")
    assert re.match("solid", seen.evaluate("getComputedStyle(document.activeElement).outlineStyle"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("fill", [empty, rich])
def test_nothing_keeps_anybody_out(show: Show, fill: Callable[[Any], object], scheme: str) -> None:
    axe = _imported("axe_playwright_python.sync_playwright")
    seen = show(fill, scheme=scheme, width=390)
    seen.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    results = axe.Axe().run(seen)
    assert results.violations_count == 0, results.generate_report()

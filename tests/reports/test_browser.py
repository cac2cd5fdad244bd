"""The page in a real browser. Where there is no Chromium these are skipped, but never in CI."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import browsing
import pandas as pd
import pytest

from churnwatch.daemon.printing import print_pdf
from churnwatch.pipeline import run, sample, settings
from churnwatch.pipeline.firstlook.explore import explore
from churnwatch.pipeline.firstlook.explore_html import render_html
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import GroupCount
from churnwatch.pipeline.settings import Home
from churnwatch.reports.build import build_run
from tests.reports.conftest import NOW, opened, read
from tests.reports.test_build import many_runs, rich
from tests.reports.test_customers import customers

SIZES = {"phone": 390, "desk": 1280}
HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    'it\'s "quoted"; DROP TABLE runs; --',
    "=cmd|' /C calc'!A0",
    "{{ 7*7 }}",
    "x" * 10_000,
)
HOSTILE_CELLS = (
    "<script>alert(3)</script>",
    "<b>bold</b>",
    "'); DROP TABLE typed; --",
    "=1+1",
    "@SUM(A1)",
    "+1",
    "\tx",
    "{% raw %}",
)
Show = Callable[..., Any]

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing.started() as chromium:
        yield chromium


@pytest.fixture
def look(browser: Any) -> Iterator[Show]:
    """Open a page; afterwards nothing may have been said on the console or asked of a network."""
    contexts, complaints = [], []

    def opener(page: Path, *, width: int = 1280, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        seen = context.new_page()
        seen.on("console", lambda message: complaints.append(message.text))
        seen.on("pageerror", lambda error: complaints.append(str(error)))
        seen.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        seen.on("request", lambda request: None if request.url.startswith(("file:", "data:"))
                else complaints.append(request.url))  # fmt: skip
        seen.goto(page.as_uri())
        return seen

    yield opener
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def show(look: Show, home: Home) -> Show:
    """Open a home's report."""

    def opener(fill: Callable[[Any], object], **how: Any) -> Any:
        with opened(home) as book:
            fill(book)
        read(home)
        return look(home.report, **how)

    return opener


def _unfold(seen: Any) -> None:
    seen.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")


def empty(_: Any) -> None:
    """A ledger without runs."""


def long(book: Any) -> None:
    many_runs(book, 200)


@pytest.mark.parametrize("width", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize("fill", [empty, rich, long, customers])
def test_the_page_never_scrolls_sideways(show: Show, fill: Callable[[Any], object], width: int) -> None:
    seen = show(fill, width=width)
    _unfold(seen)
    assert seen.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_names_are_only_text(show: Show) -> None:
    seen = show(rich)
    _unfold(seen)
    assert (seen.locator("script").count(), seen.locator("img").count()) == (1, 0)
    assert seen.get_by_role("rowheader", name="<script>alert(1)</script>.csv").first.is_visible()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a home after a run over columns and cells that would be markup, templates, SQL or formulas."""
    folder = tmp_path_factory.mktemp("hostile")
    [plain] = sample.write(folder, sample.Like.TELCO, months=1, rows=240, seed=3)
    frame = pd.read_csv(plain, dtype=str)
    for name in HOSTILE_NAMES:
        frame[name] = [HOSTILE_CELLS[row % len(HOSTILE_CELLS)] for row in range(len(frame))]
    frame["customerID"] = [f"{HOSTILE_CELLS[row % len(HOSTILE_CELLS)]}{row}" for row in range(len(frame))]
    (folder / settings.FILE_NAME).write_text(
        "target: Churn\npositive: Yes\nid: customerID\ntraining: {estimators: [logistic], folds: 2}\n"
    )
    home = settings.load(folder)
    for each in home.folders():
        each.mkdir(exist_ok=True)
    frame.to_csv(home.source / "<img src=x onerror=alert(4)>.csv", index=False)
    with Ledger.open(home.ledger) as ledger:
        [outcome] = run.work(home, ledger, reason="drop")
        assert (outcome.status, ledger.problems()) == ("done", [])
        assert ledger.row_totals()["accepted"] == len(frame)
    return home


def test_columns_and_cells_of_a_run_are_only_text_in_its_report(look: Show, hostile: Home) -> None:
    read(hostile)
    seen = look(hostile.report)
    _unfold(seen)
    assert (seen.locator("script").count(), seen.locator("img, b").count()) == (1, 0)
    assert "<img src=x onerror=alert(4)>.csv" in seen.locator("body").inner_text()


def test_columns_and_cells_of_a_file_are_only_text_in_a_first_look(look: Show, hostile: Home) -> None:
    [source] = hostile.source.iterdir()
    page = hostile.path / "first-look.html"
    page.write_text(render_html(explore(source)))
    seen = look(page)
    _unfold(seen)
    assert seen.locator("script, img, b").count() == 0
    text = seen.locator("body").inner_text()
    assert "<script>alert(1)</script>" in text
    assert '"><img src=x onerror=alert(2)>' in text
    assert "{{ 7*7 }}" in text


def test_what_gets_into_a_page_in_spite_of_it_all_is_neither_run_nor_fetched(browser: Any, hostile: Home) -> None:
    [source] = hostile.source.iterdir()
    slipped = (
        "<script>document.title = 'run'</script><img src='http://localhost:9/x' onerror='document.title = \"run\"'>"
    )
    for page in (read(hostile), render_html(explore(source))):
        path, blocked = hostile.path / "slipped.html", []
        path.write_text(page.replace("</body>", f"{slipped}</body>"))
        with closing(browser.new_context()) as context:
            seen = context.new_page()
            seen.on("console", lambda message, told=blocked: told.append(message.text))
            seen.goto(path.as_uri())
            assert seen.title() != "run"
        assert len([text for text in blocked if "Content Security Policy" in text]) == 3


def test_predictions_of_hostile_customers_open_as_texts(hostile: Home) -> None:
    [path] = hostile.predictions.glob("*.csv")
    with path.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=1+1" in {cell[:5] for cell in cells}
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]


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


def test_a_point_says_its_figures_where_the_mouse_rests_and_a_release_its_decision(show: Show) -> None:
    seen = show(rich)
    chart = seen.locator(".chart.wide").first
    spots = chart.locator("circle.spot")
    told = spots.locator("title").all_text_contents()
    assert told
    assert all(each.startswith("run ") for each in told)
    spots.first.hover()  # fails where something lies over it
    assert "v1 first" in chart.text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_run_keeps_nobody_out_and_does_not_scroll_sideways(look: Show, home: Home, scheme: str) -> None:
    axe = browsing.imported("axe_playwright_python.sync_playwright")
    with opened(home) as book:
        customers(book)
        path = build_run(home, book.ledger, 1, now=NOW)
    seen = look(path, scheme=scheme, width=390)
    _unfold(seen)
    results = axe.Axe().run(seen)
    assert results.violations_count == 0, results.generate_report()
    assert seen.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_is_printed_is_dark_on_white_without_what_only_a_screen_can_use(show: Show) -> None:
    seen = show(customers, scheme="dark")
    seen.emulate_media(media="print")
    paper, ink = (seen.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    light, dark = (sum(map(int, re.findall(r"\d+", each)[:3])) for each in (paper, ink))
    assert light > 700
    assert dark < 200
    assert not seen.locator(".contents").is_visible()
    assert not seen.locator(".tools").first.is_visible()
    head = "document.querySelector('.tall thead th')"  # what sticks, or holds buttons, is on the first page only
    assert seen.evaluate(f"getComputedStyle({head}).position") == "static"
    assert seen.evaluate(f"getComputedStyle({head}.querySelector('button')).display") == "contents"


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


def test_a_table_sorts_by_the_column_that_is_pressed_also_by_keyboard(show: Show) -> None:
    seen = show(groups)
    _unfold(seen)
    rows, head = seen.locator("#groups").locator("..").locator("tbody tr"), seen.get_by_role("button", name="Rows")
    head.click()
    assert [row.split("\t")[1] for row in rows.all_inner_texts()] == ["1,000", "40", "9"]
    head.focus()
    seen.keyboard.press("Enter")
    assert [row.split("\t")[1] for row in rows.all_inner_texts()] == ["9", "40", "1,000"]
    assert seen.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_the_call_list_is_filtered_and_saved_as_it_is_shown(show: Show) -> None:
    seen = show(customers)
    field = seen.get_by_label("Find")
    field.fill("month-to was b")
    assert seen.locator("[data-file] tbody tr:visible").count() == 1
    assert seen.get_by_role("status").inner_text() == "1 of 2"
    field.fill("")
    with seen.expect_download() as waited:
        seen.get_by_role("button", name="Save as CSV").click()
    assert waited.value.suggested_filename == "call-list-run-2.csv"
    [head, first, second] = list(csv.reader(Path(waited.value.path()).read_text("utf-8-sig").splitlines()))
    assert (head[1], first[1], second[1]) == ("Customer", "c-1", "'=1+1")
    assert "tech support (-0.4)" in first[-1]


def groups(book: Any) -> None:
    run = book.learn(curves=True)
    book.ledger.add(
        GroupCount(run, run, "senior", "0", 1000, 90, 80, 40), GroupCount(run, run, "=plan", "<b>", 9, 3, 2, 1)
    )


def test_without_its_script_the_page_says_the_same(browser: Any, home: Home) -> None:
    with opened(home) as book:
        groups(book)
    read(home)
    with closing(browser.new_context(java_script_enabled=False)) as context:
        seen = context.new_page()
        seen.goto(home.report.as_uri())
        assert seen.get_by_text("senior: 1").count() == 1
        assert seen.get_by_role("button").count() == 0


def test_a_page_is_printed(home: Home) -> None:
    if not browsing.CHROMIUM.exists():
        browsing.missing(f"{browsing.CHROMIUM} is missing: apt-get install chromium")
    with opened(home) as book:
        rich(book)
    read(home)
    printed = print_pdf(home.report)
    assert printed == home.report.with_suffix(".pdf")
    assert printed.read_bytes().startswith(b"%PDF-")
    assert not list(home.path.glob(".print-*"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("fill", [empty, rich, customers])
def test_nothing_keeps_anybody_out(show: Show, fill: Callable[[Any], object], scheme: str) -> None:
    axe = browsing.imported("axe_playwright_python.sync_playwright")
    seen = show(fill, scheme=scheme, width=390)
    _unfold(seen)
    results = axe.Axe().run(seen)
    assert results.violations_count == 0, results.generate_report()

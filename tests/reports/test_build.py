from __future__ import annotations

import base64
import hashlib
import re
import time
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from estimated import request

from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import (
    Bucket,
    Bucketing,
    BucketMove,
    Call,
    CohortMonth,
    Decision,
    Explanation,
    GroupCount,
    Importance,
    MonthlyChurn,
    OfferMade,
)
from churnwatch.pipeline.settings import Home
from churnwatch.reports.build import SECTIONS, build
from churnwatch.reports.data import gather
from tests.reports.conftest import BEGIN, COUNTS, NOW, STEPS, Book, FakeCheck, FakeFinding, curve, opened, page, read

HOSTILE = ("<script>alert(1)</script>.csv", "\"'><img src=x onerror=alert(1)>.csv", "two\nlines{{ 7*7 }}\u202e.csv")


class _Page(HTMLParser):
    """Which tags, attributes, ids and headings a page has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    @property
    def ids(self) -> list[str | None]:
        return [value for name, value in self.attributes if name == "id"]

    @property
    def headings(self) -> list[int]:
        return [int(tag[1]) for tag in self.tags if re.fullmatch(r"h\d", tag)]


def rich(book: Book) -> Book:
    """A home in which everything happened that a report can tell."""
    for number, path in enumerate(HOSTILE):
        book.learn(path=path, column=path, decision=Decision.PROMOTED if number else None, f1=0.5 + number / 10,
                   curves=number == len(HOSTILE) - 1)  # fmt: skip
    book.ledger.add_package_check(
        FakeCheck(outdated=1, unknown=1, findings=(
            FakeFinding("outdated", "numpy", latest="3"), FakeFinding("unknown", "<b>own</b>", reason="<i>no</i>")))
    )  # fmt: skip
    request(book.ledger, 1 + len(book.ledger.predictions()), truth=0.61)
    book.fail(error="<script>alert(2)</script>", path="<script>alert(3)</script>")
    return book


def test_an_empty_home_has_a_page(book: Book) -> None:
    text = page(book)
    assert "No model yet." in text
    assert "is unknown" in text
    assert "<svg" not in text


def test_a_page_after_one_run_has_numbers_and_no_chart_of_one_point(book: Book) -> None:
    book.learn()
    text = page(book)
    assert "v1 serves since 3 Jan." in text
    assert 'id="matrix-title"' in text
    assert 'id="f1-wide-title"' not in text


def test_nobodys_name_becomes_markup(book: Book) -> None:
    text = page(rich(book))
    found = _Page(text)
    assert found.tags.count("script") == 1
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "<b>own" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.csv" in text
    assert "\u202e" not in text
    assert "{{ 7*7 }}" in text


def test_the_page_asks_for_nothing_from_outside(book: Book) -> None:
    text = page(rich(book))
    found = _Page(text)
    assert not re.findall(r"\w+://", text)
    assert not {"iframe", "object", "img", "form"} & set(found.tags)
    assert "style" not in {name for name, _ in found.attributes}


def test_the_policy_allows_the_style_sheet_and_the_script_and_nothing_else(book: Book) -> None:
    text = page(book)
    style, script = (_digest(text, tag) for tag in ("style", "script"))
    assert f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; img-src data:" in text


def _digest(text: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    assert found is not None
    return base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()


@pytest.mark.parametrize("filled", [True, False])
def test_headings_are_in_order_and_ids_unique(book: Book, *, filled: bool) -> None:
    lived = rich(book) if filled else book
    found = _Page(page(lived))
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(found.headings))
    assert len(found.ids) == len(set(found.ids))
    said = gather(lived.home, lived.ledger, now=NOW)
    assert {section.id for section in SECTIONS if section.shown(said)} <= set(found.ids)


def test_every_table_has_a_caption_and_every_row_a_heading(book: Book) -> None:
    text = page(rich(book))
    tables = re.findall(r"<table[^>]*>(.*?)</table>", text, re.DOTALL)
    assert tables
    for table in tables:
        rows = len(re.findall("<tr>", table)) - 1
        assert "<caption" in table
        assert len(re.findall(r'<th scope="row"', table)) == rows


def test_unknown_packages_are_never_called_ok(book: Book) -> None:
    book.ledger.add_package_check(FakeCheck(outdated=None, vulnerable=None, unknown=60, error="no network"))
    text = page(book)
    assert "Unknown is not OK" in text
    assert "no network" in text
    assert 'class="word ok"' not in text
    assert "2 days ago" in text


def test_what_the_daemon_says_stands_first(book: Book) -> None:
    book.learn()
    text = page(book, attention=["The <disk> is nearly full."])
    assert "One thing needs you." in text
    assert "The &lt;disk&gt; is nearly full." in text
    assert text.index('id="attention"') < text.index('id="model"')


def test_beyond_fifteen_files_the_rest_is_folded_away(book: Book) -> None:
    for number in range(17):
        book.learn(path=f"{number}.csv")
    assert "2 earlier files" in page(book)


def test_the_same_ledger_gives_the_same_bytes(home: Home) -> None:
    with opened(home) as book:
        rich(book)
    assert read(home) == read(home)


def test_the_page_is_replaced_as_a_whole(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(home) as book:
        book.learn()
    target = tmp_path / "elsewhere" / "page.html"
    read(home, output=target)
    before = target.read_text(encoding="utf-8")
    monkeypatch.setattr("churnwatch.reports.build.render", lambda *_, **__: "half \ud800")
    with pytest.raises(UnicodeEncodeError):
        read(home, output=target)
    assert target.read_text(encoding="utf-8") == before
    assert [path.name for path in target.parent.iterdir()] == ["page.html"]
    assert 'href="../practice/predictions/run-00001.csv"' in before


def many_runs(book: Book, number: int) -> None:
    """Write the rows of a long history table by table: what is tested is reading it."""
    version = book.learn(path="first.csv")
    given, at = book.home.settings, iso(BEGIN)
    new = range(version + 1, number + 1)

    def insert(table: str, rows: list[dict[str, Any]]) -> None:
        names = list(rows[0])
        marks = ",".join("?" * len(names))
        book.ledger._connection.executemany(
            f"INSERT INTO {table} ({','.join(names)}) VALUES ({marks})", [tuple(row.values()) for row in rows]
        )

    insert(
        "runs",
        [
            {
                "run": n,
                "run_id": f"r{n}",
                "reason": "drop",
                "created_at": at,
                "settings_sha256": given.sha256,
                "code_version": "1",
            }
            for n in new
        ],
    )
    insert(
        "attempts", [{"run": n, "attempt": 1, "started_at": at, "pid": 1, "settings_sha256": given.sha256} for n in new]
    )
    insert(
        "attempt_ends",
        [{"run": n, "attempt": 1, "ended_at": at, "status": "done", "wall_s": 2.0, "note": f"Kept {n}."} for n in new],
    )
    insert(
        "files",
        [
            {
                "file": n,
                "path": f"{n}.csv",
                "size_bytes": 1,
                "mtime_ns": n,
                "ctime_ns": n,
                "sha256": f"{n}",
                "seen_at": at,
            }
            for n in new
        ],
    )
    insert(
        "file_events",
        [
            {
                "file": n,
                "run": n,
                "at": at,
                "state": "ingested",
                "rows_read": 100,
                "accepted": 100,
                "duplicate": 0,
                "quarantined": 0,
            }
            for n in new
        ],
    )
    insert(
        "models",
        [
            {
                "version": n,
                "run": n,
                "estimator": "logistic",
                "parameters": "{}",
                "threshold": 0.5,
                "folder": f"v{n}",
                "sha256": "0",
                "manifest_sha256": "0",
                "train_rows": n,
                "train_positives": 1,
                "created_at": at,
            }
            for n in new
        ],
    )
    insert(
        "metrics",
        [
            {"run": n, "version": v, "subject": subject, "split": split, "name": name, "value": value, "rows": 100}
            for n in new
            for v, subject, split in (
                (n, "candidate", "holdout"),
                (n, "candidate", "train"),
                (1, "champion", "prequential"),
                (1, "champion", "holdout"),
            )
            for name, value in {"f1": 0.5, **COUNTS}.items()
        ],
    )
    insert(
        "decisions",
        [
            {
                "run": n,
                "decided_at": at,
                "decision": "kept",
                "policy": "proven",
                "metric": "f1",
                "candidate": n,
                "champion": 1,
                "rows": 100,
                "positives": 30,
                "candidate_value": 0.5,
                "champion_value": 0.5,
                "delta": 0.0,
                "sentence": f"Kept {n}.",
            }
            for n in new
        ],
    )
    insert(
        "steps",
        [
            {"run": n, "attempt": 1, "step": step, "started_at": at, "wall_s": 1.0, "cpu_s": 1.0, "peak_rss_bytes": 1}
            for n in new
            for step in STEPS
        ],
    )
    insert(
        "profiles",
        [
            {
                "run": n,
                "column_name": f"c{c}",
                "rows": 100,
                "missing": c,
                "missing_share": c / 100,
                "distinct_values": 3,
            }
            for n in new
            for c in range(3)
        ],
    )


def sorted_customers(book: Book, number: int, *, why: str) -> None:
    """Write how every run sorted 100,000 customers; of the newest all that a report can say of them.

    Args:
        book: with so many runs.
        number: of runs.
        why: the reasons of each customer on the call list.
    """
    add, new, at = book.ledger.add_all, range(1, number + 1), iso(BEGIN)
    with book.ledger.transaction():
        add(Bucketing(n, 1, at, f"calls-{n}.parquet", "0", 100_000, "profit", "`fee` a month", 12, 0, n - 1 or None)
            for n in new)  # fmt: skip
        add(Bucket(n, letter, 30_000, 0.5, 9e3, 9e6, 1e6, 5e5, 15e5, 4e7) for n in new for letter in "ABC")
        add(BucketMove(n, before, now, 900) for n in new for before in ("A", None) for now in ("B", None)
            if before or now)  # fmt: skip
        add(each for n in range(max(1, number - 50), number + 1) for each in curve(n, 1, rows=1000, leavers=300))
        add(Call(n, place, f"customer-{place:06}", "A", "B", 0.8, 640.0, "phone", 153.5, why, why)
            for n in range(max(1, number - 1), number + 1) for place in range(1, 2000))  # fmt: skip
        add(GroupCount(number, 1, f"c{c}", f"{value}", 500, 90, 80, 40) for c in range(40) for value in range(5))
        add([Explanation(number, 1, "exact", "reasons.parquet", "0", 100_000, -1.0, None, at)])
        add(Importance(number, 1, f"c{c}", 0.8, 0.02, 0.01, 0.03) for c in range(300))
        add(OfferMade(number, f"offer {n}", "20%", 8.0, 0.25, 1.0, 1, 20, 7, 300.0, 100.0, 500.0, 100.0, 500.0, 900.0,
                      0.4, 0.3, 0.2) for n in range(12))  # fmt: skip
        add(MonthlyChurn(number, f"{2000 + m // 12}-{m % 12 + 1:02}", 90_000, 900, 0.1, 0.09, 0.11) for m in range(300))
        add(CohortMonth(number, f"2026-{c:02}", f"2026-{m:02}", 900, 9) for c in range(1, 13) for m in range(c, 13))


def test_a_history_of_5000_runs_with_100000_customers_stays_small_and_quick(home: Home) -> None:
    with opened(home) as book:
        many_runs(book, 5000)
        sorted_customers(book, 5000, why="months as a customer: 1 (+0.6; typical: 28), " * 3)
    with Reader.open(home.ledger) as reader:
        begun = time.process_time()
        text = build(home, reader, now=NOW).read_text(encoding="utf-8")
        took = time.process_time() - begun
    assert len(text.encode()) < 1_000_000
    assert took < 3
    assert "The newest 60 of 5,000 runs" in text
    assert "The newest 200 of 5,000 files" in text
    assert "The first 500 customers to call of 1,999," in text
    for drawn in ("ROC", "Gain", "Profit", "Who moved since run 4999", "How far each column moves", "cohorts"):
        assert drawn in text


@pytest.mark.parametrize("sign", ["\N{HIRAGANA LETTER A}", "&"])
def test_reasons_in_an_alphabet_that_takes_room_leave_out_those_called_last(book: Book, sign: str) -> None:
    book.learn()
    sorted_customers(book, 1, why=sign * 300)
    text = page(book)
    shown = re.search(r"The first (\d+) customers to call of 1,999,", text)
    assert shown is not None
    assert 50 < int(shown[1]) < 500
    assert len(text.encode()) < 1_000_000


def test_long_and_many_texts_keep_the_page_small(book: Book) -> None:
    for number in range(3):
        book.learn(path=f"{number}" + "x" * 5000, column="y" * 5000, sentence="z" * 50_000)
    book.ledger.add_package_check(
        FakeCheck(unknown=400, findings=tuple(FakeFinding("unknown", f"p{n}", reason="w" * 9000) for n in range(400)))
    )
    assert len(page(book).encode()) < 1_000_000


def test_estimates_stand_with_their_interval_and_a_muted_one_without_a_number(book: Book) -> None:
    request(book.ledger, 1)
    text = " ".join(page(book).split())
    assert "assuming that the relation to churn is unchanged. F1: not checked yet." in text
    assert "0.60 (0.55 to 0.65)" in text
    for number in range(2, 7):
        request(book.ledger, number, truth=0.4)
    request(book.ledger, 8)
    text = " ".join(page(book).split())
    assert "F1: muted: 0 of the last 5 estimates held the truth." in text
    assert '<td class="n">muted</td>' in text

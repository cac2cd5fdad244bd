from __future__ import annotations

import pytest

from churnwatch.pipeline.errors import NotFoundError
from churnwatch.pipeline.records import AcceptanceCase, Decision
from churnwatch.reports.build import build_run
from tests.reports.conftest import NOW, Book


def written(book: Book, run: int) -> str:
    return build_run(book.home, book.ledger, run, now=NOW).read_text(encoding="utf-8")


def test_the_page_of_a_run_says_what_it_read_decided_and_predicted(book: Book) -> None:
    book.learn()
    book.learn(path="february.csv", decision=Decision.PROMOTED, f1=0.7, curves=True)
    book.ledger.add(AcceptanceCase(2, 2, 3, "c1", "leaves", 0.8, met=False))
    text = written(book, 2)
    for said in ("Run 2", "february.csv", "Promoted: F1 0.700", "Candidate v2", "Champion v1", "tested on the 100 new",
                 'id="roc-title"', "run-00002.csv", "not a number", "Sample customers"):  # fmt: skip
        assert said in text
    assert "january.csv" not in text


def test_a_run_that_came_to_nothing_has_a_page(book: Book) -> None:
    book.fail(error="no <header>")
    text = written(book, 1)
    assert "no &lt;header&gt;" in text
    assert "No step came to its end." in text


def test_it_lies_beside_the_report(book: Book) -> None:
    book.learn()
    assert build_run(book.home, book.ledger, 1, now=NOW) == book.home.report.with_name("run-00001.html")


def test_there_is_no_page_of_a_run_that_never_was(book: Book) -> None:
    with pytest.raises(NotFoundError, match="run 9"):
        written(book, 9)

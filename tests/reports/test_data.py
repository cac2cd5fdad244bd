from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from estimated import request
from msgspec import structs

from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.records import Band, Decision, Drift, DriftKind, Metric
from churnwatch.reports.data import gather, headline
from churnwatch.reports.facts import Report
from tests.reports.conftest import COUNTS, NOW, Book, FakeCheck, FakeFinding, page


def report(book: Book, *attention: str) -> Report:
    return gather(book.home, book.ledger, now=NOW, attention=attention)


def test_a_home_without_runs_says_what_to_do(book: Book) -> None:
    found = report(book)
    assert found.headline.title == "No model yet."
    assert "Drop a CSV into sourcedata" in found.headline.standfirst
    assert found.serving is None


def test_the_headline_says_what_serves_since_when_and_how_good_it_is(book: Book) -> None:
    book.learn(f1=0.5432)
    found = report(book)
    assert found.headline.title == "v1 serves since 3 Jan."
    assert found.headline.standfirst == (
        "F1 .54 on 100 customers it never saw: it named 54 % of those who left, and 54 % of those it named did leave."
        " Nothing needs you."
    )


def test_the_headline_speaks_of_rows_where_customers_have_several_and_of_the_year_where_it_is_another(
    book: Book,
) -> None:
    book.learn(f1=0.5432)
    settings = structs.replace(book.home.settings, date="month")
    said = headline(book.ledger.champion(), (), 0, settings, now=NOW + timedelta(days=365))
    assert said.title == "v1 serves since 3 Jan 2026."
    assert said.standfirst.startswith("F1 .54 on 100 rows it never saw.")


def test_the_headline_counts_what_needs_somebody(book: Book) -> None:
    book.learn()
    assert report(book, "The disk is nearly full.").headline.standfirst.endswith("One thing needs you.")
    assert report(book, "One.", "Two.").headline.standfirst.endswith("Two things need you.")


def test_the_daemons_sentences_are_said_as_they_are(book: Book) -> None:
    book.fail(error="disk full")
    assert report(book, "run 1 failed: disk full").attention == ("run 1 failed: disk full",)


def test_a_model_that_no_holdout_row_judged_is_said_to_be_unknown(book: Book) -> None:
    run, _ = book.begin()
    book.learn()
    del run
    book.ledger._db.execute("DELETE FROM metrics WHERE split = 'holdout'")
    assert "Nobody knows yet how good it is" in report(book).headline.standfirst


def test_a_home_whose_runs_failed_says_why(book: Book) -> None:
    book.fail(error="wide.csv: column `left` is missing")
    found = report(book)
    assert found.headline.title == "No model serves yet."
    assert "Run 1: wide.csv: column `left` is missing" in found.headline.standfirst


def test_in_use_f1_adds_up_the_batches_of_a_burst(book: Book) -> None:
    book.learn()
    book.learn(in_use=COUNTS)  # 18 hits, 10 false alarms, 12 missed
    book.ledger.add_all(
        Metric(2, 1, "champion", "prequential", name, value, 50, 1)
        for name, value in {**dict.fromkeys(COUNTS, 0.0), "true_positives": 11.0, "f1": 1.0}.items()
    )
    point = report(book).quality.history.shown[-1]
    assert point.in_use == pytest.approx(2 * 29 / (2 * 29 + 10 + 12))
    assert point.in_use_rows == 150
    assert point.in_use_baseline == pytest.approx(2 * 41 / (150 + 41))


def test_the_matrix_is_of_the_serving_model_when_it_was_last_evaluated(book: Book) -> None:
    book.learn()
    book.learn(decision=Decision.KEPT)
    book.ledger.add_all(
        Metric(2, 1, "champion", "holdout", name, value, 100)
        for name, value in {"f1": 0.7, **COUNTS, "true_positives": 40.0}.items()
    )
    quality = report(book).quality
    assert quality.matrix is not None
    assert (quality.matrix.version, quality.matrix.run, quality.matrix.true_positives) == (1, 2, 40)
    f1 = quality.metrics[0]
    assert (f1.holdout, f1.train, f1.baseline) == (0.7, pytest.approx(0.7), 0.3)


def test_a_rollback_is_told_with_who_and_why(book: Book) -> None:
    book.learn()
    book.learn(decision=Decision.PROMOTED)
    book.ledger.add_pin(1, at=book.tick(), actor="ann", why="v2 calls everybody")
    book.release(1, kind="rollback", actor="ann", why="v2 calls everybody")
    found = report(book)
    assert found.serving is not None
    assert (found.serving.champion.pinned, found.serving.actor) == (True, "ann")
    assert found.serving.pinned_why == "v2 calls everybody"
    assert [row.version for row in found.releases.shown] == [1, 2, 1]
    assert found.releases.shown[0].until_at is None


def test_files_are_listed_newest_first(book: Book) -> None:
    book.learn(path="a.csv")
    book.learn(path="b.csv")
    assert [row.path for row in report(book).inputs.files.shown] == ["b.csv", "a.csv"]


def test_quarantined_rows_are_added_up_by_check(book: Book) -> None:
    book.learn(path="a.csv")
    book.learn(path="b.csv")
    (check,) = report(book).inputs.quarantined.shown
    assert (check.check, check.column, check.rows, check.files, check.path) == ("type", "tenure", 2, 2, "b.csv")


def test_only_columns_that_miss_values_are_shown(book: Book) -> None:
    book.learn(missing=2)
    book.learn(missing=5)
    missing = report(book).missing
    assert [(row.column, row.shares) for row in missing.columns.shown] == [("tenure", (0.02, 0.05))]
    assert missing.complete == 1


def test_attempts_of_one_run_add_up_in_the_timings(book: Book) -> None:
    book.learn()
    given = book.home.settings
    book.ledger.begin_attempt(1, at=book.tick(), pid=2, settings=(given.sha256, given.canonical()))
    book.ledger._insert("steps", {"run": 1, "attempt": 2, "step": "train", "started_at": book.tick(), "wall_s": 2.0,
                                  "cpu_s": 1.0, "peak_rss_bytes": 5})  # fmt: skip
    train = next(row for row in report(book).timings.steps if row.step == "train")
    assert (train.newest_s, train.median_cpu_s, train.peak_rss_bytes) == (2.5, 1.4, 200_000_000)


@pytest.mark.parametrize(
    ("check", "state"),
    [
        (FakeCheck(), "ok"),
        (FakeCheck(unknown=1), "unknown"),
        (FakeCheck(vulnerable=None), "unknown"),
        (FakeCheck(outdated=None), "unknown"),
        (FakeCheck(error="no network"), "unknown"),
        (FakeCheck(outdated=3), "outdated"),
        (FakeCheck(outdated=3, unknown=1), "unknown"),
        (FakeCheck(vulnerable=1, unknown=1), "vulnerable"),
    ],
)
def test_packages_are_ok_only_when_all_is_known_and_nothing_found(book: Book, check: FakeCheck, state: str) -> None:
    book.ledger.add_package_check(check)
    newest = report(book).packages.newest
    assert newest is not None
    assert newest.state == state


def test_a_failed_package_check_keeps_the_last_complete_one_with_its_date(book: Book) -> None:
    book.ledger.add_package_check(FakeCheck(checked_at=iso(NOW - timedelta(days=3)), outdated=1,
                                            findings=(FakeFinding("outdated", "numpy", latest="9"),)))  # fmt: skip
    book.ledger.add_package_check(FakeCheck(outdated=None, vulnerable=None, unknown=60, error="no network"))
    packages = report(book).packages
    assert packages.newest is not None
    assert packages.last_complete is not None
    assert packages.newest.error == "no network"
    assert packages.last_complete.findings.shown[0].package == "numpy"


def test_settings_tell_what_was_chosen_from_defaults(book: Book) -> None:
    groups = {row.name: (row.value, row.group) for row in report(book).settings.shown}
    assert groups["target"] == ("left", "chosen")
    assert groups["gate.policy"] == ("proven", "default")
    assert groups["date"] == ("not set", "default")


def test_the_newest_csv_of_predictions_is_named(book: Book) -> None:
    book.learn()
    customers = report(book).predictions.customers
    assert customers is not None
    assert (customers.csv, customers.link) == ("predictions/run-00001.csv", "predictions/run-00001.csv")
    assert (customers.rows, customers.positives) == (90, 20)


# -- drift -----------------------------------------------------------------------------------------------------


def _drift(run: int, deviation: float, *, column: str = "tenure", band: Band = Band.NOTHING) -> Drift:
    cause = f"{column}: {deviation:.0f} % moved" if deviation else None
    return Drift(run, 1, "v1's training rows", DriftKind.COLUMN, column, 100, 900, deviation, 2.5, band, cause)


def test_a_home_whose_rows_were_never_held_against_a_reference_says_so(book: Book) -> None:
    book.learn()
    assert report(book).drift.summary is None
    assert "No rows were held against what a model was trained on yet" in page(book)


def test_deviations_are_told_run_by_run_the_largest_of_the_newest_run_first(book: Book) -> None:
    for _ in range(3):
        book.learn()
    book.ledger.add(
        _drift(2, 30.0, column="fee", band=Band.SEARCH), _drift(2, 0.0), _drift(2, 0.0, column="steady"),
        _drift(3, 0.0, column="fee"), _drift(3, 6.0, band=Band.RETRAIN), _drift(3, 0.0, column="steady"),
    )  # fmt: skip
    found = report(book).drift
    assert found.runs == (2, 3)
    assert found.summary == "tenure: 6 % moved (deviation 6.0 %, floor 2.5 %)"
    assert [row.name for row in found.rows.shown] == ["tenure", "fee"]
    assert [each.deviation_percent for each in found.rows.shown[1].history if each] == [30.0, 0.0]
    assert (found.rows.total, found.steady) == (2, 1)


def test_names_of_categories_are_escaped(book: Book) -> None:
    book.learn()
    book.learn()
    book.ledger.add(replace(_drift(2, 11.0, band=Band.SEARCH), cause="plan: 11 % moved to <script>"))
    text = page(book)
    assert "11\N{NO-BREAK SPACE}% moved to &lt;script&gt;" in text
    assert "to <script>" not in text


def test_requests_are_shown_with_what_was_expected_until_estimates_are_muted(book: Book) -> None:
    request(book.ledger, 1, truth=0.61)
    request(book.ledger, 2)
    shown = report(book).estimates
    assert [(row.f1.path, row.f1.value, row.f1.truth) for row in shown.requests.shown] == [
        ("request-2.csv", 0.6, None),
        ("request-1.csv", 0.6, 0.61),
    ]
    for number in range(3, 8):
        request(book.ledger, number, truth=0.4)
    request(book.ledger, 9)
    newest = report(book).estimates.requests.shown[0].f1
    assert (newest.value, newest.muted) == (None, "muted: 1 of the last 6 estimates held the truth")

from __future__ import annotations

import json

import pytest

from churnwatch.pipeline import bookkeeping
from churnwatch.pipeline.gate import Evidence
from churnwatch.pipeline.ingest import FileAccount
from churnwatch.pipeline.load import Refused, Source
from churnwatch.pipeline.profile import ColumnProfile
from churnwatch.pipeline.records import Batch, Decision, FileEvent, FileFinding, FileState, Metric, Profile, SourceFile

AT = "2026-01-01T00:00:00.000Z"
SOURCE = Source(SourceFile(7, "a.csv", 1, 1, 1, "sha", AT), None)  # type: ignore[arg-type]


def _account(read: int, duplicate: int) -> FileAccount:
    return FileAccount(SOURCE, 1, accepted=read - duplicate, duplicate=duplicate)


def test_a_file_becomes_an_event_a_batch_and_its_findings() -> None:
    account = FileAccount(SOURCE, 3, ("guessed",), 5, 2, 1, 4, 2, 1, 1, "2026-01-01", "2026-01-31")
    assert list(bookkeeping.file_records(9, AT, account)) == [
        FileEvent(7, 9, AT, FileState.INGESTED, 8, 5, 2, 1),
        Batch(3, 9, 7, 5, 4, 2, 1, 1, "2026-01-01", "2026-01-31"),
        FileFinding(9, 7, "reading", "guessed"),
    ]


def test_a_refused_file_has_no_counts() -> None:
    assert bookkeeping.refusal_record(9, AT, Refused(SOURCE, "why")) == FileEvent(
        7, 9, AT, FileState.QUARANTINED, reason="why"
    )


def test_a_profile_keeps_its_share() -> None:
    found = bookkeeping.profile_record(9, ColumnProfile("n", 4, 1, 2, 1.0, 2.0, 3.0, 4.0, 5.0))
    assert found == Profile(9, "n", 4, 1, 0.25, 2, 1.0, 2.0, 3.0, 4.0, 5.0)


def test_metrics_become_one_row_each() -> None:
    found = bookkeeping.metric_records(
        9, {"f1": 0.5, "recall": 0.6}, rows=3, subject="champion", split="holdout", version=2
    )
    assert found == [
        Metric(9, 2, "champion", "holdout", "f1", 0.5, 3),
        Metric(9, 2, "champion", "holdout", "recall", 0.6, 3),
    ]


def test_a_decision_is_kept_with_all_its_evidence() -> None:
    cells = (1, 2, 3, 4, 5, 6, 7, 8)
    evidence = Evidence(Decision.KEPT, "why", 8, 3, "f1", 0.5, 0.6, -0.1, -0.2, 0.0, 0.9, cells, 800, "careful")
    verdict = bookkeeping.verdict_record(9, AT, evidence, policy="proven", candidate=2, champion=1)
    assert json.loads(verdict.cells or "") == [1, 2, 3, 4, 5, 6, 7, 8]
    kept = (verdict.delta, verdict.low, verdict.high, verdict.p_value, verdict.warning, verdict.metric)
    assert kept == (-0.1, -0.2, 0.0, 0.9, "careful", "f1")
    assert verdict.rows_needed == 800
    nothing = Evidence(Decision.UNDECIDABLE, "why", 0, 0)
    assert bookkeeping.verdict_record(9, AT, nothing, policy="proven", candidate=2, champion=None).cells is None


@pytest.mark.parametrize(
    ("read", "duplicate", "warned"), [(20, 11, True), (20, 10, False), (19, 19, False), (100, 100, True)]
)
def test_a_file_of_mostly_duplicates_is_warned_of(read: int, duplicate: int, warned: bool) -> None:
    assert len(list(bookkeeping.file_warnings([_account(read, duplicate)], named=True))) == int(warned)


def test_a_file_without_rows_is_warned_of() -> None:
    [text] = bookkeeping.file_warnings([_account(0, 0)], named=True)
    assert text == "a.csv: it has a header and no rows; was the export cut short?"


def test_without_an_id_the_warning_tells_how_to_keep_equal_rows() -> None:
    [text] = bookkeeping.file_warnings([_account(2000, 1500)], named=False)
    assert text == (
        "a.csv: 1,500 of 2,000 rows are duplicates of rows ingested before; without an id equal rows may be real"
        " customers: see `dedup: off`"
    )

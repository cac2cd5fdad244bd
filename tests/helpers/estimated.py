"""Requests with estimates, and the truth where it came, written into a ledger as runs would."""

from __future__ import annotations

from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import FileEvent, FileState, Metric, Model, Prediction, Signature, Status

AT = "2026-03-01T10:00:00.000Z"
VERSION = 900


def request(ledger: Ledger, number: int, *, truth: float | None = None, value: float = 0.6) -> int:
    """Add a request of 500 customers, expected between .55 and .65, and its truth; return the run that predicted it."""
    seen = ledger.see_file(Signature(f"request-{number}.csv", 9, number, number), sha256=f"r{number}", at=AT)
    run = _run(ledger, f"request {number}", seen.file)
    if not ledger.rows("SELECT * FROM models WHERE version = ?", VERSION):
        ledger.add(Model(VERSION, run, "logistic", "{}", 0.4, "v900", "0", "0", 9, 3, AT))
    ledger.add(Prediction(run, seen.file, VERSION, f"r-{number}.parquet", "0", 500, 100, AT))
    ledger.add(FileEvent(seen.file, run, AT, FileState.PREDICTED, 500, 500, 0, 0))
    _estimate(ledger, run, seen.file, value)
    if truth is not None:
        later = _run(ledger, f"labels {number}", seen.file)
        _estimate(ledger, later, seen.file, value)
        ledger.add(Metric(later, VERSION, "champion", "realised", "f1", truth, 480, file=seen.file))
    return run


def _run(ledger: Ledger, run_id: str, file: int) -> int:
    given = ("s", "{}")
    run = ledger.begin_run(run_id=run_id, reason="drop", at=AT, settings=given, code_version="1", inputs=[file])
    attempt = ledger.begin_attempt(run, at=AT, pid=1, settings=given)
    ledger.end_attempt(run, attempt, at=AT, status=Status.DONE, wall_s=1.0)
    return run


def _estimate(ledger: Ledger, run: int, file: int, value: float) -> None:
    ledger.add(Metric(run, VERSION, "champion", "estimated", "f1", value, 500, None, 0.55, 0.65, file))

"""What steps return → the records that the ledger keeps of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from churnwatch.pipeline.curves import Cut, Group
from churnwatch.pipeline.dialect import Dialect
from churnwatch.pipeline.gate import Evidence
from churnwatch.pipeline.ingest import FileAccount, WrittenPart
from churnwatch.pipeline.load import Opened, QuarantineCount, Refused
from churnwatch.pipeline.overfitting import Estimate
from churnwatch.pipeline.profile import ColumnProfile
from churnwatch.pipeline.records import (
    DIALECT,
    Batch,
    Curve,
    FileEvent,
    FileFinding,
    FileState,
    GroupCount,
    Metric,
    Part,
    Profile,
    Quarantine,
    Verdict,
)
from churnwatch.pipeline.train import Candidate

_MANY_DUPLICATES = 0.5
_FEW_ROWS = 20


def file_records(
    run: int, at: str, account: FileAccount, *, with_batch: bool = True
) -> Iterator[FileEvent | Batch | FileFinding]:
    """Yield what the ledger keeps of one ingested file; batches are of the customers' rows only."""
    number = account.source.file.file
    yield FileEvent(number, run, at, FileState.INGESTED, account.read, account.accepted, account.duplicate,
                    account.quarantined)  # fmt: skip
    if with_batch:
        yield batch_record(run, account)
    for text in account.findings:
        yield FileFinding(run, number, "reading", text)


def batch_record(run: int, account: FileAccount) -> Batch:
    """Return what the ledger keeps of the rows of one file that are in the main data set."""
    return Batch(account.batch, run, account.source.file.file, account.accepted, account.labelled, account.positives,
                 account.holdout, account.holdout_positives, account.first_date, account.last_date)  # fmt: skip


def dialect_records(
    run: int, accounts: Sequence[FileAccount], opened: Sequence[Opened], before: Dialect | None
) -> Iterator[FileFinding]:
    """Yield the dialect of each file that was read otherwise than the one before it; the next one is held to it."""
    dialects = {each.source.file.file: each.opening.pin for each in opened if each.opening.pin is not None}
    for account in accounts:
        dialect = dialects.get(account.source.file.file, before)
        if dialect is not None and dialect != before:
            yield FileFinding(run, account.source.file.file, DIALECT, json.dumps(dataclasses.asdict(dialect)))
        before = dialect


def refusal_record(run: int, at: str, refused: Refused) -> FileEvent:
    """Return what the ledger keeps of a file that was not read."""
    state = FileState.RETRY if refused.may_pass else FileState.QUARANTINED
    return FileEvent(refused.source.file.file, run, at, state, reason=refused.reason)


def quarantine_record(run: int, counted: QuarantineCount) -> Quarantine:
    """Return what the ledger keeps of rows that broke a check."""
    return Quarantine(run, counted.file, counted.check_name, counted.column_name, counted.reason, counted.rows,
                      counted.first_line)  # fmt: skip


def part_record(
    run: int, at: str, part: WrittenPart, root: Path, dataset: str = "", definition: str | None = None
) -> Part:
    """Return what the ledger keeps of a part; its name is relative to `root`."""
    name = part.path.relative_to(root).as_posix()
    return Part(name, run, part.sha256, part.rows, part.size_bytes, at, dataset, definition)


def profile_record(run: int, found: ColumnProfile, dataset: str = "") -> Profile:
    """Return what the ledger keeps of a column's statistics; a source's columns are called `source.column`."""
    column = f"{dataset}.{found.column_name}" if dataset else found.column_name
    return Profile(run, column, found.rows, found.missing, found.missing_share, found.distinct_values,
                   found.mean, found.median, found.std, found.minimum, found.maximum)  # fmt: skip


def metric_records(
    run: int,
    values: Mapping[str, float],
    *,
    rows: int,
    subject: str,
    split: str,
    version: int | None = None,
    batch: int | None = None,
    file: int | None = None,
) -> list[Metric]:
    """Return one record per metric."""
    return [Metric(run, version, subject, split, name, value, rows, batch, file=file) for name, value in values.items()]


def gap_records(run: int, gaps: Mapping[str, Estimate], *, rows: int, version: int) -> list[Metric]:
    """Return one record for each metric that a candidate has better on its training rows than on the holdout."""
    return [
        Metric(run, version, "candidate", "gap", name, gap.value, rows, low=gap.low, high=gap.high)
        for name, gap in gaps.items()
    ]


def training_records(run: int, candidate: Candidate, *, metric: str, version: int) -> Iterator[Metric]:
    """Yield what was compared to choose a candidate: estimators and baseline by cross-validation, windows by time.

    The window that was chosen has the candidate's version.
    """
    for each in candidate.comparisons:
        if each.value is not None:
            yield Metric(run, None, each.estimator, "cross_validation", metric, each.value, candidate.rows)
        if each.log_loss is not None:
            yield Metric(run, None, each.estimator, "cross_validation", "log_loss", each.log_loss, candidate.rows)
    if candidate.baseline is not None:
        yield Metric(run, None, "baseline", "cross_validation", metric, candidate.baseline, candidate.rows)
    for one in candidate.windows:
        chosen = version if one.window == candidate.window else None
        yield Metric(run, chosen, one.window.name, "window", "log_loss", one.log_loss, one.rows)


def curve_records(run: int, version: int, cuts: Sequence[Cut], groups: Sequence[Group]) -> list[Curve | GroupCount]:
    """Return what the curves of a version are drawn from, and its counts by group."""
    points = [
        Curve(run, version, place, each.threshold, each.rows, each.leavers, each.expected_leavers)
        for place, each in enumerate(cuts)
    ]
    counts = [
        GroupCount(run, version, each.column, each.value, each.rows, each.leavers, each.named, each.hits)
        for each in groups
    ]
    return [*points, *counts]


def verdict_record(
    run: int,
    at: str,
    evidence: Evidence,
    *,
    policy: str,
    candidate: int,
    champion: int | None,
    window: tuple[int, int] | None = None,
) -> Verdict:
    """Return what the ledger keeps of a decision."""
    return Verdict(
        run=run,
        decided_at=at,
        decision=evidence.decision,
        policy=policy,
        metric=evidence.metric,
        candidate=candidate,
        champion=champion,
        rows=evidence.rows,
        positives=evidence.positives,
        candidate_value=evidence.candidate_value,
        champion_value=evidence.champion_value,
        delta=evidence.delta,
        low=evidence.low,
        high=evidence.high,
        p_value=evidence.p_value,
        cells=json.dumps(evidence.cells) if evidence.cells else None,
        sentence=evidence.sentence,
        warning=evidence.warning,
        rows_needed=evidence.rows_needed,
        holdout_first_batch=window[0] if window else None,
        holdout_last_batch=window[1] if window else None,
    )


def file_warnings(accounts: Sequence[FileAccount], *, named: bool) -> Iterator[str]:
    """Yield a warning for each file without rows, and for each of which most rows are duplicates.

    Without an id, equal rows may be real.
    """
    for account in accounts:
        if not account.read:
            yield f"{account.source.file.path}: it has a header and no rows; was the export cut short?"
        if account.read >= _FEW_ROWS and account.duplicate > _MANY_DUPLICATES * account.read:
            advice = "" if named else "; without an id equal rows may be real customers: see `dedup: off`"
            yield (f"{account.source.file.path}: {account.duplicate:,} of {account.read:,} rows are duplicates"
                   f" of rows ingested before{advice}")  # fmt: skip

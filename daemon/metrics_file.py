"""How things stand, in the text format of Prometheus, for node_exporter's textfile collector.

Moments are given as Unix times: the file is only written now and then, and Prometheus knows how long ago they are.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from churnwatch.daemon import attention
from churnwatch.pipeline import exposition, files
from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.exposition import Family, Sample
from churnwatch.pipeline.ledger import customers, notices
from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.metrics import METRICS
from churnwatch.pipeline.records import Status
from churnwatch.pipeline.settings import Home
from churnwatch.pipeline.shares import f1_interval

log = logging.getLogger("churnwatch.metrics")
_COUNTS = ("true_positives", "false_positives", "false_negatives")


def write(home: Home, ledger: Reader, *, now: datetime) -> None:
    """Write the file that the settings name, as a whole; one that cannot be written is an error in the log only."""
    target = home.metrics_file
    if target is None:
        return
    try:
        files.write_text(target, exposition.text(families(home, ledger, now=now)))
    except OSError as error:
        log.error("metrics_file: %s cannot be written (%s)", target, error.strerror)  # noqa: TRY400 - expected


def families(home: Home, ledger: Reader, *, now: datetime) -> list[Family]:
    """Return all that is measured; what is not known has no sample."""
    return [
        Family("metrics_written_timestamp_seconds", "When this file was written.", [({}, now.timestamp())]),
        Family("attention", "Things that need somebody.", [({}, len(attention.of(home, ledger, now=now)))]),
        Family("alerts_open", "Alerts that were raised and not cleared since.",
               [({"kind": kind.value}, 1) for kind in notices.open_alerts(ledger)]),
        *_runs(ledger),
        *_model(ledger),
        *_data(ledger),
        *_packages(ledger),
        Family("disk_free_bytes", "Bytes free where the home lies.", [({}, shutil.disk_usage(home.path).free)]),
    ]  # fmt: skip


def _one(name: str, about: str, value: float | None) -> Family:
    return Family(name, about, [] if value is None else [({}, value)])


def _runs(ledger: Reader) -> Iterator[Family]:
    last = notices.last_end(ledger)
    status = last["status"] if last else None
    ended = [each.value for each in Status if each is not Status.RUNNING]
    yield Family("last_run_status", "1 for how the last run ended, 0 for the other ways.",
                 [({"status": each}, int(each == status)) for each in ended] if last else [])  # fmt: skip
    yield _one("last_run", "Number of the run that ended last.", last["run"] if last else None)
    yield _one("last_run_duration_seconds", "How long it took.", last["wall_s"] if last else None)
    ended_at = from_iso(last["ended_at"]).timestamp() if last else None
    yield _one("last_run_end_timestamp_seconds", "When it ended.", ended_at)


def _model(ledger: Reader) -> Iterator[Family]:
    champion = ledger.champion()
    version = champion.model.version if champion else None
    yield _one("champion_version", "Version of the model in use.", version)
    since = from_iso(champion.since).timestamp() if champion else None
    yield _one("champion_since_timestamp_seconds", "Since when it serves.", since)
    rows = ledger.metrics(version=version, split="holdout") if version is not None else []
    yield from _quality("holdout", "the holdout", {row["name"]: row["value"] for row in rows})
    tested = ledger.newest_prequential(version) if version is not None else []
    yield from _quality("prequential", "the newest rows, before anything learned from them", _together(tested))


def _together(tested: Sequence[Row]) -> dict[str, float]:
    """Return counts of several batches added up; of one batch everything."""
    if len({row["batch"] for row in tested}) <= 1:
        return {row["name"]: row["value"] for row in tested}
    added: Counter[str] = Counter()
    for row in tested:
        if row["name"] in _COUNTS:
            added[row["name"]] += row["value"] or 0
    return dict(added)


def _quality(name: str, rows: str, values: Mapping[str, float | None]) -> Iterator[Family]:
    """Yield the metrics of the model in use on some rows; F1 follows from counts, with its interval."""
    hits, *misses = (int(values.get(each) or 0) for each in _COUNTS)
    either = hits + sum(misses)
    known = {**values, "f1": 2 * hits / (either + hits)} if either else values
    samples: list[Sample] = [
        ({"metric": each}, value) for each, value in known.items() if each in METRICS and value is not None
    ]
    yield Family(name, f"Metrics of the model in use on {rows}.", samples)
    if either:
        for bound, value in zip(("low", "high"), f1_interval(hits, either), strict=True):
            about = f"The {bound} end of the 90 % interval on {rows}."
            yield Family(f"{name}_{bound}", about, [({"metric": "f1"}, value)])


def _data(ledger: Reader) -> Iterator[Family]:
    run = ledger.last_drift_run()
    drifts = ledger.drifts(run) if run is not None else []
    about = "Deviation of the newest rows from the reference, in percent of the rows; the largest."
    yield _one("drift_percent", about, drifts[0].deviation_percent if drifts else None)
    above = sum(each.band.retrains for each in drifts)
    yield _one("drift_columns", "Columns that deviate by drift.retrain or more.", above if drifts else None)
    yield _one("customers", "Current customers that were predicted last.", ledger.customers_predicted())
    head = customers.newest(ledger)
    sums = customers.buckets(ledger, head.run) if head is not None else []
    yield Family("bucket_customers", "Current customers, by bucket: A to call, B to make an offer, C to thank.",
                 [({"bucket": row["bucket"]}, row["customers"]) for row in sums])  # fmt: skip
    losses = {row["bucket"]: row["expected_loss"] for row in sums if row["expected_loss"] is not None}
    yield Family("bucket_expected_loss", "What is expected to be lost with the customers of a bucket.",
                 [({"bucket": bucket}, loss) for bucket, loss in losses.items()])  # fmt: skip
    last = notices.last_drop(ledger)
    dropped = from_iso(last).timestamp() if last else None
    yield _one("last_drop_timestamp_seconds", "When a new file was seen last.", dropped)
    counts, totals = ledger.file_counts(), ledger.row_totals()
    totals.pop("read")  # it is the sum of the others
    yield Family(
        "files", "Files ever seen, by what became of them.", [({"state": each}, counts[each]) for each in counts]
    )
    yield Family(
        "rows", "Rows ever read, by what became of them.", [({"state": each}, totals[each]) for each in totals]
    )


def _packages(ledger: Reader) -> Iterator[Family]:
    check = ledger.package_check()
    kinds = ("outdated", "vulnerable", "unknown") if check else ()
    yield Family("packages", "Installed packages that are not in order; a kind that is not known is left out.",
                 [({"kind": kind}, check[kind]) for kind in kinds if check and check[kind] is not None])  # fmt: skip
    checked = from_iso(check["checked_at"]).timestamp() if check else None
    yield _one("packages_checked_timestamp_seconds", "When packages were looked up last.", checked)

"""The metrics file as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from notices_world import World, make_home, world
from prometheus_client.parser import text_string_to_metric_families as read

from churnwatch.daemon import alerts, metrics_file, work
from churnwatch.pipeline.records import Decision, Metric
from churnwatch.pipeline.shares import f1_interval


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    extra = "metrics_file: text/churnwatch.prom\nalerts: {disk_low_gb: 0.000001}\n"
    with world(make_home(tmp_path / "home", extra)) as found:
        yield found


def _samples(at: World) -> dict[str, dict[tuple[str, ...], float]]:
    """Write the file and read it: name → values of the labels → value."""
    metrics_file.write(at.home, at.ledger, now=at.now)
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in read((at.home.path / "text/churnwatch.prom").read_text()):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.name == family.name
            values = found.setdefault(family.name.removeprefix("churnwatch_"), {})
            assert values.setdefault(tuple(sample.labels.values()), sample.value) is sample.value, (
                "a sample stands twice"
            )
    return found


def test_before_the_first_run_only_what_is_known_is_there(at: World) -> None:
    found = _samples(at)
    assert {"metrics_written_timestamp_seconds", "attention", "disk_free_bytes"} <= found.keys()
    assert not {"last_run", "champion_version", "holdout", "drift_percent", "packages"} & found.keys()
    assert found["metrics_written_timestamp_seconds"][()] == at.now.timestamp()


def test_after_runs_all_is_there_and_true(at: World) -> None:
    run = at.learn()
    at.predict(run, {"c1": 0.9, "c2": 0.2}, calls={"bucket": ["A", "C"], "expected_loss": [90.0, 20.0]})
    second = at.learn(Decision.KEPT, drift=7.0)
    for batch, rows in ((1, 30.0), (2, 10.0)):
        at.ledger.rows("INSERT INTO batches VALUES (?, ?, 1, 1, 1, 1, 1, 1, NULL, NULL)", batch, second)
        counts = {"true_positives": rows, "false_positives": 10.0, "false_negatives": 5.0, "f1": 0.1}
        at.ledger.add_all(Metric(second, run, "champion", "prequential", n, v, 60, batch) for n, v in counts.items())
    at.ledger.add_package_check(_Check())
    at.fail()
    alerts.record(at.home, at.ledger, now=at.now)
    found = _samples(at)
    assert found["last_run"][()] == 3
    assert found["last_run_status"] == {("done",): 0, ("failed",): 1, ("broken",): 0, ("interrupted",): 0}
    assert found["last_run_duration_seconds"][()] == 2.5
    assert found["champion_version"][()] == 1
    low, high = f1_interval(40, 70)
    for name, value in (("holdout", 80 / 110), ("holdout_low", low), ("holdout_high", high)):
        assert found[name][("f1",)] == pytest.approx(value)
    assert found["holdout_low"][("f1",)] < found["holdout"][("f1",)] < found["holdout_high"][("f1",)]
    assert found["holdout"][("precision",)] == pytest.approx(2 / 3)
    assert ("true_positives",) not in found["holdout"]
    assert found["prequential"] == {("f1",): pytest.approx(2 * 40 / (2 * 40 + 20 + 10))}  # of both batches together
    assert (found["drift_percent"][()], found["drift_columns"][()]) == (7.0, 1)
    assert found["customers"][()] == 2
    assert found["bucket_customers"] == {("A",): 1, ("B",): 0, ("C",): 1}
    assert found["bucket_expected_loss"] == {("A",): 90.0, ("B",): 0.0, ("C",): 20.0}
    assert found["packages"] == {("outdated",): 3, ("unknown",): 0}  # whether any is vulnerable is not known
    assert set(found["alerts_open"]) == {("drift",), ("run_failed",)}
    assert found["last_drop_timestamp_seconds"][()] < at.now.timestamp()
    assert found["attention"][()] >= 1


class _Check:
    checked_at, packages, outdated, vulnerable, unknown, error = "2026-11-02T06:00:00.000Z", 60, 3, None, 0, None
    findings = ()


def test_a_file_that_cannot_be_written_stops_nothing(at: World, caplog: pytest.LogCaptureFixture) -> None:
    (at.home.path / "text").write_text("no folder")
    metrics_file.write(at.home, at.ledger, now=at.now)
    assert "metrics_file: " in caplog.text


def test_every_turn_of_work_writes_it(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "metrics_file: churnwatch.prom\n")
    before = datetime.now(UTC).timestamp()
    work.once(home, reason="once")
    [written] = [each for each in read((home.path / "churnwatch.prom").read_text()) if "written" in each.name]
    assert written.samples[0].value >= before - 1

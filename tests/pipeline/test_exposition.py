"""What is written, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families as read

from churnwatch.pipeline import exposition
from churnwatch.pipeline.exposition import Family, Histogram


def test_labels_are_escaped() -> None:
    hostile = 'a"b\\c\nd'
    [family] = read(exposition.text([Family("x", "About x.", [({"kind": hostile}, 1.5), ({"kind": "é"}, 2)])]))
    assert [(sample.labels["kind"], sample.value) for sample in family.samples] == [(hostile, 1.5), ("é", 2.0)]


def test_a_metric_without_samples_is_left_out() -> None:
    assert exposition.text([Family("x", "About x.", []), Histogram("y", "About y.", (1.0,), [])]) == ""


def test_a_counter_and_a_histogram_are_read_as_such() -> None:
    counter = Family("asked_total", "Requests.", [({}, 3)], "counter")
    spread = Histogram("took_seconds", "How long.", (0.1, 1.0), [({"route": "/x"}, [2, 1, 4], 9.5)])
    asked, took = read(exposition.text([counter, spread]))
    assert (asked.type, asked.name, asked.samples[0].value) == ("counter", "churnwatch_asked", 3)
    assert took.type == "histogram"
    assert {each.name.rpartition("_")[2] + each.labels.get("le", ""): each.value for each in took.samples} == {
        "bucket0.1": 2, "bucket1.0": 3, "bucket+Inf": 7, "sum": 9.5, "count": 7,
    }  # fmt: skip
    assert all(each.labels["route"] == "/x" for each in took.samples)

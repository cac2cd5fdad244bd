"""What `GET /metrics` says, as Prometheus reads it."""

from __future__ import annotations

import shutil
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as read
from starlette.testclient import TestClient

from churnwatch.pipeline.settings import Home
from churnwatch.serving import app
from churnwatch.serving.traffic import BOUNDS_S, Traffic

Samples = dict[str, dict[tuple[str, ...], float]]


def _samples(client: TestClient) -> Samples:
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: Samples = {}
    for family in read(answer.text):
        for sample in family.samples:
            name = sample.name.removeprefix("churnwatch_serve_")
            found.setdefault(name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_requests_are_counted_by_route_and_status(client: TestClient, customer: dict[str, Any]) -> None:
    for path in ("/scoring", "/customers/a", "/customers/b/c", "/secret-path"):
        client.get(path)
    client.post("/predict", json=customer)
    client.post("/predict", json={"colour": 1})
    client.get("/predict")
    found = _samples(client)["requests_total"]
    assert found == {
        ("/scoring", "200"): 1, ("/customers/{id}", "404"): 2, ("other", "404"): 1,
        ("/predict", "200"): 1, ("/predict", "422"): 1, ("/predict", "405"): 1,
    }  # fmt: skip
    assert _samples(client)["requests_total"]["/metrics", "200"] == 1


def test_predictions_are_counted_by_the_version_that_made_them(client: TestClient, customer: dict[str, Any]) -> None:
    client.post("/predict", json=customer)
    client.post("/predict", json=[customer] * 3)
    client.post("/predict", json={"colour": 1})
    found = _samples(client)
    assert found["predictions_total"] == {("v1",): 4}
    assert (found["release_version"], found["release_behind"]) == ({(): 1}, {(): 0})


def test_each_request_is_in_one_range_of_the_histogram(client: TestClient) -> None:
    for _ in range(3):
        client.get("/healthz")
    found = _samples(client)
    buckets = [value for (route, *_), value in found["request_duration_seconds_bucket"].items() if route == "/healthz"]
    assert buckets == sorted(buckets)
    assert len(buckets) == len(BOUNDS_S) + 1
    assert buckets[-1] == found["request_duration_seconds_count"]["/healthz", "200"] == 3
    assert found["request_duration_seconds_sum"]["/healthz", "200"] > 0


def test_a_duration_on_a_bound_is_below_it() -> None:
    traffic = Traffic()
    for seconds in (BOUNDS_S[0], BOUNDS_S[0] * 1.001, 99.0):
        traffic.answered("/x", 200, seconds)
    spread = next(each for each in traffic.families() if each.name == "serve_request_duration_seconds")
    assert spread.series[0][1] == [1, 1, *[0] * (len(BOUNDS_S) - 2), 1]  # type: ignore[union-attr]


def test_what_breaks_down_is_counted_too(client: TestClient, bugs: list[Exception], monkeypatch: Any) -> None:
    monkeypatch.setattr("churnwatch.serving.bodies.objects", lambda *_: 1 / 0)
    client.post("/predict", json={})
    assert _samples(client)["requests_total"]["/predict", "500"] == 1
    bugs.clear()


def test_without_a_release_no_version_is_told(home: Home) -> None:
    shutil.rmtree(home.deployment)
    home.deployment.mkdir()
    with TestClient(app.create(home, keep=print), base_url="http://localhost") as client:
        found = _samples(client)
    assert "release_version" not in found
    assert found["release_behind"] == {(): 1}

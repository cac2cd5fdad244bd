"""Clients that ask without a break while the release switches: each answer must be wholly of one version."""

from __future__ import annotations

import copy
import http.client
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from churnwatch.pipeline import promotion, registry, sample
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import CompiledForm, Model
from churnwatch.pipeline.settings import Home
from churnwatch.serving import answers, bulk
from churnwatch.serving.release import Current

Said = Mapping[str, object]  # version -> what it answers
_MOST_S = 60.0
_JSON, _CSV = "application/json", "text/csv"


@dataclass(frozen=True)
class Request:
    """What a client sends, and what each version says to it."""

    body: bytes
    media_type: str
    expected: Said


@dataclass
class Outcome:
    """What came of the load.

    Attributes:
        answers: by version.
        failed: those that were no answer, in words.
        mixed: how many were not what any one version says.
        switches: of the release.
    """

    answers: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    mixed: int = 0
    switches: int = 0


def two_versions(home: Home) -> tuple[Model, Model]:
    """Return the version that is released, and a second one that says something quite different of everybody."""
    with Ledger.open(home.ledger) as ledger:
        champion = ledger.champion()
        assert champion is not None
        first = champion.model
        other = copy.deepcopy(registry.load(home.models, first))
        for regression in _regressions(other):
            regression.intercept_ = regression.intercept_ + 2.0
        manifest = json.loads((home.models / first.folder / registry.MANIFEST).read_text())
        written = registry.write_version(home.models / "v2", other, score=None, ingested=(), manifest=manifest,
                                reference=(home.models / first.folder / registry.REFERENCE).read_text())  # fmt: skip
        second = replace(first, version=2, folder="v2", sha256=written.sha256,
                         manifest_sha256=written.manifest_sha256)  # fmt: skip
        ledger.add(second)
        ledger.add(CompiledForm(2, iso(utc_now()), 1, 0.0, None))  # what is shifted is compiled as well as it was
    return first, second


def _regressions(model: BaseEstimator) -> list[LogisticRegression]:
    """Return the logistic regressions within a model, each once, whatever they are wrapped into."""
    seen, waiting = dict[int, object](), [model]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen[id(each)] = each
            waiting += (
                each if isinstance(each, list | tuple) else vars(each).values() if hasattr(each, "__dict__") else []
            )
    return [each for each in seen.values() if isinstance(each, LogisticRegression)]


def requests(home: Home, versions: Sequence[Model], *, rows: int) -> list[Request]:
    """Return what clients send: one customer, short lists, a long one, a short CSV, one of so many rows."""
    month = next(sample.generate(sample.Like.TELCO, months=1, rows=rows, seed=4))
    listed = month.rows.head(200).drop(columns=["month", "Churn"]).to_dict("records")
    text = month.csv().encode()
    bodies = [(json.dumps(row).encode(), _JSON) for row in listed[:8]]
    bodies += [
        (json.dumps(listed[start : start + size]).encode(), _JSON) for start, size in ((0, 7), (9, 20), (50, 150))
    ]
    bodies += [(b"\n".join(text.split(b"\n")[:200]), _CSV), (text, _CSV)]
    said: list[dict[str, object]] = [{} for _ in bodies]
    for version in versions:
        _release(home, version)
        current = Current(home)
        current.look()
        assert current.release is not None
        for (body, media_type), each in zip(bodies, said, strict=True):
            each[version.name] = _CSV_OR_JSON[media_type](current, body)
    return [Request(*body, each) for body, each in zip(bodies, said, strict=True)]


def load(home: Home, address: tuple[str, int], versions: Sequence[Model], sent: Sequence[Request], *, clients: int,
         seconds: float, every_s: float) -> Outcome:  # fmt: skip
    """Ask for some seconds, and until each version has answered, with the release switching all the while."""
    outcome, lock, stop = Outcome(), threading.Lock(), threading.Event()
    threads = [
        threading.Thread(target=_client, args=(address, sent, number, outcome, lock, stop)) for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    while time.monotonic() < begun + (seconds if len(outcome.answers) == len(versions) else _MOST_S):
        time.sleep(every_s)
        outcome.switches += 1
        _release(home, versions[outcome.switches % len(versions)])
    stop.set()
    for thread in threads:
        thread.join()
    return outcome


def _release(home: Home, version: Model) -> None:
    with Ledger.open(home.ledger) as ledger:
        promotion.release(home, ledger, version, run=None, kind="manual", actor="test", why="to see", pin=False)


def _client(
    address: tuple[str, int], sent: Sequence[Request], number: int, outcome: Outcome, lock: threading.Lock,
    stop: threading.Event,
) -> None:  # fmt: skip
    connection = http.client.HTTPConnection(*address, timeout=60)
    while not stop.is_set():
        request = sent[-1 if number % 3 == 0 else number % len(sent)]  # the longest most often: it can be mixed
        number += 1
        try:
            connection.request("POST", "/predict?explain=false", request.body, {"Content-Type": request.media_type})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            with lock:
                outcome.failed.append(repr(error))
            continue
        with lock:
            _judge(request, answer.status, body, outcome)
    connection.close()


def _judge(request: Request, status: int, body: bytes, outcome: Outcome) -> None:
    if status != http.HTTPStatus.OK:
        outcome.failed.append(f"{status} {body[:200]!r}")
        return
    said = body if request.media_type == _CSV else _without_ids(json.loads(body))
    version = next((name for name, expected in request.expected.items() if expected == said), None)
    if version is None:
        outcome.mixed += 1
    else:
        outcome.answers[version] += 1


def _without_ids(said: Any) -> Any:
    listed = said if isinstance(said, list) else [said]
    return [{key: value for key, value in each.items() if key != "id"} for each in listed]


def _of_json(current: Current, body: bytes) -> object:
    assert current.release is not None
    sent = json.loads(body)
    customers = sent if isinstance(sent, list) else [sent]
    found = answers.answer(current.release, answers.understand(current.release, customers), explain=False)
    return _without_ids(json.loads(json.dumps(found)))


def _of_csv(current: Current, body: bytes) -> object:
    assert current.release is not None
    head = body[: bulk.BLOCK]
    answering = bulk.opened(
        current.release, current.home.settings.csv, head, is_all=len(head) < bulk.BLOCK, encoding=None
    )
    return b"".join([answering.head(), *(lines for lines, _ in answering.lines(io.BytesIO(body))), b"\n"])


_CSV_OR_JSON: Mapping[str, Callable[[Current, bytes], object]] = {_JSON: _of_json, _CSV: _of_csv}

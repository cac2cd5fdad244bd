"""What was asked and answered since the process began, for `GET /metrics`.

It is counted on the event loop alone, so without a lock; for a request that costs a microsecond or two.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from churnwatch.pipeline.exposition import Family, Histogram

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_ELSE = "other"  # what led to no route; whatever stands in such a path is nobody's business


class Traffic:
    """Counts by route and status, and by model version."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int], _Answers] = {}
        self._predictions: Counter[str] = Counter()

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        answers = self._answers.get((route, status))
        if answers is None:
            answers = self._answers[route, status] = _Answers()
        answers.spread[bisect_left(BOUNDS_S, seconds)] += 1
        answers.seconds += seconds

    def predicted(self, model: str, customers: int) -> None:
        """Count predictions."""
        self._predictions[model] += customers

    def families(self) -> list[Family | Histogram]:
        """Return all of it as metrics."""
        named = [({"route": route, "status": str(status)}, each) for (route, status), each in self._answers.items()]
        asked = [(labels, sum(each.spread)) for labels, each in named]
        took = [(labels, each.spread, each.seconds) for labels, each in named]
        predicted = [({"model": model}, count) for model, count in self._predictions.items()]
        return [
            Family("serve_requests_total", "Requests, by route and by status of the answer.", asked, "counter"),
            Histogram("serve_request_duration_seconds", "From a request to the end of its answer.", BOUNDS_S, took),
            Family("serve_predictions_total", "Predictions, by model version.", predicted, "counter"),
        ]


class _Answers:
    """How long answers of one kind took: how many in each range, and together."""

    __slots__ = ("seconds", "spread")

    def __init__(self) -> None:
        self.spread, self.seconds = [0] * (len(BOUNDS_S) + 1), 0.0


class Counting:
    """ASGI middleware that counts answers; around all others, so that it counts theirs, too."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app, self.traffic = app, traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if "status" in message:
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sent)
        finally:
            self.traffic.answered(_route(scope), status, perf_counter() - begun)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return _ELSE if route is None else str(route.path_format)

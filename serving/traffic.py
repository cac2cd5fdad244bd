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
    """Counts by route and by model version."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.predictions: Counter[str] = Counter()
        self._spread: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self.requests[route, status] += 1
        if route not in self._spread:
            self._spread[route], self._seconds[route] = [0] * (len(BOUNDS_S) + 1), 0.0
        self._spread[route][bisect_left(BOUNDS_S, seconds)] += 1
        self._seconds[route] += seconds

    def predicted(self, model: str, customers: int) -> None:
        """Count predictions."""
        self.predictions[model] += customers

    def families(self) -> list[Family | Histogram]:
        """Return all of it as metrics."""
        asked = [({"route": route, "status": str(status)}, count) for (route, status), count in self.requests.items()]
        took = [({"route": route}, spread, self._seconds[route]) for route, spread in self._spread.items()]
        predicted = [({"model": model}, count) for model, count in self.predictions.items()]
        return [
            Family("serve_requests_total", "Requests, by route and by status of the answer.", asked, "counter"),
            Histogram("serve_request_duration_seconds", "From a request to the end of its answer.", BOUNDS_S, took),
            Family("serve_predictions_total", "Predictions, by model version.", predicted, "counter"),
        ]


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
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, sent)
        finally:
            self.traffic.answered(_route(scope), status, perf_counter() - begun)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return _ELSE if route is None else str(route.path_format)

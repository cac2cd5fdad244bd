"""`GET /metrics`: how the process does, in the text format of Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response

from churnwatch.pipeline import exposition
from churnwatch.pipeline.exposition import Family, Sample
from churnwatch.serving.release import Current
from churnwatch.serving.served import Log, LogState
from churnwatch.serving.traffic import Traffic


def router(current: Current, traffic: Traffic, log: Log) -> APIRouter:
    """Return the route."""
    made = APIRouter(tags=["health"])

    @made.get("/metrics", response_class=Text)
    async def metrics() -> Response:
        """Return what was asked and answered since the process began, for Prometheus."""
        return Text(exposition.text([*_of(current), *traffic.families(), *_of_log(log.state())]))

    return made


class Text(Response):
    """An answer in the text format of Prometheus."""

    media_type = exposition.MEDIA_TYPE


def _of(current: Current) -> list[Family]:
    release = current.release
    version: list[Sample] = [] if release is None else [({}, release.model.version)]
    return [
        Family("serve_release_version", "Version of the model that answers; left out where there is none.", version),
        Family("serve_release_behind", "1 where the newest release is not in use, or there is none.",
               [({}, int(current.problem is not None))]),
    ]  # fmt: skip


def _of_log(state: LogState) -> list[Family]:
    return [
        Family("serve_predictions_logged_total", "Predictions that are in the log.", [({}, state.logged)], "counter"),
        Family("serve_predictions_not_logged_total", "Predictions that the log lost.", [({}, state.not_logged)],
               "counter"),
        Family("serve_predictions_waiting", "Predictions that wait for the log.", [({}, state.waiting)]),
        Family("serve_log_failing", "1 while nothing can be logged.", [({}, int(state.error is not None))]),
    ]  # fmt: skip

"""`POST /outcomes`: what came of predictions. `GET /performance`: how good they were."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response

from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.served.reader import Reader
from churnwatch.pipeline.served.records import Answered, Fate, Outcome
from churnwatch.pipeline.settings import Settings
from churnwatch.serving import bodies, performance, problems
from churnwatch.serving.problems import LONGEST_NAME, MOST_PROBLEMS, FieldProblem, Problem
from churnwatch.serving.scoring import Measured
from churnwatch.serving.served import Log

# pydantic's own times would take a number for seconds since 1970
Moment = Annotated[str | None, Query(
    description="In ISO 8601; a day alone begins at midnight, UTC.", examples=["2026-11-01T00:00:00Z"],
    json_schema_extra={"format": "date-time"},
)]  # fmt: skip
_FIELDS = ("id", "target", "at")
_FIRST, _LAST = "0001", "9999-12-31T23:59:59.999Z"
_EXAMPLE = {"id": "7d6e8e9c-7a0b-4e0f-9d53-1c1f6a8f6f1e", "target": 1, "at": "2026-11-22"}
_SAYS = {
    Fate.UNKNOWN: "no prediction of this id is in the log: it was never made, was not logged (`serve.log_share`), or is"
    " older than `serve.keep_days`",
    Fate.CONTRADICTS: "another outcome of this prediction was told before, which counts; this one is recorded",
}


@dataclass(frozen=True)
class Target:
    """How outcomes are told.

    Attributes:
        positive: the target's value of those who left; None: the target is an amount.
        allowed: the values that hold, where the settings say so.
    """

    positive: str | None
    allowed: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Target:
        """Return that of a home."""
        declared = settings.declared.get(settings.target)
        return cls(settings.positive, () if declared is None else declared.allowed)

    @property
    def schema(self) -> dict[str, Any]:
        """What may be told, as JSON Schema."""
        if self.positive is None:
            return {"type": "number", "description": "The amount."}
        numbers = {"enum": [0, 1]} if _number(self.positive) is None else {"type": "number"}
        texts = {"enum": list(self.allowed)} if self.allowed else {"type": "string", "minLength": 1}
        return {"anyOf": [numbers, {"type": "boolean"}, texts], "description": "1 or 0, or the target's own value."}

    def understood(self, told: object) -> float | str:
        """Return 1 or 0, or the amount; or what is wrong with it."""
        number = _number(told) if isinstance(told, int | float) else None
        if isinstance(told, int | float) and (number is None or not math.isfinite(number)):
            return "not a number"
        if self.positive is None:
            return "not a number" if number is None or isinstance(told, bool) else number
        if number is not None:
            return self._of_number(number)
        return self._of_text(told) if isinstance(told, str) and told else "neither 1, 0, nor a value of the target"

    def _of_number(self, number: float) -> float | str:
        positive = _number(self.positive or "")
        if positive is not None:
            return float(number == positive)
        return number if number in (0.0, 1.0) else "neither 1 nor 0"

    def _of_text(self, text: str) -> float | str:
        if text == self.positive:
            return 1.0
        number = _number(text)
        is_number = _number(self.positive or "") is not None or (number in (0.0, 1.0) and not self.allowed)
        if number is not None and is_number:
            return self._of_number(number)
        if text.casefold() == (self.positive or "").casefold():
            return "written otherwise than `positive` in the settings"
        return "none of the allowed values" if self.allowed and text not in self.allowed else 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """What became of an outcome: `joined` to its prediction, or `already known`."""

    id: str
    target: float
    state: Literal["joined", "already known"]


@dataclass(frozen=True, slots=True)
class OfModel:
    """How good one model's predictions were.

    Attributes:
        model: the version.
        served: how many predictions there were.
        outcomes: of how many the outcome is known.
        positives: how many of these left.
        metrics: those that these outcomes allow.
    """

    model: str
    served: int
    outcomes: int
    positives: int
    metrics: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Performance:
    """How good the predictions of a time were, in all and by model; a null is no bound.

    Attributes:
        start: from when on.
        end: before when.
        served: how many predictions there were.
        outcomes: of how many the outcome is known.
        positives: how many of these left.
        metrics: those that these outcomes allow.
        models: by model, in the order in which they served.
    """

    start: str | None
    end: str | None
    served: int
    outcomes: int
    positives: int
    metrics: tuple[Measured, ...]
    models: tuple[OfModel, ...]


def _number(told: str | float) -> float | None:
    try:
        return float(told)
    except (ValueError, OverflowError):
        return None


def _body(target: Target) -> dict[str, Any]:
    """Return how an OpenAPI document describes what is sent."""
    when = "When it was so, ISO 8601; now, where it is not told."
    outcome = {
        "type": "object",
        "title": "Outcome",
        "required": ["id", "target"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "description": "Of the prediction, as it was answered."},
            "target": target.schema,
            "at": {
                "anyOf": [{"type": "string", "format": form} for form in ("date-time", "date")],
                "description": when,
            },
        },
    }
    schema = {"anyOf": [outcome, {"type": "array", "items": outcome}]}
    return {"required": True, "content": {"application/json": {"schema": schema, "example": _EXAMPLE}}}


def router(log: Log, path: Path, target: Target) -> APIRouter:
    """Return both routes.

    Args:
        log: takes outcomes.
        path: of the log's file, which is read beside.
        target: how outcomes are told.
    """
    made = APIRouter(tags=["outcomes"])

    @made.post(
        "/outcomes",
        response_model=Told | list[Told],
        openapi_extra={"requestBody": _body(target)},
        responses=problems.documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    )
    async def outcomes(request: Request) -> Response:
        """Say what came of one prediction, or of a list of them: of all, or where one is refused, of none."""
        sent = bodies.objects(await request.body(), "one outcome", "tell them in pieces")
        told = understood(sent if isinstance(sent, list) else [sent], target, now=utc_now())
        try:
            fates = await asyncio.wrap_future(log.tell(told))
        except LedgerError as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        _refuse(fates)
        known = [{"id": each.uuid, "target": each.target, "state": fate.value}
                 for each, fate in zip(told, fates, strict=True)]  # fmt: skip
        body = msgspec.json.encode(known if isinstance(sent, list) else known[0])
        return Response(body, media_type="application/json")

    @made.get("/performance", responses=problems.documented(
        HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))  # fmt: skip
    def how_good(start: Moment = None, end: Moment = None) -> Performance:
        """Say how good the predictions were that were made from `start` to before `end`, by model and in all."""
        since, until = _moment("start", start), _moment("end", end)
        window = since or _FIRST, until or _LAST
        try:
            served, answered = _read(path, *window)
        except LedgerError as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        figures = partial(performance.figures, amounts=target.positive is None)
        models = (
            (version, rows, [each for each in answered if each.version == version]) for version, rows in served.items()
        )
        return Performance(
            since, until, sum(served.values()), len(answered), performance.positives(answered), figures(answered),
            tuple(OfModel(version, rows, len(known), performance.positives(known), figures(known))
                  for version, rows, known in models),
        )  # fmt: skip

    return made


# -- outcomes --------------------------------------------------------------------------------------------------


def understood(sent: Sequence[Mapping[str, Any]], target: Target, *, now: datetime) -> list[Outcome]:
    """Return outcomes as they were sent.

    Raises:
        Problem: a field of one is missing, unknown or of the wrong type.
    """
    found, wrong = [], list[FieldProblem]()
    for row, each in enumerate(sent):
        value, at = target.understood(each.get("target")), _at(each.get("at"), now)
        problems_here = list(islice(_wrong(each, value, at, row if len(sent) > 1 else None), MOST_PROBLEMS))
        wrong += problems_here
        if len(wrong) >= MOST_PROBLEMS:
            break
        if not problems_here:
            found.append(Outcome(each["id"], float(value), at or ""))
    if wrong:
        named = ", ".join(dict.fromkeys(f"`{each.field}`: {each.detail}" for each in wrong[:3]))
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{named}. See /docs for what an outcome is.", wrong)
    return found


def _wrong(sent: Mapping[str, Any], value: float | str, at: str | None, row: int | None) -> Iterator[FieldProblem]:
    if not isinstance(sent.get("id"), str):
        yield FieldProblem("id", "missing, or not a text", row)
    if isinstance(value, str):
        yield FieldProblem("target", "missing" if sent.get("target") is None else value, row)
    if at is None:
        yield FieldProblem("at", "no time in ISO 8601", row)
    for name in sorted(sent.keys() - set(_FIELDS)):
        yield FieldProblem(name[:LONGEST_NAME], "no such field", row)


def _at(told: object, now: datetime) -> str | None:
    """Return when an outcome was so as the log writes it; None where that is no time."""
    if told is None:
        return iso(now)
    return _time(told) if isinstance(told, str) else None


def _time(told: str) -> str | None:
    """Return a time as the log writes it, in UTC where no zone is told; None: it is none."""
    try:
        moment = datetime.fromisoformat(told)
        return iso(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _refuse(fates: Sequence[Fate]) -> None:
    wrong = [FieldProblem("id", _SAYS[fate], row if len(fates) > 1 else None)
             for row, fate in enumerate(fates) if fate in _SAYS]  # fmt: skip
    if wrong:
        status = HTTPStatus.CONFLICT if Fate.CONTRADICTS in fates else HTTPStatus.NOT_FOUND
        more = "" if len(fates) == 1 else f" {len(wrong)} of {len(fates)} are refused, so none was joined."
        raise Problem(status, f"{wrong[0].detail}.{more}", wrong)


# -- performance -----------------------------------------------------------------------------------------------


def _moment(name: str, given: str | None) -> str | None:
    found = None if given is None else _time(given)
    if given is not None and found is None:
        problem = FieldProblem(name, "no time in ISO 8601")
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"`{name}` is no time in ISO 8601.", [problem])
    return found


def _read(path: Path, start: str, end: str) -> tuple[dict[str, int], list[Answered]]:
    with Reader.open(path) as reader:
        return reader.served(start, end), reader.answered(start, end)

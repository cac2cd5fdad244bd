"""The release → JSON Schema of what `POST /predict` takes and says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from churnwatch.pipeline.schema import LARGEST
from churnwatch.pipeline.settings import ColumnType
from churnwatch.serving.fields import Field
from churnwatch.serving.release import Release

JsonSchema = dict[str, Any]
_ANYTHING = {
    "type": ["string", "number", "boolean", "null"],
    "minimum": -int(LARGEST),
    "maximum": int(LARGEST),
}
_JSON_TYPES = {ColumnType.INTEGER: "integer", ColumnType.NUMBER: "number"}


def customer(release: Release) -> JsonSchema:
    """Return what a customer may be sent as: every field, and the other columns, which count for nothing."""
    others = {name: {**_ANYTHING, "description": "Not looked at."} for name in sorted(release.others)}
    if release.id is not None:
        others |= {release.id: {**_ANYTHING, "description": "The customer's id. Not looked at."}}
    return {
        "type": "object",
        "description": "What is not sent is assumed: the default. A null is a value that is missing.",
        "properties": {**{name: _sent(field) for name, field in release.fields.items()}, **others},
        "additionalProperties": False,
    }


def typical(release: Release) -> dict[str, Any]:
    """Return the customer that is assumed where nothing is sent, as it may be sent."""
    return {name: field.typical for name, field in release.fields.items() if field.wrong(field.typical) is None}


def _sent(field: Field) -> JsonSchema:
    allowed = {"enum": [*_allowed(field), *([] if field.checks.required else [None])]} if field.checks.allowed else {}
    default = {"default": field.typical} if field.wrong(field.typical) is None else {}
    return {**_type(field), **_bounds(field), **_filled(field), **allowed, **_usual(field), **default}


def _type(field: Field) -> JsonSchema:
    kind = _JSON_TYPES.get(field.kind, "string")
    return {"type": kind if field.checks.required else [kind, "null"]}


def _allowed(field: Field) -> list[Any]:
    if not field.is_number:
        return list(field.checks.allowed)
    return [int(number) if (number := float(each)).is_integer() else number for each in field.checks.allowed]


def _filled(field: Field) -> JsonSchema:
    """Return what a text must be that may not be missing."""
    return {} if field.is_number or not field.checks.required else {"pattern": r"[^ \t]"}


def _bounds(field: Field) -> JsonSchema:
    """Return between what a number must be: by the settings, and as the model can take it."""
    if not field.is_number:
        return {}
    low, high = field.checks.min, field.checks.max
    largest = int(LARGEST)  # digit by digit: 1e+30 in a JSON Schema is a little less than the double
    return {"minimum": -largest if low is None else max(low, -largest),
            "maximum": largest if high is None else min(high, largest)}  # fmt: skip


def _usual(field: Field) -> JsonSchema:
    """Return what the data has: the categories that are kept by name, or from where to where numbers go."""
    if field.categories:
        return {"examples": list(field.categories)}
    if field.low is None or field.high is None:
        return {}
    return {"description": f"In the data from {field.low:g} to {field.high:g}.", "examples": [field.low, field.high]}


def answer(release: Release) -> JsonSchema:
    """Return what is said of a customer."""
    said, required = _said(amounts=release.amounts)
    return {
        "type": "object",
        "required": ["data", *required, "bucket", "assumed", "model", "id"],
        "properties": {
            "data": {
                "type": "object", "description": "As understood.", "required": list(release.fields),
                "properties": {name: {"type": [_JSON_TYPES.get(field.kind, "string"), "null"]}
                               for name, field in release.fields.items()},
            },
            **said,
            "bucket": {"enum": ["A", "B", "C"], "description": "A to call, B to make an offer, C to thank."},
            **_explained(release),
            "assumed": {"type": "array", "items": {"type": "string"}, "description": "Fields that were not sent."},
            "model": {"type": "string", "description": "The version that says so."},
            "id": {"type": "string", "format": "uuid", "description": "Of this answer."},
        },
    }  # fmt: skip


def _said(*, amounts: bool) -> tuple[Mapping[str, JsonSchema], list[str]]:
    if amounts:
        return {"amount": {"type": "number", "description": "That is expected."}}, ["amount"]
    found: Mapping[str, JsonSchema] = {
        "probability": {"type": "number", "minimum": 0, "maximum": 1, "description": "Of leaving."},
        "decision": {"enum": [0, 1], "description": "1 from the model's threshold on."},
    }
    return found, list(found)


def _explained(release: Release) -> JsonSchema:
    unit = "the amount's unit" if release.amounts else "log-odds"
    return {
        "explanation": {
            "type": ["object", "null"],
            "description": f"What each field contributes, in {unit}; null where the model explains nothing.",
            "additionalProperties": {"type": "number"},
        },
        "base": {"type": "number", "description": f"What the model says where no field is known, in {unit}."},
        "unexplained": {"type": "string", "description": "Why the model explains nothing."},
    }

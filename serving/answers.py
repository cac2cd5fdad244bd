"""What is said of customers who are asked about: probability, decision, bucket, and why."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from churnwatch.pipeline.compiled import Floats
from churnwatch.serving.inputs import Inputs, understood
from churnwatch.serving.problems import Problem
from churnwatch.serving.release import Release

Answer = dict[str, Any]


def understand(release: Release, sent: Sequence[Mapping[str, Any]]) -> Inputs:
    """Return customers as the release understands them.

    Raises:
        Problem: some field is unknown, or of the wrong type.
    """
    found = understood(sent, release.fields, release.others, release.id)
    if isinstance(found, Inputs):
        return found
    names = ", ".join(dict.fromkeys(f"`{each.field}` is {each.detail}" for each in found[:3]))
    more = "" if len(found) <= 3 else ", …"  # noqa: PLR2004 - three are named
    raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{names}{more}. See /docs for the fields.", found)


def answer(release: Release, inputs: Inputs, *, explain: bool) -> list[Answer]:
    """Return what the release says of each customer."""
    columns = inputs.columns(release.fields)
    said = release.predictor.predictions(columns)
    why = release.predictor.contributions(columns) if explain else None
    sorted_ = release.sorter.sort(said, release.threshold, inputs.numbers, amounts=release.amounts)
    return list(_answers(release, inputs, said, sorted_, why, explain=explain))


def _answers(
    release: Release, inputs: Inputs, said: Floats, sorted_: Sequence[str], why: Floats | None, *, explain: bool
) -> Iterator[Answer]:
    names, base = list(release.fields), release.predictor.base
    explained = why.tolist() if why is not None else [None] * len(inputs)
    rows = zip(inputs.customers, inputs.assumed, said.tolist(), sorted_, explained, strict=True)
    for customer, assumed, prediction, bucket, contributions in rows:
        found: Answer = {"data": customer, **_said(release, prediction), "bucket": bucket}
        if contributions is not None:
            found |= {"explanation": dict(zip(names, contributions, strict=True)), "base": base}
        elif explain:
            found |= {"explanation": None, "unexplained": release.predictor.unexplained}
        yield found | {"assumed": assumed, "model": release.name, "id": str(uuid.uuid4())}


def _said(release: Release, prediction: float) -> Answer:
    if release.amounts:
        return {"amount": prediction}
    return {"probability": prediction, "decision": int(prediction >= release.threshold)}

"""The text format of Prometheus: what was measured in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = dict[str, str]
Sample = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without `churnwatch_`, what it is, its samples, each labels and a value, and its kind."""

    name: str
    help: str
    samples: Sequence[Sample]
    kind: Literal["gauge", "counter"] = "gauge"


@dataclass(frozen=True, slots=True)
class Histogram:
    """How some values were spread.

    Attributes:
        name: without `churnwatch_`.
        help: what it is.
        bounds: upper ends of the ranges that are counted, rising.
        series: each labels, how many values were in each range and above the last bound, and their sum.
    """

    name: str
    help: str
    bounds: Sequence[float]
    series: Sequence[tuple[Labels, Sequence[int], float]]


def text(found: Sequence[Family | Histogram]) -> str:
    """Return metrics in the exposition format; those without samples are left out."""
    lines = [line for each in found for line in (_spread(each) if isinstance(each, Histogram) else _plain(each))]
    return "".join(f"{line}\n" for line in lines)


def _plain(family: Family) -> Iterator[str]:
    if family.samples:
        yield from _head(family.name, family.help, family.kind)
    for labels, value in family.samples:
        yield _line(family.name, labels, value)


def _spread(histogram: Histogram) -> Iterator[str]:
    if histogram.series:
        yield from _head(histogram.name, histogram.help, "histogram")
    bounds = [*map(_number, histogram.bounds), "+Inf"]
    for labels, counts, total in histogram.series:
        up_to = list(accumulate(counts))
        for bound, count in zip(bounds, up_to, strict=True):
            yield _line(f"{histogram.name}_bucket", {**labels, "le": bound}, count)
        yield _line(f"{histogram.name}_sum", labels, total)
        yield _line(f"{histogram.name}_count", labels, up_to[-1])


def _head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP churnwatch_{name} {about}"
    yield f"# TYPE churnwatch_{name} {kind}"


def _line(name: str, labels: Labels, value: float) -> str:
    return f"churnwatch_{name}{_labels(labels)} {_number(value)}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))

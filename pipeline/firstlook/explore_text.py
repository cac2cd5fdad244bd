"""A first look at a file → lines for a terminal."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator

from churnwatch.pipeline.firstlook.column_types import one_line
from churnwatch.pipeline.firstlook.exploration import Bucket, ColumnLook, Exploration

_BLOCKS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SPARK = 10
_TELLING = 6
_LABEL = 28
_NARROWEST = 72


def render_text(exploration: Exploration, width: int = 80) -> str:
    """Return the first look as text of at most so many columns; it needs 72."""
    width = max(width, _NARROWEST)
    parts = (_head, _warnings, _columns, _numbers, _telling, _inferred)
    sections = ["\n".join(lines) for part in parts if (lines := list(part(exploration, width)))]
    return "\n\n".join(sections) + "\n"


def _head(found: Exploration, width: int) -> Iterator[str]:
    size = f": {found.rows:,} rows, {len(found.columns)} columns"
    yield one_line(found.file, width - len(size)) + size
    inference = found.inference
    if inference.target is not None:
        is_so = f" = {one_line(inference.positive)}" if inference.positive is not None else ""
        rate = f": {found.rate:.1%} of {found.labelled:,}" if found.rate is not None else ""
        yield f"target  {fit(one_line(inference.target) + is_so + rate, width - 8).rstrip()}"
    for part, column in (("id", inference.id), ("date", inference.date)):
        if column is not None:
            yield f"{part:6}  {fit(column, width - 8).rstrip()}"


def _warnings(found: Exploration, width: int) -> Iterator[str]:
    if found.warnings:
        yield "WATCH OUT"
        for line in found.warnings:
            yield from _bullet(line, width)


def _inferred(found: Exploration, width: int) -> Iterator[str]:
    yield "INFERRED"
    for line in found.inference.notes:
        yield from _bullet(line, width)
    for question in found.inference.questions:
        candidates = ", ".join(one_line(candidate, 30) for candidate in question.candidates[:8])
        yield from _bullet(f"{question.text} ({candidates})", width)


def _columns(found: Exploration, width: int) -> Iterator[str]:
    wide = min(width - 58, max(6, *(_wide(one_line(look.column)) for look in found.columns)))
    yield f"{'COLUMN':{wide}}  {'TYPE':7}  {'MISSING':>7}  {'DISTINCT':>9}  {'SHAPE':{_SPARK}}  {'AUC':>4}"
    for look in found.columns:
        missing = f"{look.profile.missing_share:.1%}" if look.profile.missing else "-"
        line = (
            f"{fit(look.column, wide)}  {look.type.value:7}  {missing:>7}  {look.profile.distinct_values:>9,}"
            f"  {_shape(look):{_SPARK}}  {_auc(look):>4}  {'LEAK?' if look.leak else look.part}"
        )
        yield line.rstrip()


def _numbers(found: Exploration, width: int) -> Iterator[str]:
    looks = [look for look in found.columns if look.profile.mean is not None]
    if not looks:
        return
    wide = min(width - 55, max(6, *(_wide(one_line(look.column)) for look in looks)))
    yield f"{'NUMBER':{wide}}" + "".join(f"  {word:>9}" for word in ("MEAN", "MEDIAN", "STD", "MIN", "MAX"))
    for look in looks:
        of = look.profile
        values = (of.mean, of.median, of.std, of.minimum, of.maximum)
        yield fit(look.column, wide) + "".join(f"  {number(value):>9}" for value in values)


def _telling(found: Exploration, width: int) -> Iterator[str]:
    looks = found.telling[:_TELLING]
    if not looks:
        return
    yield f"WHO LEAVES (the {len(looks)} columns that tell most; share of rows that left)"
    for look in looks:
        yield ""
        yield f"{fit(look.column, width - 12).rstrip()}  AUC {_auc(look)}"
        most = max((bucket.rate or 0.0 for bucket in look.buckets), default=0.0)
        for bucket in look.buckets:
            yield _rate_line(bucket, most, width)


def _rate_line(bucket: Bucket, most: float, width: int) -> str:
    label = fit(bucket.label, _LABEL)
    if bucket.rate is None:
        return f"  {label} {bucket.rows:>9,}       -"
    room = width - _LABEL - 23
    return (
        f"  {label} {bucket.rows:>9,}  {bucket.rate:>6.1%}  {_bar(bucket.rate / most if most else 0.0, room)}".rstrip()
    )


def _bullet(line: str, width: int) -> list[str]:
    return textwrap.wrap(
        one_line(line, 400), width, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
    )


def _shape(look: ColumnLook) -> str:
    """Draw the histogram, or the most frequent values, as small blocks."""
    if look.histogram is not None:
        counts: list[float] = list(look.histogram.counts)
        each = -(-len(counts) // _SPARK)
        counts = [sum(counts[i : i + each]) for i in range(0, len(counts), each)]
    else:
        counts = [bucket.rows for bucket in look.buckets if not bucket.gathered]
    most = max(counts, default=0)
    return "".join(" " if not c else _BLOCKS[min(7, int(8 * c / most))] for c in counts[:_SPARK]) if most else ""


def _bar(share: float, room: int) -> str:
    full, rest = divmod(round(share * room * 8), 8)
    return "█" * full + _EIGHTHS[rest].strip()


def number(value: float | None) -> str:
    """Return a number with about four digits, however large or small it is."""
    if value is None:
        return "-"
    if value == 0 or 0.01 <= abs(value) < 1e7:  # noqa: PLR2004
        digits = 0 if value == int(value) or abs(value) >= 1e4 else 1 if abs(value) >= 1e3 else 2  # noqa: PLR2004
        return f"{value:,.{digits}f}"
    return f"{value:.2e}"


def _auc(look: ColumnLook) -> str:
    return f"{look.auc:.2f}".removeprefix("0") if look.auc is not None else ""


def fit(text: str, wide: int) -> str:
    """Return a text cut or filled up to exactly so many columns of a terminal."""
    text = one_line(text, 400)
    if _wide(text) > wide:
        while text and _wide(text) > wide - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (wide - _wide(text))


def _wide(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)

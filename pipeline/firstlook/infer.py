"""A sample CSV → the settings that fit it, a line for all that was inferred, a question for what cannot be.

    read the head → types → date, target, positive, id → columns that say too much or nothing → `Inference`

What the user gave is checked, never questioned.
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from churnwatch.pipeline import cells
from churnwatch.pipeline.engine import duckdb_engine, name
from churnwatch.pipeline.errors import UsageError
from churnwatch.pipeline.firstlook import roles, single_column
from churnwatch.pipeline.firstlook.column_types import Types, infer_columns, infer_types, shown
from churnwatch.pipeline.firstlook.head import Sample, of_reading, read_sample
from churnwatch.pipeline.firstlook.inference import Inference, Question
from churnwatch.pipeline.firstlook.roles import Choice, Fact
from churnwatch.pipeline.firstlook.settings_text import classic_settings_text, from_classic_config, settings_text
from churnwatch.pipeline.schema import NUMBERS, Schema
from churnwatch.pipeline.settings import Column, ColumnType, Csv, Task

__all__ = [
    "Inference",
    "Question",
    "Types",
    "classic_settings_text",
    "from_classic_config",
    "infer",
    "infer_columns",
    "infer_types",
    "settings_text",
]

_MOST_ALLOWED = 20
_MANY_REPEATS = 0.05
_LISTED = 12


@dataclass(frozen=True)
class _Parts:
    """What is found out step by step."""

    columns: dict[str, Column]
    csv: Csv
    notes: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    given: frozenset[str] = frozenset()
    chosen: dict[str, str] = field(default_factory=dict)
    task: Task = Task.CLASSIFICATION

    def noted(self, *notes: str) -> _Parts:
        return replace(self, notes=self.notes + tuple(note for note in notes if note))

    def take(self, part: str, choice: Choice, question: str) -> _Parts:
        """Take a choice over, or ask."""
        if choice.value is not None:
            return replace(self.noted(choice.note), chosen=self.chosen | {part: choice.value})
        if choice.candidates:
            return replace(self, questions=(*self.questions, Question(part, question, choice.candidates)))
        return self.noted(choice.note)


def infer(
    path: Path,
    *,
    id: str | None = None,  # noqa: A002  (the setting's own name)
    target: str | None = None,
    positive: str | None = None,
    date: str | None = None,
    exclude: Sequence[str] = (),
    delimiter: str | None = None,
) -> Inference:
    """Find out the settings that fit a sample, of which at most the first 200,000 rows are read.

    Raises:
        DataError: the file cannot be read, or has no rows.
        UsageError: a column or value that was given is not there; the message names those that are.
    """
    with tempfile.TemporaryDirectory() as scratch, duckdb_engine(Path(scratch) / "spill") as engine:
        sample = read_sample(path, delimiter, engine)
        given = {"id": id, "target": target, "date": date}
        _check_given(sample.columns, [*given.values(), *exclude])
        if target is not None and target in (*exclude, id, date):
            raise UsageError(f"--target: {shown(target)} cannot be excluded, nor be the id or the date as well.")
        types = infer_types(engine, "sample", sample.columns, Csv(delimiter=sample.opening.dialect.delimiter))
        parts = _Parts(types.columns, types.csv, (*of_reading(sample), *types.notes))
        parts = replace(parts, chosen={part: column for part, column in given.items() if column is not None})
        _type(sample, parts)
        parts = _with_roles(sample, parts, positive, tuple(exclude))
        return _with_exclusions(sample, parts, tuple(exclude))


def _check_given(columns: Sequence[str], given: Sequence[str | None]) -> None:
    for column in given:
        if column is not None and column not in columns:
            near = difflib.get_close_matches(column, columns, n=1)
            hint = f"did you mean {shown(near[0])}? " if near else ""
            raise UsageError(f"there is no column {shown(column)}; {hint}There are {_listed(columns)}.")


def _type(sample: Sample, parts: _Parts) -> None:
    """Make the tables `typed_sample` and `once`, the latter without repeated rows."""
    typed = ", ".join(
        f"{cells.typed_column(column, kind, parts.csv)} AS {name(column)}" for column, kind in parts.columns.items()
    )
    sample.engine.table("typed_sample", f"SELECT {typed} FROM sample")
    sample.engine.table("once", "SELECT DISTINCT * FROM typed_sample")


def _with_roles(sample: Sample, parts: _Parts, positive: str | None, exclude: tuple[str, ...]) -> _Parts:
    """Find date, target, positive and id, in this order: each narrows what the next can be."""
    chosen = parts.chosen
    if "date" not in chosen:
        facts = _facts(sample, parts, exclude)
        parts = parts.take("date", roles.pick_date(facts), "Which is the date of the snapshot?")
    elif parts.columns[chosen["date"]].type is not ColumnType.DATE:
        raise UsageError(f"--date: not every cell of {shown(chosen['date'])} is a date.")
    facts = _facts(sample, parts, exclude)
    if "target" not in chosen:
        parts = parts.take("target", roles.pick_target(facts), "Which column says who has left?")
    if "target" in parts.chosen:
        parts = _with_positive(sample, parts, positive, named="target" in chosen)
    facts = [fact for fact in facts if fact.column not in parts.chosen.values()]
    if "id" not in chosen:
        parts = parts.take("id", roles.pick_id(facts), "Which column names the customer?")
    return _with_id(sample, parts)


def _facts(sample: Sample, parts: _Parts, exclude: Sequence[str]) -> list[Fact]:
    """Describe the columns that still have no part."""
    date = parts.chosen.get("date")
    columns = [c for c in parts.columns if c not in exclude and c not in parts.chosen.values()]
    asked = []
    for column in columns:
        quoted = name(column)
        pair = f"count(DISTINCT ({quoted}, {name(date)})) FILTER (WHERE {quoted} IS NOT NULL)" if date else "0"
        asked.append(f"count({quoted}), count(DISTINCT {quoted}), max(length(CAST({quoted} AS VARCHAR))), {pair}")
    if not asked:
        return []
    row = sample.engine.rows(f"SELECT {', '.join(asked)} FROM once")[0]
    groups = zip(*[iter(row)] * 4, strict=True)
    return [
        Fact(column, parts.columns[column].type, int(present), int(distinct), int(longest or 0), int(by_date))
        for column, (present, distinct, longest, by_date) in zip(columns, groups, strict=True)
    ]


def _with_positive(sample: Sample, parts: _Parts, positive: str | None, *, named: bool) -> _Parts:
    """Find the value that means "left"; a target of many numbers that the user named is an amount."""
    target = parts.chosen["target"]
    cell = cells.present(target, parts.csv)
    most = sample.engine.rows(
        f"SELECT {cell}, count(*) FROM sample WHERE {cell} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1000"
    )
    values = [value for value, _ in most]
    if not values:
        raise UsageError(f"target: {shown(target)} has no value in the sample; name another with --target.")
    if positive is None and named and parts.columns[target].type in NUMBERS and len(values) > _MOST_ALLOWED:
        amounts = replace(parts, task=Task.REGRESSION)
        return amounts.noted(f"task: regression, because {shown(target)} has many different numbers")
    if positive is None:
        choice = roles.pick_positive(values)
        parts = parts.take("positive", choice, f"Which value of {shown(target)} means that a customer has left?")
    else:
        _check_positive(positive, values, target, parts.columns[target])
        parts = replace(parts, chosen=parts.chosen | {"positive": positive})
    if len(values) > 2 and "positive" in parts.chosen:  # noqa: PLR2004
        parts = parts.noted(f"target: all of its other {len(values) - 1} values count as not having left")
    # Where all have stayed (or left) so far, the other value is still to come.
    if parts.columns[target].type is not ColumnType.TEXT or not 1 < len(values) <= _MOST_ALLOWED:
        return parts
    kind = msgspec.structs.replace(parts.columns[target], allowed=tuple(sorted(values)))
    return replace(parts, columns=parts.columns | {target: kind})


def _check_positive(positive: str, values: Sequence[str], target: str, kind: Column) -> None:
    """Refuse a value that is not there; where the sample has one value only, the other may come later."""
    same = set(values) | ({_number(v) for v in values} if kind.type is not ColumnType.TEXT else set())
    wanted = positive if kind.type is ColumnType.TEXT else _number(positive)
    if wanted not in same and (len(values) > 1 or wanted is None):
        raise UsageError(f"--positive: {shown(target)} is never {shown(positive)}; it is {_listed(values)}.")


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def _with_id(sample: Sample, parts: _Parts) -> _Parts:
    """Make the id a text, or say what it means that there is none."""
    if "id" in parts.chosen:
        column = parts.chosen["id"]
        return replace(parts, columns=parts.columns | {column: Column(type=ColumnType.TEXT)})
    note = "no id: the call list will have no names, and equal rows may be different customers"
    return parts.noted(note + ("; all are kept (dedup: off)" if _repeats_are_real(sample, parts) else ""))


def _repeats_are_real(sample: Sample, parts: _Parts) -> bool:
    if "id" in parts.chosen:
        return False
    once = int(sample.engine.rows("SELECT count(*) FROM once")[0][0])
    return sample.rows - once >= _MANY_REPEATS * sample.rows


def _with_exclusions(sample: Sample, parts: _Parts, exclude: tuple[str, ...]) -> Inference:
    """Leave out what says nothing or too much, and put everything together."""
    facts = _facts(sample, parts, exclude)
    empty = roles.to_leave_out(facts)
    parts = parts.noted(*(f"exclude: {shown(column)}, because {why}" for column, why in empty.items()))
    found = _signals(sample, parts, [f.column for f in facts if f.column not in empty])
    leaks = tuple(column for column, auc in found.aucs.items() if found.judged and auc >= single_column.LEAK)
    parts = parts.noted(*_warnings(found, leaks))
    chosen = parts.chosen
    dedup: Literal["on", "off"] = "off" if _repeats_are_real(sample, parts) else "on"
    return Inference(
        csv=parts.csv,
        columns=parts.columns,
        id=chosen.get("id"),
        target=chosen.get("target"),
        positive=chosen.get("positive"),
        task=parts.task,
        date=chosen.get("date"),
        exclude=tuple(dict.fromkeys((*exclude, *empty, *leaks))),
        leaks=leaks,
        aucs=found.aucs,
        dedup=dedup,
        notes=parts.notes,
        questions=parts.questions,
    )


@dataclass(frozen=True)
class _Signals:
    """How well each column alone tells who left, and whether there are rows enough to judge by."""

    aucs: dict[str, float]
    judged: bool


def _signals(sample: Sample, parts: _Parts, columns: Sequence[str]) -> _Signals:
    if not columns or "positive" not in parts.chosen:
        return _Signals({}, judged=True)
    schema = Schema(parts.columns, parts.chosen["target"], parts.chosen["positive"])
    label = cells.label(schema)
    frame = sample.engine.arrow(
        f"SELECT {', '.join(map(name, columns))}, {label} AS _y FROM typed_sample WHERE {label} IS NOT NULL"
    ).to_pandas()
    y = frame.pop("_y").to_numpy(dtype=np.int64)
    return _Signals(single_column.aucs(frame, y), single_column.tells_of_leaks(y))


def _warnings(found: _Signals, leaks: Sequence[str]) -> Iterator[str]:
    if not found.judged:
        yield "too few rows to tell whether a column gives the target away"
        return
    for column, auc in found.aucs.items():
        if column in leaks:
            yield (
                f"exclude: {shown(column)}, because it alone gives the target away (AUC {auc:.2f});"
                " keep it only if it is known before a customer leaves"
            )
        elif auc >= single_column.STRONG:
            yield f"{shown(column)} alone is strong (AUC {auc:.2f}): is it known before a customer leaves?"


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(shown(text) for text in texts[:_LISTED]) + (", …" if len(texts) > _LISTED else "")

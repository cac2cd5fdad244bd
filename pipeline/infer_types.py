"""Text cells → the columns' types.

A type is only given when every cell that was read fits it, by the same SQL that types rows in a run: what was
inferred from a file never quarantines a row of that file. In doubt it is text, and a number rather than an integer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa

from churnwatch.pipeline import cells
from churnwatch.pipeline.engine import Engine, duckdb_engine, literal, name
from churnwatch.pipeline.settings import Column, ColumnType, Csv

# Words that mean "no value" wherever they stand. "None" and "No" are not among them: both are often categories.
_MISSING_WORDS = ("na", "n/a", "#n/a", "nan", "null", "nil", "missing", "unknown", "?", "-", "--", "---", ".", "\\n")
_MANY_VALUES = 10  # from so many numbers on, a single other text is taken for "no value"
_MOST_STRAYS = 12  # more texts than that among numbers are no accident
_NEARLY = 0.9
_LINE = "_line"
_PLAIN_INTEGER = r"[+-]?(0|[1-9][0-9]{0,17})"
_CODE = r"[+-]?(0[0-9].*|[0-9]{19,})"  # 00123, or too long to be an amount: a name made of digits
_COMMA = r"[+-]?[0-9]*,([0-9]{1,2}|[0-9]{4,})"  # 1,234 may as well be a thousand
_FORMATS = (
    ("%d.%m.%Y", r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}"),
    ("%d/%m/%Y", r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}"),
    ("%m/%d/%Y", r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}"),
)


@dataclass(frozen=True)
class Types:
    """What the cells are, how they must be read for that, and a line for whatever is worth a word."""

    columns: dict[str, Column]
    csv: Csv
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    """A type that a column may have; `fits` is SQL over a cell `v`."""

    kind: Column
    fits: str
    decimal: str


@dataclass(frozen=True)
class _Guess:
    kind: Column
    decimal: str
    missing: tuple[str, ...] = ()
    note: str | None = None


def infer_columns(rows: pa.Table, csv: Csv) -> dict[str, Column]:
    """Tell the columns' types from their texts, read as `csv` says and not otherwise.

    Args:
        rows: texts, as `read.read_rows` gives them; `_line` and columns without a name are left out.
        csv: how the cells are written; nothing is added to it, so that the rows load with the very same.
    """
    names = [column for column in rows.column_names if column not in (_LINE, "")]
    with tempfile.TemporaryDirectory() as spill, duckdb_engine(Path(spill)) as engine:
        engine.table("sample", rows.select(names))
        return infer_types(engine, "sample", names, csv, settled=True).columns


def infer_types(engine: Engine, table: str, columns: Sequence[str], csv: Csv, *, settled: bool = False) -> Types:
    """Tell the columns' types, and what must be added to `csv` to read them.

    Args:
        engine: where the table is.
        table: a table of texts.
        columns: those to look at.
        csv: how the cells are written, as far as it is known.
        settled: whether `csv` is all there is to know; else a decimal comma and words for "no value" are found out.
    """
    found: dict[str, Column] = {}
    notes: list[str] = []
    for column in columns:
        guess = _guess(engine, table, column, columns, csv, settled=settled)
        found[column] = guess.kind
        new = tuple(word for word in guess.missing if word not in csv.missing)
        csv = msgspec.structs.replace(csv, decimal=guess.decimal, missing=csv.missing + new)
        if guess.note:
            notes.append(f"{shown(column)} {guess.note}")
    return Types(found, csv, tuple(notes))


def shown(text: str, most: int = 60) -> str:
    """Return a name or value as one may print it in a line: in backticks, on one line, not endless."""
    return f"`{one_line(text, most)}`"


def one_line(text: str, most: int = 60) -> str:
    """Return a text without line breaks and control characters, cut to at most so many characters."""
    flat = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def _guess(engine: Engine, table: str, column: str, columns: Sequence[str], csv: Csv, *, settled: bool) -> _Guess:
    engine.table(
        "one_column",
        f"SELECT {cells.present(column, csv)} AS v, count(*) AS n FROM {name(table)} GROUP BY 1 HAVING v IS NOT NULL",
    )
    candidates = list(_candidates(csv, settled=settled))
    counts = ", ".join(f"count(*) FILTER (WHERE {c.fits}), sum(n) FILTER (WHERE {c.fits})" for c in candidates)
    comma = f"count(*) FILTER (WHERE {_match(_COMMA)})"
    total, rows, commas, *fitting = engine.rows(f"SELECT count(*), sum(n), {comma}, {counts} FROM one_column")[0]
    text = Column(type=ColumnType.TEXT)
    if not total:
        return _Guess(text, csv.decimal, note="has no value in the sample; it is taken as text")
    open_to = [(c, f) for c, f in zip(candidates, fitting[::2], strict=True) if c.decimal == csv.decimal or commas]
    whole = [c for c, f in open_to if f == total]
    if whole:
        return _settle(whole, csv)
    if not settled:
        for candidate, fits in open_to:
            words: tuple[str, ...] = ()
            if fits:
                words = _words_for_missing(engine, table, column, columns, candidate=candidate, fits=fits)
            if words:
                listed = ", ".join(shown(word) for word in words)
                note = f"is of type {candidate.kind.type} but for {listed}: taken as no value, in every column"
                return _Guess(candidate.kind, candidate.decimal, words, note)
    numbers = fitting[3] or 0
    near = f"is text only because {rows - numbers:,} of its {rows:,} cells are no numbers; declare it as `number` to"
    is_near = fitting[2] >= _MANY_VALUES and numbers >= _NEARLY * rows
    return _Guess(text, csv.decimal, note=f"{near} have the rows of these quarantined" if is_near else None)


def _candidates(csv: Csv, *, settled: bool) -> Iterator[_Candidate]:
    """Yield the types from narrow to wide; integer and number come first, `_guess` counts on it."""
    whole, number = Column(type=ColumnType.INTEGER), Column(type=ColumnType.NUMBER)
    yield _Candidate(whole, f"({_match(_PLAIN_INTEGER)} AND {_types(whole, csv)})", csv.decimal)
    no_code = f"NOT {_match(_CODE)}"
    yield _Candidate(number, f"({no_code} AND {_types(number, csv)})", csv.decimal)
    if csv.decimal == "." and not settled:
        comma = msgspec.structs.replace(csv, decimal=",")
        yield _Candidate(number, f"({no_code} AND {_types(number, comma)})", ",")
    date = Column(type=ColumnType.DATE)
    yield _Candidate(date, _types(date, csv), csv.decimal)
    for form, pattern in _FORMATS:
        date = Column(type=ColumnType.DATE, format=form)
        yield _Candidate(date, f"({_match(pattern)} AND {_types(date, csv)})", csv.decimal)


def _settle(whole: Sequence[_Candidate], csv: Csv) -> _Guess:
    """Take the first type that all cells fit, except where two ways to write dates do."""
    first = whole[0]
    if first.kind.format is None:
        note = "has a decimal comma" if first.decimal != csv.decimal else None
        return _Guess(first.kind, first.decimal, note=note)
    if len(whole) > 1:
        both = " and ".join(str(c.kind.format) for c in whole)
        text = Column(type=ColumnType.TEXT)
        return _Guess(text, csv.decimal, note=f"may be a date, but {both} both fit; it is taken as text")
    return _Guess(first.kind, csv.decimal, note=f"is a date written as {first.kind.format}")


def _words_for_missing(
    engine: Engine, table: str, column: str, columns: Sequence[str], *, candidate: _Candidate, fits: int
) -> tuple[str, ...]:
    """Return the texts among the cells that must mean "no value" for the rest to be of one type; none if they may not.

    Known words are enough by themselves. Any other text must be the only one, come again, and stand in no other
    column: a word for "no value" holds for the whole file.
    """
    strays = engine.rows(
        f"SELECT trim(v), sum(n) FROM one_column WHERE NOT coalesce({candidate.fits}, false)"
        f" GROUP BY 1 ORDER BY 1 LIMIT {_MOST_STRAYS + 1}"
    )
    texts = tuple(text for text, _ in strays)
    if len(texts) <= _MOST_STRAYS and all(text.lower() in _MISSING_WORDS for text in texts):
        return texts
    if len(texts) > 1 or strays[0][1] <= 1 or fits < _MANY_VALUES or any(c.isdigit() for c in texts[0]):
        return ()
    elsewhere = [f"trim({name(other)}) = {literal(texts[0])}" for other in columns if other != column]
    if elsewhere and engine.rows(f"SELECT 1 FROM {name(table)} WHERE {' OR '.join(elsewhere)} LIMIT 1"):
        return ()
    return texts


def _types(kind: Column, csv: Csv) -> str:
    return f"{cells.typed_column('v', kind, csv)} IS NOT NULL"


def _match(pattern: str) -> str:
    return f"regexp_full_match(trim(v), {literal(pattern)})"

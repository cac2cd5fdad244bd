"""Text cells → the columns' types.

A type is only given when every cell that was read fits it, by the same SQL that types rows in a run: what was
inferred from a file never quarantines a row of that file. In doubt it is text, and a number rather than an integer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
_TEXT = Column(type=ColumnType.TEXT)
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
class _Fitting:
    """How many distinct values and rows fit a type."""

    candidate: _Candidate
    values: int
    rows: int


@dataclass(frozen=True)
class _Texts:
    """A table of texts, and whether all is known about how they are written."""

    engine: Engine
    table: str
    columns: tuple[str, ...]
    settled: bool


@dataclass(frozen=True)
class _Guess:
    kind: Column
    decimal: str
    missing: tuple[str, ...] = ()
    note: str | None = None


def infer_columns(rows: pa.Table, csv: Csv) -> dict[str, Column]:
    """Tell the columns' types from their texts, read as `csv` says and not otherwise.

    Args:
        rows: texts, as `blocks.read_blocks` gives them; `_line` and columns without a name are left out.
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
    texts = _Texts(engine, table, tuple(columns), settled)
    types = _infer_all(texts, csv)
    if types.csv.decimal == csv.decimal:
        return types
    # Columns before the one that gave it away are looked at again: 1,500 is no thousand where 0,75 stands.
    again = _infer_all(texts, msgspec.structs.replace(csv, decimal=types.csv.decimal))
    return replace(again, notes=("numbers have a decimal comma", *again.notes))


def _infer_all(texts: _Texts, csv: Csv) -> Types:
    found: dict[str, Column] = {}
    notes: list[str] = []
    for column in texts.columns:
        guess = _guess(texts, column, csv)
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


def _guess(texts: _Texts, column: str, csv: Csv) -> _Guess:
    cell = cells.present(column, csv)
    values = f"SELECT {cell} AS v, count(*) AS n FROM {name(texts.table)} GROUP BY 1"
    texts.engine.table("one_column", f"SELECT v, n FROM ({values}) AS d WHERE v IS NOT NULL")
    total, rows = texts.engine.rows("SELECT count(*), coalesce(sum(n), 0) FROM one_column")[0]
    if not total:
        return _Guess(_TEXT, csv.decimal, note="has no value in the sample; it is taken as text")
    counted = _count(texts, csv)
    whole = [fitting.candidate for fitting in counted if fitting.values == total]
    if whole:
        return _settle(whole, csv)
    but_for = None if texts.settled else _but_for_words(texts, column, counted)
    return but_for or _Guess(_TEXT, csv.decimal, note=_nearly_a_number(counted, int(rows)))


def _count(texts: _Texts, csv: Csv) -> list[_Fitting]:
    """Count the distinct values and the rows that fit each type."""
    candidates = list(_candidates(csv, settled=texts.settled))
    counts = ", ".join(f"count(*) FILTER (WHERE {c.fits}), sum(n) FILTER (WHERE {c.fits})" for c in candidates)
    commas, *counted = texts.engine.rows(f"SELECT count(*) FILTER (WHERE {_match(_COMMA)}), {counts} FROM one_column")[
        0
    ]
    fittings = [
        _Fitting(candidate, int(values), int(rows or 0))
        for candidate, values, rows in zip(candidates, counted[::2], counted[1::2], strict=True)
    ]
    return [fitting for fitting in fittings if commas or fitting.candidate.decimal == csv.decimal]


def _but_for_words(texts: _Texts, column: str, counted: Sequence[_Fitting]) -> _Guess | None:
    """Return the first type that all cells fit but for words that mean "no value"."""
    for fitting in counted:
        words = _words_for_missing(texts, column, fitting) if fitting.values else ()
        if words:
            kind, listed = fitting.candidate.kind, ", ".join(shown(word) for word in words)
            note = f"is of type {kind.type} but for {listed}: taken as no value, in every column"
            return _Guess(kind, fitting.candidate.decimal, words, note)
    return None


def _nearly_a_number(counted: Sequence[_Fitting], rows: int) -> str | None:
    """Say so where a few cells alone make a column of numbers a text."""
    best = max((f for f in counted if f.candidate.kind.type is ColumnType.NUMBER), key=lambda f: f.rows)
    if best.values < _MANY_VALUES or best.rows < _NEARLY * rows:
        return None
    odd = f"{rows - best.rows:,} of its {rows:,} cells"
    return f"is text only because {odd} are no numbers; declare it as `number` to have their rows quarantined"


def _candidates(csv: Csv, *, settled: bool) -> Iterator[_Candidate]:
    """Yield the types from narrow to wide; the first that fits is taken."""
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
        return _Guess(first.kind, first.decimal)
    if len(whole) > 1:
        both = " and ".join(str(c.kind.format) for c in whole)
        return _Guess(_TEXT, csv.decimal, note=f"may be a date, but {both} both fit; it is taken as text")
    return _Guess(first.kind, csv.decimal, note=f"is a date written as {first.kind.format}")


def _words_for_missing(texts: _Texts, column: str, fitting: _Fitting) -> tuple[str, ...]:
    """Return the texts among the cells that must mean "no value" for the rest to be of one type; none if they may not.

    Known words are enough by themselves. Any other text must be the only one, come again, and stand in no other
    column: a word for "no value" holds for the whole file.
    """
    strays = texts.engine.rows(
        f"SELECT trim(v), sum(n) FROM one_column WHERE NOT coalesce({fitting.candidate.fits}, false)"
        f" GROUP BY 1 ORDER BY 1 LIMIT {_MOST_STRAYS + 1}"
    )
    words = tuple(str(word) for word, _ in strays)
    if len(words) <= _MOST_STRAYS and all(word.lower() in _MISSING_WORDS for word in words):
        return words
    if len(words) > 1 or strays[0][1] <= 1 or fitting.values < _MANY_VALUES or any(c.isdigit() for c in words[0]):
        return ()
    elsewhere = [f"trim({name(other)}) = {literal(words[0])}" for other in texts.columns if other != column]
    if elsewhere and texts.engine.rows(f"SELECT 1 FROM {name(texts.table)} WHERE {' OR '.join(elsewhere)} LIMIT 1"):
        return ()
    return words


def _types(kind: Column, csv: Csv) -> str:
    return f"{cells.typed_column('v', kind, csv)} IS NOT NULL"


def _match(pattern: str) -> str:
    return f"regexp_full_match(trim(v), {literal(pattern)})"

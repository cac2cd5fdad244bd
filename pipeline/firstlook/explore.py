"""A first look at a CSV file: what is in it, what is wrong with it, and what tells who will leave.

infer → load as a run would → profile, counts and rates per column → `Exploration` → text or HTML
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from churnwatch.pipeline import cells
from churnwatch.pipeline.engine import DuckDB, Engine, duckdb_engine, name
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.firstlook.exploration import Bucket, ColumnLook, Exploration, Histogram, Quarantine
from churnwatch.pipeline.firstlook.explore_html import render_html
from churnwatch.pipeline.firstlook.explore_text import render_text
from churnwatch.pipeline.firstlook.infer import infer
from churnwatch.pipeline.firstlook.inference import Inference
from churnwatch.pipeline.load import Loaded, Refused, Source, load, open_source
from churnwatch.pipeline.profile import ColumnProfile, profile
from churnwatch.pipeline.records import SourceFile
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import ColumnType

__all__ = ["Bucket", "ColumnLook", "Exploration", "Histogram", "Quarantine", "explore", "render_html", "render_text"]

_BINS = 20
_TOP = 10
_FEW = 10  # up to so many different numbers are looked at one by one
_TENTHS = 10


def explore(
    path: Path,
    *,
    target: str | None = None,
    positive: str | None = None,
    id: str | None = None,  # noqa: A002
) -> Exploration:
    """Look at a file; what is not given is inferred.

    Raises:
        DataError: the file cannot be read, or has no rows.
        UsageError: a column or value that was given is not there.
    """
    found = infer(path, target=target, positive=positive, id=id)
    schema = Schema(found.columns, found.target or "", found.positive or "", found.id, found.date, found.exclude)
    with tempfile.TemporaryDirectory() as spill, duckdb_engine(Path(spill)) as engine:
        loaded = _load(path, schema, found, engine)
        has_label = found.target is not None and found.positive is not None
        label = cells.label(schema) if has_label else "CAST(NULL AS INTEGER)"
        engine.table("looked_at", f"SELECT *, {label} AS _y FROM typed")
        rows, labelled, rate = engine.rows("SELECT count(*), count(_y), avg(_y) FROM looked_at")[0]
        profiles = profile(schema, engine, "looked_at")
        return Exploration(
            file=path.name,
            rows=int(rows),
            labelled=int(labelled),
            rate=None if rate is None else float(rate),
            duplicates=_duplicates(schema, engine),
            duplicate_ids=_duplicate_ids(schema, engine),
            quarantined=tuple(Quarantine(q.column_name, q.reason, q.rows, q.first_line) for q in loaded.quarantines),
            findings=tuple(finding for file in loaded.opened for finding in file.findings),
            inference=found,
            columns=tuple(_look(of, schema, found, engine) for of in profiles),
        )


def _load(path: Path, schema: Schema, found: Inference, engine: DuckDB) -> Loaded:
    """Load the file as a run would, so that a cell means here what it will mean there."""
    try:
        seen = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from None
    # No ledger hears of it, so it needs no hash and no time.
    record = SourceFile(
        file=1,
        path=path.name,
        size_bytes=seen.st_size,
        mtime_ns=seen.st_mtime_ns,
        ctime_ns=seen.st_ctime_ns,
        sha256="",
        seen_at="",
    )
    opened = open_source(Source(record, path), schema, found.csv)
    if isinstance(opened, Refused):
        raise DataError(f"{path}: {opened.reason}.")
    loaded = load([opened], schema, found.csv, engine)
    if loaded.refused:
        raise DataError(f"{path}: {loaded.refused[0].reason}.")
    if loaded.changed:
        raise DataError(f"{path}: is being written to; try again when it is complete.")
    return loaded


def _duplicates(schema: Schema, engine: Engine) -> int:
    columns = ", ".join(name(column) for column in schema.names)
    once = f"(SELECT DISTINCT {columns} FROM looked_at) AS o"
    return int(engine.rows(f"SELECT (SELECT count(*) FROM looked_at) - (SELECT count(*) FROM {once})")[0][0])


def _duplicate_ids(schema: Schema, engine: Engine) -> int | None:
    """Count the rows that repeat an id (on the same date) without being exact duplicates."""
    if schema.id is None:
        return None
    columns = ", ".join(name(column) for column in schema.names)
    key = f"({name(schema.id)}, {name(schema.date)})" if schema.date else name(schema.id)
    once = f"(SELECT DISTINCT {columns} FROM looked_at WHERE {name(schema.id)} IS NOT NULL) AS o"
    return int(engine.rows(f"SELECT count(*) - count(DISTINCT {key}) FROM {once}")[0][0])


def _look(of: ColumnProfile, schema: Schema, found: Inference, engine: DuckDB) -> ColumnLook:
    column = of.column_name
    kind = schema.columns[column].type
    parts = {found.target: "target", found.id: "id", found.date: "date"}
    part = parts.get(column) or ("left out" if column in found.exclude else "")
    frame = engine.arrow(f"SELECT {name(column)} AS v, _y FROM looked_at ORDER BY _line").to_pandas()
    values, labels = frame["v"], frame["_y"].astype("float64")
    numeric = kind in (ColumnType.INTEGER, ColumnType.NUMBER)
    by_value = kind is ColumnType.TEXT or (numeric and of.distinct_values <= _FEW)
    return ColumnLook(
        column=column,
        type=kind,
        part=part,
        profile=of,
        auc=found.aucs.get(column),
        leak=column in found.leaks,
        span=_span(values) if kind is ColumnType.DATE else None,
        histogram=_histogram(values) if numeric or kind is ColumnType.DATE else None,
        buckets=()
        if part == "id"
        else _by_value(values, labels, kind)
        if by_value
        else _by_tenth(values, labels, numeric),
    )


def _span(values: pd.Series) -> tuple[str, str] | None:
    there = values.dropna()
    return None if there.empty else (str(there.min().date()), str(there.max().date()))


def _histogram(values: pd.Series) -> Histogram | None:
    there = values.dropna()
    if there.empty:
        return None
    if pd.api.types.is_datetime64_any_dtype(there):
        there = there.astype("datetime64[s]").astype("int64")
    numbers = there.to_numpy(dtype=np.float64)
    if not _can_be_divided(numbers.min(), numbers.max()):
        return None
    counts, edges = np.histogram(numbers, bins=min(_BINS, max(1, there.nunique())))
    return Histogram(tuple(map(float, edges)), tuple(map(int, counts)))


def _can_be_divided(low: float, high: float) -> bool:
    """Tell whether a range has a width that is a number; not so where there are no values."""
    return bool(high / 4 - low / 4 < sys.float_info.max / 4)


def _by_value(values: pd.Series, labels: pd.Series, kind: ColumnType) -> tuple[Bucket, ...]:
    """Return the most frequent values, numbers in their order, then all others together, then the missing ones."""
    counts = values.value_counts()
    top = counts.sort_index(kind="stable").sort_values(ascending=False, kind="stable").index[:_TOP]
    if kind is not ColumnType.TEXT:
        top = top.sort_values()
    buckets = [_bucket(_label(value), labels[values == value]) for value in top]
    rest = values.notna() & ~values.isin(top)
    if rest.any():
        buckets.append(_bucket(f"{len(counts) - len(top):,} others", labels[rest], gathered=True))
    return (*buckets, *_missing(values, labels))


def _by_tenth(values: pd.Series, labels: pd.Series, numeric: bool) -> tuple[Bucket, ...]:
    """Return the tenths of a column's numbers, lowest first, then the missing ones."""
    if not numeric or not _can_be_divided(values.min(), values.max()):
        return ()
    tenths = pd.qcut(values, _TENTHS, duplicates="drop")
    buckets = []
    for tenth in tenths.cat.categories:
        inside = tenths == tenth
        if inside.any():
            low, high = values[inside].min(), values[inside].max()
            text = _label(low) if low == high else f"{_label(low)} to {_label(high)}"
            buckets.append(_bucket(text, labels[inside]))
    return (*buckets, *_missing(values, labels))


def _missing(values: pd.Series, labels: pd.Series) -> Sequence[Bucket]:
    return [_bucket("missing", labels[values.isna()], gathered=True)] if values.isna().any() else []


def _bucket(label: str, labels: pd.Series, *, gathered: bool = False) -> Bucket:
    rate = labels.mean()
    return Bucket(label, len(labels), None if pd.isna(rate) else float(rate), gathered)


def _label(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)

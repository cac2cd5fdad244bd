"""Which schema a run works with: declared in the settings, else inferred from the first file and kept."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.firstlook.column_types import infer_types
from churnwatch.pipeline.firstlook.head import read_sample
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.schema import Schema, from_settings, from_source
from churnwatch.pipeline.settings import Column, Home


def resolve(home: Home, ledger: Ledger, engine: DuckDB, sources: Sequence[Source]) -> Schema:
    """Return the schema for a run, and keep it when it is the first.

    Raises:
        SettingsError: the settings ask for other columns or types than the data set has.
    """
    known = ledger.schema()
    columns = home.settings.declared or _kept(known) or _inferred(home, engine, sources)
    schema = from_settings(home.settings, columns)
    if known is None:
        ledger.add_schema(_text(schema), at=iso(utc_now()))
    else:
        _refuse_change("columns", _kept(known), schema.columns)
    return schema


def resolve_source(home: Home, ledger: Ledger, source: str) -> Schema:
    """Return the schema of a source, and keep it when it is the first.

    Raises:
        SettingsError: the settings ask for other columns or types than were ingested before.
    """
    known = ledger.schema(source)
    schema = from_source(f"sources.{source}.columns", home.settings.sources[source])
    if known is None:
        ledger.add_schema(_text(schema), at=iso(utc_now()), dataset=source)
    else:
        _refuse_change(f"sources.{source}.columns", _kept(known), schema.columns)
    return schema


def current(home: Home, ledger: Reader) -> Schema:
    """Return the schema of a home that has had a run, or declares its columns.

    Raises:
        SettingsError: it has neither.
    """
    columns = home.settings.declared or _kept(ledger.schema())
    if not columns:
        raise SettingsError("no columns are known yet: declare them in settings.yaml, or let a first run infer them.")
    return from_settings(home.settings, columns)


def _text(schema: Schema) -> str:
    """Return what is kept of a schema: columns in their order, and how dates are written, which was inferred too."""
    kinds = {
        name: {"type": column.type.value, "format": column.format} if column.format else column.type.value
        for name, column in schema.columns.items()
    }
    return json.dumps(kinds, ensure_ascii=False)


def _kept(known: tuple[int, str] | None) -> dict[str, Column]:
    if known is None:
        return {}
    kinds = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in json.loads(known[1]).items()}
    return msgspec.convert(kinds, dict[str, Column])


def _inferred(home: Home, engine: DuckDB, sources: Sequence[Source]) -> dict[str, Column]:
    """Infer from the first file that has the target."""
    for source in sources:
        sample = read_sample(source.path, home.settings.csv.delimiter, engine)
        if home.settings.target in sample.columns:
            return infer_types(engine, "sample", sample.columns, home.settings.csv, settled=True).columns
    raise SettingsError(f"settings.yaml: target: no file has a column `{home.settings.target}`, and no `columns` are"
                        " declared. See `churnwatch init --from FILE.csv`.")  # fmt: skip


def _refuse_change(where: str, before: dict[str, Column], after: dict[str, Column]) -> None:
    difference = _difference(before, after)
    if difference is not None:
        raise SettingsError(
            f"settings.yaml: {where}: {difference} since the data set was begun. Names and"
            " types make the row keys, so they stay; checks may change. Put it back, or begin a new home."
        )


def _difference(before: dict[str, Column], after: dict[str, Column]) -> str | None:
    """Say in which name or type two schemas differ; the order does not count."""
    for name, column in before.items():
        if name not in after:
            return f"`{name}` is gone"
        if after[name].type != column.type:
            return f"`{name}` became {after[name].type} (it was {column.type})"
    added = next((name for name in after if name not in before), None)
    return None if added is None else f"`{added}` was added"

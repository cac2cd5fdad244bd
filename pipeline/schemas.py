"""Which schema a run works with: declared in the settings, else inferred from the first file and kept."""

from __future__ import annotations

import json
from collections.abc import Sequence

from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.engine import Engine
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.infer_head import read_sample
from churnwatch.pipeline.infer_types import infer_types
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.schema import Schema, from_settings
from churnwatch.pipeline.settings import Column, ColumnType, Home


def resolve(home: Home, ledger: Ledger, engine: Engine, sources: Sequence[Source]) -> Schema:
    """Return the schema for a run, and keep it when it is the first.

    Raises:
        SettingsError: the settings ask for other columns or types than the data set has.
    """
    known = ledger.schema()
    columns = home.settings.declared or _kept(known) or _inferred(home, engine, sources)
    schema = from_settings(home.settings, columns)
    if known is None:
        ledger.add_schema(schema.canonical, at=iso(utc_now()))
    elif known[1] != schema.canonical:
        raise SettingsError(
            f"settings.yaml: columns: {_difference(known[1], schema.canonical)} since the data set was begun. Names and"
            " types make the row keys, so they stay; checks may change. Put it back, or begin a new home."
        )
    return schema


def current(home: Home, ledger: Ledger) -> Schema:
    """Return the schema of a home that has had a run, or declares its columns.

    Raises:
        SettingsError: it has neither.
    """
    columns = home.settings.declared or _kept(ledger.schema())
    if not columns:
        raise SettingsError("no columns are known yet: declare them in settings.yaml, or let a first run infer them.")
    return from_settings(home.settings, columns)


def _kept(known: tuple[int, str] | None) -> dict[str, Column]:
    if known is None:
        return {}
    return {name: Column(type=ColumnType(kind)) for name, kind in json.loads(known[1]).items()}


def _inferred(home: Home, engine: Engine, sources: Sequence[Source]) -> dict[str, Column]:
    """Infer from the first file that has the target."""
    for source in sources:
        sample = read_sample(source.path, home.settings.csv.delimiter, engine, home.state / "spill")
        if home.settings.target in sample.columns:
            return infer_types(engine, "sample", sample.columns, home.settings.csv, settled=True).columns
    raise SettingsError(f"settings.yaml: target: no file has a column `{home.settings.target}`, and no `columns` are"
                        " declared. See `churnwatch init --from FILE.csv`.")  # fmt: skip


def _difference(old: str, new: str) -> str:
    before, after = json.loads(old), json.loads(new)
    for name in before:
        if name not in after:
            return f"`{name}` is gone"
        if after[name] != before[name]:
            return f"`{name}` became {after[name]} (it was {before[name]})"
    added = next(name for name in after if name not in before)
    return f"`{added}` was added"

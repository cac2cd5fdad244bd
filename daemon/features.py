"""The feature table for a command: what is in it, and what each feature is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from churnwatch.pipeline import settings
from churnwatch.pipeline.aggregates import ID, SNAPSHOT
from churnwatch.pipeline.engine import Engine, duckdb_engine, name
from churnwatch.pipeline.errors import NotFoundError
from churnwatch.pipeline.feature_step import Pairs, described


def look(folder: Path) -> dict[str, Any]:
    """Return where the feature table lies, how much is in it, and every feature with what it is.

    Raises:
        NotFoundError: the home has no sources, or no run has made the table yet.
    """
    home = settings.load(folder)
    if not home.settings.sources:
        raise NotFoundError("this home has no `sources`; models learn from the columns as they come in.")
    path = home.ingested / Pairs.PAST.file
    if not path.exists():
        raise NotFoundError("no features yet; they are made by the first run (churnwatch run --once).")
    with duckdb_engine(home.state / "spill") as engine:
        table = engine.scan([path])
        rows, customers, snapshots, first, last = engine.rows(
            f"SELECT count(*), count(DISTINCT {ID}), count(DISTINCT {SNAPSHOT}), min({SNAPSHOT}), max({SNAPSHOT})"
            f" FROM {table} AS f"
        )[0]
        now = engine.scan([home.ingested / Pairs.NOW.file])
        current, moment = engine.rows(f"SELECT count(*), max({SNAPSHOT}) FROM {now} AS f")[0]
        features = [{"feature": feature, "says": says, **_statistics(engine, table, feature)}
                    for feature, says in described(home.settings)]  # fmt: skip
    return {"table": str(path), "rows": rows, "customers": customers, "snapshots": snapshots,
            "first_snapshot": str(first), "last_snapshot": str(last), "current_customers": current,
            "current_snapshot": None if moment is None else str(moment), "features": features}  # fmt: skip


def _statistics(engine: Engine, table: str, feature: str) -> dict[str, Any]:
    value = name(feature)
    missing, mean = engine.rows(
        f"SELECT 1.0 - count({value}) / greatest(count(*), 1), avg(TRY_CAST({value} AS DOUBLE)) FROM {table} AS f"
    )[0]
    return {"missing_share": float(missing), "mean": mean}


def in_words(found: dict[str, Any]) -> str:
    """Return in a few lines how much there is."""
    return (
        f"{found['table']}: {found['rows']:,} rows, one for each of {found['customers']:,} customers and"
        f" {found['snapshots']:,} snapshots ({found['first_snapshot'][:10]} to {found['last_snapshot'][:10]}).\n"
        f"{Pairs.NOW.file} beside it: {found['current_customers']:,} customers as of"
        f" {(found['current_snapshot'] or 'never')[:10]}.\n"
        f"{len(found['features'])} features; see each with --describe."
    )

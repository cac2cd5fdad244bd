"""Under what settings a model was trained."""

from __future__ import annotations

from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Model


def holdout_days(ledger: Reader, model: Model) -> int | None:
    """Return the `holdout_days` of the attempt that trained a model; None: it held nothing back but by customer."""
    found = ledger.rows(
        "SELECT json_extract(s.canonical, '$.holdout_days') AS days FROM attempts a JOIN settings s"
        " USING (settings_sha256) WHERE a.run = ? AND a.started_at <= ? ORDER BY a.attempt DESC LIMIT 1",
        model.run,
        model.created_at,
    )
    return found[0]["days"] if found else None

"""`campaigns`: what came of each campaign, as rows and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from churnwatch.daemon.listings import table
from churnwatch.pipeline.ledger import follow_up
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.metrics import minus

_PARTS = ("", "_low", "_high")


def gather(ledger: Reader, value: float | None) -> list[dict[str, Any]]:
    """Return what came of each campaign, with money at what the settings say a customer is worth, or at `value`."""
    found = [asdict(each) for each in follow_up.campaign_effects(ledger)]
    return found if value is None else [row | _worth(row, value) for row in found]


def _worth(row: dict[str, Any], value: float) -> dict[str, float | None]:
    saved = {part: row[f"saved{part}"] for part in _PARTS}
    money = {f"money{part}": None if number is None else number * value for part, number in saved.items()}
    return {"customer_value": value, **money}


def in_words(rows: Sequence[dict[str, Any]]) -> str:
    """Return the campaigns as a table, with a line on how to read it."""
    if not rows:
        return "No campaigns yet: name their files with `campaigns` in settings.yaml (see docs/campaigns.md)."
    spans = ("saved", "money") if any(row["money"] is not None for row in rows) else ("saved",)
    cells = (
        (row["month"], row["action"], *_side(row, "treated"), *_side(row, "control"), _points(row),
         *(_span(row, each) for each in spans), row["note"])
        for row in rows
    )  # fmt: skip
    headers = ("month", "action", "treated", "left", "control", "left", "points less (95 %)", *spans, "")
    return "\n".join([table(cells, headers, numbers=False), *_valued(rows)])


def _valued(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say at what a customer was counted, where money is shown."""
    found = {f"{row['customer_value']:,.0f}" for row in rows if row["money"] is not None}
    many = "what the treated of each were worth on average"
    return [f"Money: a customer who stays counts {found.pop() if len(found) == 1 else many}."] if found else []


def _side(row: dict[str, Any], side: str) -> tuple[str, str | None]:
    """Return the customers of one side, and which share of those with an outcome left."""
    known = row[f"{side}_known"]
    return f"{row[side]:,}", f"{row[f'{side}_churned'] / known:.1%}" if known else None


def _points(row: dict[str, Any]) -> str | None:
    value, low, high = (row[f"less_churn{part}"] for part in _PARTS)
    return None if value is None else _with_interval(".1f", 100 * value, 100 * low, 100 * high)


def _span(row: dict[str, Any], what: str) -> str | None:
    value, low, high = (row[f"{what}{part}"] for part in _PARTS)
    return None if value is None else _with_interval(",.0f", value, low, high)


def _with_interval(digits: str, *values: float) -> str:
    value, low, high = (minus(f"{each:z{digits}}") for each in values)
    return f"{value} ({low} to {high})"

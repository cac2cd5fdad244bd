"""The home's own history under other policies, for a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from churnwatch.daemon import listings
from churnwatch.pipeline import history, replay, settings
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.history import Past
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.replay import Line
from churnwatch.pipeline.settings import Gate

TRUTH = "what served"


def look(folder: Path, policies: Sequence[str]) -> dict[str, Any]:
    """Return what served, and what would have served by each policy, with what it was worth.

    Args:
        folder: the home's.
        policies: of `replay.POLICIES`; none: all.

    Raises:
        NotFoundError: no run has trained a model yet.
    """
    home = settings.load(folder)
    with (
        Reader.open(home.ledger) as ledger,
        duckdb_engine(home.state / "spill", memory_gb=home.settings.memory_gb) as engine,
    ):
        past = history.read(home, ledger, engine)
    gating, seed = home.settings.gating, home.settings.training.seed
    lines = {TRUTH: past.truth}
    for policy in dict.fromkeys(policies or replay.POLICIES):
        lines[policy] = replay.play(past.history, replay.rule_of(policy, gating, seed=seed))
    return {
        "runs": len(past.history.turns),
        "candidates": sum(turn.candidate is not None for turn in past.history.turns),
        "labelled_rows": sum(len(turn.new) for turn in past.history.turns),
        "policies": [_told(past, policy, line, gating, seed) for policy, line in lines.items()],
        "notes": past.notes,
    }


def _told(past: Past, policy: str, line: Line, gating: Gate, seed: int) -> dict[str, Any]:
    price = replay.price(past.history, line, gating, seed=seed)
    tests = {test.run: test for test in replay.tested(past.history, line)}
    runs = [
        {"run": turn.run, "decision": decision, "served": served, "f1": replay.f1([tests[turn.run]]),
         "log_loss": tests[turn.run].log_loss / tests[turn.run].rows, "rows": tests[turn.run].rows}
        if turn.run in tests
        else {"run": turn.run, "decision": decision, "served": served}
        for turn, served, decision in zip(past.history.turns, line.served, line.decisions, strict=True)
    ]  # fmt: skip
    return {"policy": policy, **asdict(price), "by_run": runs}


def in_words(found: Mapping[str, Any]) -> str:
    """Return a table of the policies."""
    head = (
        f"{found['runs']} runs with {found['candidates']} candidates and {found['labelled_rows']:,} labelled rows. F1"
        " and log loss are of the model that served, or would have, when a row came in."
    )
    shown = listings.table(
        (
            (each["policy"], each["swaps"], each["worse"], each["clearly_worse"], each["f1"], each["log_loss"],
             each["rows"])
            for each in found["policies"]
        ),
        ("policy", "swaps", "later worse", "clearly", "F1", "log loss", "rows"),
    )  # fmt: skip
    return "\n".join([head, "", shown, *(["", *found["notes"]] if found["notes"] else [])])

"""Homes for the pages: one of each kind of generated customers, and one of amounts where every name is an attack."""

from __future__ import annotations

from pathlib import Path

import amounts_world

from churnwatch.daemon import work
from churnwatch.pipeline import sample, settings
from churnwatch.pipeline.sample import Like
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.pipeline.settings import Home

QUICK = """
packages: {check: never}
gate: {policy: better, min_positives: 5}
training: {mode: refit, estimators: [%s], folds: 3, max_gap: 1}
"""
PLAN = "<script>alert(1)</script>\"'{{ 7*7 }}"
PLANS = {"free": '"><img src=x onerror=alert(2)>', "basic": "it's \u202e&amp; <b>", "full": f"{'x' * 500}"}
IDS = ("<script>alert(3)</script>", "a/b%2Fc?d=e#f&g", "ü \"' \\ +1", "y" * 900, "a//b/", " padded ")


def attrition(folder: Path) -> Home:
    """Make a home of corporations, sorted into buckets by boosted trees."""
    home = _home(folder, settings_for(Like.ATTRITION) + QUICK % "boosting" + "call_capacity: 20\n")
    sample.write(home.source, Like.ATTRITION, months=1, rows=900, seed=3)
    return _run(home)


def hostile(folder: Path) -> Home:
    """Make a home of amounts whose column, categories and ids are markup, templates, and what addresses cut off."""
    frame = amounts_world.month(1, rows=240)
    frame["plan"] = frame["plan"].map(PLANS)
    frame.loc[: len(IDS) - 1, "customer"] = IDS
    quoted = PLAN.replace("'", "''")
    text = amounts_world.SETTINGS.replace("  plan:", f"  '{quoted}':")
    home = _home(
        folder,
        f"{text}names: {{price: 'price <i>', '{quoted}': 'the <plan>'}}\n"
        "packages: {check: never}\ntraining: {estimators: [linear], folds: 2}\ngate: {min_positives: 20}\n",
    )
    frame.rename(columns={"plan": PLAN}).to_csv(home.source / "amounts.csv", index=False)
    return _run(home)


def _home(folder: Path, text: str) -> Home:
    (folder / settings.FILE_NAME).write_text(text)
    home = settings.load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    return home


def _run(home: Home) -> Home:
    assert [outcome.status for outcome in work.once(home, reason="drop")] == ["done"]
    return home

"""The state of a home in at most twelve lines, or as one JSON object. Light: it must be there in an instant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from churnwatch.daemon import attention
from churnwatch.pipeline import coverage, drift_words, settings
from churnwatch.pipeline.clock import from_iso, utc_now
from churnwatch.pipeline.errors import ChurnwatchError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.metrics import HEADLINES, METRICS
from churnwatch.pipeline.scan import on_one_line
from churnwatch.pipeline.settings import Home

HEALTHY, ATTENTION, BROKEN = 0, 1, 4
_MOST_LINES = 12


def gather(folder: Path) -> dict[str, Any]:
    """Return everything that `status` says. What cannot be read is said under `broken`, not raised."""
    try:
        home = settings.load(folder)
    except ChurnwatchError as error:
        return {**_empty(folder), "broken": str(error), "attention": [str(error)]}
    state = {**_empty(folder), "daemon": attention.daemon_pid(home), "report": str(home.report)}
    if not home.ledger.exists():
        return {**state, "attention": list(attention.before_first_run(home))}
    try:
        with Reader.open(home.ledger) as ledger:
            return {**state, **_known(home, ledger)}
    except ChurnwatchError as error:
        return {**state, "broken": str(error), "attention": [str(error)]}


def _empty(folder: Path) -> dict[str, Any]:
    return {
        "home": str(folder.resolve()),
        "daemon": None,
        "broken": None,
        "champion": None,
        "last_run": None,
        "estimate": None,
        "files": {},
        "rows": {"read": 0, "accepted": 0, "duplicate": 0, "quarantined": 0},
        "drift": None,
        "packages": None,
        "report": None,
        "attention": [],
    }


def _known(home: Home, ledger: Reader) -> dict[str, Any]:
    champion, runs, check = ledger.champion(), ledger.runs(limit=1), ledger.package_check()
    return {
        "champion": None
        if champion is None
        else {
            "version": champion.model.version,
            champion.metric: champion.value,
            "since": champion.since,
            "estimator": champion.model.estimator,
            "holdout_rows": champion.holdout_rows,
            "pinned": champion.pinned,
        },
        "last_run": _run(runs[0]) if runs else None,
        "estimate": _estimate(ledger),
        "files": ledger.file_counts(),
        "rows": ledger.row_totals(),
        "drift": _drift(home, ledger),
        "packages": check
        and {name: check[name] for name in ("checked_at", "packages", "outdated", "vulnerable", "unknown", "error")},
        "attention": attention.of(home, ledger),
    }


def _run(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["run"],
        "status": row["status"],
        "started_at": row["started_at"],
        "wall_s": row["wall_s"],
        "decision": row["decision"],
        "sentence": row["sentence"] or row["note"] or row["error"],
    }


def _drift(home: Home, ledger: Reader) -> dict[str, Any] | None:
    """Return how far the newest rows that were measured deviate, and what moved."""
    run = ledger.last_drift_run()
    found = ledger.drifts(run) if run is not None else []
    if not found:
        return None
    return {
        "run": run,
        "band": found[0].band,
        "deviation_percent": found[0].deviation_percent,
        "floor_percent": found[0].floor_percent,
        "column": found[0].column_name,
        "sentence": drift_words.summary(found, home.settings.drift.retrain),
    }


def _estimate(ledger: Reader) -> dict[str, Any] | None:
    """Return what is expected of the newest request, until its labels say how it was."""
    newest = coverage.expected(ledger, "f1", 1)
    if not newest or newest[0].truth is not None:
        return None
    return {
        "f1": newest[0].value,
        "low": newest[0].low,
        "high": newest[0].high,
        "rows": newest[0].rows,
        "file": newest[0].path,
        "checked": coverage.coverage(ledger.compared_estimates("f1")).says,
    }


def exit_code(state: dict[str, Any]) -> int:
    """Return 0 when all is well, 1 when something needs attention, 4 when something is broken."""
    if state["broken"]:
        return BROKEN
    return ATTENTION if state["attention"] else HEALTHY


def as_json(state: dict[str, Any]) -> str:
    """Return the state as one JSON object."""
    return json.dumps(state, indent=2, ensure_ascii=False)


def as_text(state: dict[str, Any], *, now: datetime | None = None) -> str:
    """Return the state in at most twelve lines."""
    lines = [f"{name:<11}{text}" for name, text in _lines(state, now or utc_now())]
    needs = state["attention"]
    room = _MOST_LINES - len(lines)
    if not needs:
        return "\n".join([*lines, f"{'attention':<11}nothing needs you"])
    shown = needs if len(needs) <= room else [*needs[: room - 1], f"and {len(needs) - room + 1} more; see --json"]
    marked = [f"{'attention' if i == 0 else '':<11}{text}" for i, text in enumerate(shown)]
    return "\n".join([*lines, *marked])


def _lines(state: dict[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    yield "home", state["home"]
    yield "daemon", f"running (process {state['daemon']})" if state["daemon"] is not None else "not running"
    yield "champion", _champion(state["champion"])
    run = state["last_run"]
    if run is None:
        yield "last run", "none yet"
    else:
        took = f" in {run['wall_s']:.1f} s" if run["wall_s"] is not None else ""
        decision = f", {run['decision']}" if run["decision"] else ""
        yield "last run", f"{run['id']}, {run['status']}{took}, {ago(run['started_at'], now)}{decision}"
        if run["sentence"]:
            yield "", run["sentence"]
    if state["drift"] is not None:
        yield "drift", f"run {state['drift']['run']}: {on_one_line(state['drift']['sentence'])}"
    if state["estimate"] is not None:
        yield "estimate", _expected(state["estimate"])
    files = ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in state["files"].items())
    yield "files", files or "none yet"
    rows = state["rows"]
    yield "rows", (f"{rows['read']:,} read = {rows['accepted']:,} accepted + {rows['duplicate']:,} duplicate"
                   f" + {rows['quarantined']:,} quarantined")  # fmt: skip
    yield "packages", _packages(state["packages"], now)


def _champion(champion: dict[str, Any] | None) -> str:
    if champion is None:
        return "none yet"
    metric = next(name for name in HEADLINES.values() if name in champion)
    value, of = champion[metric], METRICS[metric]
    known = (
        "not measured"
        if value is None
        else f"{of.title} {of.shown(value)} on {champion['holdout_rows']:,} holdout rows"
    )
    pinned = ", pinned" if champion["pinned"] else ""
    since = champion["since"][:16].replace("T", " ")
    return f"v{champion['version']} ({champion['estimator']}), {known}, since {since} UTC{pinned}"


def _expected(estimate: dict[str, Any]) -> str:
    where = f"on {estimate['rows']:,} customers without outcome ({on_one_line(estimate['file'])})"
    if estimate["f1"] is None:
        return f"F1 {where}: {estimate['checked']}"
    between = f"{estimate['f1']:.2f} ({estimate['low']:.2f} to {estimate['high']:.2f})"
    return f"F1 {between} {where}, {coverage.ASSUMPTION}; {estimate['checked']}"


def _packages(check: dict[str, Any] | None, now: datetime) -> str:
    if check is None:
        return "not checked yet"
    counts = ", ".join(
        f"{'unknown whether any is' if check[kind] is None else check[kind]} {kind}"
        for kind in ("outdated", "vulnerable")
    )
    unknown = f" ({check['unknown']} could not be looked up)" if check["unknown"] else ""
    return f"{check['packages']} installed; {ago(check['checked_at'], now)}: {counts}{unknown}"


def ago(moment: str, now: datetime) -> str:
    """Return how long ago a moment of the ledger was, in words."""
    seconds = max(0, int((now - from_iso(moment)).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"

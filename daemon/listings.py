"""Lists for the terminal: files, runs, one run, models, packages."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeGuard

import tabulate as tables
from tabulate import tabulate

from churnwatch.pipeline import coverage
from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.metrics import HEADLINES, METRICS, MINUS
from churnwatch.pipeline.scan import on_one_line
from churnwatch.pipeline.settings import Task

Row = Mapping[str, Any]
_LEAST_WIDTH = 24
WIDTH = 100
_HYPHEN = re.compile(r"(?<![^\s(])-(?=[\d.])")  # of a number below nought, not of a date or a name
tables.MIN_PADDING = 0  # else each column is two wider than its header, and lists do not fit a terminal


def as_json(rows: Sequence[Row] | Row) -> str:
    """Return rows as JSON."""
    return json.dumps(rows, indent=2, ensure_ascii=False, default=str)


def table(rows: Iterable[Sequence[Any]], headers: Sequence[str], *, numbers: bool = True) -> str:
    """Return an aligned table; nothing stands where nothing is known. Without `numbers`, a text "1.10" stays so."""
    cells = [[on_one_line(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    if sys.stdout.isatty() and cells:
        cells = _wrapped(cells, headers, numbers=numbers)
    return _aligned(cells, headers, numbers=numbers)


def _aligned(cells: Sequence[Sequence[Any]], headers: Sequence[str], *, numbers: bool) -> str:
    if numbers:  # tabulate knows a number by its hyphen only, people read a minus
        cells = [[cell.replace(MINUS, "-") if _is_below_nought(cell) else cell for cell in row] for row in cells]
    text: str = tabulate(
        cells, headers=headers, tablefmt="simple", floatfmt=".3f", missingval="", disable_numparse=not numbers
    )
    return _HYPHEN.sub(MINUS, text) if numbers else text


def _is_below_nought(cell: object) -> TypeGuard[str]:
    return isinstance(cell, str) and cell.startswith(MINUS)


def side_by_side(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    """Return a table that may be wide as several of bearable width, the first column in each of them."""
    tables_, shown = [], [0]
    for place in range(1, len(headers)):
        if len(shown) > 1 and _width(rows, headers, [*shown, place]) > WIDTH:
            tables_.append(shown)
            shown = [0]
        shown.append(place)
    return "\n\n".join(_columns(rows, headers, each) for each in [*tables_, shown])


def _width(rows: Sequence[Sequence[Any]], headers: Sequence[str], places: Sequence[int]) -> int:
    return max(map(len, _columns(rows, headers, places).splitlines()))


def _columns(rows: Sequence[Sequence[Any]], headers: Sequence[str], places: Sequence[int]) -> str:
    """Return some columns, and of these the rows in which anything stands."""
    known = [[row[place] for place in places] for row in rows]
    known = [row for row in known if any(cell is not None for cell in row[1:])]
    return _aligned(known, [headers[place] for place in places], numbers=True)


def filled(text: str) -> str:
    """Return words as lines of bearable width, the first one hanging over."""
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _wrapped(cells: Sequence[Sequence[Any]], headers: Sequence[str], *, numbers: bool) -> list[list[Any]]:
    """Wrap the last column, which has the words, where a terminal would break the lines; a pipe gets them whole.

    Not by tabulate's `maxcolwidths`, which fails on a text like "10,276".
    """
    without = _aligned([[*row[:-1], None] for row in cells], [*headers[:-1], ""], numbers=numbers)
    taken = 2 + max(map(len, without.splitlines()))
    room = max(_LEAST_WIDTH, shutil.get_terminal_size().columns - taken)
    return [[*row[:-1], textwrap.fill(row[-1], room) if isinstance(row[-1], str) else row[-1]] for row in cells]


def moment(text: str) -> str:
    """Return a time of the ledger for a table: to the second, without the T."""
    return text[:19].replace("T", " ")


def files(rows: Sequence[Row], findings: Sequence[Row]) -> str:
    """Return every file with what became of it, and what was guessed when it was read."""
    shown = table(
        ((r["file"], r["path"], r["state"].replace("_", " "), r["rows_read"], r["accepted"], r["duplicate"],
          r["quarantined"], r["run"], r["reason"]) for r in rows),
        ("file", "name", "state", "read", "accepted", "duplicate", "quarantined", "run", "reason"),
    )  # fmt: skip
    names = {row["file"] for row in rows}
    told = [on_one_line(f"{each['path']}: {each['text']}") for each in findings if each["file"] in names]
    return "\n".join([shown, *(["", "Guessed or left out:", *told] if told else [])])


def runs(rows: Sequence[Row]) -> str:
    """Return runs, newest first."""
    return table(
        ((r["run"], moment(r["started_at"]), r["status"], r["wall_s"], r["attempt"], r["decision"],
          r["candidate_value"], r["champion_value"] if r["champion"] else None,
          r["sentence"] or r["note"] or r["error"]) for r in rows),
        ("run", "began (UTC)", "status", "s", "attempt", "decision", "new", "old", "what came of it"),
    )  # fmt: skip


def run(ledger: Reader, number: int) -> dict[str, Any]:
    """Return everything about one run.

    Raises:
        NotFoundError: there is none of that number.
    """
    return {
        "run": ledger.run(number),
        "attempts": ledger.attempts(number),
        "files": ledger.run_file_states(number),
        "quarantines": ledger.quarantines(number),
        "steps": ledger.steps(number),
        "drift": [asdict(each) for each in (*ledger.drifts(number), *ledger.drifts(number, requests=True))],
        "metrics": [row for row in ledger.metrics(run=number) if row["split"] not in ("estimated", "realised")],
        "estimates": _estimates(ledger, number),
        "predictions": ledger.predictions(number),
        "acceptance": ledger.acceptance_cases(number),
        "uplift": [asdict(each) for each in customers.uplift_models(ledger, number)],
        "holdout_uses": _uses(ledger, number),
    }


def _uses(ledger: Reader, run: int) -> list[Row]:
    """Return how often the held rows that judged in a run have judged since they came."""
    verdict = ledger.verdict(run)
    if verdict is None or verdict.holdout_first_batch is None or verdict.holdout_last_batch is None:
        return []
    window = range(verdict.holdout_first_batch, verdict.holdout_last_batch + 1)
    return [row for row in ledger.holdout_uses() if row["batch"] in window]


def _estimates(ledger: Reader, run: int) -> list[dict[str, Any]]:
    """Return what is expected of the requests that a run predicted, and how it was where that is known."""
    return [
        {"metric": name, **dataclasses.asdict(each)}
        for name in ("f1", "precision", "recall", "accuracy", "roc_auc")
        for each in coverage.expected(ledger, name, run=run)
    ]


def run_text(found: Mapping[str, Any]) -> str:
    """Return one run for the terminal."""
    row = found["run"]
    head = [
        f"run {row['run']} ({row['run_id']}), {row['status']}, set off by: {row['reason']}",
        row["sentence"] or row["note"] or row["error"] or "",
        *(f"attention: {row[key]}" for key in ("warning", "decision_warning") if row[key]),
    ]
    attempts = table(
        ((a["attempt"], a["started_at"], a["status"], a["wall_s"], a["error"]) for a in found["attempts"]),
        ("attempt", "began", "status", "s", "error"),
    )
    read = table(
        ((f["path"], f["state"], f["rows_read"], f["accepted"], f["duplicate"], f["quarantined"], f["reason"])
         for f in found["files"]),
        ("file", "state", "read", "accepted", "duplicate", "quarantined", "reason"),
    )  # fmt: skip
    quarantined = table(
        (
            (q["path"], q["column_name"], q["check_name"], q["reason"], q["rows"], q["first_line"])
            for q in found["quarantines"]
        ),
        ("file", "column", "check", "reason", "rows", "first line"),
    )
    steps = table(
        ((s["attempt"], s["step"], s["wall_s"], s["cpu_s"], s["peak_rss_bytes"] / 2**20) for s in found["steps"]),
        ("attempt", "step", "wall s", "CPU s", "peak MB"),
    )
    sections = [("Attempts", "attempts", attempts), ("Files", "files", read),
                ("Quarantined rows", "quarantines", quarantined), ("Drift", "drift", _drift(found["drift"])),
                ("Steps", "steps", steps),
                ("Metrics", "metrics", _metrics(found["metrics"])),
                ("Sample customers", "acceptance", _acceptance(found["acceptance"])),
                ("Held rows that judged, and in how many decisions by now", "holdout_uses",
                 table(((u["batch"], u["rows"], u["decisions"]) for u in found["holdout_uses"]),
                       ("batch", "rows", "decisions"))),
                ("Uplift models", "uplift", _uplift(found["uplift"])),
                (f"Estimates, {coverage.ASSUMPTION}", "estimates", _estimated(found["estimates"]))]  # fmt: skip
    return "\n".join(head) + "".join(f"\n\n{title}\n{text}" for title, key, text in sections if found[key])


def _uplift(rows: Sequence[Row]) -> str:
    return table(
        (
            (
                u["offer"],
                "uplift" if u["decides"] else "save rate, if it has one",
                u["treated"],
                u["control"],
                *(None if u[what] is None else f"{u[what]:.4f} ({u[f'{what}_low']:.4f} to {u[f'{what}_high']:.4f})"
                  for what in ("effect", "qini")),
                u["why"],
            )
            for u in rows
        ),
        ("offer", "decided by", "treated", "control", "fewer left, as a share", "Qini", "why"),
    )  # fmt: skip


def _acceptance(rows: Sequence[Row]) -> str:
    return table(
        ((c["line"], c["customer"], c["expected"], c["probability"], "yes" if c["met"] else "NO") for c in rows),
        ("line", "customer", "expected", "probability", "as expected"),
    )


def _drift(rows: Sequence[Row]) -> str:
    """One line for what deviates, the largest first, and a last one for all that does not."""
    beyond = [row for row in rows if row["deviation_percent"]]
    shown = table(
        ((row["file"], row["column_name"], row["kind"], f"{row['deviation_percent']:.1f} %",
          f"{row['floor_percent']:.1f} %", row["band"], row["rows"], row["reference"], row["cause"]) for row in beyond),
        ("request", "column", "kind", "deviation", "floor", "band", "rows", "held against", "what moved"),
    )  # fmt: skip
    within = [row["floor_percent"] for row in rows if not row["deviation_percent"]]
    if not within:
        return shown
    rest = f"{len(within)} within what chance does (the highest floor: {max(within):.1f} %)"
    return f"{shown}\n{rest}" if beyond else rest


def _metrics(rows: Sequence[Row]) -> str:
    """One line per metric, one column per model and set of rows."""
    columns = list(dict.fromkeys((r["subject"], r["split"], r["batch"]) for r in rows))
    columns.sort(key=lambda key: key[1] == "cross_validation")  # of each estimator, with few metrics: the last
    names = list(dict.fromkeys(r["name"] for r in rows))
    values = {(r["name"], r["subject"], r["split"], r["batch"]): _number(r) for r in rows}
    headers = ["\n".join([s, p.replace("_", "\n"), *([f"batch {b}"] if b else [])]) for s, p, b in columns]
    return side_by_side(
        [[name.replace("_", " "), *(values.get((name, *key)) for key in columns)] for name in names],
        ["metric", *headers],
    )


def _number(row: Row) -> float | str | None:
    """Show counts as counts, and what has an interval with it."""
    value = row["value"]
    if value is not None and row["low"] is not None:
        return f"{value:.3f} ({row['low']:.3f} to {row['high']:.3f})"
    return int(value) if value is not None and row["name"].startswith(("true_", "false_")) else value


def _estimated(rows: Sequence[Row]) -> str:
    return table(
        (
            (
                r["path"],
                r["metric"].replace("_", " "),
                r["rows"],
                r["value"],
                r["low"],
                r["high"],
                r["truth"],
                r["muted"],
            )
            for r in rows
        ),
        ("request", "metric", "rows", "estimate", "from", "to", "truth", ""),
    )


def models(rows: Sequence[Row], releases: Sequence[Row]) -> str:
    """Return the model versions, and what served when, by whom and why."""
    amounts = any(r["mae"] is not None for r in rows)
    metric = HEADLINES[Task.REGRESSION if amounts else Task.CLASSIFICATION]
    judged = f"{METRICS[metric].title} on the holdout"
    versions = table(
        ((f"v{r['version']}", r["estimator"], r[metric], r["train_rows"], r["run"], moment(r["created_at"]),
          r["decision"]) for r in rows),
        ("version", "estimator", judged, "trained on", "run", "made (UTC)", "decision"),
    )  # fmt: skip
    served = table(
        ((f"v{r['version']}", moment(r["from_at"]), moment(r["until_at"] or "now"), r["kind"], r["actor"], r["why"])
         for r in releases),
        ("version", "from (UTC)", "until", "how", "by", "why"),
    )  # fmt: skip
    return f"{versions}\n\nWhat served when\n{served}"


def packages(check: Row | None, findings: Sequence[Row]) -> str:
    """Return the last package check."""
    if check is None:
        return "Packages were not checked yet."
    counts = ", ".join(
        f"{'unknown' if check[kind] is None else check[kind]} {kind}" for kind in ("outdated", "vulnerable")
    )
    head = f"{check['packages']} packages checked at {check['checked_at']}: {counts}, {check['unknown']} unknown."
    rows = table(
        (
            (f["kind"], f["package"], f["installed"], f["latest"], f["advisory"], f["fixed_in"], f["reason"])
            for f in findings
        ),
        ("finding", "package", "installed", "latest", "advisory", "fixed in", "reason"),
        numbers=False,
    )
    return "\n".join(text for text in (head, check["error"], rows if findings else "") if text)

"""The ledger and the settings → what the report says of runs, their time and memory, packages and settings."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.records import Status
from churnwatch.pipeline.settings import Home, Task, parse
from churnwatch.reports.listed import Listed
from churnwatch.reports.work_facts import PackageFinding, PackageReport, Packages, RunRow, SettingRow, StepRow, Timings

_LEAST = {Task.CLASSIFICATION: "target: t\npositive: p\n", Task.REGRESSION: "target: t\ntask: regression\n"}
MOST_RUNS = 60
MOST_FINDINGS = 100
MOST_SETTINGS = 150


def runs(reader: Reader) -> Listed[RunRow]:
    """Return the newest runs, newest first."""
    rows = reader.runs(MOST_RUNS)
    # Runs are numbered without gaps, so the newest one's number is how many there are.
    return Listed(tuple(run_row(row) for row in rows), rows[0]["run"] if rows else 0)


def run_row(row: Row) -> RunRow:
    """Return what there is to say of a run in one line."""
    warnings = [each for each in (row["decision_warning"], row["warning"]) if each]
    sentence = row["error"] or row["sentence"] or row["note"] or ""
    return RunRow(row["run"], row["started_at"], row["reason"], Status(row["status"]), row["decision"], sentence,
                  tuple(warnings), row["wall_s"])  # fmt: skip


def timings(reader: Reader, numbers: Sequence[int]) -> Timings:
    """Return wall and CPU time and peak memory by step over these runs; attempts of one run are added up."""
    by_run = {run: _steps(reader.steps(run)) for run in sorted(numbers)}
    by_run = {run: steps for run, steps in by_run.items() if steps}
    by_step: dict[str, list[Row]] = defaultdict(list)
    for steps in sorted(by_run.values(), key=len, reverse=True):  # the fullest run names the steps in their order
        for name, step in steps.items():
            by_step[name].append(step)
    newest = by_run[max(by_run)] if by_run else {}
    rows = tuple(_step(name, found, newest.get(name)) for name, found in by_step.items())
    walls = tuple((run, {name: step["wall_s"] for name, step in steps.items()}) for run, steps in by_run.items())
    return Timings(rows, walls)


def _steps(rows: Sequence[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: (row["attempt"], row["started_at"])):
        known = found.setdefault(row["step"], {"wall_s": 0.0, "cpu_s": 0.0, "peak_rss_bytes": 0})
        known["wall_s"] += row["wall_s"]
        known["cpu_s"] += row["cpu_s"]
        known["peak_rss_bytes"] = max(known["peak_rss_bytes"], row["peak_rss_bytes"])
    return found


def _step(name: str, found: Sequence[Row], newest: Row | None) -> StepRow:
    walls = [row["wall_s"] for row in found]
    return StepRow(
        step=name,
        newest_s=newest["wall_s"] if newest else None,
        median_s=statistics.median(walls),
        longest_s=max(walls),
        median_cpu_s=statistics.median(row["cpu_s"] for row in found),
        peak_rss_bytes=max(row["peak_rss_bytes"] for row in found),
    )


def packages(home: Home, reader: Reader) -> Packages:
    """Return the newest package check, and the newest complete one where that failed."""
    newest, good = reader.package_check(), reader.package_check(good_only=True)
    last = good if newest and good and newest["check_id"] != good["check_id"] else None
    wanted = home.settings.packages.check != "never"
    return Packages(_check(reader, newest), _check(reader, last), wanted)


def _check(reader: Reader, row: Row | None) -> PackageReport | None:
    if row is None:
        return None
    found = reader.package_findings(row["check_id"])
    shown = tuple(_finding(each) for each in found[:MOST_FINDINGS])
    return PackageReport(row["checked_at"], row["packages"], row["outdated"], row["vulnerable"], row["unknown"],
                         row["error"], Listed(shown, len(found)))  # fmt: skip


def _finding(row: Row) -> PackageFinding:
    details = {
        "outdated": f"newest: {row['latest']}",
        "vulnerable": f"{row['advisory']}; " + (f"fixed in {row['fixed_in']}" if row["fixed_in"] else "no fix yet"),
        "unknown": row["reason"] or "nobody could say",
    }
    return PackageFinding(row["kind"], row["package"], row["installed"], details[row["kind"]])


def settings(home: Home) -> Listed[SettingRow]:
    """Return the settings in force, those that differ from their default first and the columns last."""
    given = home.settings
    defaults = dict(_flat(msgspec.to_builtins(parse(_LEAST[given.task]))))
    found = [
        SettingRow(name, value, _group(name, chosen=defaults.get(name) != value))
        for name, value in _flat(msgspec.to_builtins(msgspec.structs.replace(given, gate=given.gating)))
    ]
    found.sort(key=lambda row: ("chosen", "default", "columns").index(row.group))
    return Listed(tuple(found[:MOST_SETTINGS]), len(found))


def _group(name: str, *, chosen: bool) -> Literal["chosen", "columns", "default"]:
    if name.startswith("columns."):
        return "columns"
    return "chosen" if chosen else "default"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value and prefix != "columns.":
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: object) -> str:
    """Write a value as settings.yaml would have it; what says nothing is left out of a column's description."""
    if isinstance(value, Mapping):
        said = {name: each for name, each in value.items() if each not in (None, False, (), [], "")}
        return ", ".join(f"{name} {_text(each)}" for name, each in said.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)

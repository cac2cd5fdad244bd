"""The ledger → what the report says of data: files, quarantined rows, missing values, predictions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.records import FileState
from churnwatch.pipeline.settings import Home
from churnwatch.reports.data_facts import CheckRow, FileRow, Inputs, Missing, MissingRow, PredictionRow, Predictions
from churnwatch.reports.listed import Listed

MOST_FILES = 200
MOST_CHECKS = 40
MOST_COLUMNS = 40
MOST_REQUESTS = 10


def inputs(reader: Reader, runs: Sequence[int]) -> Inputs:
    """Return what became of the source files, and which checks the newest runs' rows broke."""
    rows = reader.files()
    shown = tuple(file_row(row) for row in reversed(rows[-MOST_FILES:]))
    return Inputs(Listed(shown, len(rows)), reader.file_counts(), reader.row_totals(), checks(reader, runs))


def file_row(row: Row) -> FileRow:
    """Return what became of a file."""
    return FileRow(row["path"], FileState(row["state"]), row["state_at"], row["rows_read"], row["accepted"],
                   row["duplicate"], row["quarantined"], row["reason"])  # fmt: skip


def checks(reader: Reader, runs: Sequence[int]) -> Listed[CheckRow]:
    """Return the checks that rows of these runs broke, those that most broke first."""
    groups: dict[tuple[str, str | None], list[Row]] = {}
    for run in sorted(runs):
        for row in reader.quarantines(run):
            groups.setdefault((row["check_name"], row["column_name"]), []).append(row)
    found = sorted((_check(key, rows) for key, rows in groups.items()), key=lambda each: -each.rows)
    return Listed(tuple(found[:MOST_CHECKS]), len(found))


def _check(key: tuple[str, str | None], rows: Sequence[Row]) -> CheckRow:
    newest = rows[-1]
    return CheckRow(*key, sum(row["rows"] for row in rows), len({row["path"] for row in rows}), newest["reason"],
                    newest["path"], newest["first_line"])  # fmt: skip


def missing(reader: Reader, runs: Sequence[int]) -> Missing:
    """Return, for columns that ever missed a value in these runs, the share run by run."""
    profiles = {run: {row["column_name"]: row for row in reader.profiles(run)} for run in sorted(runs)}
    profiles = {run: columns for run, columns in profiles.items() if columns}
    names = dict.fromkeys(name for columns in profiles.values() for name in columns)
    rows = [_missing_row(name, list(profiles.values())) for name in names]
    lacking = sorted((row for row in rows if row.highest > 0), key=lambda row: (-row.highest, row.column))
    return Missing(tuple(profiles), Listed(tuple(lacking[:MOST_COLUMNS]), len(lacking)), len(rows) - len(lacking))


def _missing_row(name: str, profiles: Sequence[dict[str, Row]]) -> MissingRow:
    found = [columns.get(name) for columns in profiles]
    shares = tuple(row["missing_share"] if row else None for row in found)
    newest = found[-1]
    return MissingRow(name, shares, newest["missing"] if newest else None, newest["rows"] if newest else None)


def predictions(home: Home, reader: Reader, output: Path) -> Predictions:
    """Return where the newest predictions lie, as CSV for people."""
    rows = reader.predictions()
    customers = next((row for row in reversed(rows) if row["file"] is None), None)
    requests = [row for row in reversed(rows) if row["file"] is not None]
    shown = tuple(located(home, output, requests[:MOST_REQUESTS]))
    return Predictions(next(located(home, output, [customers])) if customers else None, Listed(shown, len(requests)))


def located(home: Home, output: Path, rows: Sequence[Row]) -> Iterator[PredictionRow]:
    """Yield where files of predictions lie, seen from a report."""
    for row in rows:
        name = Path(row["path"]).with_suffix(".csv").name
        link = quote(Path(os.path.relpath(home.predictions / name, output.parent)).as_posix())
        yield PredictionRow(f"{home.settings.predictions_folder}/{name}", link, row["source"], row["version"],
                            row["rows"], row["positives"], row["at"], row["amount"])  # fmt: skip

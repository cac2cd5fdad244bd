"""Everything strange at once in the source folder: each file gets what it deserves, and none stops the others."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import socket
import stat
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from churnwatch.pipeline import compaction, learning, predicting, promotion, registry, run, schemas
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Status
from churnwatch.pipeline.settings import Home

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
SETTINGS = """\
target: Churn
positive: Yes
id: customerID
date: month
training: {estimators: [logistic], folds: 2}
gate: {policy: better, min_positives: 5}
csv: {max_line_mb: 1, max_columns: 100}
"""


WORDS = ("NA", "null", "None", "nan")
# what became of each file: rows accepted, quarantined, or the reason why it was not read
TEXTS: dict[str, tuple[Callable[[str, list[str]], str | bytes], int | str, int]] = {
    "zero": (lambda _, __: "", "empty: it has no header", 0),
    "header-only": (lambda h, _: h, 0, 0),
    "no-header": (lambda _, r: "".join(r), "columns are missing|stand twice", 0),
    "header-twice": (lambda h, r: h + h + "".join(r), 5, 1),
    "preamble": (lambda h, r: "Report for May\nconfidential\n\n" + h + "".join(r), 5, 0),
    "second-table": (lambda h, r: h + "".join(r) + "\nregion,total\nnorth,3\n", 5, 2),
    "short-row": (lambda h, r: h + r[0].rsplit(",", 2)[0] + "\n" + r[1], 1, 1),
    "extra-cell-in-every-row": (lambda h, r: h + "".join(f"{line[:-1]},x\n" for line in r), 0, 5),
    "semicolons": (lambda h, r: (h + "".join(r)).replace(",", ";"), 5, 0),
    "semicolons-and-decimal-commas": (lambda h, r: (h + "".join(_with(h, line, "MonthlyCharges", "70.5") for line in r))
                                      .replace(",", ";").replace(";70.5;", ";70,5;"), 0, 5),
    "words-for-nothing": (lambda h, r: h + "".join(_with(h, line, "gender", word)
                                                   for line, word in zip(r, WORDS, strict=False)), 4, 0),
    "tabs": (lambda h, r: (h + "".join(r)).replace(",", "\t"), 5, 0),
    "pipes": (lambda h, r: (h + "".join(r)).replace(",", "|"), 5, 0),
    "unclosed-quote": (lambda h, r: h + r[0] + r[1].replace("\n", ',"\n') + "".join(r[2:]), 4, 1),
    "utf-16": (lambda h, r: (h + "".join(r)).encode("utf-16"), 5, 0),
    "latin-1": (lambda h, r: (h + "".join(r)).replace("Male", "M\xe4nnlich").encode("latin-1"), 5, 0),
    "nul-in-a-cell": (lambda h, r: h + r[0][:5] + "\0" + r[0][5:] + r[1], 1, 1),
    "bare-cr": (lambda h, r: (h + "".join(r)).replace("\n", "\r"), 5, 0),
    "no-last-line-end": (lambda h, r: (h + "".join(r))[:-1], 5, 0),
    "same-names": (lambda _, __: "a,a\n1,2\n", "stand twice", 0),
    "many-columns": (lambda _, __: ",".join(f"c{n}" for n in range(101)) + "\n", "101 columns", 0),
    "long-line": (lambda _, __: "x" * (2 << 20), "line 1 is longer than 1 MB", 0),
    "reordered-columns": (lambda h, r: "".join(",".join(line[:-1].split(",")[::-1]) + "\n" for line in [h, *r]), 5, 0),
    "a-column-less": (lambda h, r: "".join(line.split(",", 1)[1] for line in [h, *r]), "`customerID`", 0),
    "a-column-more": (lambda h, r: h[:-1] + ",x\n" + "".join(line[:-1] + ",1\n" for line in r), 5, 0),
    "markup": (lambda _, __: '<script>alert(1)</script>,"; DROP TABLE runs;--"\n1,2\n', "columns are missing", 0),
    "long-name": (lambda _, __: "a" * 10_000 + ",b\n1,2\n", "columns are missing", 0),
    "formula": (lambda h, r: h + "=cmd|calc" + r[0][r[0].index(",") :], 1, 0),
    "too-large-a-number": (lambda h, r: h + _with(h, r[0], "MonthlyCharges", "1e400") + r[1], 1, 1),
    "infinity": (lambda h, r: h + _with(h, r[0], "MonthlyCharges", "inf") + r[1], 1, 1),
    "underscores": (lambda h, r: h + _with(h, r[0], "MonthlyCharges", "1_000") + r[1], 1, 1),
    "zeros-first": (lambda h, r: h + _with(h, r[0], "customerID", "00123"), 1, 0),
    "twenty-digits": (lambda h, r: h + _with(h, r[0], "customerID", "9" * 20), 1, 0),
    "$(touch owned)`touch owned`;touch owned|touch owned&": (lambda h, r: h + "".join(r), 5, 0),
    "name\nof two lines": (lambda h, r: h + "".join(r), 5, 0),
}  # fmt: skip


def _with(header: str, line: str, column: str, value: str) -> str:
    cells = line[:-1].split(",")
    cells[header[:-1].split(",").index(column)] = value
    return ",".join(cells) + "\n"


def _special_files(folder: Path) -> Iterator[object]:
    """Make what is no file of rows; yield what must stay open."""
    with gzip.open(folder / "bomb.csv.gz", "wb") as packed:
        packed.write(bytes(5 << 20))
    with zipfile.ZipFile(folder / "zip.csv", "w") as archive:
        archive.writestr("a", "b" * 1000)
    with zipfile.ZipFile(folder / "book.csv", "w", zipfile.ZIP_DEFLATED) as workbook:
        workbook.writestr("[Content_Types].xml", "<Types/>")
        workbook.writestr("xl/worksheets/sheet1.xml", "<worksheet/>" * 1000)
    (folder / "link.csv").symlink_to("/etc/hostname")
    (folder / "hard.csv").hardlink_to(folder / "00.csv")
    with contextlib.suppress(PermissionError):  # only root may
        os.mknod(folder / "device.csv", stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
    (folder / "folder.csv").mkdir()
    os.mkfifo(folder / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(folder / "s.csv"))
        yield opened


def test_each_strange_file_gets_what_it_deserves_and_none_stops_the_others(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    home = make_home(SETTINGS)
    lines = telco[0].read_text().splitlines(keepends=True)
    header, rows = lines[0], lines[1:]
    (home.source / "00.csv").write_text(header + "".join(rows[:80]))
    for number, (name, (made, _, _)) in enumerate(TEXTS.items()):
        own = [f"x{number}-{line}" for line in rows[80:85]]  # so that none is a duplicate of another file's
        content = made(header, own)
        (home.source / f"{name}.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    for _ in _special_files(home.source):
        with Ledger.open(home.ledger) as ledger:
            [outcome] = run.work(home, ledger, reason="drop")
            found = {row["path"]: row for row in ledger.rows("SELECT * FROM what_became_of_files")}
            totals = ledger.row_totals()
    assert outcome.status is Status.DONE
    assert totals["read"] == totals["accepted"] + totals["duplicate"] + totals["quarantined"]
    wrong = {}
    for name, (_, accepted, quarantined) in TEXTS.items():
        row = found.pop(f"{name}.csv")
        if isinstance(accepted, str):
            fits = row["state"] == "quarantined" and re.search(accepted, row["reason"]) is not None
        else:
            fits = (row["accepted"], row["duplicate"], row["quarantined"]) == (accepted, 0, quarantined)
        if not fits:
            wrong[name] = dict(row)
    assert wrong == {}
    assert found.pop("00.csv")["accepted"] == 80
    assert found.pop("hard.csv")["state"] == "same_content"
    assert {path: row["state"] for path, row in found.items()} == dict.fromkeys(
        ("bomb.csv.gz", "zip.csv", "book.csv", "link.csv"), "quarantined"
    )
    rows = pa.concat_tables(pyarrow.parquet.read_table(path) for path in home.ingested.glob("part-*.parquet"))
    assert {"00123", "9" * 20} <= set(rows["customerID"].to_pylist())
    assert set(WORDS) <= set(rows["gender"].to_pylist())
    assert not list(home.path.rglob("owned"))
    assert not Path("owned").exists()


def _worked(home: Home) -> dict[str, dict[str, Any]]:
    """Do what one turn of the daemon does; return what became of each file in the end."""
    with Ledger.open(home.ledger) as ledger:
        assert {outcome.status for outcome in run.work(home, ledger, reason="drop")} <= {Status.DONE}
        assert ledger.problems() == []
        return {row["path"]: row for row in ledger.rows("SELECT * FROM what_became_of_files ORDER BY file")}


def test_only_rows_that_are_new_count_however_they_come_again(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    home = make_home(SETTINGS)
    header, *rows = telco[0].read_text().splitlines(keepends=True)
    (home.source / "a.csv").write_text(header + "".join(rows[:80]))
    assert _worked(home)["a.csv"]["accepted"] == 80
    (home.source / "a.csv").write_text(header + "".join(rows[80:90]))
    (home.source / "new-name.csv").write_text(header + "".join(rows[:80]))
    (home.source / "reordered.csv").write_text(header + "".join(rows[79::-1]))
    found = _worked(home)
    assert (found["a.csv"]["accepted"], found["a.csv"]["duplicate"]) == (10, 0)
    assert found["new-name.csv"]["state"] == "same_content"
    assert (found["reordered.csv"]["accepted"], found["reordered.csv"]["duplicate"]) == (0, 80)


@pytest.mark.parametrize("only", ["x", "y", "z"])
def test_one_id_in_every_row_is_one_customer_and_no_error(
    make_home: Callable[..., Home], telco: tuple[Path, ...], only: str
) -> None:
    home = make_home(SETTINGS)
    header, *rows = telco[0].read_text().splitlines(keepends=True)
    (home.source / "a.csv").write_text(header + "".join(_with(header, row, "customerID", only) for row in rows))
    assert _worked(home)["a.csv"]["accepted"] == len(rows)
    with Ledger.open(home.ledger) as ledger:
        [attempt] = ledger.rows("SELECT note, warning FROM attempt_ends")
        decided = ledger.rows("SELECT warning FROM decisions")
    assert decided or attempt["note"].startswith("Nothing was trained: ")
    assert attempt["warning"] or decided[0]["warning"]  # there is nobody else to judge by


def test_a_target_turned_round_shows_before_anything_learns_from_it_and_can_be_undone(
    make_home: Callable[..., Home], telco: tuple[Path, ...]
) -> None:
    home = make_home(SETTINGS)
    (home.source / "a.csv").write_bytes(telco[0].read_bytes())
    _worked(home)
    header, *rows = telco[1].read_text().splitlines(keepends=True)
    place = header[:-1].split(",").index("Churn")
    turned = {"Yes": "No", "No": "Yes"}
    (home.source / "b.csv").write_text(
        header + "".join(_with(header, row, "Churn", turned[row[:-1].split(",")[place]]) for row in rows)
    )
    assert _worked(home)["b.csv"]["accepted"] == len(rows)
    with Ledger.open(home.ledger) as ledger:
        tested = "SELECT value FROM metrics WHERE name = 'f1' AND subject = ? AND split = ?"
        [before, *_] = ledger.rows(tested, "candidate", "holdout")
        [then] = ledger.rows(tested, "champion", "prequential")
        shares = [row["positives"] / row["labelled"] for row in ledger.rows("SELECT * FROM batches ORDER BY batch")]
        assert then["value"] < before["value"] / 2
        assert shares[1] > 0.5 > shares[0]
        if ledger.rows("SELECT 1 FROM decisions WHERE decision = 'promoted'"):
            assert promotion.rollback(home, ledger, None, actor="me", why="the target was turned round").version == 1
        champion = ledger.champion()
        assert champion is not None
        assert champion.model.version == 1


def test_the_clock_going_backwards_changes_nothing_but_times(
    make_home: Callable[..., Home], telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(SETTINGS)
    for number, month in enumerate(telco[:3]):
        now = datetime(2030 - number, 1, 1, tzinfo=UTC)
        for module in (run, promotion, learning, predicting, schemas, compaction):
            monkeypatch.setattr(module, "utc_now", lambda now=now: now)
        (home.source / f"{9 - number}.csv").write_bytes(month.read_bytes())
        assert _worked(home)[f"{9 - number}.csv"]["accepted"] == 240
        assert _worked(home)  # there is nothing left to do
    with Ledger.open(home.ledger) as ledger:
        assert [row["run"] for row in ledger.runs(9)] == [3, 2, 1]
        assert [row["created_at"][:4] for row in ledger.runs(9)] == ["2028", "2029", "2030"]
        promoted = "SELECT max(candidate) AS newest FROM decisions WHERE decision IN ('first', 'promoted')"
        champion = ledger.champion()
        assert champion is not None
        assert champion.model.version == ledger.rows(promoted)[0]["newest"]
        assert registry.release_problems(home.deployment, champion.model) == []

"""Every command, as somebody at a terminal meets it."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import joblib
import pandas as pd
import pytest
from run_steps import RUN_STEPS

from churnwatch.daemon import cli as command_line
from churnwatch.daemon import doctor, listings, setup
from churnwatch.pipeline import packages, sample, settings
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.settings import Home

Churnwatch = Callable[..., Any]
Ask = Callable[..., list[dict[str, Any]]]

LATER = ". Report and predictions follow with the next run (the report at once: `churnwatch report`)."


# -- help ------------------------------------------------------------------------------------------------------


def _commands() -> Iterator[str]:
    """Yield each command, with its group's name before it."""
    for name, command in command_line.cli.commands.items():
        if isinstance(command, click.Group):
            yield from (f"{name} {each}" for each in command.commands)
        else:
            yield name


@pytest.mark.parametrize("command", list(_commands()))
def test_every_commands_help_ends_with_an_example_that_is_right(churnwatch: Churnwatch, command: str) -> None:
    result = churnwatch(*command.split(), "--help")
    assert (result.code, result.err) == (0, "")
    *_, title, example = result.out.rstrip().splitlines()
    assert title == "Example:"
    words = example.split()
    assert words[0] == "churnwatch"
    assert set(command.split()) <= set(words)


def test_the_help_of_all_names_every_command_with_a_word_on_it(churnwatch: Churnwatch) -> None:
    result = churnwatch("-h")
    assert result.code == 0
    listed = [line.split() for line in result.out.partition("Commands:")[2].strip().splitlines()]
    assert [words[0] for words in listed if words[0] in command_line.cli.commands] == list(command_line.cli.commands)
    assert all(command.get_short_help_str() for command in command_line.cli.commands.values())


def test_without_a_command_the_help_is_shown(churnwatch: Churnwatch) -> None:
    result = churnwatch()
    assert result.code == 2
    assert "Usage: churnwatch" in result.err + result.out


def test_the_version_is_the_packages(churnwatch: Churnwatch) -> None:
    result = churnwatch("--version")
    assert result.code == 0
    assert result.out.startswith("churnwatch, version ")


# -- status ----------------------------------------------------------------------------------------------------


def test_a_healthy_home_ends_with_0_and_says_what_serves(churnwatch: Churnwatch, worked: Home) -> None:
    result = churnwatch("status", home=worked)
    assert result.code == 0, result.out
    lines = result.out.splitlines()
    assert lines[0] == f"home       {worked.path}"
    assert lines[1] == "daemon     not running"
    assert lines[2].startswith("champion   v2 (logistic), F1 0.")
    assert "rows       600 read = 600 accepted + 0 duplicate + 0 quarantined" in lines
    assert lines[-1] == "attention  nothing needs you"


def test_status_as_json_has_what_a_monitor_wants(churnwatch: Churnwatch, worked: Home) -> None:
    result = churnwatch("status", "--json", home=worked)
    state = json.loads(result.out)
    assert result.code == 0
    assert state["home"] == str(worked.path)
    assert state["daemon"] is None
    assert state["broken"] is None
    assert {"version", "f1", "since"} <= state["champion"].keys()
    assert state["champion"]["version"] == 2
    assert 0.0 < state["champion"]["f1"] < 1.0
    assert {"id", "status", "started_at", "wall_s", "decision"} <= state["last_run"].keys()
    assert state["last_run"]["id"] == 2
    assert state["last_run"]["decision"] == "promoted"
    assert state["files"] == {"ingested": 2}
    assert state["rows"] == {"read": 600, "accepted": 600, "duplicate": 0, "quarantined": 0}
    assert state["packages"] is None
    assert state["attention"] == []


def test_a_home_before_its_first_run_is_healthy(churnwatch: Churnwatch, home: Home) -> None:
    result = churnwatch("status", home=home)
    assert result.code == 0
    assert "champion   none yet" in result.out
    state = json.loads(churnwatch("status", "--json", home=home).out)
    assert (state["champion"], state["last_run"], state["files"]) == (None, None, {})
    assert state["rows"] == {"read": 0, "accepted": 0, "duplicate": 0, "quarantined": 0}


def test_what_is_broken_ends_with_4(churnwatch: Churnwatch, own: Home, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    none = churnwatch("status", home=tmp_path / "none")
    assert none.code == 4
    assert "is no home" in none.line
    assert none.out == ""
    shutil.copy(own.ledger, tmp_path / "ledger")
    own.ledger.write_bytes(b"damaged" * 1000)
    damaged = churnwatch("status", "--json", home=own)
    assert damaged.code == 4
    assert "cannot be read as a ledger" in json.loads(damaged.out)["broken"]
    shutil.copy(tmp_path / "ledger", own.ledger)
    (own.path / settings.FILE_NAME).write_text("target: [\n")
    assert churnwatch("status", home=own).code == 4


def test_a_running_daemon_is_named(churnwatch: Churnwatch, daemon: Callable[..., Any], own: Home) -> None:
    running = daemon(own, "--poll", "3600")
    assert f"daemon     running (process {running.process.pid})" in churnwatch("status", home=own).out
    assert json.loads(churnwatch("status", "--json", home=own).out)["daemon"] == running.process.pid
    running.signal(signal.SIGKILL)
    running.wait()
    result = churnwatch("status", home=own)
    assert result.code == 1
    assert "the daemon died without a word" in result.out


def test_status_says_at_most_twelve_lines_however_much_needs_attention(
    churnwatch: Churnwatch, own: Home, tmp_path: Path
) -> None:
    for number in range(9):
        (own.source / f"bad {number}.csv").write_text("nothing,of,it\n1,2,3\n" + "x\n" * number)
    assert churnwatch("run", "--once", home=own).code == 0
    with Ledger.open(own.ledger) as ledger:
        findings = (packages.Finding("vulnerable", "a", "1", None, "CVE", None, None),)
        check = packages.PackageCheck(
            iso(utc_now() - timedelta(days=30)), packages=1, outdated_known=False, vulnerable_known=True,
            findings=findings, error="offline",
        )  # fmt: skip
        ledger.add_package_check(check)
        ledger.add_intent(1, at=iso(utc_now()), run=None, kind="manual", actor="x")
    own.report.unlink()
    with (own.state / "daemon.lock").open("w") as lock:
        lock.write("1")
    result = churnwatch("status", home=own)
    assert result.code == 1
    assert len(result.out.splitlines()) == 12
    needs = json.loads(churnwatch("status", "--json", home=own).out)["attention"]
    assert len(needs) > 5
    assert f"and {len(needs) - 2} more; see --json" in result.out
    for words in (
        "died without a word",
        "bad 0.csv was not read",
        "6 more files were not read",
        "a promotion was begun",
        "known vulnerabilities",
        "could not be fully checked since",
        "last checked 30 days ago",
    ):
        assert any(words in need for need in needs), words


def test_a_file_that_was_mended_needs_no_attention_any_more(
    churnwatch: Churnwatch, own: Home, months: tuple[Path, ...]
) -> None:
    (own.source / "new.csv").write_text("")
    churnwatch("run", "--once", home=own)
    assert "new.csv was not read" in churnwatch("status", home=own).out
    shutil.copy(months[1], own.source / "new.csv")
    assert churnwatch("run", "--once", home=own).code == 0
    assert "new.csv was not read" not in churnwatch("status", home=own).out


# -- listings --------------------------------------------------------------------------------------------------


def test_files_are_listed_with_what_became_of_them(
    churnwatch: Churnwatch, worked: Home, months: tuple[Path, ...]
) -> None:
    result = churnwatch("files", home=worked)
    assert result.code == 0
    for month in (months[0], months[2]):
        assert month.name in result.out
    rows = json.loads(churnwatch("files", "--json", home=worked).out)
    assert [(row["path"], row["state"], row["rows_read"], row["accepted"], row["run"]) for row in rows] == [
        (months[0].name, "ingested", 300, 300, 1), (months[2].name, "ingested", 300, 300, 2)]  # fmt: skip
    assert json.loads(churnwatch("files", "--json", "--state", "quarantined", home=worked).out) == []


def test_runs_are_listed_newest_first_with_their_decisions(churnwatch: Churnwatch, worked: Home) -> None:
    rows = json.loads(churnwatch("runs", "--json", home=worked).out)
    assert [(row["run"], row["status"], row["decision"]) for row in rows] == [
        (2, "done", "promoted"), (1, "done", "first")]  # fmt: skip
    assert len(json.loads(churnwatch("runs", "--json", "--last", "1", home=worked).out)) == 1
    text = churnwatch("runs", home=worked).out
    assert rows[0]["sentence"] in text
    assert rows[1]["sentence"] in text


def test_a_run_is_shown_with_files_steps_timings_and_metrics(
    churnwatch: Churnwatch, worked: Home, months: tuple[Path, ...]
) -> None:
    text = churnwatch("show", "2", home=worked)
    assert text.code == 0
    for words in (months[2].name, "test champion", "peak MB", "prequential", "batch 2", "Promoted: "):
        assert words in text.out
    assert "Quarantined rows" not in text.out  # there are none
    found = json.loads(churnwatch("show", "2", "--json", home=worked).out)
    assert found["run"]["decision"] == "promoted"
    assert [step["step"] for step in found["steps"]] == list(RUN_STEPS)
    assert all(step["wall_s"] >= 0 for step in found["steps"])
    assert [each["path"] for each in found["files"]] == [months[2].name]


def test_quarantined_rows_are_shown_by_column_with_the_first_line(
    churnwatch: Churnwatch, home: Home, months: tuple[Path, ...]
) -> None:
    lines = months[0].read_text().splitlines()
    cells = lines[10].split(",")
    cells[lines[0].split(",").index("tenure")] = "-5"
    lines[10] = ",".join(cells)
    (home.source / "a.csv").write_text("\n".join(lines) + "\n")
    assert churnwatch("run", "--once", home=home).code == 0
    text = churnwatch("show", "1", home=home).out
    [row] = json.loads(churnwatch("show", "1", "--json", home=home).out)["quarantines"]
    assert (row["column_name"], row["rows"], row["first_line"]) == ("tenure", 1, 11)
    assert "Quarantined rows" in text
    assert row["reason"] in text


def test_models_are_listed_with_what_served_when_and_why(churnwatch: Churnwatch, worked: Home) -> None:
    found = json.loads(churnwatch("models", "--json", home=worked).out)
    assert [row["version"] for row in found["models"]] == [1, 2]
    first, second = found["releases"]
    assert (first["version"], first["kind"], first["until_at"]) == (1, "first", second["from_at"])
    assert (second["version"], second["kind"], second["until_at"]) == (2, "promoted", None)
    text = churnwatch("models", home=worked).out
    assert second["why"] in text
    assert "What served when" in text


def test_packages_of_the_last_check_are_shown(churnwatch: Churnwatch, own: Home) -> None:
    assert churnwatch("packages", "--last", home=own).out == "Packages were not checked yet.\n"
    findings = (packages.Finding("outdated", "numpy", "1.10", "2.0", None, None, None),)
    check = packages.PackageCheck("2026-11-01T00:00:00.000Z", 7, outdated_known=True, vulnerable_known=True,
                                  findings=findings, error=None)  # fmt: skip
    with Ledger.open(own.ledger) as ledger:
        ledger.add_package_check(check)
    result = churnwatch("packages", "--last", home=own)
    assert result.code == 0
    assert "7 packages checked at 2026-11-01T00:00:00.000Z: 1 outdated, 0 vulnerable, 0 unknown." in result.out
    assert result.out.splitlines()[-1].split() == ["outdated", "numpy", "1.10", "2.0"]  # versions are no numbers
    state = json.loads(churnwatch("status", "--json", home=own).out)["packages"]
    assert {"checked_at", "outdated", "vulnerable", "unknown"} <= state.keys()
    assert (state["outdated"], state["vulnerable"], state["unknown"]) == (1, 0, 0)


def test_packages_are_checked_now_and_recorded(
    churnwatch: Churnwatch, own: Home, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    asked: dict[str, Any] = {}

    def check(**given: Any) -> packages.PackageCheck:
        asked.update(given)
        return packages.PackageCheck(iso(given["now"]), 3, outdated_known=False, vulnerable_known=False, findings=(),
                                     error="nothing answered")  # fmt: skip

    monkeypatch.setattr(packages, "check", check)
    result = churnwatch("packages", home=own)
    assert result.code == 0
    assert "unknown outdated, unknown vulnerable, 3 unknown." in result.out
    assert "nothing answered" in result.out
    assert asked["timeout_s"] == 60.0
    assert ask(own, "SELECT outdated, vulnerable, unknown FROM package_checks") == [
        {"outdated": None, "vulnerable": None, "unknown": 3}
    ]


# -- commands that change something ----------------------------------------------------------------------------


def test_a_rollback_pins_until_unpin_and_promote_is_by_hand(
    churnwatch: Churnwatch, own: Home, months: tuple[Path, ...]
) -> None:
    back = churnwatch("rollback", "--why", "complaints", home=own)
    assert (back.code, back.out) == (0, f"v1 serves now, and no run replaces it until `churnwatch unpin`{LATER}\n")
    assert (own.deployment / "current").readlink().name == "v1"
    assert ", pinned" in churnwatch("status", home=own).out
    freed = churnwatch("unpin", "--why", "mended", home=own)
    assert (freed.code, freed.out) == (0, "v1 is no longer pinned; the next run may promote\n")
    assert ", pinned" not in churnwatch("status", home=own).out
    promoted = churnwatch("promote", "v2", "--why", "the board", home=own)
    assert (promoted.code, promoted.out) == (0, f"v2 serves now{LATER}\n")
    assert (own.deployment / "current").readlink().name == "v2"
    history = json.loads(churnwatch("models", "--json", home=own).out)["releases"][2:]
    assert [(row["version"], row["kind"], row["why"]) for row in history] == [
        (1, "rollback", "complaints"), (2, "manual", "the board")]  # fmt: skip
    assert all(row["actor"] != "gate" for row in history)


def test_a_rollback_to_a_version_takes_its_number_with_or_without_v(churnwatch: Churnwatch, own: Home) -> None:
    assert churnwatch("rollback", "1", "--why", "x", home=own).code == 0
    assert churnwatch("rollback", "v2", "--why", "x", home=own).code == 0
    assert (own.deployment / "current").readlink().name == "v2"


def test_a_retry_reads_a_file_again_and_its_rows_are_duplicates(
    churnwatch: Churnwatch, worked: Home, home: Home, months: tuple[Path, ...]
) -> None:
    shutil.copy(months[0], home.source)
    churnwatch("run", "--once", home=home)
    asked = churnwatch("retry", months[0].name, home=home)
    assert (asked.code, asked.out) == (
        0,
        f"{months[0].name} is read again by the next `churnwatch --home {home.path} run`\n",
    )
    again = churnwatch("run", "--once", home=home)
    assert again.out.startswith("run 2 done: Nothing new to learn from: no labelled row that was not there before.\n")
    assert "300 of 300 rows are duplicates" in again.out
    [row] = json.loads(churnwatch("files", "--json", home=home).out)
    assert (row["state"], row["accepted"], row["duplicate"]) == ("ingested", 0, 300)


def test_a_retry_wakes_the_daemon(
    churnwatch: Churnwatch,
    daemon: Callable[..., Any],
    home: Home,
    months: tuple[Path, ...],
    eventually: Callable[..., Any],
    ask: Ask,
) -> None:
    shutil.copy(months[0], home.source)
    assert churnwatch("run", "--once", home=home).code == 0
    running = daemon(home, "--poll", "3600")
    asked = churnwatch("retry", months[0].name, home=home)
    assert (asked.code, asked.out) == (0, f"{months[0].name} is read again now\n")
    eventually(lambda: ask(home, "SELECT 1 FROM run_history WHERE run = 2 AND status = 'done'"), running.log)


# -- data in and out -------------------------------------------------------------------------------------------


def test_predict_writes_a_file_with_probability_decision_and_version(
    churnwatch: Churnwatch, worked: Home, tmp_path: Path, months: tuple[Path, ...]
) -> None:
    target = tmp_path / "out.csv"
    result = churnwatch("predict", months[3], "-o", target, home=worked)
    assert result.code == 0
    found, asked = pd.read_csv(target), pd.read_csv(months[3])
    assert list(found["customerID"]) == list(asked["customerID"])
    assert set(found["model"]) == {"v2"}
    assert f"{target}: 300 customers, {found['decision'].sum()} of them expected to leave" in result.out
    model = joblib.load(worked.deployment / "trainedmodel.pkl")
    features = list(model.estimator.feature_names_in_)
    assert list(model.predict(asked[features])) == list(found["decision"])
    probabilities = model.predict_proba(asked[features])[:, 1]
    assert list(found["probability"]) == pytest.approx(list(probabilities))


def test_predict_without_a_name_writes_beside_the_file_and_says_what_it_left_out(
    churnwatch: Churnwatch, worked: Home, tmp_path: Path, months: tuple[Path, ...]
) -> None:
    source = Path(shutil.copy(months[1], tmp_path / "labelled.csv"))
    with source.open("a") as file:
        file.write("broken,line\n")
    result = churnwatch("predict", source, home=worked)
    assert result.code == 0
    assert (tmp_path / "labelled-predicted.csv").exists()
    assert "column `Churn` left out: it is what is predicted" in result.err
    assert "1 row(s) left out, first on line 302" in result.err


def test_export_writes_the_data_set_as_one_csv(
    churnwatch: Churnwatch, own: Home, tmp_path: Path, months: tuple[Path, ...]
) -> None:
    result = churnwatch("export", home=own)
    assert (result.code, result.out) == (0, f"{own.ingested / 'finaldata.csv'}: 600 rows\n")
    with (own.ingested / "finaldata.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == months[0].read_text().splitlines()[0].split(",")
    assert len(rows) == 600
    assert churnwatch("export", "-o", tmp_path / "mine.csv", home=own).code == 0
    assert (tmp_path / "mine.csv").read_bytes() == (own.ingested / "finaldata.csv").read_bytes()


def test_report_is_written_where_it_is_asked_for(
    churnwatch: Churnwatch, own: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", opened.append)
    own.report.unlink()
    result = churnwatch("report", home=own)
    assert (result.code, result.out) == (0, f"{own.report}\n")
    assert own.report.read_text().startswith("<!")
    result = churnwatch("report", "--open", "--output", tmp_path / "mine.html", home=own)
    assert (result.code, result.out) == (0, f"{tmp_path / 'mine.html'}\n")
    assert opened == [str(tmp_path / "mine.html")]


def test_explore_says_what_is_in_a_file_and_writes_a_page(
    churnwatch: Churnwatch, tmp_path: Path, months: tuple[Path, ...]
) -> None:
    result = churnwatch("explore", months[0], "--html", tmp_path / "look.html")
    assert result.code == 0
    for words in ("300 rows, 18 columns", "customerID", "Churn", f"With charts: {tmp_path / 'look.html'}"):
        assert words in result.out
    assert "<svg" in (tmp_path / "look.html").read_text()


def test_sample_writes_its_months_and_says_the_truth(churnwatch: Churnwatch, tmp_path: Path) -> None:
    for like in ("telco", "attrition"):
        folder = tmp_path / like
        result = churnwatch("sample", folder, "--like", like, "--months", "2", "--rows", "20", "--seed", "1")
        assert result.code == 0
        paths = [Path(line) for line in result.out.splitlines()[:2]]
        assert sorted(folder.iterdir()) == paths
        assert all(len(path.read_text().splitlines()) == 21 for path in paths)
        assert sample.truth(sample.Like(like)) in result.out


def test_run_once_says_when_there_is_nothing_new(churnwatch: Churnwatch, worked: Home) -> None:
    result = churnwatch("run", "--once", home=worked)
    assert (result.code, result.out) == (0, "Nothing new in the source folder.\n")


def test_run_once_waits_until_a_file_stands_still(
    churnwatch: Churnwatch, home: Home, months: tuple[Path, ...], ask: Ask
) -> None:
    shutil.copy(months[0], home.source)
    result = churnwatch("run", "--once", home=home)
    assert result.code == 0
    assert result.out.startswith("run 1 done: Released as the first model")
    [run] = ask(home, "SELECT created_at FROM runs")
    written = datetime.fromtimestamp((home.source / months[0].name).stat().st_ctime, tz=UTC)
    assert datetime.fromisoformat(run["created_at"]) - written >= timedelta(seconds=0.24)


# -- doctor ----------------------------------------------------------------------------------------------------


def _checks(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return what is OK, and each FIX with its command."""
    lines = text.splitlines()
    fine = [line.removeprefix("OK   ") for line in lines if line.startswith("OK   ")]
    wrong = [
        (line.removeprefix("FIX  "), after.strip())
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("FIX  ")
    ]
    assert len(fine) + 2 * len(wrong) == len(lines), text
    assert all(command for _, command in wrong)
    return fine, wrong


@pytest.fixture(autouse=True)
def _no_unit_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_UNIT", tmp_path / "no.service")
    monkeypatch.setattr(doctor, "_LOW_DISK_BYTES", 0)


def test_doctor_finds_a_home_in_order(churnwatch: Churnwatch, worked: Home) -> None:
    result = churnwatch("doctor", home=worked)
    fine, wrong = _checks(result.out)
    assert (result.code, wrong) == (0, [])
    for words in (
        "installation: churnwatch ",
        f"ledger: {worked.ledger}",
        "release: v2",
        "clock",
        "daemon: not running",
    ):
        assert any(line.startswith(words) for line in fine), words


def test_doctor_of_a_home_before_its_first_run_is_fine(churnwatch: Churnwatch, home: Home) -> None:
    result = churnwatch("doctor", home=home)
    assert (result.code, _checks(result.out)[1]) == (0, [])
    assert "ledger: none yet" in result.out


def test_doctors_fixes_mend_what_they_name(churnwatch: Churnwatch, own: Home) -> None:
    shutil.rmtree(own.predictions)
    (own.deployment / "latestscore.txt").unlink()
    (own.deployment / "current").unlink()
    result = churnwatch("doctor", home=own)
    _, wrong = _checks(result.out)
    assert result.code == 1
    commands = dict(wrong)
    assert commands[f"folder {own.predictions} is missing"] == f"mkdir -p {own.predictions}"
    assert all(f"churnwatch --home {own.path}" in command for what, command in wrong if "folder" not in what)
    assert len(wrong) >= 2


@pytest.mark.parametrize(
    ("what", "words", "fix"),
    [
        ("ledger", "cannot be read as a ledger", "churnwatch restore "),
        ("settings", "not valid YAML", "settings.yaml"),
        ("home", "is no home", "churnwatch init "),
        ("intent", "a promotion was begun and not finished", "run --once"),
        ("clock", "the clock is behind the ledger", "timedatectl"),
        ("packages", "packages missing or too old: nosuchpackage>=9", "-m pip install 'nosuchpackage>=9'"),
        ("disk", "MB are free", "du "),
    ],
)
def test_doctor_gives_a_command_for_what_is_wrong(
    churnwatch: Churnwatch, own: Home, monkeypatch: pytest.MonkeyPatch, what: str, words: str, fix: str
) -> None:
    if what == "ledger":
        own.ledger.write_bytes(b"damaged" * 1000)
    elif what == "settings":
        (own.path / settings.FILE_NAME).write_text("target: [\n")
    elif what == "home":
        (own.path / settings.FILE_NAME).unlink()
    elif what == "packages":
        monkeypatch.setattr(doctor.metadata, "requires", lambda _: ["nosuchpackage>=9", "unneeded; extra == 'x'"])
    elif what == "disk":
        monkeypatch.setattr(doctor, "_LOW_DISK_BYTES", 1 << 60)
    else:
        at = iso(utc_now() + timedelta(days=1))
        with Ledger.open(own.ledger) as ledger:
            if what == "intent":
                ledger.add_intent(1, at=at, run=None, kind="manual", actor="x")
            else:
                given = (own.settings.sha256, own.settings.canonical())
                run = ledger.begin_run(run_id="x", reason="x", at=at, settings=given, code_version="", inputs=[])
                ledger.begin_attempt(run, at=at, pid=1, settings=given)
    result = churnwatch("doctor", home=own)
    assert result.code == 1
    [command] = [command for line, command in _checks(result.out)[1] if words in line]
    assert fix in command


def test_doctor_changes_nothing(churnwatch: Churnwatch, own: Home) -> None:
    def seen() -> dict[Path, int]:
        return {
            path: path.lstat().st_mtime_ns for path in own.path.rglob("*") if not path.name.endswith(("-shm", "-wal"))
        }

    before = seen()
    churnwatch("doctor", home=own)
    assert seen() == before


# -- init ------------------------------------------------------------------------------------------------------


def test_init_makes_a_home_that_works(churnwatch: Churnwatch, tmp_path: Path, months: tuple[Path, ...]) -> None:
    result = churnwatch("init", tmp_path / "new", "--from", months[0], "--exclude", "TotalCharges")
    assert result.code == 0
    made = settings.load(tmp_path / "new")
    assert (made.settings.target, made.settings.positive, made.settings.id) == ("Churn", "Yes", "customerID")
    assert made.settings.exclude == ("TotalCharges",)
    assert all(folder.is_dir() for folder in (*made.folders(), made.tests))
    assert f"churnwatch --home {tmp_path / 'new'} run" in result.out
    with (made.path / settings.FILE_NAME).open("a") as file:
        file.write("training: {estimators: [logistic]}\n")  # for speed
    shutil.copy(months[0], made.source)
    done = churnwatch("run", "--once", home=made)
    assert done.code == 0
    assert done.out.startswith("run 1 done: Released as the first model")


def test_init_refuses_a_home_that_is_one(churnwatch: Churnwatch, home: Home, months: tuple[Path, ...]) -> None:
    before = (home.path / settings.FILE_NAME).read_text()
    result = churnwatch("init", home.path, "--from", months[0])
    assert result.code == 2
    assert "is a home already" in result.line
    assert (home.path / settings.FILE_NAME).read_text() == before


AMBIGUOUS = "a,b,c\n" + "".join(f"{n},k{n % 2},m{n % 3 > 0:d}\n" for n in range(60))


def test_what_init_cannot_tell_is_a_line_that_names_the_option_where_nobody_is_asked(
    churnwatch: Churnwatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some.csv").write_text(AMBIGUOUS)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    result = churnwatch("init", tmp_path / "new", "--from", tmp_path / "some.csv")
    assert result.code == 2
    assert "Say it with --target; it could be one of: " in result.line
    result = churnwatch("init", tmp_path / "new", "--from", tmp_path / "some.csv", "--target", "b")
    assert result.code == 2
    assert "Say it with --positive; it could be one of: " in result.line
    assert not (tmp_path / "new").exists()
    result = churnwatch("init", tmp_path / "new", "--from", tmp_path / "some.csv", "--target", "b", "--positive", "k1")
    assert result.code == 0
    assert settings.load(tmp_path / "new").settings.positive == "k1"


def test_init_asks_one_question_after_the_other_where_somebody_is_there(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text(AMBIGUOUS)
    asked: list[tuple[str, ...]] = []

    def ask(_question: str, choices: tuple[str, ...]) -> str:
        asked.append(choices)
        return "c" if "c" in choices else "m1"

    setup.init(tmp_path / "new", sample=tmp_path / "some.csv", config=None, id_=None, target=None, positive=None,
               exclude=(), ask=ask, tell=lambda _: None)  # fmt: skip
    made = settings.load(tmp_path / "new").settings
    assert (made.target, made.positive) == ("c", "m1")
    assert len(asked) == 2
    assert set(asked[1]) == {"m0", "m1"}


def test_an_option_that_is_no_column_is_one_line(
    churnwatch: Churnwatch, tmp_path: Path, months: tuple[Path, ...]
) -> None:
    for option in ("--target", "--id", "--exclude"):
        result = churnwatch("init", tmp_path / "new", "--from", months[0], option, "nonsense")
        assert result.code in {1, 2}, option
        assert "nonsense" in result.line
    assert not (tmp_path / "new").exists()


def test_init_from_the_classic_exercises_config(churnwatch: Churnwatch, tmp_path: Path) -> None:
    config = {
        "input_folder_path": "in", "output_folder_path": "out", "test_data_path": "test",
        "output_model_path": "made", "prod_deployment_path": "prod",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    result = churnwatch("init", tmp_path / "new", "--from-config", tmp_path / "config.json")
    assert result.code == 0
    made = settings.load(tmp_path / "new")
    names = (made.source, made.ingested, made.tests, made.models, made.deployment)
    assert [path.name for path in names] == list(config.values())
    assert made.settings.target == "exited"
    for text in ("{", "[]", "{}", json.dumps({**config, "more": "x"})):
        (tmp_path / "config.json").write_text(text)
        refused = churnwatch("init", tmp_path / "other", "--from-config", tmp_path / "config.json")
        assert refused.code == 2
        assert "config.json" in refused.line


def test_the_release_agrees_with_the_ledger_after_all_of_it(worked: Home) -> None:
    with Reader.open(worked.ledger) as ledger:
        champion = ledger.champion()
        assert champion is not None
        assert ledger.problems() == []
        assert (worked.deployment / "current").readlink().name == champion.model.name


def test_what_would_break_a_line_or_steer_a_terminal_is_escaped() -> None:
    assert listings.table([("a\nb\x1b[31m", 1)], ("name", "rows")).splitlines()[-1].split() == ["a\\nb\\x1b[31m", "1"]

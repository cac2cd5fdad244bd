"""What a user, a file or the machine can cause is one line and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from churnwatch.daemon import attention, commands, status
from churnwatch.pipeline import files, settings
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.settings import Home

Churnwatch = Callable[..., Any]
Ask = Callable[..., list[dict[str, Any]]]
COMMAND = [sys.executable, "-m", "churnwatch.daemon.cli"]

# Every command that works on a home, but for `status` and `doctor`, which have words of their own for it.
ON_A_HOME = (
    "run", "run --once", "report", "files", "retry a.csv", "runs", "show 1", "models", "promote v1 --why x",
    "rollback --why x", "unpin", "predict a.csv", "packages", "packages --last", "export",
)  # fmt: skip
ON_A_LEDGER = ("report", "files", "retry a.csv", "runs", "show 1", "models", "promote v1 --why x", "rollback --why x",
               "unpin", "predict a.csv", "export")  # fmt: skip


# -- homes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ON_A_HOME)
def test_a_folder_that_is_no_home_is_said_with_the_command_that_makes_one(
    churnwatch: Churnwatch, tmp_path: Path, command: str
) -> None:
    result = churnwatch(*command.split(), home=tmp_path)
    assert result.code == 1
    assert result.line == (
        f"churnwatch: {tmp_path} is no home: it has no settings.yaml. Make one: churnwatch init {tmp_path}"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ON_A_HOME)
def test_broken_settings_are_said_with_their_line(churnwatch: Churnwatch, tmp_path: Path, command: str) -> None:
    (tmp_path / "settings.yaml").write_text("target: Churn\npositive: Yes\nstabilty_s: 2\n")
    result = churnwatch(*command.split(), home=tmp_path)
    assert result.code == 1
    assert result.line == (
        f"churnwatch: {tmp_path}/settings.yaml, line 3: stabilty_s: no such setting; did you mean `stability_s`?."
    )


@pytest.mark.parametrize("command", ON_A_LEDGER)
def test_before_the_first_run_there_is_one_line_for_what_is_not_there_yet(
    churnwatch: Churnwatch, home: Home, months: tuple[Path, ...], command: str
) -> None:
    result = churnwatch(*command.replace("a.csv", str(months[0])).split(), home=home)
    assert result.code == 1
    assert (
        result.line == "churnwatch: churnwatch.db: no ledger yet; it is made by the first run"
        f" (churnwatch --home {home.path} run --once)."
    )
    assert not home.ledger.exists()


@pytest.mark.parametrize("command", ["files", "runs", "models", "report", "retry a.csv", "predict a.csv", "export"])
def test_a_ledger_that_is_none_is_one_line(churnwatch: Churnwatch, home: Home, command: str) -> None:
    home.ledger.write_bytes(b"this is no ledger" * 100)
    result = churnwatch(*command.split(), home=home)
    assert result.code == 1
    assert str(home.ledger) in result.line


def test_a_folder_where_the_ledger_should_be_is_one_line(churnwatch: Churnwatch, home: Home) -> None:
    home.ledger.mkdir()
    for command in ("files", "export"):
        result = churnwatch(command, home=home)
        assert result.code == 1
        assert str(home.ledger) in result.line


def test_a_busy_home_is_one_line(churnwatch: Churnwatch, home: Home) -> None:
    with files.lock(home.state / attention.DAEMON_LOCK, busy=""):
        result = churnwatch("run", "--once", home=home)
        assert result.code == 1
        assert f"a daemon is running (process {os.getpid()}); it works off what is there by itself." in result.line
        result = churnwatch("run", home=home)
    assert result.code == 1
    assert result.err.splitlines()[-1].endswith(f"a daemon is running already (process {os.getpid()}). Stop it first.")


def test_the_home_of_the_environment_counts_unless_one_is_named(
    churnwatch: Churnwatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURNWATCH_HOME", str(tmp_path / "environment"))
    assert "environment is no home" in churnwatch("files").line
    assert "named is no home" in churnwatch("files", home=tmp_path / "named").line
    assert "after is no home" in churnwatch("files", "--home", tmp_path / "after", home=tmp_path / "before").line


# -- unknown things --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("show 99", "run 99: there is no such run."),
        ("promote v99 --why x", "v99: there is no such model version."),
        ("rollback v99 --why x", "v99: there is no such model version."),
        ("retry nope.csv", "nope.csv: no file of that name was ever seen."),
        ("promote v2 --why x", "v2 serves already, since"),
        ("rollback v2 --why x", "v2 serves already; nothing to roll back to."),
        ("unpin", "nothing is pinned; the next run may promote."),
        ("predict nope.csv", "nope.csv: cannot be read (No such file or directory)."),
        ("explore nope.csv", "nope.csv: cannot be read (No such file or directory)."),
    ],
)
def test_what_is_not_there_is_one_line(churnwatch: Churnwatch, own: Home, command: str, words: str) -> None:
    result = churnwatch(*command.split(), home=own)
    assert result.code == 1
    assert result.line.startswith(f"churnwatch: {words}")


def test_there_is_nothing_to_roll_back_to_with_one_release(
    churnwatch: Churnwatch, home: Home, months: tuple[Path, ...]
) -> None:
    shutil.copy(months[0], home.source)
    assert churnwatch("run", "--once", home=home).code == 0
    result = churnwatch("rollback", "--why", "x", home=home)
    assert result.code == 1
    assert "no version served before this one" in result.line


def test_a_file_that_is_gone_cannot_be_retried(churnwatch: Churnwatch, own: Home, months: tuple[Path, ...]) -> None:
    (own.source / months[0].name).unlink()
    result = churnwatch("retry", months[0].name, home=own)
    assert result.code == 2
    assert "lies no longer in" in result.line


def test_a_version_whose_files_were_tampered_with_is_not_released(churnwatch: Churnwatch, own: Home) -> None:
    with (own.models / "v1" / "trainedmodel.pkl").open("ab") as file:
        file.write(b"x")
    result = churnwatch("rollback", "--why", "x", home=own)
    assert result.code == 1
    assert "v1" in result.line
    assert (own.deployment / "current").readlink().name == "v2"


@pytest.mark.parametrize(
    "command",
    [
        "nonsense", "show", "show x", "show 0", "promote vv --why x", "promote v1", "rollback", "run --poll 0",
        "predict", "files --state nonsense", "sample --like nothing x", "sample --rows 0 x", "status --xml",
        "init", "predict /",
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2(churnwatch: Churnwatch, own: Home, command: str) -> None:
    result = churnwatch(*command.split(), home=own)
    assert result.code == 2
    assert result.err
    assert "Traceback" not in result.err


# -- files that cannot be used ---------------------------------------------------------------------------------

OTHER = "invoice,amount,paid\n1,10.0,yes\n2,20.0,no\n"


def _one_class(month: Path) -> str:
    lines = month.read_text().splitlines()
    return "\n".join(line.removesuffix(",Yes") + ",No" if line.endswith(",Yes") else line for line in lines) + "\n"


@pytest.mark.parametrize(
    ("content", "state", "words"),
    [
        (b"", "quarantined", "empty"),
        (b"\n\n", "quarantined", "empty"),
        (OTHER.encode(), "quarantined", "column"),
        (b"\x00\x01\x02" * 500, "quarantined", "not a text file"),
        (b"PK\x03\x04" + bytes(500), "quarantined", "not a text file"),
    ],
    ids=["empty", "blank", "another company's", "binary", "a zip"],
)
def test_a_file_that_cannot_be_used_is_quarantined_with_a_reason_and_status_says_so(
    churnwatch: Churnwatch, home: Home, content: bytes, state: str, words: str
) -> None:
    (home.source / "bad.csv").write_bytes(content)
    result = churnwatch("run", "--once", home=home)
    assert "Traceback" not in result.err
    assert result.code == 0
    assert f"Nothing was ingested: see the reasons with `churnwatch --home {home.path} files`." in result.out
    listed = churnwatch("files", "--state", state, home=home)
    assert listed.code == 0
    assert "bad.csv" in listed.out
    assert words in listed.out
    told = churnwatch("status", home=home)
    assert told.code == 1
    assert "bad.csv was not read: " in told.out


@pytest.mark.parametrize("name", ["caf\udce9.csv", "back\\slash.csv", "two\nlines.csv"])
def test_a_file_of_any_name_that_was_not_read_is_told_in_one_line_and_can_be_retried(
    churnwatch: Churnwatch, home: Home, name: str
) -> None:
    (home.source / name).write_bytes(b"")
    assert churnwatch("run", "--once", home=home).code == 0
    told = churnwatch("status", home=home)
    assert told.code == 1
    [line] = [line for line in told.out.splitlines() if "was not read: " in line]
    shown = json.loads(churnwatch("files", "--json", home=home).out)[0]["path"]
    assert shown.replace("\n", "\\n") in line
    for asked in (name, shown):
        retried = churnwatch("retry", asked, home=home)
        assert (retried.code, retried.out.count("\n")) == (0, 1)
        assert churnwatch("run", "--once", home=home).code == 0
    assert churnwatch("report", home=home).code == 0
    (home.source / name).unlink()
    assert "was not read" not in churnwatch("status", home=home).out


def test_a_file_that_the_disk_does_not_give_is_told_and_taken_once_it_does(
    churnwatch: Churnwatch, home: Home, months: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: Path) -> str:
        raise OSError(5, "Input/output error")

    shutil.copy(months[0], home.source / "a.csv")
    with monkeypatch.context() as patch:
        patch.setattr(files, "sha256_of", failing)
        churnwatch("run", "--once", home=home)
    told = churnwatch("status", home=home)
    assert told.code == 1
    assert "a.csv was not read: cannot be read: Input/output error; it is tried again" in told.out
    assert churnwatch("run", "--once", home=home).code == 0
    assert "was not read" not in churnwatch("status", home=home).out


def test_an_inferred_home_says_that_no_file_has_the_target(churnwatch: Churnwatch, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("target: Churn\npositive: Yes\nstability_s: 0.1\n")
    (tmp_path / "sourcedata").mkdir()
    (tmp_path / "sourcedata" / "other.csv").write_text(OTHER)
    result = churnwatch("run", "--once", home=tmp_path)
    assert result.code == 1
    assert "run 1 failed: settings.yaml: target: no file has a column `Churn`" in result.out
    assert "Traceback" not in result.err
    told = churnwatch("status", home=tmp_path)
    assert told.code == 1
    assert "run 1 failed: settings.yaml: target" in told.out


def test_an_inferred_home_survives_an_empty_first_file(churnwatch: Churnwatch, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("target: Churn\npositive: Yes\nstability_s: 0.1\n")
    (tmp_path / "sourcedata").mkdir()
    (tmp_path / "sourcedata" / "empty.csv").write_text("")
    result = churnwatch("run", "--once", home=tmp_path)
    assert result.code == 1
    assert "Traceback" not in result.err
    assert result.out.startswith("run 1 failed: ")


def test_a_file_without_the_target_waits_for_a_first_model(
    churnwatch: Churnwatch, home: Home, months: tuple[Path, ...]
) -> None:
    shutil.copy(months[3], home.source)
    result = churnwatch("run", "--once", home=home)
    assert result.code == 0
    assert "Traceback" not in result.err
    assert "A request to score; nothing was trained." in result.out
    assert "waiting" in churnwatch("files", home=home).out
    again = churnwatch("run", "--once", home=home)
    assert again.out == "Nothing new in the source folder.\n"


def test_a_target_of_one_class_is_ingested_and_nothing_is_trained(
    churnwatch: Churnwatch, home: Home, months: tuple[Path, ...]
) -> None:
    (home.source / "nobody-left.csv").write_text(_one_class(months[0]))
    result = churnwatch("run", "--once", home=home)
    assert result.code == 0
    assert "Nothing was trained: " in result.out
    assert "Traceback" not in result.err
    told = churnwatch("status", home=home)
    assert told.code == 1
    assert "300 accepted" in told.out
    assert "champion   none yet" in told.out


def test_a_file_of_nothing_but_a_header_is_no_error(
    churnwatch: Churnwatch, home: Home, months: tuple[Path, ...]
) -> None:
    (home.source / "header.csv").write_text(months[0].read_text().splitlines()[0] + "\n")
    result = churnwatch("run", "--once", home=home)
    assert "Traceback" not in result.err
    assert result.code == 0
    assert "header.csv" in churnwatch("files", home=home).out


@pytest.mark.parametrize("command", ["predict", "explore", "init {tmp}/new --from"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01" * 500, None], ids=["empty", "binary", "missing"])
def test_a_named_file_that_cannot_be_used_is_one_line(
    churnwatch: Churnwatch, worked: Home, tmp_path: Path, command: str, content: bytes | None
) -> None:
    file = tmp_path / "bad.csv"
    if content is not None:
        file.write_bytes(content)
    result = churnwatch(*command.format(tmp=tmp_path).split(), file, home=worked)
    assert result.code == 1
    assert result.line.startswith(f"churnwatch: {file}: ")
    assert not (tmp_path / "new").exists()


def test_predicting_another_companys_file_names_what_is_missing(
    churnwatch: Churnwatch, worked: Home, tmp_path: Path
) -> None:
    (tmp_path / "other.csv").write_text(OTHER)
    result = churnwatch("predict", tmp_path / "other.csv", home=worked)
    assert result.code == 1
    assert "customerID" in result.line
    assert not (tmp_path / "other-predicted.csv").exists()


def test_an_output_that_cannot_be_written_is_one_line(
    churnwatch: Churnwatch, worked: Home, tmp_path: Path, months: tuple[Path, ...]
) -> None:
    (tmp_path / "file").write_text("")
    for command in (
        ["export", "-o", tmp_path / "file" / "x.csv"],
        ["report", "--output", tmp_path / "file" / "x.html"],
        ["predict", months[3], "-o", tmp_path / "file" / "x.csv"],
        ["explore", months[3], "--html", tmp_path / "file" / "x.html"],
        ["sample", tmp_path / "file" / "x"],
    ):
        result = churnwatch(*command, home=worked)
        assert result.code in {1, 2}, command
        assert result.line.startswith("churnwatch: ")


# -- the machine -----------------------------------------------------------------------------------------------


@pytest.fixture
def reachable(home: Home) -> Iterator[Home]:
    """Return a home that another user may enter; pytest's folders are for their owner only."""
    opened = []
    for folder in (home.path, *home.path.parents):
        mode = folder.stat().st_mode
        if mode & 0o005 != 0o005 and folder.stat().st_uid == os.getuid():
            opened.append((folder, mode))
            folder.chmod(mode | 0o005)
    yield home
    for folder, mode in opened:
        folder.chmod(mode)


def _as_somebody_without_rights() -> list[str]:
    """Return how to run a command as a user whom rights hold for."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may read everything, and there is no `setpriv` to become somebody else")
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*prefix, sys.executable, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"root may read everything, and nobody else may run {sys.executable}")
    return prefix


def test_a_source_folder_without_rights_is_one_line(reachable: Home) -> None:
    prefix = _as_somebody_without_rights()
    for path in (reachable.path, *reachable.folders()):
        if prefix:
            os.chown(path, 65534, 65534)
    reachable.source.chmod(0o000)
    variables = os.environ | {"HOME": str(reachable.path)}  # matplotlib wants a place for its fonts
    try:
        done = subprocess.run(
            [*prefix, *COMMAND, "--home", str(reachable.path), "run", "--once"],
            capture_output=True, text=True, check=False, cwd=reachable.path, env=variables,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr == (
            f"churnwatch: {reachable.source}: the folder cannot be read (Permission denied)."
            " Mend its rights, or make it.\n"
        )
        told = subprocess.run(
            [*prefix, *COMMAND, "--home", str(reachable.path), "status"],
            capture_output=True, text=True, check=False, cwd=reachable.path, env=variables,
        )  # fmt: skip
    finally:
        reachable.source.chmod(0o700)
    assert told.returncode == 1
    assert "the folder cannot be read (Permission denied)" in told.stdout


@pytest.fixture
def small_disk(home: Home) -> Iterator[Home]:
    """Return a home whose data set lies on a disk of 64 kB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(home.ingested)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield home
    subprocess.run(["umount", str(home.ingested)], check=True)


def test_a_ledger_without_rights_to_write_is_one_line_and_goes_on_once_they_are_mended(
    reachable: Home, months: tuple[Path, ...]
) -> None:
    prefix = _as_somebody_without_rights()
    shutil.copy(months[0], reachable.source)
    with Ledger.open(reachable.ledger):
        pass
    for path in (reachable.path, *reachable.path.rglob("*")):
        if prefix:
            os.chown(path, 65534, 65534)
    command = [*prefix, *COMMAND, "--home", str(reachable.path), "run", "--once"]
    variables = os.environ | {"HOME": str(reachable.path)}
    for mode, code in ((0o400, 1), (0o600, 0)):
        reachable.ledger.chmod(mode)
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=reachable.path, env=variables)
        assert done.returncode == code, done.stderr
        assert done.stderr.count("\n") == code, done.stderr
        assert (str(reachable.ledger) in done.stderr) == bool(code)


def test_a_full_disk_fails_the_run_in_one_line_and_it_is_taken_up_once_there_is_room(
    small_disk: Home, churnwatch: Churnwatch, months: tuple[Path, ...], ask: Ask
) -> None:
    filler = small_disk.ingested / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(1 << 20))
    shutil.copy(months[0], small_disk.source)
    result = churnwatch("run", "--once", home=small_disk)
    assert result.code == 1
    assert "Traceback" not in result.err
    assert result.out.startswith("run 1 failed: ")
    assert "No space left on device" in result.out
    assert result.out.count("\n") == 1
    told = churnwatch("status", home=small_disk)
    assert told.code == 1
    assert "No space left on device" in told.out
    assert list(small_disk.ingested.glob("part-*")) == []

    filler.unlink()
    assert churnwatch("run", "--once", home=small_disk).code == 0
    assert ask(small_disk, "SELECT run, attempt, status FROM run_history") == [
        {"run": 1, "attempt": 2, "status": "done"}
    ]
    assert ask(small_disk, "SELECT sum(accepted) AS n FROM file_events") == [{"n": 300}]


def test_a_full_disk_under_standard_output_is_one_line(worked: Home) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "--home", str(worked.path), "files"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "churnwatch: [Errno 28] No space left on device\n"


def test_a_reader_that_leaves_early_is_no_traceback(worked: Home) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "--home", str(worked.path), "files"], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


# -- bugs and interrupts ---------------------------------------------------------------------------------------


def test_a_bug_ends_with_3_and_its_traceback_is_in_the_log_that_is_named(
    churnwatch: Churnwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_folder: Path) -> dict[str, Any]:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr(status, "gather", broken)
    result = churnwatch("status", home=home)
    log = home.state / "error.log"
    assert result.code == 3
    assert result.line == f"churnwatch: a bug: ZeroDivisionError. Its traceback is in {log}."
    text = log.read_text()
    assert "Traceback (most recent call last):" in text
    assert "\nZeroDivisionError (its words are left out)\n" in text
    churnwatch("status", home=home)
    assert log.read_text().count("Traceback") == 2  # the log is added to


@pytest.mark.parametrize("way", ["--home X status", "--home=X status", "status --home X", "environment"])
def test_the_log_of_a_bug_lies_in_the_home_however_it_was_named(
    churnwatch: Churnwatch, home: Home, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def broken(_folder: Path) -> dict[str, Any]:
        raise ZeroDivisionError

    monkeypatch.setattr(status, "gather", broken)
    if way == "environment":
        monkeypatch.setenv("CHURNWATCH_HOME", str(home.path))
        way = "status"
    assert churnwatch(*way.replace("X", str(home.path)).split()).code == 3
    assert (home.state / "error.log").exists()


def test_a_bug_where_no_log_can_be_written_shows_its_traceback(
    churnwatch: Churnwatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_folder: Path) -> dict[str, Any]:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr(status, "gather", broken)
    result = churnwatch("status", home=tmp_path / "missing")
    assert result.code == 3
    assert "\nZeroDivisionError (its words are left out)\n" in result.err
    assert result.err.endswith("Its traceback is in the lines above.\n")


def test_a_bug_in_a_run_ends_with_3_and_the_ledger_knows_of_it(
    churnwatch: Churnwatch, home: Home, months: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError("by design")

    shutil.copy(months[0], home.source)
    monkeypatch.setattr("churnwatch.pipeline.learning.train_candidate", broken)
    result = churnwatch("run", "--once", home=home)
    assert result.code == 3
    assert "\nZeroDivisionError (its words are left out)\n" in (home.state / "error.log").read_text()
    assert ask(home, "SELECT status, error FROM run_history") == [
        {"status": "broken", "error": "a bug: ZeroDivisionError; the log has more"}
    ]
    assert home.report.exists()


def test_ctrl_c_ends_with_130(churnwatch: Churnwatch, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "run_once", interrupted)
    result = churnwatch("run", "--once", home=home)
    assert (result.code, result.out, result.err.strip()) == (130, "", "")


def test_ctrl_c_ends_a_status_that_follows(worked: Home) -> None:
    with subprocess.Popen(
        [*COMMAND, "--home", str(worked.path), "status", "--follow"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert next((line for line in process.stdout if line.startswith("attention")), None)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(60) == 130
        finally:
            process.kill()
        assert process.stderr.read().strip() == ""  # but for the line that the terminal's ^C stands on


def test_ctrl_c_in_the_terminal_ends_the_daemon_in_order(daemon: Callable[..., Any], home: Home) -> None:
    running = daemon(home)
    running.signal(signal.SIGINT)
    assert running.wait() == 0
    assert (home.state / attention.DAEMON_LOCK).read_text() == ""


def test_no_test_works_on_a_home_of_the_environment() -> None:
    assert "CHURNWATCH_HOME" not in os.environ
    with pytest.raises(settings.SettingsError):
        settings.load(Path("/"))

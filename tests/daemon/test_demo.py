"""The demo, made small: its daemon is a real one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from churnwatch.daemon import cli as command_line
from churnwatch.daemon import demo
from churnwatch.pipeline import settings
from churnwatch.pipeline.errors import UsageError
from churnwatch.pipeline.settings import Home

Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MONTHS": 2, "ROWS": 150, "_CHANGES_AT": 1}.items():
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr(demo, "_EXTRA", demo._EXTRA + "training: {mode: refit, estimators: [logistic], folds: 3}\n")


def _figures(lines: list[str]) -> list[str]:
    """Return what was told, but for how long it took and when it was."""
    text = "\n".join(lines)
    for pattern in (r"\d+\.\d s\b", r"\d+ s ago", r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"):
        text = re.sub(pattern, "…", text)
    return text.splitlines()


def test_two_demos_show_the_same_figures_and_what_they_say_is_there(tmp_path: Path, ask: Ask) -> None:
    told: tuple[list[str], list[str]] = ([], [])
    for lines in told:
        demo.demo(tmp_path / "demo", lines.append)  # the second begins where the first one was
    assert told[1][0] == f"The earlier demo in {tmp_path / 'demo'} is replaced."
    assert _figures(told[0]) == _figures(told[1][1:])
    text = "\n".join(told[0])
    home = settings.load(tmp_path / "demo")
    assert text.count("s from the drop to the end of run") == 2
    assert "Released as the first model" in text
    assert "A request to score; nothing was trained." in text
    assert f"The report:         {home.report}" in text
    assert home.report.exists()
    named = [Path(path) for path in re.findall(r"The predictions: +(\S+\.csv)", text)]
    assert len(named) == 2
    assert all(path.is_file() for path in named)
    assert [row["status"] for row in ask(home, "SELECT status FROM run_history")] == ["done"] * 2
    [rows] = ask(
        home,
        "SELECT sum(rows_read) AS n, sum(accepted) AS a, sum(duplicate) AS d, sum(quarantined) AS q FROM file_events",
    )
    assert rows["n"] == rows["a"] + rows["d"] + rows["q"]
    assert rows["d"] > 0
    assert rows["q"] > 0
    assert (home.state / "daemon.lock").read_text() == ""  # its daemon was stopped in order
    _check_commands(text.partition("What to try next:")[2], home)


def _check_commands(text: str, home: Home) -> None:
    """Hold what somebody may paste afterwards against the commands that there are."""
    lines = [line.split("  ")[0].split() for line in (each.strip() for each in text.splitlines()) if line]
    assert len(lines) >= 3
    for program, *words in lines:
        assert Path(program).name == "churnwatch"
        if words[0] == "--home":
            assert Path(words[1]).resolve() == home.path
            words = words[2:]  # noqa: PLW2901 - what is left is the command
        assert words[0] in command_line.cli.commands


@pytest.mark.parametrize("what", ["file", "home"])
def test_a_folder_of_somebody_else_is_refused_and_left_as_it_is(tmp_path: Path, what: str) -> None:
    (tmp_path / "theirs").mkdir()
    file = tmp_path / "theirs" / ("letter.txt" if what == "file" else settings.FILE_NAME)
    file.write_text("dear")
    with pytest.raises(UsageError, match="not empty, and not a demo's home"):
        demo.demo(tmp_path / "theirs", lambda _: None)
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == [file.name]
    assert file.read_text() == "dear"


def test_a_run_that_does_not_end_ends_the_demo_in_one_line_with_the_log_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_LIMIT_S", 0.0)
    with pytest.raises(UsageError, match=r"was not worked off within 0 s; see .*daemon\.log"):
        demo.demo(tmp_path / "demo", lambda _: None)

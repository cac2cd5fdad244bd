"""What is installed is what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("daemon", "pipeline", "reports", "serving")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Return the files in git, as they are now."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_every_folder_with_code_is_installed_and_no_other(project: dict[str, Any]) -> None:
    there = {
        ".".join(("churnwatch", *file.parent.relative_to(ROOT).parts))
        for room in ROOMS
        for file in (ROOT / room).rglob("__init__.py")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == there
    assert project["tool"]["setuptools"]["package-dir"] == {f"churnwatch.{room}": room for room in ROOMS}


def test_every_folder_with_code_has_an_init(project: dict[str, Any]) -> None:
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            assert (file.parent / "__init__.py").exists(), file


def test_files_that_are_no_code_are_installed_too(project: dict[str, Any]) -> None:
    patterns = project["tool"]["setuptools"]["package-data"]["*"]
    for room in ROOMS:
        for file in (ROOT / room).rglob("*"):
            if file.is_file() and file.suffix not in {".py", ".pyc"}:
                assert any(file.match(pattern) for pattern in patterns), file
    for file in (name for names in project["tool"]["setuptools"]["data-files"].values() for name in names):
        assert (ROOT / file).is_file()


def test_every_room_says_that_it_is_typed() -> None:
    for room in ROOMS:
        assert (ROOT / room / "py.typed").is_file()


def test_the_version_is_said_once_and_installed(project: dict[str, Any]) -> None:
    assert metadata.version("churnwatch") == project["project"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["project"]["version"])


def test_the_command_is_the_one_that_the_docs_speak_of(project: dict[str, Any]) -> None:
    assert project["project"]["scripts"] == {"churnwatch": "churnwatch.daemon.cli:main"}


def test_every_dependency_has_a_lower_bound_and_a_word_on_what_it_is_for(project: dict[str, Any]) -> None:
    text = (ROOT / "pyproject.toml").read_text().partition("\ndependencies = [\n")[2].partition("\n]\n")[0]
    lines = text.splitlines()
    assert len(lines) == len(project["project"]["dependencies"])
    for line in lines:
        assert re.fullmatch(r'    "[a-z0-9-]+>=[0-9.]+", +# \S.*\S', line), line
    optional = project["project"]["optional-dependencies"]
    for requirement in (each for group in optional.values() for each in group):
        assert ">=" in requirement or requirement.startswith("churnwatch["), requirement


def test_the_lock_file_which_names_an_index_is_ignored() -> None:
    assert "uv.lock" in (ROOT / ".gitignore").read_text().splitlines()


def test_no_file_in_git_names_an_index_or_a_place_on_somebodys_machine(tracked: list[Path]) -> None:
    wrong = [
        re.escape(f"/{first}/{second}") for first, second in (("work", "main"), ("work", "shared"), ("tmp", "dev"))
    ]
    wrong += [f"/{'root'}/", rf"/{'home'}/\w+/", f"{'index'}-url", f"{'extra'}-index", f"python{'hosted'}"]
    pattern = re.compile("|".join(wrong))
    assert tracked
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked
        if path.suffix != ".png"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


def test_the_data_folders_are_in_git_without_data(tracked: list[Path]) -> None:
    for folder in ("sourcedata", "models", "production_deployment"):
        assert [path.name for path in tracked if path.is_relative_to(ROOT / folder)] == [".gitignore"]

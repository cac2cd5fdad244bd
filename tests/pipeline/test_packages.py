from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from churnwatch.pipeline import packages
from churnwatch.pipeline.packages import Answer, Finding, PackageCheck, read_audit, read_versions, run_limited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTALLED = {"jinja2": "3.1.2", "numpy": "2.4.6", "typing-extensions": "4.9.0"}

# Recorded from pip 26.3 and pip-audit 2.10.1, shortened to a few packages.
PIP_CURRENT = '[{"name": "numpy", "version": "2.4.6"}, {"name": "typing_extensions", "version": "4.9.0"}]'
PIP_ALL_CURRENT = PIP_CURRENT[:-1] + ', {"name": "Jinja2", "version": "3.1.2"}]'
PIP_OUTDATED = '[{"name": "Jinja2", "version": "3.1.2", "latest_version": "3.1.6", "latest_filetype": "wheel"}]'
AUDIT_CLEAN = """{"dependencies": [
    {"name": "jinja2", "version": "3.1.2", "vulns": []}, {"name": "numpy", "version": "2.4.6", "vulns": []},
    {"name": "typing-extensions", "version": "4.9.0", "vulns": []}], "fixes": []}"""
AUDIT_VULNERABLE = """{"dependencies": [
    {"name": "jinja2", "version": "3.1.2", "vulns": [
        {"id": "PYSEC-2024-1", "fix_versions": ["2.11.9", "3.1.10", "3.1.3"], "aliases": ["CVE-2024-22195"]},
        {"id": "GHSA-h75v-3vvj-5mfj", "fix_versions": [], "aliases": []}]},
    {"name": "numpy", "version": "2.4.6", "vulns": []},
    {"name": "typing-extensions", "version": "4.9.0", "vulns": []}], "fixes": []}"""
SKIP = "Dependency not found on PyPI and could not be audited: numpy (2.4.6)"
AUDIT_SKIPPED = """{"dependencies": [
    {"name": "jinja2", "version": "3.1.2", "vulns": []},
    {"name": "numpy", "skip_reason": "Dependency not found on PyPI and could not be audited: numpy (2.4.6)"},
    {"name": "typing-extensions", "version": "4.9.0", "vulns": []}], "fixes": []}"""
CRASH = """Traceback (most recent call last):
  File "requests/adapters.py", line 729, in send
requests.exceptions.ConnectionError: Max retries exceeded
"""


def said(stdout: str, complaint: str = "exit code 0") -> Answer:
    return Answer(stdout, complaint)


class Scripted:
    """A runner that answers from a table and remembers what it was asked; without an entry, all is well."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.commands: list[list[str]] = []
        self.limits: list[float] = []

    def __call__(self, command: Sequence[str], timeout_s: float) -> Answer:
        self.commands.append(list(command))
        self.limits.append(timeout_s)
        asked = next(word for word in ("uptodate", "outdated", "audit") if any(word in each for each in command))
        return self.answers.get(asked) or said(json.dumps(self._all_is_well(asked)))

    def _all_is_well(self, asked: str) -> Any:
        rows = [{"name": name, "version": version, "vulns": []} for name, version in sorted(INSTALLED.items())]
        return {"uptodate": rows, "outdated": [], "audit": {"dependencies": rows, "fixes": []}}[asked]


@pytest.fixture
def three_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installed", lambda: {**INSTALLED, "churnwatch": "0.1.0"})


def checked(tmp_path: Path, **answers: Answer) -> PackageCheck:
    return packages.check(now=NOW, cache_folder=tmp_path, run=Scripted(**answers))


# What is installed


def test_installed_packages_have_normalised_names_in_order() -> None:
    found = packages.installed()
    assert {"churnwatch", "scikit-learn", "pip-audit", "pip"} <= found.keys()
    assert list(found) == sorted(found)
    assert all(name == name.lower() and "_" not in name and "." not in name for name in found)


def test_the_first_of_two_installed_versions_counts_and_remains_of_a_removal_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, text in (
        ("first/Some_Thing.x-2.0.dist-info", "Metadata-Version: 2.1\nName: Some_Thing.x\nVersion: 2.0\n"),
        ("second/some_thing_x-1.0.dist-info", "Metadata-Version: 2.1\nName: some-thing-x\nVersion: 1.0\n"),
        ("second/broken-1.0.dist-info", None),
    ):
        (tmp_path / folder).mkdir(parents=True)
        if text:
            (tmp_path / folder / "METADATA").write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second")])
    assert packages.installed() == {"some-thing-x": "2.0"}


def test_remains_of_a_removal_whose_metadata_cannot_even_be_asked_for_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The backport `importlib_metadata` raises; Dask imports it, and from then on it answers for the library."""

    class Remains:
        @property
        def metadata(self) -> Any:
            raise FileNotFoundError("No package metadata was found.")

    class Whole:
        metadata: ClassVar[dict[str, str]] = {"Name": "A_b", "Version": "1"}

    monkeypatch.setattr(packages, "distributions", lambda: [Remains(), Whole()])
    assert packages.installed() == {"a-b": "1"}


def test_importing_the_step_loads_no_heavy_library() -> None:
    code = (
        "import sys, churnwatch.pipeline.packages\n"
        "print({'pandas', 'numpy', 'requests', 'pip', 'pip_audit'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"


# What pip says


def test_nothing_outdated_when_pip_names_every_package_as_up_to_date() -> None:
    part = read_versions(INSTALLED, said(PIP_ALL_CURRENT), said("[]"))
    assert (part.findings, part.unknown, part.error) == ((), (), None)


def test_an_outdated_package_is_a_finding_with_its_newest_version() -> None:
    part = read_versions(INSTALLED, said(PIP_CURRENT), said(PIP_OUTDATED))
    assert part.findings == (Finding("outdated", "jinja2", "3.1.2", latest="3.1.6"),)
    assert part.unknown == ()


def test_a_package_in_neither_list_is_unknown() -> None:
    part = read_versions(INSTALLED, said(PIP_CURRENT), said("[]"))
    assert [name for name, _ in part.unknown] == ["jinja2"]
    assert part.findings == ()
    assert part.error is None


def test_two_empty_lists_prove_nothing() -> None:
    part = read_versions(INSTALLED, said("[]"), said("[]"))
    assert part.error == "the package index knows none of the 3 packages, or cannot be reached"


@pytest.mark.parametrize("text", ["", "not JSON", "[1]", '["numpy"]', '[{"version": "1"}]', "3", '[{"name": 3}]'])
def test_text_that_is_not_a_list_of_packages_is_no_answer(text: str) -> None:
    broken = said(text, "exit code 2, ERROR: no such option")
    error = read_versions(INSTALLED, broken, said("[]")).error
    assert error == "pip list --uptodate gave no answer: exit code 2, ERROR: no such option"
    error = read_versions(INSTALLED, said(PIP_CURRENT), broken).error
    assert error == "pip list --outdated gave no answer: exit code 2, ERROR: no such option"


# What pip-audit says


def test_a_clean_audit_has_no_findings() -> None:
    part = read_audit(INSTALLED, said(AUDIT_CLEAN))
    assert (part.findings, part.unknown, part.error) == ((), (), None)


def test_each_advisory_is_a_finding_with_the_nearest_later_fix() -> None:
    part = read_audit(INSTALLED, said(AUDIT_VULNERABLE, "exit code 1"))
    assert part.findings == (
        Finding("vulnerable", "jinja2", "3.1.2", advisory="PYSEC-2024-1", fixed_in="3.1.3"),
        Finding("vulnerable", "jinja2", "3.1.2", advisory="GHSA-h75v-3vvj-5mfj", fixed_in=None),
    )


def test_a_skipped_package_is_unknown_for_the_reason_given() -> None:
    part = read_audit(INSTALLED, said(AUDIT_SKIPPED))
    assert part.unknown == (("numpy", SKIP),)
    assert part.error is None


def test_a_package_that_the_audit_does_not_name_is_unknown() -> None:
    part = read_audit({**INSTALLED, "zstd": "1.0"}, said(AUDIT_CLEAN))
    assert part.unknown == (("zstd", "pip-audit did not look at it"),)


def test_an_audit_that_skipped_everything_is_no_answer() -> None:
    part = read_audit({"numpy": "2.4.6"}, said(AUDIT_SKIPPED))
    assert part.error == f"pip-audit could audit none of the 1 packages: {SKIP}"
    assert part.unknown == ()


@pytest.mark.parametrize("text", [CRASH, "", "[]", "{}", '{"dependencies": [{}]}', '{"dependencies": null}'])
def test_an_audit_that_crashed_is_no_answer(text: str) -> None:
    part = read_audit(INSTALLED, said(text, "exit code 1, requests.exceptions.ConnectionError: …"))
    assert part.error == ("pip-audit gave no answer: exit code 1, requests.exceptions.ConnectionError: …")


# The check as a whole


@pytest.mark.usefixtures("three_installed")
def test_all_is_well_only_when_every_package_was_named_by_both(tmp_path: Path) -> None:
    check = checked(tmp_path)
    assert check == PackageCheck("2026-03-01T12:00:00.000Z", 3, True, True, (), None)
    assert check.ok
    assert (check.outdated, check.vulnerable, check.unknown) == (0, 0, 0)


@pytest.mark.usefixtures("three_installed")
def test_counts_are_of_packages_not_of_advisories(tmp_path: Path) -> None:
    check = checked(tmp_path, uptodate=said(PIP_CURRENT), outdated=said(PIP_OUTDATED), audit=said(AUDIT_VULNERABLE))
    assert (check.outdated, check.vulnerable, check.unknown) == (1, 1, 0)
    assert [finding.kind for finding in check.findings] == ["outdated", "vulnerable", "vulnerable"]
    assert not check.ok


@pytest.mark.usefixtures("three_installed")
def test_a_package_that_neither_tool_knows_is_one_unknown_with_both_reasons(tmp_path: Path) -> None:
    current = PIP_ALL_CURRENT.replace("numpy", "another")
    check = checked(tmp_path, uptodate=said(current), audit=said(AUDIT_SKIPPED))
    why = f"the package index names neither this version nor a newer one; {SKIP}"
    assert check.findings == (Finding("unknown", "numpy", "2.4.6", reason=why),)
    assert check.unknown == 1
    assert not check.ok


@pytest.mark.usefixtures("three_installed")
def test_an_unknown_part_counts_as_none_and_keeps_the_other_part(tmp_path: Path) -> None:
    check = checked(tmp_path, uptodate=said("[]"), audit=said(AUDIT_VULNERABLE))
    assert (check.outdated, check.vulnerable, check.unknown) == (None, 1, 3)
    assert (check.outdated_known, check.vulnerable_known, check.ok) == (False, True, False)


@pytest.mark.usefixtures("three_installed")
def test_both_parts_unknown_is_one_line_with_both_reasons(tmp_path: Path) -> None:
    check = checked(tmp_path, uptodate=said("", "not finished within 60 s"), audit=said("", "exit code 1"))
    assert check.error == (
        "pip list --uptodate gave no answer: not finished within 60 s; pip-audit gave no answer: exit code 1"
    )
    assert check.findings == ()
    assert (check.outdated, check.vulnerable, check.unknown, check.ok) == (None, None, 3, False)


@pytest.mark.usefixtures("three_installed")
def test_an_index_that_hangs_is_waited_for_once(tmp_path: Path) -> None:
    run = Scripted(uptodate=said("", "not finished within 60 s"))
    packages.check(now=NOW, cache_folder=tmp_path, run=run)
    assert len(run.commands) == 2
    assert not any("--outdated" in command for command in run.commands)


@pytest.mark.usefixtures("three_installed")
def test_commands_are_those_of_the_running_interpreter_and_name_no_index(tmp_path: Path) -> None:
    run = Scripted()
    packages.check(now=NOW, cache_folder=tmp_path / "cache", timeout_s=7, run=run, extra_args=["-s", "osv"])
    assert [command[:3] for command in run.commands] == [
        [sys.executable, "-m", "pip"],
        [sys.executable, "-m", "pip"],
        [sys.executable, "-m", "pip_audit"],
    ]
    assert run.commands[2][-4:] == ["--cache-dir", str(tmp_path / "cache"), "-s", "osv"]
    assert run.limits == [7, 7, 7]
    assert not any("://" in word for command in run.commands for word in command)


# Running a command


def test_a_command_gives_what_it_printed() -> None:
    answer = run_limited(["sh", "-c", "echo '[]'; printf 'one\\nlast words\\n\\n' >&2; exit 3"], 10)
    assert answer == Answer("[]\n", "exit code 3, last words")


def test_bytes_that_are_no_text_do_not_stop_a_check() -> None:
    assert run_limited(["printf", "\\377"], 10) == Answer("\ufffd", "exit code 0")


def test_a_long_complaint_is_shortened_to_one_line() -> None:
    complaint = run_limited([sys.executable, "-c", "import sys; sys.exit('x' * 9999)"], 10).complaint
    assert len(complaint) == 300
    assert complaint.endswith("x…")


def test_a_command_that_cannot_be_started_is_an_answer_too(tmp_path: Path) -> None:
    answer = run_limited([str(tmp_path / "python")], 10)
    assert answer.stdout == ""
    assert answer.complaint.startswith("cannot be started: ")


def test_a_tool_that_is_not_installed_is_named_in_the_reason() -> None:
    error = read_audit(INSTALLED, run_limited([sys.executable, "-m", "no_such_tool"], 10)).error
    assert error is not None
    assert error.startswith("pip-audit gave no answer: exit code 1")
    assert error.endswith("No module named no_such_tool")


def test_the_users_environment_is_kept_but_for_what_would_look_or_write_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PIP_PYTHON", "PIP_AUDIT_OUTPUT", "PIPAPI_PYTHON_LOCATION", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "elsewhere")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    seen = json.loads(run_limited([sys.executable, "-c", code], 10).stdout)
    assert seen["PIP_INDEX_URL"] == "elsewhere"
    assert seen["PIPAPI_PYTHON_LOCATION"] == sys.executable
    assert not {"PIP_PYTHON", "PIP_AUDIT_OUTPUT"} & seen.keys()


def test_a_module_in_the_current_folder_is_not_taken_for_a_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("print('not pip')")
    monkeypatch.chdir(tmp_path)
    assert run_limited([sys.executable, "-m", "pip", "--version"], 30).stdout.startswith("pip ")


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[list[str], Callable[[], bytes]]]:
    """A child with a grandchild, both asleep, and a way to read what they say: b"" once both are gone.

    A pipe that both hold open tells more than their process ids, which stay while nobody collects the dead.
    """
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    def read() -> bytes:
        ready, _, _ = select.select([reader], [], [], 10)
        assert ready, "child or grandchild is still there"
        return os.read(reader, 100)

    yield ["sh", "-c", f"exec 3>'{pipe}'; echo started >&3; sleep 60 & wait"], read
    os.close(reader)


def test_a_command_is_killed_at_its_limit_with_its_children(
    family: tuple[list[str], Callable[[], bytes]],
) -> None:
    command, read = family
    assert run_limited(command, 0.3) == Answer("", "not finished within 0.3 s")
    assert read() == b"started\n"
    assert read() == b""


def test_an_interrupt_leaves_no_process_behind(
    family: tuple[list[str], Callable[[], bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, read = family

    def interrupted(*_: object, **__: object) -> None:
        assert read() == b"started\n"
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_limited(command, 10)
    assert read() == b""


# The real pip and pip-audit, on a network of this test's own


class _FakeIndex(BaseHTTPRequestHandler):
    """An index that has a newer `packaging` and this `click`, and an OSV that knows of one advisory."""

    def do_GET(self) -> None:
        name = self.path.rstrip("/").rpartition("/")[2]
        version = {"packaging": "999.0", "click": packages.installed()["click"]}.get(name)
        file = f"{name}-{version}-py3-none-any.whl"
        self._reply(200 if version else 404, "text/html", f'<html><body><a href="{file}">{file}</a></body></html>')

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = {"vulns": [_ADVISORY]} if asked["package"]["name"] == "packaging" else {}
        self._reply(200, "application/json", json.dumps(found))

    def _reply(self, status: int, kind: str, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


_ADVISORY = {
    "id": "PYSEC-2026-1",
    "affected": [
        {
            "package": {"name": "packaging", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "998.0"}]}],
        }
    ],
}


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A bound server that is pip's only index; until it is served, nobody answers there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _FakeIndex)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_VERBOSE", "2")  # some users have it in their pip.conf
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield server
    server.server_close()


def really_checked(cache_folder: Path, port: int) -> PackageCheck:
    osv = ["-s", "osv", "--osv-url", f"http://127.0.0.1:{port}/v1/query"]
    return packages.check(now=NOW, cache_folder=cache_folder, extra_args=osv)


def test_the_real_tools_find_what_a_local_index_says(tmp_path: Path, network: ThreadingHTTPServer) -> None:
    serving = threading.Thread(target=network.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        check = really_checked(tmp_path, network.server_port)
    finally:
        network.shutdown()
        serving.join()
    here = packages.installed()["packaging"]
    known = [finding for finding in check.findings if finding.kind != "unknown"]
    assert known == [
        Finding("outdated", "packaging", here, latest="999.0"),
        Finding("vulnerable", "packaging", here, advisory="PYSEC-2026-1", fixed_in="998.0"),
    ]
    unknown = {finding.package for finding in check.findings if finding.kind == "unknown"}
    assert unknown == packages.installed().keys() - {"packaging", "click", "churnwatch"}
    assert (check.outdated_known, check.vulnerable_known, check.error) == (True, True, None)


def test_without_a_network_everything_is_unknown_and_nothing_is_ok(
    tmp_path: Path, network: ThreadingHTTPServer
) -> None:
    network.server_close()
    check = really_checked(tmp_path, network.server_port)
    assert not check.ok
    assert (check.outdated, check.vulnerable, check.unknown) == (None, None, check.packages)
    assert check.error is not None
    assert "the package index knows none" in check.error
    assert "pip-audit gave no answer" in check.error

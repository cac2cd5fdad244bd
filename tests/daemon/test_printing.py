from __future__ import annotations

from pathlib import Path

import pytest

from churnwatch.daemon.printing import print_pdf
from churnwatch.pipeline.errors import UsageError


def test_without_a_browser_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="No Chromium to print with"):
        print_pdf(tmp_path / "report.html")


def test_a_browser_that_prints_nothing_is_told_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "chromium"
    browser.write_text("#!/bin/sh\necho first >&2\necho no display >&2\nexit 3\n")
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="printed nothing: no display"):
        print_pdf(tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["chromium"]

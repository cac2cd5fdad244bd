"""Rows that other rows hang on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Model, Signature, SourceFile

AT = "2026-01-01T00:00:00.000Z"
SETTINGS = ("s" * 64, "{}")


@pytest.fixture
def begun(ledger: Ledger) -> Callable[..., tuple[int, list[SourceFile]]]:
    """Return what begins a run over some files of the given paths."""

    def begin(*paths: str, run_id: str = "run-id") -> tuple[int, list[SourceFile]]:
        files = [ledger.see_file(Signature(path, 1, 1, 1), sha256=f"sha of {path}", at=AT) for path in paths]
        run = ledger.begin_run(run_id=run_id, reason="drop", at=AT, settings=SETTINGS, code_version="0",
                               inputs=[file.file for file in files])  # fmt: skip
        return run, files

    return begin


@pytest.fixture
def add_model(ledger: Ledger) -> Callable[[int, int], Model]:
    """Return what records a model version of a run."""

    def add(version: int, run: int) -> Model:
        model = Model(version, run, "logistic", "{}", 0.5, f"v{version}", "sha", "sha", 10, 5, AT)
        ledger.add(model)
        return model

    return add

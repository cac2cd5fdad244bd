"""A home with a release, and the application over it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from churnwatch.daemon import work
from churnwatch.pipeline import sample, settings
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.pipeline.settings import Home
from churnwatch.serving import app

QUICK = """
packages: {check: never}
gate: {policy: better, min_positives: 5}
training: {mode: refit, estimators: [logistic], folds: 3, max_gap: 1}
"""


@pytest.fixture(scope="session")
def _released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home that has had one run."""
    folder = tmp_path_factory.mktemp("released")
    like = sample.Like.TELCO
    (folder / settings.FILE_NAME).write_text(settings_for(like) + QUICK)
    home = settings.load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    sample.write(home.source, like, months=1, rows=400, seed=3)
    assert [outcome.status for outcome in work.once(home, reason="drop")] == ["done"]
    return folder


@pytest.fixture
def home(_released: Path, tmp_path: Path) -> Home:
    """Return a copy of a home with a release."""
    folder = tmp_path / "home"
    shutil.copytree(_released, folder, symlinks=True)
    return settings.load(folder)


@pytest.fixture
def bugs() -> list[Exception]:
    """Return what broke down."""
    return []


@pytest.fixture
def client(home: Home, bugs: list[Exception]) -> Iterator[TestClient]:
    """Return a client of the application; nothing breaks down in it unless a test says so."""
    with TestClient(app.create(home, keep=bugs.append), base_url="http://localhost") as found:
        yield found
    assert bugs == []


@pytest.fixture
def customer() -> dict[str, Any]:
    """Return a customer of whom all is known."""
    return {
        "customerID": "A-1", "gender": "Male", "SeniorCitizen": 0, "Partner": "No", "Dependents": "No", "tenure": 3,
        "PhoneService": "Yes", "InternetService": "Fiber optic", "OnlineSecurity": "No", "TechSupport": "No",
        "StreamingTV": "No", "Contract": "Month-to-month", "PaperlessBilling": "Yes",
        "PaymentMethod": "Electronic check", "MonthlyCharges": 80.5, "TotalCharges": 240.0,
    }  # fmt: skip

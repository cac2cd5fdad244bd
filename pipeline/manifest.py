"""Where a model comes from: everything that is needed to trace it, and to train it again."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.packages import installed
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Home
from churnwatch.pipeline.train import Candidate


def manifest(
    home: Home,
    ledger: Reader,
    schema: Schema,
    candidate: Candidate,
    *,
    version: int,
    run: int,
    origin: str,
    metrics: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Return a version's manifest. It holds no times, so that the same run writes the same manifest again."""
    told = traced(home, schema, candidate, data=made_of(ledger), origin=origin, metrics=metrics)
    return {"version": version, "run": run, "run_id": ledger.run(run)["run_id"], **told}


def made_of(ledger: Reader) -> dict[str, Any]:
    """Return what the data set is made of."""
    key_version, canonical = ledger.schema() or (0, "{}")
    return {
        "key_version": key_version,
        "schema": json.loads(canonical),
        "parts": [{"part": part.part, "sha256": part.sha256, "rows": part.rows} for part in ledger.row_parts()],
        "files": [{"path": file["path"], "sha256": file["sha256"]} for file in ledger.files("ingested")],
    }


def traced(
    home: Home,
    schema: Schema,
    candidate: Candidate,
    *,
    data: Mapping[str, Any],
    origin: str,
    metrics: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Return what a manifest says of any trained model, be it of a run or not; `data` is what it learned from."""
    return {
        "estimator": candidate.estimator,
        "parameters": candidate.parameters,
        "threshold": candidate.threshold,
        "columns": list(candidate.columns),
        "target": {"column": schema.target, "positive": schema.positive},
        "comparisons": [
            {"estimator": each.estimator, "threshold": each.threshold, "value": each.value}
            for each in candidate.comparisons
        ],
        "baseline": candidate.baseline,
        "calibration": candidate.calibration,
        "window": candidate.window.name,
        "windows": [
            {
                "window": each.window.name,
                "log_loss": each.log_loss,
                "gain": each.gain,
                "standard_error": each.standard_error,
                "rows": each.rows,
            }
            for each in candidate.windows
        ],
        "searches": [asdict(each) for each in candidate.searches],
        "training_rows": candidate.rows,
        "training_positives": candidate.positives,
        "holdout": origin,
        "metrics": metrics,
        "data": data,
        "seed": home.settings.training.seed,
        "settings": json.loads(home.settings.canonical()),
        "settings_sha256": home.settings.sha256,
        "python": platform.python_version(),
        "packages": installed(),
    }

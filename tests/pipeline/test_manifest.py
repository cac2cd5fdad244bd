from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd

from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.manifest import manifest
from churnwatch.pipeline.records import FileEvent, FileState, Part, Signature
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Home, Training
from churnwatch.pipeline.train import Candidate, train

AT = "2026-01-01T00:00:00.000Z"


def test_a_manifest_traces_a_model_and_holds_no_times(
    ledger: Ledger, make_home: Callable[..., Home], make_schema: Callable[..., Schema]
) -> None:
    home, schema = make_home("target: left\npositive: yes\n"), make_schema()
    settings = (home.settings.sha256, home.settings.canonical())
    file = ledger.see_file(Signature("a.csv", 1, 1, 1), sha256="sha of a", at=AT)
    run = ledger.begin_run(run_id="id", reason="drop", at=AT, settings=settings, code_version="0", inputs=[file.file])
    ledger.begin_attempt(run, at=AT, pid=1, settings=settings)
    ledger.add_schema(schema.canonical, at=AT)
    ledger.add(Part("part-1.parquet", run, "sha of part", 40, 1, AT),
               FileEvent(file.file, run, AT, FileState.INGESTED, 40, 40, 0, 0))  # fmt: skip
    n = np.linspace(-1, 1, 40)
    rows = Rows(pd.DataFrame({"n": n}), (n > 0).astype(np.int64), None)
    candidate = train(rows, Training(estimators=("logistic",), folds=2), numeric=("n",), categorical=())
    assert isinstance(candidate, Candidate)

    told = manifest(home, ledger, schema, candidate, version=3, run=run, origin="a test folder",
                    metrics={"train": {"f1": 1.0}, "holdout": {}})  # fmt: skip
    text = json.dumps(told, sort_keys=True)
    assert AT not in text
    assert (told["version"], told["run_id"], told["columns"], told["estimator"]) == (3, "id", ["n"], "logistic")
    assert told["target"] == {"column": "left", "positive": "yes"}
    assert told["data"] == {
        "key_version": 1,
        "schema": {"id": "text", "n": "number", "left": "text"},
        "parts": [{"part": "part-1.parquet", "sha256": "sha of part", "rows": 40}],
        "files": [{"path": "a.csv", "sha256": "sha of a"}],
    }
    assert told["settings_sha256"] == home.settings.sha256
    assert told["settings"]["target"] == "left"
    assert told["packages"]["scikit-learn"]
    assert (told["training_rows"], told["training_positives"], told["threshold"]) == (40, 20, candidate.threshold)

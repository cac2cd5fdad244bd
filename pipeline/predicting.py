"""The step that predicts: the current customers, and the requests to score."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from churnwatch.pipeline import bookkeeping, customer_files, drift_step, estimating, load, predict, predict_file
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.csv_file import write_csv
from churnwatch.pipeline.datasets import of_main, pinned
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.predict import Predicted
from churnwatch.pipeline.records import FileEvent, FileFinding, FileState, Model, Prediction
from churnwatch.pipeline.scan import located
from churnwatch.pipeline.workspace import Workspace


def predict_all(at: Workspace) -> None:
    """Predict the current customers, and every request to score that waits."""
    requests = _requests(at)
    champion = at.ledger.champion()
    if champion is None:
        now = iso(utc_now())
        waiting = (FileEvent(each.source.file.file, at.run, now, FileState.WAITING,
                             reason="a request to score; there is no model yet") for each in requests)  # fmt: skip
        at.ledger.add(*waiting)
        return
    model = at.usable(champion.model)
    if isinstance(model, str):
        raise SettingsError(f"settings.yaml: {model}, and it is in use: nobody can be predicted. Put that back, or"
                            " drop rows to learn from.")  # fmt: skip
    news = at.has_news() or at.is_scheduled or at.has_news_of_sources()
    if news and not customers.predictions(at.ledger, at.run):
        _predict_customers(at, model, champion.model)
    for request in requests:
        _predict_request(at, model, champion.model, request)


def _requests(at: Workspace) -> list[load.Opened]:
    """Return this run's files without the target that have no predictions yet, and those of former runs."""
    answered = {row["file"] for row in at.ledger.run_file_states(at.run)}
    waiting = at.ledger.waiting_files()
    own = [file for file in at.ledger.run_files(at.run) if file.file not in answered and file not in waiting]
    sources = [Source(file, located(at.home.source, file.path)) for file in (*waiting, *own)]
    classified = load.classify(
        [each for each in of_main(at.home.settings, sources) if each.unchanged()],
        at.schema,
        at.home.settings.csv,
        pinned(at.home.settings, at.ledger),
    )
    return list(classified.requests)


def _predict_customers(at: Workspace, model: Any, champion: Model) -> None:
    if at.customers is None or at.schema.id is None:
        return
    found = predict.predict(model, at.learned, at.engine, at.customers, keep=[at.schema.id],
                            version=champion.name, ranked=True)  # fmt: skip
    at.ledger.add(_written(at, found, champion, f"run-{at.run:05d}"))


def _predict_request(at: Workspace, model: Any, champion: Model, request: load.Opened) -> None:
    number = request.source.file.file
    found, loaded = predict_file.predict_opened(
        request, model, at.schema, at.home.settings.csv, at.local, at.featured, version=champion.name
    )
    if not loaded.opened:
        at.ledger.add(*(bookkeeping.refusal_record(at.run, iso(utc_now()), each) for each in loaded.refused))
        return
    drifts = drift_step.of_request(at, champion, model, at.featured.table("typed", at.local), number)
    bad = sum(each.rows for each in loaded.quarantines)
    rows = len(found.table)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(request.source.file.path).stem)[:80]
    prediction = _written(at, found, champion, f"run-{at.run:05d}-{number}-{stem}", file=number)
    write_csv(found.table, (at.home.predictions / prediction.path).with_suffix(".csv"))
    with at.ledger.transaction():
        at.ledger.add(prediction)
        at.ledger.add_all(estimating.of_request(at, found.predictions, champion, number))
        at.ledger.add(FileEvent(number, at.run, prediction.at, FileState.PREDICTED, rows + bad, rows, 0, bad))
        at.ledger.add(*(bookkeeping.quarantine_record(at.run, each) for each in loaded.quarantines))
        at.ledger.add(*(FileFinding(at.run, number, "reading", text) for text in request.findings))
        at.ledger.add(*drifts)


def _written(at: Workspace, found: Predicted, champion: Model, stem: str, file: int | None = None) -> Prediction:
    target = at.home.predictions / f"{stem}.parquet"
    sha256 = customer_files.write(found.table, target)
    return Prediction(at.run, file, champion.version, target.name, sha256, len(found.table), found.positives,
                      iso(utc_now()), found.amount)  # fmt: skip

"""The steps of one run over a home: each takes what the ledger and the data set hold and adds its own result.

A step whose result is in the ledger already does nothing: that is what makes a run resumable. The order is in `run`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sklearn.model_selection import FixedThresholdClassifier

from churnwatch.pipeline import (
    bookkeeping,
    confusion,
    features,
    gate,
    load,
    predict,
    predict_file,
    promotion,
    registry,
)
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.compaction import compact
from churnwatch.pipeline.datasets import Dataset, Intake, of_main, paths, pinned, role
from churnwatch.pipeline.engine import DuckDB, Engine, name
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.evaluate import baseline_f1, evaluate
from churnwatch.pipeline.feature_step import FeatureStep, Pairs
from churnwatch.pipeline.features import Featured, Rows, labelled_rows
from churnwatch.pipeline.holdout import Holdout, from_test_folder, from_window
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.manifest import manifest
from churnwatch.pipeline.predict import Predicted
from churnwatch.pipeline.records import (
    Batch,
    Decision,
    FileEvent,
    FileFinding,
    FileState,
    Model,
    Prediction,
    SourceFile,
)
from churnwatch.pipeline.scan import located, look
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Home
from churnwatch.pipeline.train import Candidate, Untrainable, probabilities, train


class Steps:
    """One run's steps. `warnings` gathers what somebody should look at."""

    def __init__(
        self, home: Home, ledger: Ledger, local: DuckDB, engine: Engine, datasets: Sequence[Dataset], run: int
    ) -> None:
        self._home, self._ledger, self._run = home, ledger, run
        self._local, self._engine, self._datasets = local, engine, datasets
        self._schema = next(each.schema for each in datasets if each.is_main)
        self._features = FeatureStep(home, ledger, engine, self._schema) if home.settings.sources else None
        self.warnings: list[str] = []

    # -- ingest ------------------------------------------------------------------------------------------------

    def ingest(self, sources: Sequence[Source]) -> None:
        """Put the new rows of the run's files into their data sets, as one part each and one transaction."""
        if not self._ledger.run_file_states(self._run):
            intake = Intake(self._home, self._ledger, self._local, self._engine, self._run, iso(utc_now()))
            intake.take(self._datasets, sources, promise_holdout=not self._tests())
            self.warnings += intake.warnings
        registry.write_ingested(self._home.ingested / registry.INGESTED, self._ledger.ingested_files())

    @property
    def has_sources(self) -> bool:
        """Whether there is something to make features of beside the customers' rows."""
        return self._features is not None

    def make_features(self) -> None:
        """Bring the feature table up to date."""
        if self._features is not None:
            self.warnings += self._features.update(self._ledger, self._run)

    def compact(self) -> None:
        """Merge small parts."""
        kept = [each for pairs in Pairs for each in self._features.kept_sets(pairs)] if self._features else []
        compact(self._home, self._ledger, self._engine, kept, self._run)

    def has_news(self) -> bool:
        """Tell whether the run brought labelled rows that were not there before."""
        return any(batch.labelled for batch in self._batches)

    def no_news(self) -> str:
        """Say in one sentence why there is nothing to learn."""
        if self._has_news_of_sources():
            return "New rows of sources, and no new label to learn from; the customers are predicted anew."
        states = self._ledger.run_file_states(self._run)
        if any(row["state"] == FileState.INGESTED for row in states):
            return "Nothing new to learn from: no labelled row that was not there before."
        if any(row["state"] == FileState.QUARANTINED for row in states):
            return "Nothing was ingested: see the reasons with `churnwatch files`."
        return "A request to score; nothing was trained."

    def _has_news_of_sources(self) -> bool:
        states = self._ledger.run_file_states(self._run)
        return any(row["accepted"] and role(self._home.settings, row["path"]) for row in states)

    @cached_property
    def _batches(self) -> list[Batch]:
        return self._ledger.batches(self._run)

    @cached_property
    def _learned(self) -> Schema:
        """The columns that models see."""
        return self._featured.schema

    # -- test, then train --------------------------------------------------------------------------------------

    def test_champion(self) -> None:
        """Predict every new labelled batch with the champion before anything learns from it."""
        champion = self._ledger.champion()
        if champion is None or self._ledger.metrics(run=self._run, split="prequential"):
            return
        if self._ledger.model_of_run(self._run) is not None:
            return  # the champion may be what this very run has learned from these rows
        model = self._comparable(champion.model)
        if model is None:
            return
        new = self._dataset if self._features else self._engine.scan(paths(self._home, self._ledger))
        records = []
        for batch in self._batches:
            rows = labelled_rows(self._learned, self._engine, new, where=f"_batch = {batch.batch}")
            values = self._evaluated(rows, probabilities(model, rows), champion.model.threshold)
            records += bookkeeping.metric_records(
                self._run, values, rows=len(rows), subject="champion", split="prequential",
                version=champion.model.version, batch=batch.batch,
            )  # fmt: skip
        self._ledger.add_all(records)

    def train(self) -> str | None:
        """Train a candidate and write its version; return why there is none, where there is none."""
        if self._ledger.model_of_run(self._run) is not None:
            return None
        schema, rows = self._learned, self._training_rows()
        candidate = train(rows, self._home.settings.training, numeric=schema.numeric, categorical=schema.categorical)
        if isinstance(candidate, Untrainable):
            self.warnings.append(candidate.reason)
            return candidate.reason
        self._write_version(candidate, rows)
        return None

    def _training_rows(self) -> Rows:
        training, where = self._home.settings.training, self._holdout.trainable
        drawn = features.sample(
            self._learned, self._engine, self._dataset, where=where, most=training.max_rows, seed=training.seed
        )
        rows = labelled_rows(self._learned, self._engine, self._dataset, where=drawn.where if drawn else where)
        if drawn is not None:
            self.warnings.append(
                f"learned from a sample of {len(rows):,} of {drawn.rows:,} labelled rows; see training.max_rows"
            )
        return rows

    def _write_version(self, candidate: Candidate, rows: Rows) -> None:
        on_train = self._evaluated(rows, candidate.probabilities(rows), candidate.threshold)
        if self._holdout.warning is not None:
            self.warnings.append(self._holdout.warning)
        judged = self._holdout.rows
        on_holdout = self._evaluated(judged, candidate.probabilities(judged), candidate.threshold)
        shown = on_holdout or on_train
        version = self._ledger.next_version()
        title = f"v{version} on {'holdout' if on_holdout else 'training'} rows"
        written = registry.write_version(
            self._home.models / f"v{version}",
            candidate.model,
            f1=on_holdout.get("f1"),
            ingested=self._ledger.ingested_files(),
            manifest=manifest(
                self._home, self._ledger, self._schema, candidate, version=version, run=self._run,
                origin=self._holdout.origin, metrics={"train": on_train, "holdout": on_holdout},
            ),
            draw=lambda path: confusion.draw(shown, path, title=title),
            model_format=self._home.settings.model_format,
        )  # fmt: skip
        with self._ledger.transaction():
            self._ledger.add(
                Model(version, self._run, candidate.estimator, json.dumps(candidate.parameters, sort_keys=True),
                      candidate.threshold, written.folder.name, written.sha256, written.manifest_sha256,
                      candidate.rows, candidate.positives, iso(utc_now()))
            )  # fmt: skip
            for split, values, size in (("train", on_train, len(rows)), ("holdout", on_holdout, len(judged))):
                self._ledger.add_all(bookkeeping.metric_records(
                    self._run, values, rows=size, subject="candidate", split=split, version=version))  # fmt: skip
            for each in candidate.comparisons:
                metric: str = self._home.settings.training.metric
                found = {metric: each.value} if each.value is not None else {}
                self._ledger.add_all(bookkeeping.metric_records(
                    self._run, found, rows=len(rows), subject=each.estimator, split="cross_validation"))  # fmt: skip

    @cached_property
    def _dataset(self) -> str:
        """What stands after FROM to read the customers' rows, with their features where there are sources."""
        if self._features is not None:
            return self._engine.scan([self._features.table(Pairs.PAST)])
        parts, key = paths(self._home, self._ledger), self._home.settings.latest_key
        return features.dataset(self._schema, self._engine, parts, key=key)

    @cached_property
    def _featured(self) -> Featured:
        """How rows that are not in the data set get their features."""
        return self._features.featured if self._features else Featured(self._schema, self._engine)

    @cached_property
    def _customers(self) -> str | None:
        """The query of the customers as they are now."""
        if self._features is not None and self._schema.id is not None:
            customers = self._engine.scan([self._features.table(Pairs.NOW)])
            return f"SELECT * FROM {customers} AS f ORDER BY {name(self._schema.id)}"
        return features.current_customers(self._schema, self._dataset)

    @cached_property
    def _holdout(self) -> Holdout:
        tests, settings = self._tests(), self._home.settings
        if tests:
            before = pinned(settings, self._ledger)
            return from_test_folder(self._schema, self._local, settings.csv, tests, self._featured, before)
        return from_window(
            self._learned, self._engine, self._dataset, self._ledger.batches(),
            newest=settings.holdout_batches, enough=settings.gating.min_positives,
        )  # fmt: skip

    def _tests(self) -> list[Source]:
        folder = self._home.tests
        if not folder.exists():
            return []
        seen = sorted(look(folder).items(), key=lambda each: each[0].path)
        return [
            Source(SourceFile(number, s.path, s.size_bytes, s.mtime_ns, s.ctime_ns, "", ""), path)
            for number, (s, path) in enumerate(seen, start=1)
        ]

    def _evaluated(self, rows: Rows, probability: Any, threshold: float) -> dict[str, float]:
        return evaluate(rows.y, probability, threshold=threshold, top_share=self._top_share)

    @cached_property
    def _top_share(self) -> float:
        """The share of the customers who can be called. So many as there were at the last run: no need to count."""
        if self._customers is None:
            return 0.1
        total = self._ledger.customers_predicted(self._run)
        if total is None:
            total = self._engine.rows(f"SELECT count(*) FROM ({self._customers}) AS c")[0][0]
        return min(1.0, self._home.settings.call_capacity / total) if total else 1.0

    # -- decide and promote ------------------------------------------------------------------------------------

    def decide(self) -> str:
        """Compare candidate and champion on the same holdout rows, now; return the decision in one sentence."""
        known = self._ledger.verdict(self._run)
        if known is not None:
            return known.sentence
        candidate = self._ledger.model_of_run(self._run)
        assert candidate is not None  # noqa: S101 - `train` came before and wrote it
        champion = self._ledger.champion()
        evidence, records = self._judged(candidate, champion.model if champion else None)
        pin = self._ledger.pin()
        if pin is not None and evidence.decision.promotes:
            sentence = f"{candidate.name} passed the gate, but v{pin['version']} is pinned ({pin['why']})."
            evidence = replace(evidence, decision=Decision.STAGED, sentence=f"{sentence} {evidence.sentence}")
        verdict = bookkeeping.verdict_record(
            self._run, iso(utc_now()), evidence, policy=self._home.settings.gating.policy.value,
            candidate=candidate.version, champion=champion.model.version if champion else None,
        )  # fmt: skip
        with self._ledger.transaction():
            self._ledger.add_all(records)
            self._ledger.add(verdict)
        self._warn_of_gap(candidate)
        return verdict.sentence

    def _judged(self, candidate: Model, champion: Model | None) -> tuple[gate.Evidence, list[Any]]:
        rows, gating = self._holdout.rows, self._home.settings.gating
        new = self._decisions(candidate, self._load(candidate), rows)[0]
        baseline = baseline_f1(rows.y)
        records = bookkeeping.metric_records(
            self._run, {"f1": baseline} if len(rows) else {}, rows=len(rows), subject="baseline", split="holdout"
        )
        model = self._comparable(champion) if champion is not None else None
        if champion is None or model is None:
            return gate.decide_first(rows.y, new, baseline=baseline, gate=gating), records
        old, probability = self._decisions(champion, model, rows)
        records += bookkeeping.metric_records(
            self._run, self._evaluated(rows, probability, champion.threshold), rows=len(rows), subject="champion",
            split="holdout", version=champion.version,
        )  # fmt: skip
        return gate.decide(rows.y, old, new, gating, seed=self._home.settings.training.seed), records

    def _load(self, version: Model) -> FixedThresholdClassifier:
        return registry.load(self._home.models, version, unpickle=self._home.settings.model_format.unpickles)

    def _usable(self, version: Model) -> FixedThresholdClassifier | str:
        """Return a version's model, or why the settings no longer let it be used."""
        if not registry.is_readable(self._home.models, version, unpickle=self._home.settings.model_format.unpickles):
            return f"{version.name} was kept as a pickle only, which `model_format: skops` does not read"
        model = self._load(version)
        gone = sorted(set(model.feature_names_in_) - set(self._learned.features))
        if not gone:
            return model
        listed = f"{', '.join(gone[:3])}{', …' if len(gone) > 3 else ''}"  # noqa: PLR2004
        return f"{version.name} needs features that the settings no longer make or allow ({listed})"

    def _comparable(self, champion: Model) -> FixedThresholdClassifier | None:
        """Return the champion's model; None, with a warning, where it cannot be used."""
        model = self._usable(champion)
        if not isinstance(model, str):
            return model
        warning = f"{model}; it cannot be compared, so the next model counts as the first"
        self.warnings += [warning] if warning not in self.warnings else []
        return None

    def _decisions(self, version: Model, model: Any, rows: Rows) -> tuple[Any, Any]:
        probability = probabilities(model, rows)
        return (probability >= version.threshold).astype(int), probability

    def _warn_of_gap(self, candidate: Model) -> None:
        f1 = {
            row["split"]: row["value"]
            for row in self._ledger.metrics(run=self._run, version=candidate.version)
            if row["name"] == "f1" and row["subject"] == "candidate"
        }
        gap = f1["train"] - f1["holdout"] if len(f1) > 1 else 0.0
        if gap > self._home.settings.training.max_gap:
            self.warnings.append(
                f"{candidate.name} has F1 {f1['train']:.2f} on the rows it learned from and {f1['holdout']:.2f} on"
                " the holdout: it may have learned them by heart"
            )

    def promote(self) -> None:
        """Release the candidate, if that is the decision."""
        verdict = self._ledger.verdict(self._run)
        if verdict is None or not verdict.decision.promotes or self._ledger.intent_of_run(self._run) is not None:
            return
        why_not = promotion.release_by_gate(self._home, self._ledger, verdict)
        if why_not is not None:
            self.warnings.append(why_not)

    # -- predict -----------------------------------------------------------------------------------------------

    def predict(self) -> None:
        """Predict the current customers, and every request to score that waits."""
        requests = self._requests()
        champion = self._ledger.champion()
        at = iso(utc_now())
        if champion is None:
            waiting = (FileEvent(each.source.file.file, self._run, at, FileState.WAITING,
                                 reason="a request to score; there is no model yet") for each in requests)  # fmt: skip
            self._ledger.add(*waiting)
            return
        model = self._usable(champion.model)
        if isinstance(model, str):
            raise SettingsError(f"settings.yaml: {model}, and it is in use: nobody can be predicted. Put that back, or"
                                " drop rows to learn from.")  # fmt: skip
        news = self.has_news() or self._has_news_of_sources()
        if news and not any(row["file"] is None for row in self._ledger.predictions(self._run)):
            self._predict_customers(model, champion.model)
        for request in requests:
            self._predict_request(model, champion.model, request)

    def _requests(self) -> list[load.Opened]:
        """Return this run's files without the target that have no predictions yet, and those of former runs."""
        answered = {row["file"] for row in self._ledger.run_file_states(self._run)}
        waiting = self._ledger.waiting_files()
        own = [file for file in self._ledger.run_files(self._run) if file.file not in answered and file not in waiting]
        sources = [Source(file, located(self._home.source, file.path)) for file in (*waiting, *own)]
        classified = load.classify(
            [each for each in of_main(self._home.settings, sources) if each.unchanged()],
            self._schema,
            self._home.settings.csv,
            pinned(self._home.settings, self._ledger),
        )
        return list(classified.requests)

    def _predict_customers(self, model: Any, champion: Model) -> None:
        if self._customers is None or self._schema.id is None:
            return
        found = predict.predict(model, self._learned, self._engine, self._customers, keep=[self._schema.id],
                                version=champion.name, ranked=True)  # fmt: skip
        self._ledger.add(self._written(found, champion, f"run-{self._run:05d}"))

    def _predict_request(self, model: Any, champion: Model, request: load.Opened) -> None:
        number = request.source.file.file
        found, loaded = predict_file.predict_opened(
            request, model, self._schema, self._home.settings.csv, self._local, self._featured, version=champion.name
        )
        if not loaded.opened:
            self._ledger.add(*(bookkeeping.refusal_record(self._run, iso(utc_now()), each) for each in loaded.refused))
            return
        bad = sum(each.rows for each in loaded.quarantines)
        rows = len(found.table)
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(request.source.file.path).stem)[:80]
        prediction = self._written(found, champion, f"run-{self._run:05d}-{number}-{stem}", file=number)
        with self._ledger.transaction():
            self._ledger.add(prediction)
            self._ledger.add(FileEvent(number, self._run, prediction.at, FileState.PREDICTED, rows + bad, rows, 0, bad))
            self._ledger.add(*(bookkeeping.quarantine_record(self._run, each) for each in loaded.quarantines))
            self._ledger.add(*(FileFinding(self._run, number, "reading", text) for text in request.findings))

    def _written(self, found: Predicted, champion: Model, stem: str, file: int | None = None) -> Prediction:
        target = self._home.predictions / f"{stem}.parquet"
        sha256 = predict.write(found, target)
        return Prediction(self._run, file, champion.version, target.name, sha256, len(found.table), found.positives,
                          iso(utc_now()))  # fmt: skip

"""What steps work with: the home, its ledger and engines, and what each of these holds by now.

What is computed here is computed once for all steps, when the first of them asks for it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from churnwatch.pipeline import datasets, features, predict, registry
from churnwatch.pipeline.campaigns import CAMPAIGNS
from churnwatch.pipeline.clock import from_iso, utc_now
from churnwatch.pipeline.datasets import Dataset, paths, pinned, role
from churnwatch.pipeline.engine import DuckDB, Engine, name
from churnwatch.pipeline.evaluate import baseline_f1, evaluate
from churnwatch.pipeline.evaluate_amounts import baseline_amounts, evaluate_amounts
from churnwatch.pipeline.feature_step import FeatureStep, Pairs
from churnwatch.pipeline.features import Featured, Rows
from churnwatch.pipeline.holdout import Holdout, dated_ahead, forward, from_test_folder, from_window
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.model_files import Fitted
from churnwatch.pipeline.records import CLOCK, Batch, Model, RunWarning
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Home
from churnwatch.pipeline.train import probabilities
from churnwatch.pipeline.train_amounts import amounts


class Surroundings:
    """A home's data set as it stands. `warnings` gathers what somebody should look at."""

    def __init__(self, home: Home, ledger: Ledger, local: DuckDB, engine: Engine, schema: Schema) -> None:
        self.home, self.ledger, self.schema = home, ledger, schema
        self.local, self.engine = local, engine
        self.features = FeatureStep(home, ledger, engine, schema) if home.settings.sources else None
        self.warnings: list[str] = []

    @property
    def has_sources(self) -> bool:
        """Whether there is something to make features of beside the customers' rows."""
        return self.features is not None

    @cached_property
    def as_they_came(self) -> str:
        """What stands after FROM to read the customers' rows of a batch, also those that newer ones stand for now."""
        return self.dataset if self.features else self.engine.scan(paths(self.home, self.ledger))

    @cached_property
    def learned(self) -> Schema:
        """The columns that models see."""
        return self.featured.schema

    @cached_property
    def dataset(self) -> str:
        """What stands after FROM to read the customers' rows, with their features where there are sources."""
        if self.features is not None:
            return self.engine.scan([self.features.table(Pairs.PAST)])
        parts, key = paths(self.home, self.ledger), self.home.settings.latest_key
        return features.dataset(self.schema, self.engine, parts, key=key)

    @cached_property
    def featured(self) -> Featured:
        """How rows that are not in the data set get their features."""
        return self.features.featured if self.features else Featured(self.schema, self.engine)

    @cached_property
    def customers(self) -> str | None:
        """The query of the customers as they are now."""
        if self.features is not None and self.schema.id is not None:
            customers = self.engine.scan([self.features.table(Pairs.NOW)])
            return f"SELECT * FROM {customers} AS f ORDER BY {name(self.schema.id)}"
        return features.current_customers(self.schema, self.dataset)

    @cached_property
    def holdout(self) -> Holdout:
        """The rows that judge."""
        tests, settings = self.tests(), self.home.settings
        if tests:
            before = pinned(settings, self.ledger)
            return from_test_folder(self.schema, self.local, settings.csv, tests, self.featured, before)
        if settings.holdout_days is not None:
            ahead = dated_ahead(self.began)
            return forward(self.learned, self.engine, self.dataset, days=settings.holdout_days, ahead=ahead)
        return from_window(
            self.learned, self.engine, self.dataset, self.ledger.batches(),
            newest=settings.holdout_batches, enough=settings.gating.min_positives,
        )  # fmt: skip

    def tests(self) -> list[Source]:
        """Return the files of the test folder."""
        return datasets.tests(self.home)

    @property
    def began(self) -> datetime:
        """When that for which the data set is looked at began."""
        return utc_now()

    @cached_property
    def top_share(self) -> float:
        """The share of the customers who can be called. So many as there were at the last run: no need to count."""
        if self.customers is None:
            return 0.1
        total = self._customers_predicted()
        if total is None:
            total = self.engine.rows(f"SELECT count(*) FROM ({self.customers}) AS c")[0][0]
        return min(1.0, self.home.settings.call_capacity / total) if total else 1.0

    def _customers_predicted(self) -> int | None:
        return self.ledger.customers_predicted()

    def predictions(self, model: Fitted, rows: Rows) -> Any:
        """Return a model's probability of leaving for each row, or the amount that it expects, shape (n,)."""
        return amounts(model, rows) if self.schema.predicts_amounts else probabilities(model, rows)

    def evaluated(self, rows: Rows, predictions: Any, threshold: float) -> dict[str, float]:
        """Return the metrics of a model's predictions."""
        if self.schema.predicts_amounts:
            return evaluate_amounts(rows.y, predictions, top_share=self.top_share)
        return evaluate(rows.y, predictions, threshold=threshold, top_share=self.top_share)

    def baseline(self, rows: Rows) -> dict[str, float]:
        """Return the metrics of the dummy that looks at nothing."""
        if self.schema.predicts_amounts:
            return baseline_amounts(rows.y)
        return {"f1": baseline_f1(rows.y)} if len(rows) else {}

    def load(self, version: Model) -> Fitted:
        """Return a version's model."""
        return registry.load(self.home.models, version, unpickle=self.home.settings.model_format.unpickles)

    def usable(self, version: Model) -> Fitted | str:
        """Return a version's model, or why the settings no longer let it be used."""
        if not registry.is_readable(self.home.models, version, unpickle=self.home.settings.model_format.unpickles):
            return f"{version.name} was kept as a pickle only, which `model_format: skops` does not read"
        model = self.load(version)
        other = predict.another_task(model, self.schema)
        if other is not None:
            return f"{version.name} {other}"
        gone = sorted(set(model.feature_names_in_) - set(self.learned.features))
        if not gone:
            return model
        listed = f"{', '.join(gone[:3])}{', …' if len(gone) > 3 else ''}"  # noqa: PLR2004
        return f"{version.name} needs features that the settings no longer make or allow ({listed})"

    def comparable(self, champion: Model) -> Fitted | None:
        """Return the champion's model; None, with a warning, where it cannot be used."""
        model = self.usable(champion)
        if not isinstance(model, str):
            return model
        warning = f"{model}; it cannot be compared, so the next model counts as the first"
        self.warnings += [warning] if warning not in self.warnings else []
        return None


class Workspace(Surroundings):
    """One run's surroundings."""

    def __init__(
        self, home: Home, ledger: Ledger, local: DuckDB, engine: Engine, datasets: Sequence[Dataset], run: int
    ) -> None:
        super().__init__(home, ledger, local, engine, next(each.schema for each in datasets if each.is_main))
        self.datasets, self.run = datasets, run
        self.warnings += ledger.run_warnings(run)  # of steps that a former attempt made, which this one skips

    def keep_warnings(self) -> None:
        """Record the warnings so far, in the transaction of a step's result: only then is the step not made again."""
        known = self.ledger.run_warnings(self.run)
        fresh = [text for text in dict.fromkeys(self.warnings) if text not in known]
        self.ledger.add_all(RunWarning(self.run, text) for text in fresh)

    @property
    def is_scheduled(self) -> bool:
        """Whether the clock began the run: it has no files, and rows of former runs to learn from."""
        return bool(self.ledger.run(self.run)["reason"] == CLOCK)

    def has_news(self) -> bool:
        """Tell whether the run brought labelled rows that were not there before."""
        return any(batch.labelled for batch in self.batches)

    def has_news_of_sources(self) -> bool:
        """Tell whether the run brought new rows of sources."""
        return self._has_rows_of(self.home.settings.sources)

    def has_news_of_campaigns(self) -> bool:
        """Tell whether the run brought new rows of campaigns."""
        return self._has_rows_of((CAMPAIGNS,))

    def _has_rows_of(self, roles: Container[str]) -> bool:
        states = self.ledger.run_file_states(self.run)
        return any(row["accepted"] and role(self.home.settings, row["path"]) in roles for row in states)

    @cached_property
    def batches(self) -> list[Batch]:
        """The run's batches of customers' rows; to be asked for once they are taken in."""
        return self.ledger.batches(self.run)

    @property
    def began(self) -> datetime:
        """When the run began, whichever attempt of it this is."""
        return from_iso(self.ledger.run(self.run)["created_at"])

    def _customers_predicted(self) -> int | None:
        return self.ledger.customers_predicted(self.run)  # this one's own would differ from attempt to attempt

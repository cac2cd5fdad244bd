"""The run's step between ingest and training: bring the partial aggregates and the feature table up to date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from churnwatch.pipeline import aggregates, bookkeeping, datasets, feature_store, features, files, ingest, snapshots
from churnwatch.pipeline.aggregates import ID, SNAPSHOT, Plan
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.engine import Engine, name
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.feature_store import SourceData
from churnwatch.pipeline.features import Featured
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.schema import Schema, check_names
from churnwatch.pipeline.settings import Column, ColumnType, Home, Settings

TABLE = "features.parquet"  # in ingested_folder: one row per customer and snapshot, for any program to read


def plans(settings: Settings) -> tuple[Plan, ...]:
    """Return the features of every source.

    Raises:
        SettingsError: an aggregate that does not exist, or does not fit its column.
    """
    return tuple(aggregates.plan(source, given) for source, given in settings.sources.items())


def widened(schema: Schema, settings: Settings) -> Schema:
    """Return the schema with the features of all sources, as models see it.

    Raises:
        SettingsError: two features, or a feature and a column, have the same name.
    """
    made = [feature for plan in plans(settings) for feature in plan.features]
    check_names((*schema.columns, *(feature.name for feature in made), *settings.expressions), "columns and features")
    features_of = {feature.name: Column(type=feature.type) for feature in made}
    expressions = {expression: Column(type=ColumnType.NUMBER) for expression in settings.expressions}
    return replace(schema, columns={**schema.columns, **features_of, **expressions})


@dataclass(frozen=True)
class FeatureStep:
    """The feature store of a home, in one run."""

    home: Home
    ledger: Reader
    engine: Engine
    schema: Schema

    @property
    def table(self) -> Path:
        """Where the feature table lies."""
        return self.home.ingested / TABLE

    @cached_property
    def _plans(self) -> tuple[Plan, ...]:
        return plans(self.home.settings)

    def _data(self) -> tuple[SourceData, ...]:
        return tuple(
            SourceData(
                plan,
                tuple(datasets.paths(self.home, self.ledger, plan.source)),
                {
                    kind: tuple(
                        datasets.paths(self.home, self.ledger, f"{plan.source}/{kind}", definition=plan.definition)
                    )
                    for kind in feature_store.kinds(plan)
                },
            )
            for plan in self._plans
        )

    @cached_property
    def _dataset(self) -> str | None:
        """The customers' rows; None before there are any."""
        settings = self.home.settings
        parts = datasets.paths(self.home, self.ledger)
        key = settings.key if settings.on_conflict == "latest" else ()
        return features.dataset(self.schema, self.engine, parts, key=key) if parts else None

    @cached_property
    def moment(self) -> dt.datetime:
        """The snapshot of customers as they are now."""
        settings = self.home.settings
        times = [(each.rows, each.plan.time) for each in self._data() if each.plan.time is not None]
        newest = None
        if self._dataset is not None:
            newest = self.engine.rows(f"SELECT max({snapshots.of_rows(settings, self.schema)}) FROM {self._dataset} d")[
                0
            ][0]
        return snapshots.now(settings, times, newest, today=utc_now().date())

    # -- partial aggregates ------------------------------------------------------------------------------------

    def update(self, ledger: Ledger, run: int) -> list[str]:
        """Bring partial aggregates and feature table up to date; return what somebody should look at.

        Raises:
            SettingsError: an expression that the engine refuses.
        """
        if self._dataset is None:
            return []
        missing = [each.plan.source for each in self._data() if not each.rows]
        if missing:
            pattern = self.home.settings.sources[missing[0]].files
            raise SettingsError(f"settings.yaml: sources.{missing[0]}: no row was ingested yet; drop a file whose name"
                                f" fits `{pattern}`. The run is taken up again then.")  # fmt: skip
        widened(self.schema, self.home.settings)  # refuses names that stand twice
        base = self._base()
        pairs = f"SELECT DISTINCT {ID}, {SNAPSHOT} FROM ({base}) w WHERE {ID} IS NOT NULL AND {SNAPSHOT} IS NOT NULL"
        for data in self._data():
            self._extend(data, pairs, ledger, run)
        self._write_table(base)
        return self._unknown_keys()

    def _base(self) -> str:
        assert self._dataset is not None  # noqa: S101 - asked only where there are rows
        past = snapshots.past_rows(self.home.settings, self.schema, self._dataset)
        now = snapshots.current_rows(self.schema, self._dataset, self.moment)
        return f"{past} UNION ALL {now}"

    def _extend(self, data: SourceData, pairs: str, ledger: Ledger, run: int) -> None:
        """Append what this run adds to the partial aggregates of one source, in one transaction."""
        plan = data.plan
        if not feature_store.kinds(plan):
            return
        done = max((part.run for part in ledger.parts(f"{plan.source}/sums", definition=plan.definition)), default=0)
        unread = [self.home.ingested / part.part for part in ledger.parts(plan.source) if part.run > done]
        queries = feature_store.partials(data, self.engine, pairs=pairs, new_rows=unread)
        folder, at = self.home.ingested / plan.source, iso(utc_now())
        written = {
            kind: ingest.write_query(self.engine, query, folder, f"{kind}-{run:05d}") for kind, query in queries.items()
        }
        ledger.add(*(
            bookkeeping.part_record(run, at, part, self.home.ingested, f"{plan.source}/{kind}", plan.definition)
            for kind, part in written.items()
        ))  # fmt: skip

    # -- the feature table -------------------------------------------------------------------------------------

    def _write_table(self, base: str) -> None:
        query = self._featured(base)
        self._check_expressions(base)
        with files.written_beside(self.table) as beside:
            self.engine.write(f"SELECT * FROM ({query}) t ORDER BY {feature_store.CURRENT}, _batch, _line", beside)

    def _featured(self, base: str, kept: Mapping[tuple[str, str], str] | None = None) -> str:
        return feature_store.with_features(
            base, self._data(), self.engine, expressions=self.home.settings.expressions, kept=kept
        )

    def _check_expressions(self, base: str) -> None:
        """Try each expression by itself, so that the one that is wrong can be named."""
        plain = feature_store.with_features(base, self._data(), self.engine, expressions={})
        for expression, sql in self.home.settings.expressions.items():
            why = self.engine.refusal(f"SELECT CAST(({sql}) AS DOUBLE) AS {name(expression)} FROM ({plain}) f")
            if why is not None:
                raise SettingsError(f"settings.yaml: expressions.{expression}: {why}")

    def asked(self, query: str) -> str:
        """Return the query that gives rows that somebody asks about their features; nothing of it is kept."""
        base = snapshots.asked_rows(self.home.settings, self.schema, query, self.moment)
        pairs = f"SELECT DISTINCT {ID}, {SNAPSHOT} FROM ({base}) w WHERE {ID} IS NOT NULL"
        kept = {}
        for data in self._data():
            fresh = SourceData(data.plan, data.rows, {})
            for kind, sql in feature_store.partials(fresh, self.engine, pairs=pairs, new_rows=()).items():
                table = f"asked_{data.plan.source}_{kind}"
                self.engine.table(table, sql)
                kept[data.plan.source, kind] = name(table)
        return self._featured(base, kept)

    def _unknown_keys(self) -> list[str]:
        """Warn of sources in which none of the customers occurs: most likely their key is another number."""
        warnings = []
        for plan in self._plans:
            if plan.time is not None and plan.features:
                scanned = self.engine.scan(datasets.paths(self.home, self.ledger, f"{plan.source}/sums",
                                                          definition=plan.definition))  # fmt: skip
                if not self.engine.rows(f"SELECT coalesce(sum(n), 0) FROM {scanned} k")[0][0]:
                    warnings.append(
                        f"sources.{plan.source}: none of the customers occurs in it before a snapshot; is `{plan.key}`"
                        f" what the customers' rows call `{self.schema.id}`?"
                    )
        return warnings


def featured(home: Home, ledger: Reader, engine: Engine, schema: Schema) -> Featured:
    """Return how rows that are in no data set get what models see."""
    if not home.settings.sources:
        return Featured(schema, engine)
    step = FeatureStep(home, ledger, engine, schema)
    return Featured(widened(schema, home.settings), engine, step.asked)


def described(settings: Settings) -> list[tuple[str, str]]:
    """Return every feature with what it is, in words."""
    found = [(feature.name, feature.says) for plan in plans(settings) for feature in plan.features]
    return [*found, *((expression, f"`{sql}`") for expression, sql in settings.expressions.items())]

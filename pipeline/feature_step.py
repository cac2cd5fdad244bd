"""The run's step between ingest and training: bring the partial aggregates and the feature table up to date."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from churnwatch.pipeline import aggregates, bookkeeping, datasets, feature_store, features, files, ingest, snapshots
from churnwatch.pipeline.activity import Activity
from churnwatch.pipeline.aggregates import ID, SNAPSHOT, Plan
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.engine import Engine, name
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.feature_store import SourceData
from churnwatch.pipeline.features import Featured
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Aggregated
from churnwatch.pipeline.schema import Schema, check_mentioned, check_names
from churnwatch.pipeline.settings import Column, ColumnType, Home, Settings
from churnwatch.pipeline.settings_campaigns import ChurnRule


class Pairs(StrEnum):
    """Which pairs of customer and snapshot; the name of their table in `ingested_folder`, for any program to read."""

    PAST = "features"  # one row for each row of a customer: what is learned from
    NOW = "customers"  # one row for each customer as of now: what is predicted

    @property
    def file(self) -> str:
        """The name under which the newest table of them is found."""
        return f"{self}.parquet"

    @property
    def prefix(self) -> str:
        """What the names of their partial aggregates begin with."""
        return "now-" if self is Pairs.NOW else ""


@dataclass(frozen=True)
class KeptSet:
    """Partial aggregates of one kind, of one source, for some pairs."""

    plan: Plan
    kind: str
    dataset: str
    definition: str


def plans(settings: Settings) -> tuple[Plan, ...]:
    """Return the features of every source.

    Raises:
        SettingsError: an aggregate that does not exist, or does not fit its column.
    """
    return tuple(aggregates.plan(source, given) for source, given in settings.sources.items())


def widened(schema: Schema, settings: Settings) -> Schema:
    """Return the schema with the features of all sources, as models see it.

    Raises:
        SettingsError: two features, or a feature and a column, have the same name; or there are words for none of them.
    """
    made = [feature for plan in plans(settings) for feature in plan.features]
    check_names((*schema.columns, *(feature.name for feature in made), *settings.expressions), "columns and features")
    features_of = {feature.name: Column(type=feature.type) for feature in made}
    expressions = {expression: Column(type=ColumnType.NUMBER) for expression in settings.expressions}
    columns = {**schema.columns, **features_of, **expressions}
    check_mentioned(settings, columns)
    return replace(schema, columns=columns)


@dataclass(frozen=True)
class FeatureStep:
    """The feature store of a home, in one run."""

    home: Home
    ledger: Reader
    engine: Engine
    schema: Schema

    def table(self, pairs: Pairs) -> Path:
        """Return where a feature table is found."""
        return self.home.ingested / pairs.file

    @cached_property
    def _plans(self) -> tuple[Plan, ...]:
        return plans(self.home.settings)

    def kept_sets(self, pairs: Pairs) -> list[KeptSet]:
        """Return what partial aggregates are kept for some pairs. Those of now are worth nothing at another moment."""
        return [
            KeptSet(plan, kind, f"{plan.source}/{pairs.prefix}{kind}", self._definition(plan, pairs))
            for plan in self._plans
            for kind in feature_store.kinds(plan)
        ]

    def _definition(self, plan: Plan, pairs: Pairs) -> str:
        if pairs is Pairs.PAST:
            return plan.definition
        return hashlib.sha256(f"{plan.definition} {self.moment}".encode()).hexdigest()[:16]

    def _data(self, pairs: Pairs) -> tuple[SourceData, ...]:
        kept: dict[str, dict[str, tuple[Path, ...]]] = {plan.source: {} for plan in self._plans}
        for each in self.kept_sets(pairs):
            kept[each.plan.source][each.kind] = self._paths(each.dataset, each.definition)
        return tuple(SourceData(plan, self._paths(plan.source), kept[plan.source]) for plan in self._plans)

    def _paths(self, dataset: str, definition: str | None = None) -> tuple[Path, ...]:
        return tuple(datasets.paths(self.home, self.ledger, dataset, definition=definition))

    @cached_property
    def _dataset(self) -> str | None:
        """The customers' rows; None before there are any."""
        parts, key = datasets.paths(self.home, self.ledger), self.home.settings.latest_key
        return features.dataset(self.schema, self.engine, parts, key=key) if parts else None

    @cached_property
    def moment(self) -> dt.datetime:
        """The snapshot of customers as they are now."""
        settings = self.home.settings
        times = [(self._paths(plan.source), plan.time) for plan in self._plans if plan.time is not None]
        newest = None
        if self._dataset is not None:
            snapshot = snapshots.of_rows(settings, self.schema)
            newest = self.engine.rows(f"SELECT max({snapshot}) FROM {self._dataset} d")[0][0]
        return snapshots.now(settings, times, newest, today=utc_now().date())

    # -- partial aggregates ------------------------------------------------------------------------------------

    def update(self, ledger: Ledger, run: int) -> list[str]:
        """Bring partial aggregates and feature table up to date; return what somebody should look at.

        Raises:
            SettingsError: an expression that the engine refuses.
        """
        if self._dataset is None:
            return []
        missing = [plan.source for plan in self._plans if not self._paths(plan.source)]
        if missing:
            pattern = self.home.settings.sources[missing[0]].files
            raise SettingsError(f"settings.yaml: sources.{missing[0]}: no row was ingested yet; drop a file whose name"
                                f" fits `{pattern}`. The run is taken up again then.")  # fmt: skip
        widened(self.schema, self.home.settings)  # refuses names that stand twice
        self._check_computed()
        for pairs in Pairs:
            base = self._base(pairs)
            for data in self._data(pairs):
                self._extend(data, pairs, base, ledger, run)
            self._write_table(pairs, base)
        return self._unknown_keys()

    def _base(self, pairs: Pairs) -> str:
        assert self._dataset is not None  # noqa: S101 - asked only where there are rows
        if pairs is Pairs.PAST:
            return snapshots.past_rows(self.home.settings, self.schema, self._dataset)
        if self.home.settings.churn is not None:
            return snapshots.active_rows(self.schema, self._active(self.home.settings.churn), self.moment)
        return snapshots.current_rows(self.schema, self._dataset, self.moment)

    def _active(self, rule: ChurnRule) -> str:
        """Return the query of the customers who have not left by their activity."""
        rows = self.engine.scan(self._paths(rule.source))
        return Activity(rule, self.home.settings.sources[rule.source], rows).active(self.moment)

    def _extend(self, data: SourceData, pairs: Pairs, base: str, ledger: Ledger, run: int) -> None:
        """Append what this run adds to the partial aggregates of one source, in one transaction."""
        kept = {each.kind: each for each in self.kept_sets(pairs) if each.plan is data.plan}
        if not kept:
            return
        sums = kept["sums"]
        done = ledger.aggregated(sums.dataset, sums.definition)
        unread = [part.part for part in ledger.parts(data.plan.source) if part.part not in done]
        wanted = f"SELECT DISTINCT {ID}, {SNAPSHOT} FROM ({base}) w WHERE {ID} IS NOT NULL AND {SNAPSHOT} IS NOT NULL"
        queries = feature_store.partials(
            data, self.engine, pairs=wanted, new_rows=[self.home.ingested / part for part in unread]
        )
        folder, at = self.home.ingested / data.plan.source, iso(utc_now())
        written = {
            kind: ingest.write_query(
                self.engine, query, folder, f"{pairs.prefix}{kind}-{run:05d}-{sums.definition[:8]}"
            )
            for kind, query in queries.items()
        }
        parts = [
            bookkeeping.part_record(run, at, part, self.home.ingested, kept[kind].dataset, kept[kind].definition)
            for kind, part in written.items()
        ]
        ledger.add(*parts, *(Aggregated(sums.dataset, sums.definition, part, run) for part in unread))

    # -- the feature tables ------------------------------------------------------------------------------------

    def _write_table(self, pairs: Pairs, base: str) -> None:
        """Write a feature table, unless the one there is was made of the same; a new name each, linked to at once."""
        made_of = hashlib.sha256(json.dumps(self._inputs(pairs)).encode()).hexdigest()[:16]
        table = self.home.ingested / f"{pairs}-{made_of}.parquet"
        if not table.exists():
            self._check_expressions(pairs, base)
            with files.written_beside(table) as beside:
                self.engine.write(f"SELECT * FROM ({self._featured(pairs, base)}) t ORDER BY _batch, _line", beside)
        files.point(self.table(pairs), table.name)
        for former in set(self.home.ingested.glob(f"{pairs}-*.parquet")) - {table}:
            former.unlink()

    def _inputs(self, pairs: Pairs) -> list[Any]:
        """Return what a feature table is made of: parts that hold anything, and the settings that say how."""
        settings, ledger = self.home.settings, self.ledger
        kept = [
            part for each in self.kept_sets(pairs) for part in ledger.parts(each.dataset, definition=each.definition)
        ]
        timeless = [part for plan in self._plans if plan.time is None for part in ledger.parts(plan.source)]
        rule = settings.churn if pairs is Pairs.NOW else None
        active = [] if rule is None else [repr(rule), *(part.part for part in ledger.parts(rule.source))]
        return [
            [part.part for part in (*ledger.parts(), *timeless, *kept) if part.rows],
            [(plan.definition, [feature.name for feature in plan.features]) for plan in self._plans],
            self.schema.canonical,
            settings.expressions,
            [settings.snapshot, settings.horizon, settings.key, settings.on_conflict],
            [settings.target, settings.positive, settings.id, settings.date],
            str(self.moment) if pairs is Pairs.NOW else None,
            *active,
        ]

    def _featured(self, pairs: Pairs, base: str, kept: Mapping[tuple[str, str], str] | None = None) -> str:
        return feature_store.with_features(
            base, self._data(pairs), self.engine, expressions=self.home.settings.expressions, kept=kept
        )

    def _check_computed(self) -> None:
        for source, given in self.home.settings.sources.items():
            for column, sql in given.computed.items():
                scanned = self.engine.scan(self._paths(source))
                why = self.engine.refusal(f"SELECT CAST(({sql}) AS DOUBLE) AS {name(column)} FROM {scanned} AS s")
                if why is not None:
                    raise SettingsError(f"settings.yaml: sources.{source}.computed.{column}: {why}")

    def _check_expressions(self, pairs: Pairs, base: str) -> None:
        """Try each expression by itself, so that the one that is wrong can be named."""
        expressions = self.home.settings.expressions
        if not expressions:
            return
        plain = feature_store.with_features(base, self._data(pairs), self.engine, expressions={})
        for expression, sql in expressions.items():
            why = self.engine.refusal(f"SELECT CAST(({sql}) AS DOUBLE) AS {name(expression)} FROM ({plain}) f")
            if why is not None:
                raise SettingsError(f"settings.yaml: expressions.{expression}: {why}")

    @cached_property
    def featured(self) -> Featured:
        """How rows that are in no data set get what models see."""
        return Featured(widened(self.schema, self.home.settings), self.engine, self.asked)

    def asked(self, query: str) -> str:
        """Return the query that gives rows that somebody asks about their features; nothing of it is kept."""
        base = snapshots.asked_rows(self.home.settings, self.schema, query, self.moment)
        pairs = f"SELECT DISTINCT {ID}, {SNAPSHOT} FROM ({base}) w WHERE {ID} IS NOT NULL"
        kept = {}
        for plan in self._plans:
            fresh = SourceData(plan, self._paths(plan.source), {})
            for kind, sql in feature_store.partials(fresh, self.engine, pairs=pairs, new_rows=()).items():
                table = f"asked_{plan.source}_{kind}"
                self.engine.table(table, sql)
                kept[plan.source, kind] = name(table)
        return self._featured(Pairs.PAST, base, kept)

    def _unknown_keys(self) -> list[str]:
        """Warn of sources in which none of the customers occurs: most likely their key is another number."""
        warnings = []
        for each in self.kept_sets(Pairs.PAST):
            if each.kind != "sums":
                continue
            scanned = self.engine.scan(self._paths(each.dataset, each.definition))
            if not self.engine.rows(f"SELECT coalesce(sum(n), 0) FROM {scanned} k")[0][0]:
                warnings.append(
                    f"sources.{each.plan.source}: none of the customers occurs in it before a snapshot; is"
                    f" `{each.plan.key}` what the customers' rows call `{self.schema.id}`?"
                )
        return warnings


def featured(home: Home, ledger: Reader, engine: Engine, schema: Schema) -> Featured:
    """Return how rows that are in no data set get what models see."""
    if not home.settings.sources:
        return Featured(schema, engine)
    return FeatureStep(home, ledger, engine, schema).featured


def described(settings: Settings) -> list[tuple[str, str]]:
    """Return every feature with what it is, in words."""
    found = [(feature.name, feature.says) for plan in plans(settings) for feature in plan.features]
    return [*found, *((expression, f"`{sql}`") for expression, sql in settings.expressions.items())]

"""The steps around the rows: take files in, make features, merge small parts.

A step whose result is in the ledger already does nothing: that is what makes a run resumable. The order is in `run`.
"""

from __future__ import annotations

from collections.abc import Sequence

from churnwatch.pipeline import registry
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.compaction import compact
from churnwatch.pipeline.datasets import Intake
from churnwatch.pipeline.feature_step import Pairs
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.records import FileState
from churnwatch.pipeline.workspace import Workspace


def ingest_files(at: Workspace, sources: Sequence[Source]) -> None:
    """Put the new rows of the run's files into their data sets, as one part each and one transaction."""
    if not at.ledger.run_file_states(at.run):
        intake = Intake(at.home, at.ledger, at.local, at.engine, at.run, iso(utc_now()))
        intake.take(at.datasets, sources, promise_holdout=not at.tests())
        at.warnings += intake.warnings
    registry.write_ingested(at.home.ingested / registry.INGESTED, at.ledger.ingested_files())


def make_features(at: Workspace) -> None:
    """Bring the feature table up to date."""
    if at.features is not None:
        at.warnings += at.features.update(at.ledger, at.run)


def compact_parts(at: Workspace) -> None:
    """Merge small parts."""
    kept = [each for pairs in Pairs for each in at.features.kept_sets(pairs)] if at.features else []
    compact(at.home, at.ledger, at.engine, kept, at.run)


def no_news(at: Workspace) -> str:
    """Say in one sentence why there is nothing to learn."""
    if at.has_news_of_sources():
        return "New rows of sources, and no new label to learn from; the customers are predicted anew."
    if at.has_news_of_campaigns():
        return "New rows of campaigns, and no new label to learn from."
    states = at.ledger.run_file_states(at.run)
    if any(row["state"] == FileState.INGESTED for row in states):
        return "Nothing new to learn from: no labelled row that was not there before."
    if any(row["state"] == FileState.QUARANTINED for row in states):
        return "Nothing was ingested: see the reasons with `churnwatch files`."
    return "A request to score; nothing was trained."

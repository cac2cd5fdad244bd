"""Many small parts → few large ones, so that the number of files grows with the logarithm of the history.

Parts of about the same size are merged once there are eight of them, so every row is written again once for every
eightfold of the history. The merged parts stay on disk until the next run: a command may be reading them.
Source: O'Neil et al., The log-structured merge-tree, Acta Informatica 33 (1996).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from churnwatch.pipeline import bookkeeping, feature_store, files, ingest
from churnwatch.pipeline.campaigns import CAMPAIGNS
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.datasets import MAIN
from churnwatch.pipeline.engine import Engine
from churnwatch.pipeline.feature_step import KeptSet
from churnwatch.pipeline.late_labels import LABELS, REQUESTS
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Aggregated, Part, PartReplacement
from churnwatch.pipeline.settings import Home

FANOUT = 8


def compact(home: Home, ledger: Ledger, engine: Engine, kept: Sequence[KeptSet], run: int) -> int:
    """Merge parts where there are enough of a size, and remove those that former runs merged; return how many went.

    Partial aggregates that are not `kept` any more, by source, kind and definition, are given up.
    """
    files.remove(home.ingested / part for part in ledger.replaced_parts(run))
    merging = _Merging(home, ledger, engine, run)
    stale, at = ledger.stale_parts({(each.dataset, each.definition) for each in kept}), iso(utc_now())
    ledger.add(*(PartReplacement(part, None, run, at) for part in stale))
    merged = 0
    for dataset in (MAIN, REQUESTS, LABELS, CAMPAIGNS, *home.settings.sources):
        over = [each for each in kept if each.plan.source == dataset and each.kind == "sums"]
        merged += merging.merge(dataset, None, "part", lambda scanned: f"SELECT * FROM {scanned} AS p", over)
    for each in kept:
        stem = f"{each.dataset.partition('/')[2]}-{run:05d}-merged"
        merged += merging.merge(each.dataset, each.definition, stem, _merging_query(each))
    return merged


def _merging_query(kept: KeptSet) -> Callable[[str], str]:
    return lambda scanned: feature_store.merged(kept.plan, kept.kind, scanned)


class _Merging:
    """Merges parts of one home, in one run."""

    def __init__(self, home: Home, ledger: Ledger, engine: Engine, run: int) -> None:
        self._home, self._ledger, self._engine, self._run = home, ledger, engine, run

    def merge(
        self,
        dataset: str,
        definition: str | None,
        stem: str,
        query: Callable[[str], str],
        over: Sequence[KeptSet] = (),
    ) -> int:
        """Merge parts of one data set; return how many were.

        Parts of rows are left alone as long as partial aggregates `over` them lack some: a merged part is in them as a
        whole, or not at all.
        """
        parts = of_a_size(self._ledger.parts(dataset, definition=definition))
        names = {part.part for part in parts}
        if not parts or any(names - self._ledger.aggregated(each.dataset, each.definition) for each in over):
            return 0
        home, at = self._home, iso(utc_now())
        folder = home.ingested / dataset.partition("/")[0]
        scanned = self._engine.scan([home.ingested / part.part for part in parts])
        written = ingest.write_query(self._engine, query(scanned), folder, stem)
        record = bookkeeping.part_record(self._run, at, written, home.ingested, dataset, definition)
        self._ledger.add(
            record,
            *(PartReplacement(part, record.part, self._run, at) for part in sorted(names)),
            *(Aggregated(each.dataset, each.definition, record.part, self._run) for each in over),
        )
        return len(parts)


def of_a_size(parts: Sequence[Part]) -> list[Part]:
    """Return the smallest parts of about one size, in the order they have, if there are enough to merge."""
    tiers: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        tiers[int(math.log(max(part.rows, 1), FANOUT))].append(part)
    return next((tiers[tier] for tier in sorted(tiers) if len(tiers[tier]) >= FANOUT), [])

"""The steps from labelled rows to a release: test the champion, train a candidate, decide between them, promote.

A step whose result is in the ledger already does nothing: that is what makes a run resumable. The order is in `run`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from churnwatch.pipeline import (
    acceptance,
    bookkeeping,
    compilation,
    confusion,
    curves,
    estimating,
    features,
    gate,
    overfitting,
    promotion,
    reference,
    registry,
)
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.datasets import pinned
from churnwatch.pipeline.evaluate_amounts import tenths
from churnwatch.pipeline.features import Rows, labelled_rows
from churnwatch.pipeline.holdout import learned_of
from churnwatch.pipeline.ledger import trained
from churnwatch.pipeline.manifest import manifest
from churnwatch.pipeline.metrics import HEADLINES, METRICS
from churnwatch.pipeline.overfitting import Estimate, estimates
from churnwatch.pipeline.records import AcceptanceCase, AmountTenth, Curve, Decision, GroupCount, Metric, Model
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.train import Candidate, Untrainable, train
from churnwatch.pipeline.train_amounts import train_amounts
from churnwatch.pipeline.windows import ALL, Window
from churnwatch.pipeline.workspace import Surroundings, Workspace


def test_champion(at: Workspace) -> None:
    """Predict every new labelled batch with the champion before anything learns from it."""
    champion = at.ledger.champion()
    if champion is None or at.ledger.metrics(run=at.run, split="prequential"):
        return
    if at.ledger.model_of_run(at.run) is not None:
        return  # the champion may be what this very run has learned from these rows
    model = at.comparable(champion.model)
    if model is None:
        return
    records = []
    for batch in at.batches:
        rows = labelled_rows(at.learned, at.engine, at.as_they_came, where=f"_batch = {batch.batch}")
        predicted = at.predictions(model, rows)
        values = at.evaluated(rows, predicted, champion.model.threshold)
        records += bookkeeping.metric_records(
            at.run, values, rows=len(rows), subject="champion", split="prequential",
            version=champion.model.version, batch=batch.batch,
        )  # fmt: skip
        records += _dummy_of_amounts(at, rows, batch.batch)
        records += estimating.of_batch(at, rows, predicted, champion.model, batch.batch, batch.file)
    at.ledger.add_all(records)


def _dummy_of_amounts(at: Workspace, rows: Rows, batch: int) -> list[Metric]:
    """Return how the dummy does on a new batch of amounts; of classes, counts tell it."""
    known = at.baseline(rows) if at.schema.predicts_amounts else {}
    return bookkeeping.metric_records(
        at.run, known, rows=len(rows), subject="baseline", split="prequential", batch=batch
    )


def train_candidate(at: Workspace, training: Training) -> str | None:
    """Train a candidate as `training` says and write its version; return why there is none, where there is none."""
    if at.ledger.model_of_run(at.run) is not None:
        return None
    at.warnings += [at.holdout.warning] if at.holdout.warning is not None else []
    rows = training_rows(at)
    candidate = _trained(at, rows, training)
    if isinstance(candidate, Untrainable):
        at.warnings.append(candidate.reason)
        return candidate.reason
    at.warnings += _told(candidate, _tuned_for(at))
    _write_version(at, candidate, candidate.window.within(rows))
    return None


def _trained(at: Workspace, rows: Rows, training: Training) -> Candidate | Untrainable:
    schema = at.learned
    if not schema.predicts_amounts:
        return train(rows, training, numeric=schema.numeric, categorical=schema.categorical)
    metric = _tuned_for(at)
    return train_amounts(rows, training, metric=metric, numeric=schema.numeric, categorical=schema.categorical)


def _tuned_for(at: Workspace) -> str:
    """Return the metric by which cross-validation judges: that of decisions at their threshold, or the gate's."""
    settings = at.home.settings
    return settings.gating.metric if at.schema.predicts_amounts else settings.training.metric


def _told(candidate: Candidate, metric: str) -> Iterator[str]:
    """Yield what somebody should look at in how a candidate was chosen."""
    for found in candidate.searches:
        if found.stopped:
            yield (f"the search for parameters of {found.estimator} was stopped by training.search_s after"
                   f" {found.tried} sets; a faster machine may find others")  # fmt: skip
    sign = METRICS[metric].sign
    best = max((sign * each.value for each in candidate.comparisons if each.value is not None), default=None)
    if best is not None and candidate.baseline is not None and best <= sign * candidate.baseline:
        yield "by cross-validation no estimator is better than saying the same of everybody"


def training_rows(at: Surroundings) -> Rows:
    """Return the rows to learn from: all that are not promised to the holdout, or a sample of them."""
    training, window = at.home.settings.training, Window.given(at.home.settings.training)
    where = features.in_window(
        at.learned, at.engine, at.dataset, where=at.holdout.trainable, last=window.last, since=window.since
    )
    drawn = features.sample(at.learned, at.engine, at.dataset, where=where, most=training.max_rows, seed=training.seed)
    rows = labelled_rows(at.learned, at.engine, at.dataset, where=drawn.where if drawn else where)
    if drawn is not None:
        at.warnings.append(
            f"learned from a sample of {len(rows):,} of {drawn.rows:,} labelled rows; see training.max_rows"
        )
    return rows


def _write_version(at: Workspace, candidate: Candidate, rows: Rows) -> None:
    judged = at.holdout.rows
    learned, unseen = (at.predictions(candidate.model, each) for each in (rows, judged))
    on_train = at.evaluated(rows, learned, candidate.threshold)
    on_holdout = at.evaluated(judged, unseen, candidate.threshold)
    shown = on_holdout or on_train
    version, kept = at.ledger.next_version(), reference.of(rows, judged, unseen, amounts=at.schema.amount)
    title = f"v{version} on {'holdout' if on_holdout else 'training'} rows"
    written = registry.write_version(
        at.home.models / f"v{version}",
        candidate.model,
        score=on_holdout.get(HEADLINES[at.home.settings.task]),
        ingested=at.ledger.ingested_files(),
        manifest=manifest(
            at.home, at.ledger, at.schema, candidate, version=version, run=at.run,
            origin=at.holdout.origin, metrics={"train": on_train, "holdout": on_holdout},
        ),
        reference=reference.encode(kept),
        draw=None if at.schema.predicts_amounts else lambda path: confusion.draw(shown, path, title=title),
        model_format=at.home.settings.model_format,
    )  # fmt: skip
    form = compilation.compare(version, candidate.model, kept.columns, ((judged.X, unseen), (rows.X, learned)))
    with at.ledger.transaction():
        at.ledger.add(
            Model(version, at.run, candidate.estimator, json.dumps(candidate.parameters, sort_keys=True),
                  candidate.threshold, written.folder.name, written.sha256, written.manifest_sha256,
                  candidate.rows, candidate.positives, iso(utc_now()))
        )  # fmt: skip
        for split, values, size in (("train", on_train, len(rows)), ("holdout", on_holdout, len(judged))):
            at.ledger.add_all(bookkeeping.metric_records(
                at.run, values, rows=size, subject="candidate", split=split, version=version))  # fmt: skip
        gaps = overfitting.gaps(_estimates(at, rows, learned, candidate), _estimates(at, judged, unseen, candidate))
        at.ledger.add_all(bookkeeping.gap_records(at.run, gaps, rows=len(judged), version=version))
        at.ledger.add_all(bookkeeping.training_records(at.run, candidate, metric=_tuned_for(at), version=version))
        at.ledger.add_all(_tenths(at, version, judged, unseen))
        at.ledger.add(*_curves(at, version, candidate.threshold, judged, unseen), form)
        at.keep_warnings()


def _estimates(at: Workspace, rows: Rows, predicted: Any, candidate: Candidate) -> dict[str, Estimate]:
    if at.schema.predicts_amounts:
        return overfitting.estimates_of_amounts(rows.y, predicted)
    return estimates(rows.y, predicted, threshold=candidate.threshold)


def _tenths(at: Workspace, version: int, rows: Rows, predicted: Any) -> list[AmountTenth]:
    """Return what a version expects of each tenth of the holdout; nothing where classes are predicted."""
    found = tenths(rows.y, predicted) if at.schema.predicts_amounts else []
    return [AmountTenth(at.run, version, number, *each) for number, each in enumerate(found, start=1)]


def _curves(at: Workspace, version: int, threshold: float, rows: Rows, predicted: Any) -> list[Curve | GroupCount]:
    """Return what the curves of a version are drawn from; nothing where amounts are predicted."""
    if at.schema.predicts_amounts:
        return []
    counted = curves.groups(rows.X, rows.y, predicted, threshold=threshold)
    return bookkeeping.curve_records(at.run, version, curves.cuts(rows.y, predicted), counted)


def chosen_window(at: Workspace) -> str:
    """Return in a sentence which window was found to be better than all history; nothing where none was."""
    compared = at.ledger.metrics(run=at.run, split="window")
    chosen = next((row["subject"] for row in compared if row["version"] is not None), ALL)
    if chosen == ALL:
        return ""
    return f" It learned from a window ({chosen}), since that would have predicted the newest batches better than all."


def decide(at: Workspace) -> str:
    """Compare candidate and champion on the same holdout rows, now; return the decision in one sentence."""
    known = at.ledger.verdict(at.run)
    if known is not None:
        return known.sentence
    candidate = at.ledger.model_of_run(at.run)
    assert candidate is not None  # noqa: S101 - `train_candidate` came before and wrote it
    champion = at.ledger.champion()
    model = at.load(candidate)
    evidence, records = _judged(at, candidate, model, champion.model if champion else None)
    if evidence.decision.promotes:
        cases = _cases(at, candidate, model)
        evidence = _staged(at, candidate, _accepted(evidence, cases))
        records += cases
    verdict = bookkeeping.verdict_record(
        at.run, iso(utc_now()), evidence, policy=at.home.settings.gating.policy.value, candidate=candidate.version,
        champion=champion.model.version if champion else None, window=at.holdout.window,
    )  # fmt: skip
    _warn_of_gap(at, candidate)
    with at.ledger.transaction():
        at.ledger.add(*records, verdict)
        at.keep_warnings()
    return verdict.sentence


def _judged(at: Workspace, candidate: Model, model: Any, champion: Model | None) -> tuple[gate.Evidence, list[Any]]:
    rows, gating = at.holdout.rows, at.home.settings.gating
    new, predicted = _decisions(at, candidate, model, rows)
    baseline = at.baseline(rows)
    records: list[Any] = [
        *bookkeeping.metric_records(at.run, baseline, rows=len(rows), subject="baseline", split="holdout")
    ]
    former = at.comparable(champion) if champion is not None else None
    if champion is None or former is None:
        return _first(at, rows, new, baseline), records
    old, before = _decisions(at, champion, former, rows)
    records += bookkeeping.metric_records(
        at.run, at.evaluated(rows, before, champion.threshold), rows=len(rows), subject="champion",
        split="holdout", version=champion.version,
    )  # fmt: skip
    records += _tenths(at, champion.version, rows, before)
    records += compilation.of_older(at.home.models, at.ledger, champion, former, rows.X, before)
    records += _curves(at, champion.version, champion.threshold, rows, before)
    evidence = gate.decide(
        rows.y, old, new, gating, seed=at.home.settings.training.seed,
        probabilities=(before, predicted), age_runs=at.ledger.champion_age_runs() + 1,
    )  # fmt: skip
    return _with_doubt(at, champion, evidence), records


def _with_doubt(at: Workspace, champion: Model, evidence: gate.Evidence) -> gate.Evidence:
    """Warn of a champion that has learned from the days that judge, as one from before `holdout_days` has."""
    days = at.holdout.days
    if days is None:
        return evidence
    batch = max((each.batch for each in at.ledger.batches() if each.run <= champion.run), default=0)
    held_back = trained.holdout_days(at.ledger, champion)
    rows = learned_of(at.learned, at.engine, at.dataset, days, batch=batch, held_back=held_back)
    if not rows:
        return evidence
    warning = (
        f"{champion.name} has learned from {rows:,} rows of the days that judge, after {days[0]:%Y-%m-%d}, and the"
        " candidate from none: the champion looks better here than it is"
    )
    return replace(evidence, warning="; ".join(filter(None, (evidence.warning, warning))))


def _first(at: Workspace, rows: Rows, new: Any, baseline: Mapping[str, float]) -> gate.Evidence:
    """Hold a first model against the dummy: by F1, or of amounts by the gate's metric where these rows allow it."""
    settings = at.home.settings
    metric: str = HEADLINES[settings.task]
    if at.schema.predicts_amounts and settings.gating.metric in baseline:
        metric = settings.gating.metric
    found = gate.decide_first(rows.y, new, baseline=baseline.get(metric, 0.0), gate=settings.gating, metric=metric)
    if found.decision is Decision.REFUSED and metric in ("mae", "mape") and np.median(rows.y) == 0:
        why = "Most amounts are 0, and absolute errors are least where 0 is expected of all: see `gate.metric: rmse`."
        return replace(found, sentence=f"{found.sentence} {why}")
    return found


def _decisions(at: Workspace, version: Model, model: Any, rows: Rows) -> tuple[Any, Any]:
    """Return a version's decisions and probabilities; of amounts, these twice."""
    predicted = at.predictions(model, rows)
    if at.schema.predicts_amounts:
        return predicted, predicted
    return (predicted >= version.threshold).astype(int), predicted


def _cases(at: Workspace, candidate: Model, model: Any) -> list[AcceptanceCase]:
    """Return what the candidate says of the sample customers, none where there are none."""
    settings = at.home.settings
    if settings.acceptance is None:
        return []
    path, before = at.home.path / settings.acceptance, pinned(settings, at.ledger)
    found = acceptance.examine(path, model, at.schema, settings.csv, at.local, at.featured, pinned=before)
    return [AcceptanceCase(at.run, candidate.version, **dataclasses.asdict(each)) for each in found]


def _accepted(evidence: gate.Evidence, cases: Sequence[AcceptanceCase]) -> gate.Evidence:
    """Refuse a candidate that says otherwise of a sample customer than it must."""
    failed = [each for each in cases if not each.met]
    if not failed:
        return evidence
    lines = ", ".join(str(each.line) for each in failed[:5]) + (", …" if len(failed) > 5 else "")  # noqa: PLR2004
    sentence = f"Refused: {len(failed)} of {len(cases)} sample customers are not as expected (lines {lines})."
    return replace(evidence, decision=Decision.REFUSED, sentence=f"{sentence} Else: {evidence.sentence}")


def _staged(at: Workspace, candidate: Model, evidence: gate.Evidence) -> gate.Evidence:
    """Let a candidate that passed wait, where a version is pinned or somebody has to approve."""
    pin = at.ledger.pin()
    if not evidence.decision.promotes:
        return evidence
    if pin is not None:
        sentence = f"{candidate.name} passed the gate, but v{pin['version']} is pinned ({pin['why']})."
    elif at.home.settings.approval == "manual":
        sentence = f"{candidate.name} passed the gate and waits for `churnwatch approve {candidate.name} --why …`."
    else:
        return evidence
    return replace(evidence, decision=Decision.STAGED, sentence=f"{sentence} {evidence.sentence}")


def _warn_of_gap(at: Workspace, candidate: Model) -> None:
    metric = "r2" if at.schema.predicts_amounts else "f1"  # both are 1 at best, whatever the amounts
    found = {
        row["split"]: row
        for row in at.ledger.metrics(run=at.run, version=candidate.version)
        if row["name"] == metric and row["subject"] == "candidate"
    }
    if "gap" not in found:
        return
    gap = Estimate(found["gap"]["value"], found["gap"]["low"], found["gap"]["high"])
    on_train, on_holdout = found["train"]["value"], found["holdout"]["value"]
    warning = overfitting.warning(candidate.name, candidate.estimator, on_train, on_holdout, gap,
                                  at.home.settings.training.max_gap, metric=metric)  # fmt: skip
    at.warnings += [warning] if warning is not None else []


def promote(at: Workspace) -> None:
    """Release the candidate, if that is the decision."""
    verdict = at.ledger.verdict(at.run)
    if verdict is None or not verdict.decision.promotes or at.ledger.intent_of_run(at.run) is not None:
        return
    why_not = promotion.release_by_gate(at.home, at.ledger, verdict)
    if why_not is not None:
        at.warnings.append(why_not)

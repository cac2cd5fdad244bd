"""A version and rows → how far its compiled form is from it, before it can be released.

Many rows at once and a few go different ways through trees, and contributions a third one; all are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from churnwatch.pipeline import contributions, encoding, reference, registry
from churnwatch.pipeline.bins import Bins
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.compiled import Compiled, compiled
from churnwatch.pipeline.encoding import Columns
from churnwatch.pipeline.ledger import compiled_forms
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.model_files import Fitted
from churnwatch.pipeline.records import CompiledForm, Model

Floats = npt.NDArray[np.float64]
LARGEST = 1e-5  # difference with which a form is served
_ROWS = 10_000  # of each kind at most
_FEW = 100


def compare(
    version: int, model: Fitted, known: Sequence[Bins] | None, said: Iterable[tuple[pd.DataFrame, Floats]]
) -> CompiledForm:
    """Hold the compiled form of a version against the version.

    Args:
        version: its number.
        model: itself.
        known: how the columns of its training rows were spread, by its reference; None where that is lost.
        said: rows, of shape (n, columns), with the (n,) probabilities or amounts that it gives them.
    """
    some = [_evenly(X, predictions) for X, predictions in said if len(X)]
    rows, at = sum(len(X) for X, _ in some), iso(utc_now())
    try:
        form = compiled(model, contributions.explainer(model, known))
        if isinstance(form, str):
            return CompiledForm(version, at, 0, None, form)
        found = max((_difference(form, encoding.columns_of(X), predictions) for X, predictions in some), default=None)
    except Exception as error:  # noqa: BLE001 - the model is served as it is; a run does not fail for its form
        return CompiledForm(version, at, 0, None, f"its compiled form fails, which is a bug: {type(error).__name__}")
    return CompiledForm(version, at, rows, found, _why_not(found))


def of_older(
    models: Path, ledger: Reader, version: Model, model: Fitted, X: pd.DataFrame, predictions: Floats
) -> list[CompiledForm]:
    """Compare a version from before there were compiled forms, on rows with what it says of them; nothing of others."""
    if compiled_forms.of_version(ledger, version.version) is not None:
        return []
    kept = registry.reference(models, version)
    known = None if kept is None else reference.decode(kept).columns
    return [compare(version.version, model, known, [(X, predictions)])]


def _why_not(difference: float | None) -> str | None:
    if difference is None:
        return "there were no rows on which its compiled form could be compared with it"
    if difference > LARGEST:
        return f"its compiled form is not the same: they differ by {difference:.2g}"
    return None


def _evenly(X: pd.DataFrame, predictions: Floats) -> tuple[pd.DataFrame, Floats]:
    places = np.linspace(0, len(X) - 1, min(len(X), _ROWS)).astype(np.int64)
    return X.iloc[places], predictions[places]


def _difference(form: Compiled, columns: Columns, expected: Floats) -> float:
    """Return the largest difference of all ways through a form; infinite where it says no number."""
    found = [(form.predictions(columns), expected)]
    few, first = {column: values[:_FEW] for column, values in columns.items()}, expected[:_FEW]
    found.append((form.predictions(few), first))
    added = form.contributions(few)
    if added is not None and form.base is not None:
        found.append((form.shown(form.base + added.sum(axis=1)), first))
    largest = max(float(np.max(np.abs(said - known) / np.maximum(1.0, np.abs(known)))) for said, known in found)
    return largest if np.isfinite(largest) else np.inf

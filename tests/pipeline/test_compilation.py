from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import small_models
from small_models import CATEGORICAL, NUMERIC, STRANGE, X

from churnwatch.pipeline import bins, compilation, compiled, contributions

ALL = [*NUMERIC, *CATEGORICAL]
KNOWN = bins.of_frame(X)


def _said(model: Any, *frames: Any) -> list[Any]:
    return [(frame, model.predict_proba(frame)[:, 1]) for frame in frames]


@pytest.fixture(scope="module")
def model() -> Any:
    return small_models.model("logistic", ALL)


def test_a_form_that_is_the_same_may_be_served(model: Any) -> None:
    found = compilation.compare(7, model, KNOWN, [*_said(model, X, STRANGE), (X[:0], np.empty(0))])
    assert (found.version, found.rows, found.why_not) == (7, len(X) + len(STRANGE), None)
    assert found.largest_difference is not None
    assert found.largest_difference < 1e-12


@pytest.mark.parametrize("broken", ["offset", "base"])
def test_a_form_that_differs_is_refused(model: Any, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    form: Any = compiled.compiled(model, contributions.explainer(model, KNOWN))
    other = replace(form, **{broken: getattr(form, broken) + 1e-3})
    monkeypatch.setattr(compilation, "compiled", lambda *_: other)
    found = compilation.compare(7, model, KNOWN, _said(model, X))
    assert found.why_not is not None
    assert found.why_not.startswith("its compiled form is not the same: they differ by 0.000")


def test_a_form_that_says_no_number_is_refused(model: Any) -> None:
    found = compilation.compare(7, model, KNOWN, [(X, np.full(len(X), np.nan))])
    assert found.why_not == "its compiled form is not the same: they differ by inf"


def test_a_form_that_breaks_does_not_break_the_run(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "compiled", lambda *_: 1 / 0)
    found = compilation.compare(7, model, KNOWN, _said(model, X))
    assert found.why_not == "its compiled form fails, which is a bug: ZeroDivisionError"
    assert found.largest_difference is None


def test_without_rows_nothing_is_known(model: Any) -> None:
    found = compilation.compare(7, model, KNOWN, _said(model))
    assert found.why_not == "there were no rows on which its compiled form could be compared with it"

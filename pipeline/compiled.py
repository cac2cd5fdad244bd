"""A model as what answers single requests: plain arrays, without a frame of pandas or a call of scikit-learn.

    columns → encoded rows (dictionaries, vectors) → margin of each part → weighted sum → what is shown

It is made of the model itself when that is loaded, so that there is no second file that could be another one. What it
says was held against what the model says before the version could be released (`compilation`). The contributions of a
row are those of `contributions`, made of the same arrays.

ONNX was tried first. skl2onnx 1.20 converts none of our models: it has no `FixedThresholdClassifier`, no rare
categories of `OneHotEncoder`, no indicators of missing values, no `CalibratedClassifierCV` or `StackingClassifier` over
more than one column, and with onnx 1.23 no histogram boosting. What it converts is a vector times a vector; and
contributions need encoded rows in any case. See docs/serving.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from churnwatch.pipeline import contributions, encoding, margins
from churnwatch.pipeline.bins import Bins
from churnwatch.pipeline.contributions import Explainer, Unexplained
from churnwatch.pipeline.encoding import Columns, Encoder, UnreadableError
from churnwatch.pipeline.fitting import margin_method
from churnwatch.pipeline.margins import Margin
from churnwatch.pipeline.model_files import Fitted
from churnwatch.pipeline.records import CompiledForm

Floats = npt.NDArray[np.float64]
_AT_ONCE = 8192  # rows: what is made of them stays near the processor


@dataclass(frozen=True)
class Original:
    """A model as it is, by way of a DataFrame.

    Attributes:
        model: as `registry.load` gives it.
        explained: what explains it.
        why_not: why it is not compiled, as the end of a sentence.
    """

    model: Fitted
    explained: Explainer | Unexplained
    why_not: str

    @property
    def base(self) -> float | None:
        """What is said where no column is known: in log-odds, or an amount; None where nothing is explained."""
        return None if isinstance(self.explained, Unexplained) else self.explained.base

    @property
    def unexplained(self) -> str | None:
        """Why nothing is explained; None where it is."""
        return self.explained.why if isinstance(self.explained, Unexplained) else None

    def predictions(self, columns: Columns) -> Floats:
        """Return probabilities, or amounts, shape (n,); see `Compiled`."""
        frame = encoding.frame_of(columns, list(self.model.feature_names_in_))
        if not len(frame):
            return np.empty(0)
        if hasattr(self.model, "predict_proba"):
            return np.asarray(self.model.predict_proba(frame)[:, 1], dtype=np.float64)
        return np.asarray(self.model.predict(frame), dtype=np.float64)

    def contributions(self, columns: Columns) -> Floats | None:
        """Return what each column contributes, shape (n, columns); None where nothing is explained."""
        if isinstance(self.explained, Unexplained):
            return None
        return self.explained.contributions(encoding.frame_of(columns, self.explained.columns))


@dataclass(frozen=True)
class _Part:
    """One margin of the weighted sum; `origins` are the places of the user's columns that were encoded, (encoded,)."""

    weight: float
    encoder: Encoder
    margin: Margin
    origins: npt.NDArray[np.int64] | None


@dataclass(frozen=True)
class Compiled:
    """A model as plain arrays.

    Attributes:
        columns: what it looks at, in its order.
        offset: what is added to the weighted margins.
        parts: these.
        shown: what makes a probability, or an amount, of their sum.
        base: what is said where no column is known: in log-odds, or an amount; None where nothing is explained.
        unexplained: why nothing is explained; None where it is.
    """

    columns: tuple[str, ...]
    offset: float
    parts: tuple[_Part, ...]
    shown: Callable[[Floats], Floats]
    base: float | None
    unexplained: str | None

    def predictions(self, columns: Columns) -> Floats:
        """Return probabilities, or amounts, shape (n,).

        Args:
            columns: n values of each column: numbers as float64 with NaN, texts as objects with None.
        """
        found = [self._predictions(some) for some in self._pieces(columns)]
        return found[0] if len(found) == 1 else np.concatenate(found) if found else np.empty(0)

    def contributions(self, columns: Columns) -> Floats | None:
        """Return what each column contributes, shape (n, columns); None where nothing is explained."""
        if self.unexplained is not None:
            return None
        found = [self._contributions(some) for some in self._pieces(columns)]
        return found[0] if len(found) == 1 else np.concatenate(found) if found else np.empty((0, len(self.columns)))

    def _pieces(self, columns: Columns) -> Iterator[Columns]:
        rows = len(columns[self.columns[0]])
        if 0 < rows <= _AT_ONCE:
            yield columns
            return
        for start in range(0, rows, _AT_ONCE):
            yield {column: columns[column][start : start + _AT_ONCE] for column in self.columns}

    def _predictions(self, columns: Columns) -> Floats:
        said = (part.weight * part.margin.says(part.encoder.encode(columns)) for part in self.parts)
        return self.shown(sum(said, start=np.full(1, self.offset)))

    def _contributions(self, columns: Columns) -> Floats:
        found = np.zeros((len(self.columns), len(columns[self.columns[0]])))
        for part in self.parts:
            assert part.margin.adds is not None  # noqa: S101 - else nothing is explained
            assert part.origins is not None  # noqa: S101
            np.add.at(found, part.origins, part.weight * part.margin.adds(part.encoder.encode(columns)).T)
        return found.T


def predictor(model: Fitted, known: Sequence[Bins] | None, compared: CompiledForm | None) -> Compiled | Original:
    """Return what answers for a model: its compiled form, or the model itself.

    Args:
        model: as `registry.load` gives it.
        known: how the columns of its training rows were spread, by its reference; None where that is lost.
        compared: how its compiled form compares with it, by the ledger; None where that was not looked at.
    """
    explained = contributions.explainer(model, known)
    if compared is None:
        return Original(
            model, explained, "its compiled form was not compared with it yet; the next run that trains does"
        )
    found = compared.why_not or compiled(model, explained)
    return Original(model, explained, found) if isinstance(found, str) else found


def compiled(model: Fitted, explained: Explainer | Unexplained) -> Compiled | str:
    """Return a model as plain arrays, or why it cannot be had as such, as the end of a sentence.

    Args:
        model: as `registry.load` gives it.
        explained: what `contributions.explainer` made of it.
    """
    columns = tuple(map(str, model.feature_names_in_))
    try:
        offset, weighed, shown = _taken_apart(model)
        known = [None] * len(weighed) if isinstance(explained, Unexplained) else explained.parts
        parts = tuple(_part(each, part) for each, part in zip(weighed, known, strict=True))
    except UnreadableError as error:
        return str(error)
    base, why = (None, explained.why) if isinstance(explained, Unexplained) else (explained.base, None)
    return Compiled(columns, offset, parts, shown, base, why)


def _part(weighed: _Weighed, explained: contributions.Part | None) -> _Part:
    encoder = encoding.read(weighed.pipeline[0])
    if explained is None:
        return _Part(weighed.weight, encoder, margins.of(weighed.pipeline, weighed.method, None), None)
    margin = margins.of(weighed.pipeline, weighed.method, explained.margin)
    return _Part(weighed.weight, encoder, margin, explained.origins)


@dataclass(frozen=True)
class _Weighed:
    """A pipeline with the weight of its margin, and the method that says that."""

    weight: float
    pipeline: Pipeline
    method: str


def _taken_apart(model: BaseEstimator) -> tuple[float, list[_Weighed], Callable[[Floats], Floats]]:
    """Return what a model is a weighted sum of: an offset and pipelines; and what makes of it what is shown."""
    if isinstance(model, FixedThresholdClassifier):
        return _taken_apart(model.estimator_)
    if isinstance(model, FrozenEstimator):
        return _taken_apart(model.estimator)
    if isinstance(model, CalibratedClassifierCV):
        return _calibrated(model)
    if isinstance(model, StackingClassifier):
        blended = model.final_estimator_.estimator
        weights = zip(blended.coef_[0].tolist(), model.estimators_, model.stack_method_, strict=True)
        return float(blended.intercept_[0]), [_Weighed(*each) for each in weights], expit
    if not isinstance(model, Pipeline):
        raise UnreadableError(f"{type(model).__name__} is not known here")
    return _alone(model)


def _calibrated(model: CalibratedClassifierCV) -> tuple[float, list[_Weighed], Callable[[Floats], Floats]]:
    [calibrated] = model.calibrated_classifiers_
    [calibrator] = calibrated.calibrators
    pipeline = calibrated.estimator.estimator
    if isinstance(calibrator, IsotonicRegression):
        return 0.0, [_Weighed(1.0, pipeline, margin_method(pipeline))], calibrator.predict
    return -float(calibrator.b_), [_Weighed(-float(calibrator.a_), pipeline, margin_method(pipeline))], expit


def _alone(model: Pipeline) -> tuple[float, list[_Weighed], Callable[[Floats], Floats]]:
    if isinstance(model[-1], margins.LOG_ODDS):
        return 0.0, [_Weighed(1.0, model, "decision_function")], expit
    return 0.0, [_Weighed(1.0, model, "predict_proba" if hasattr(model, "predict_proba") else "predict")], np.asarray

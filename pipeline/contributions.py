"""A fitted model and rows → what each column contributes to what is said of each row; exactly, or not at all.

Contributions add up with the base to the log-odds of the probability as it is shown, calibration and all; of amounts,
to the amount. That is so where the log-odds are a weighted sum of margins of which each adds up itself: of logistic
and linear models in closed form, against the means of their training rows; of histogram boosting by TreeSHAP. What a
column was encoded into is added up again, so that everything is said of the user's own columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from churnwatch.pipeline import library_contributions, tree_contributions
from churnwatch.pipeline.bins import Bins
from churnwatch.pipeline.encoding import widths
from churnwatch.pipeline.model_files import Fitted
from churnwatch.pipeline.tree_contributions import Tree

Floats = npt.NDArray[np.float64]


class UnexplainableError(Exception):
    """What a model says does not add up from its columns."""


class Margin(Protocol):
    """What a fitted estimator says before it becomes a probability."""

    @property
    def base(self) -> float:
        """What it says where no column is known."""

    def contributions(self, Z: npt.NDArray[np.float64]) -> Floats:
        """Return what each encoded column adds; rows and result are of shape (n, encoded columns)."""


@dataclass(frozen=True)
class _Linear:
    coefficients: Floats
    means: Floats  # of the encoded training rows
    intercept: float

    @property
    def base(self) -> float:
        return self.intercept + float(self.coefficients @ self.means)

    def contributions(self, Z: Floats) -> Floats:
        return self.coefficients * (Z - self.means)


@dataclass(frozen=True)
class Trees:
    """Trees that add up to a margin.

    Attributes:
        trees: all of them.
        start: what is said before the first.
    """

    trees: tuple[Tree, ...]
    start: float

    @property
    def base(self) -> float:
        """What they say where no column is known."""
        return self.start + sum(tree.base for tree in self.trees)

    def contributions(self, Z: Floats) -> Floats:
        """Return what each encoded column adds; rows and result are of shape (n, encoded columns)."""
        return tree_contributions.contributions(self.trees, Z)


@dataclass(frozen=True)
class Part:
    """One margin of the weighted sum; `origins` are the places of the user's columns that were encoded, (encoded,)."""

    weight: float
    encoder: ColumnTransformer
    origins: npt.NDArray[np.int64]
    margin: Margin


@dataclass(frozen=True)
class Unexplained:
    """Why nothing can be said of a model's reasons without guessing, as the end of a sentence."""

    why: str


@dataclass(frozen=True)
class Explainer:
    """What explains a model. It holds plain values and classes of libraries, so it may be sent to other machines.

    Attributes:
        columns: the user's columns that the model looks at, in its order.
        base: what it says where no column is known, in log-odds; of amounts, as an amount.
    """

    columns: tuple[str, ...]
    base: float
    parts: tuple[Part, ...]

    def contributions(self, X: pd.DataFrame) -> Floats:
        """Return what each column contributes to each row, shape (n, columns); X has them as the model sees them."""
        found = np.zeros((len(self.columns), len(X)))
        if len(X):
            for part in self.parts:
                encoded = np.asarray(part.encoder.transform(X[list(self.columns)]))
                np.add.at(found, part.origins, part.weight * part.margin.contributions(encoded).T)
        return found.T


def explainer(model: Fitted, known: Sequence[Bins] | None) -> Explainer | Unexplained:
    """Return what explains a model, or why it cannot be explained.

    Args:
        model: as `registry.load` gives it.
        known: how the columns of its training rows were spread, by its reference; None where that is lost.
    """
    columns = tuple(map(str, model.feature_names_in_))
    spread = None if known is None else {bins.column: bins for bins in known}
    try:
        offset, weighed = _weighed(model)
        parts = tuple(_part(weight, pipeline, columns, spread) for weight, pipeline in weighed)
    except UnexplainableError as error:
        return Unexplained(str(error))
    return Explainer(columns, offset + sum(part.weight * part.margin.base for part in parts), parts)


def _weighed(model: BaseEstimator) -> tuple[float, list[tuple[float, Pipeline]]]:
    """Return what a model's log-odds are: an offset, and pipelines with the weight of each one's margin."""
    if isinstance(model, FixedThresholdClassifier):
        return _weighed(model.estimator_)
    if isinstance(model, FrozenEstimator):
        return _weighed(model.estimator)
    if isinstance(model, CalibratedClassifierCV):
        [calibrated] = model.calibrated_classifiers_
        [calibrator] = calibrated.calibrators
        if isinstance(calibrator, IsotonicRegression):
            raise UnexplainableError("`training.calibration: isotonic` makes steps of its log-odds, and steps do not"
                                      " add up; `sigmoid` does")  # fmt: skip
        pipeline = calibrated.estimator.estimator
        return -float(calibrator.b_), [(-float(calibrator.a_), _with_margin(pipeline))]
    if isinstance(model, StackingClassifier):
        blended = model.final_estimator_.estimator
        weighed = zip(blended.coef_[0], model.estimators_, strict=True)
        return float(blended.intercept_[0]), [(float(weight), _with_margin(each)) for weight, each in weighed]
    if isinstance(model, VotingClassifier):  # `voting` of former versions
        raise UnexplainableError("it is a mean of probabilities, whose log-odds do not add up")
    return 0.0, [(1.0, model)]


def _with_margin(pipeline: Pipeline) -> Pipeline:
    if not hasattr(pipeline, "decision_function"):
        raise UnexplainableError(f"its probabilities are made of those of {type(pipeline[-1]).__name__}, which do"
                                  " not add up; see `training.calibration: none`")  # fmt: skip
    return pipeline


def _part(weight: float, pipeline: Pipeline, columns: Sequence[str], known: Mapping[str, Bins] | None) -> Part:
    encoder, fitted = pipeline[0], pipeline[-1]
    places = {column: place for place, column in enumerate(columns)}
    origins = np.array([places[column] for column in _origins(encoder)], dtype=np.int64)
    return Part(weight, encoder, origins, _margin(fitted, encoder, columns, known))


def _margin(
    fitted: BaseEstimator, encoder: ColumnTransformer, columns: Sequence[str], known: Mapping[str, Bins] | None
) -> Margin:
    if isinstance(fitted, LogisticRegression | Ridge):
        coefficients = np.atleast_2d(fitted.coef_)[0]
        return _Linear(coefficients, _means(encoder, known), float(np.ravel(fitted.intercept_)[0]))
    if isinstance(fitted, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        return trees(fitted)
    library = library_contributions.of(fitted, lambda: encoder.transform(_nothing(encoder, columns)))
    if library is None:
        raise UnexplainableError(f"no exact way is known for {type(fitted).__name__}")
    return library


def trees(fitted: HistGradientBoostingClassifier | HistGradientBoostingRegressor) -> Trees:
    """Read histogram boosting.

    Raises:
        UnexplainableError: what it says is not the sum of what its trees say.
    """
    if fitted.loss in ("poisson", "gamma"):
        raise UnexplainableError(f"with `loss: {fitted.loss}` its amounts are products, which do not add up")
    nodes = [predictor.nodes for [predictor] in fitted._predictors]  # noqa: SLF001 - there is no public way to a tree
    if any(each["is_categorical"].any() for each in nodes):
        raise UnexplainableError("its trees split by categories; leave `categorical_features` out")
    start = float(fitted._baseline_prediction[0, 0])  # noqa: SLF001
    return Trees(tuple(map(tree_contributions.read, nodes)), start)


# -- what columns are encoded into -----------------------------------------------------------------------------


def _origins(encoder: ColumnTransformer) -> Iterator[str]:
    """Yield for each encoded column which one of the user's it was made of."""
    for _, fitted, columns in _transformers(encoder):
        yield from _encoded(fitted, columns)


def _transformers(encoder: ColumnTransformer) -> list[tuple[str, BaseEstimator, list[str]]]:
    return [(name, fitted, list(columns)) for name, fitted, columns in encoder.transformers_ if len(columns)]


def _encoded(fitted: BaseEstimator, columns: Sequence[str]) -> list[str]:
    if isinstance(fitted, OneHotEncoder):
        return [column for column, width in zip(columns, widths(fitted), strict=True) for _ in range(width)]
    imputer = fitted[0] if isinstance(fitted, Pipeline) else None
    indicator = getattr(imputer, "indicator_", None)
    return [*columns, *(columns[place] for place in (indicator.features_ if indicator is not None else ()))]


def _means(encoder: ColumnTransformer, known: Mapping[str, Bins] | None) -> Floats:
    """Return the mean of each encoded column over the training rows.

    What was scaled has a mean of nought. The shares of categories are those of the reference, which counts the
    rarest together, as the encoder does.
    """
    found: list[Floats] = []
    for _, fitted, texts in _transformers(encoder):
        if not isinstance(fitted, OneHotEncoder):
            found.append(np.zeros(len(_encoded(fitted, texts))))
        elif known is None:
            raise UnexplainableError("its reference.json, which knows the rows it learned from, is missing or changed")
        else:
            found += _shares(fitted, texts, known)
    return np.concatenate(found)


def _shares(encoder: OneHotEncoder, columns: Sequence[str], known: Mapping[str, Bins]) -> Iterator[Floats]:
    """Yield for each column of texts the share of the training rows in each of the columns that it became."""
    ends = np.cumsum(widths(encoder))
    for place, (column, start) in enumerate(zip(columns, (0, *ends[:-1]), strict=True)):
        bins = known[column]
        values = [*(bins.categories or ()), _unknown(encoder, place), None]
        frame = pd.DataFrame(
            {each: values if each == column else [None] * len(values) for each in columns}, dtype="str"
        )
        encoded = np.asarray(encoder.transform(frame))[:, start : ends[place]]
        yield np.asarray(bins.rows) @ encoded / sum(bins.rows)


def _unknown(encoder: OneHotEncoder, place: int) -> str:
    """Return a text that is none of a column's categories."""
    return "".join(str(each) for each in encoder.categories_[place]) + "?"


def _nothing(encoder: ColumnTransformer, columns: Sequence[str]) -> pd.DataFrame:
    """Return a row without any value, as models see it."""
    numbers = {column for name, _, of in _transformers(encoder) for column in of if name == "number"}
    return pd.DataFrame({column: pd.Series([None], dtype="float64" if column in numbers else "str")
                         for column in columns})  # fmt: skip

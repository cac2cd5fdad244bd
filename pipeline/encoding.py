"""A fitted encoder → the same as plain arrays: a vector for numbers, a dictionary for the texts of a column.

What each text becomes is not computed here: the encoder was asked once for every text that it knows, for one that it
does not, and for none at all. So rare texts and shares of categories are what scikit-learn makes of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder

Floats = npt.NDArray[np.float64]
Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]


class UnreadableError(Exception):
    """An encoder is none of those that are known here."""


class _Block(Protocol):
    """Some neighbouring columns of the encoded rows."""

    def encode(self, columns: Columns) -> Floats:
        """Return what it makes of n rows, shape (n, its encoded columns)."""


@dataclass(frozen=True)
class _Plain:
    """Numbers that are taken as they are."""

    columns: tuple[str, ...]

    def encode(self, columns: Columns) -> Floats:
        return np.array([columns[column] for column in self.columns], dtype=np.float64).T


@dataclass(frozen=True)
class _Filled:
    """Numbers with the median where there is none, and whether there was none, scaled.

    Attributes:
        columns: k columns.
        medians: (k,).
        indicated: the places of those for which it is told.
        means: of the training rows, (k + indicated,).
        scales: likewise.
    """

    columns: tuple[str, ...]
    medians: Floats
    indicated: npt.NDArray[np.int64]
    means: Floats
    scales: Floats

    def encode(self, columns: Columns) -> Floats:
        X = np.array([columns[column] for column in self.columns], dtype=np.float64).T
        missing = np.isnan(X)
        filled = np.concatenate((np.where(missing, self.medians, X), missing[:, self.indicated]), axis=1)
        return np.asarray((filled - self.means) / self.scales)


class _Places(dict[str | None, int]):
    """The place of each known text, and of None; of any other the one behind the last."""

    def __missing__(self, text: str | None) -> int:
        return len(self)


@dataclass(frozen=True)
class _Texts:
    """One column of texts.

    Attributes:
        column: its name.
        places: the row of `encoded` of each text.
        encoded: (places + 1, width).
    """

    column: str
    places: _Places
    encoded: Floats

    def encode(self, columns: Columns) -> Floats:
        values = columns[self.column]
        return self.encoded.take(
            np.fromiter(map(self.places.__getitem__, values.tolist()), np.intp, len(values)), axis=0
        )


@dataclass(frozen=True)
class Encoder:
    """What makes numbers of rows."""

    blocks: tuple[_Block, ...]

    def encode(self, columns: Columns) -> Floats:
        """Return encoded rows, shape (n, encoded columns).

        Args:
            columns: n values of each column that the model looks at: numbers as float64 with NaN, texts as objects
                with None.
        """
        return np.concatenate([block.encode(columns) for block in self.blocks], axis=1)


def columns_of(frame: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of a frame as models see it: numbers as float64 with NaN, texts as objects with None."""
    return {str(column): _plain(values) for column, values in frame.items()}


def _plain(values: pd.Series) -> npt.NDArray[Any]:
    return (
        values.to_numpy()
        if values.dtype == np.float64
        else values.astype(object).where(values.notna(), None).to_numpy()
    )


def frame_of(columns: Columns, names: Sequence[str]) -> pd.DataFrame:
    """Return columns as the frame that models see; see `columns_of`."""
    kinds = {name: "float64" if columns[name].dtype == np.float64 else "str" for name in names}
    return pd.DataFrame({name: pd.Series(columns[name], dtype=kind) for name, kind in kinds.items()})


def read(encoder: ColumnTransformer) -> Encoder:
    """Read a fitted encoder.

    Raises:
        UnreadableError: it has parts that are not known here.
    """
    blocks: list[_Block] = []
    for _, fitted, columns in encoder.transformers_:
        if len(columns):
            blocks += _blocks(fitted, tuple(map(str, columns)))
    return Encoder(tuple(blocks))


def _blocks(fitted: BaseEstimator, columns: tuple[str, ...]) -> Iterator[_Block]:
    steps = [step for _, step in fitted.steps] if isinstance(fitted, Pipeline) else [fitted]
    match steps:
        case [FunctionTransformer(func=None)]:
            yield _Plain(columns)
        case [SimpleImputer() as imputer, StandardScaler() as scaler] if not np.isnan(imputer.statistics_).any():
            yield _Filled(columns, imputer.statistics_, imputer.indicator_.features_, scaler.mean_, scaler.scale_)
        case [OneHotEncoder() as first, *_] | [TargetEncoder() as first, *_]:
            yield from _asked(fitted, columns, first.categories_)
        case _:
            raise UnreadableError(f"its columns go through {type(steps[0]).__name__}, which is not known here")


def _asked(fitted: BaseEstimator, columns: Sequence[str], categories: Sequence[npt.NDArray[Any]]) -> Iterator[_Texts]:
    """Yield what each column's texts become, by having them encoded, those of all columns side by side."""
    texts = [[each for each in known if isinstance(each, str)] for known in categories]
    asked = [[*known, None, "".join(known) + "?"] for known in texts]
    rows = max(map(len, asked))
    frame = pd.DataFrame(
        {column: pd.Series([*each, *[None] * (rows - len(each))], dtype="str")
         for column, each in zip(columns, asked, strict=True)}
    )  # fmt: skip
    encoded, start = np.asarray(fitted.transform(frame), dtype=np.float64), 0
    wide = widths(fitted) if isinstance(fitted, OneHotEncoder) else [1] * len(columns)
    for column, each, width in zip(columns, asked, wide, strict=True):
        places = _Places((text, place) for place, text in enumerate(each[:-1]))
        yield _Texts(column, places, np.ascontiguousarray(encoded[: len(each), start : start + width]))
        start += width


def widths(encoder: OneHotEncoder) -> list[int]:
    """Return how many columns each column of texts became: one for each category, one for all rare ones together."""
    rare = [0 if each is None else len(each) - 1 for each in encoder.infrequent_categories_]
    return [len(known) - less for known, less in zip(encoder.categories_, rare, strict=True)]

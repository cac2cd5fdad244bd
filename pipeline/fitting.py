"""Fitting with weights, and predicting rows from outside: what every training does with scikit-learn."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed, parallel_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter
from threadpoolctl import threadpool_limits

from churnwatch.pipeline.errors import DataError, SettingsError
from churnwatch.pipeline.estimators import build, fitted_parts, with_many_categories
from churnwatch.pipeline.features import Rows, usable
from churnwatch.pipeline.folds import Folds
from churnwatch.pipeline.settings import Training

Floats = npt.NDArray[np.float64]
_CONNECT_S = 10
_OF_LIBRARIES = ("lightgbm.", "catboost.", "_catboost")  # whose own errors are no ValueError
_WORTH_THREADS = 50_000  # rows; with fewer, threads mostly wait for each other, the more so on a busy box


@dataclass(frozen=True)
class Table:
    """Rows to learn from, of which every column tells rows apart.

    Attributes:
        rows: n rows.
        numeric: the columns of numbers.
        categorical: the columns of texts.
        weights: (n,) how much each row counts; None: all alike.
    """

    rows: Rows
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    weights: Floats | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns."""
        return tuple(self.rows.X.columns)

    @classmethod
    def of(
        cls, rows: Rows, numeric: tuple[str, ...], categorical: tuple[str, ...], weights: Floats | None = None
    ) -> Table:
        """Keep the columns that tell these rows apart; there may be none."""
        columns = usable(rows)
        numeric, categorical = (tuple(c for c in names if c in columns) for names in (numeric, categorical))
        return cls(rows.taking(columns), numeric, categorical, weights)

    def where(self, kept: npt.NDArray[np.bool_]) -> Table:
        """Return some of the rows, with the columns that tell these apart; `kept` has shape (n,)."""
        weights = None if self.weights is None else self.weights[kept]
        return Table.of(self.rows.where(kept), self.numeric, self.categorical, weights)

    def pipeline(self, estimator: str, training: Training, parameters: Mapping[str, Any]) -> Pipeline:
        """Return an untrained pipeline for these rows.

        Raises:
            SettingsError: no such estimator, it takes no such parameter, or no weights where rows have some.
        """
        made = build(
            estimator,
            numeric=self.numeric,
            categorical=self.categorical,
            parameters=parameters,
            class_weight=training.class_weight,
            seed=training.seed,
            many=with_many_categories(self.rows.X, self.rows.y),
            resampling=training.resampling,
        )
        if self.weights is not None and not takes_weights(made):
            raise SettingsError(f"settings.yaml: training: {estimator} takes no weights of rows; choose another"
                                " estimator, or a window without a half-life.")  # fmt: skip
        return made


def takes_weights(pipeline: Pipeline) -> bool:
    """Tell whether rows can count differently."""
    return bool(has_fit_parameter(pipeline[-1], "sample_weight"))


def fit(pipeline: Pipeline, table: Table) -> Pipeline:
    """Fit a pipeline.

    Raises:
        DataError: it cannot be fitted to these rows.
    """
    with _quiet(pipeline):
        return fitted_parts(pipeline.fit(table.rows.X, table.rows.y, **_weighted(pipeline, table.weights)))


def margin_method(pipeline: Pipeline) -> str:
    """Return the name of the method that says a pipeline's margins; of one without any, its probabilities."""
    return "decision_function" if hasattr(pipeline, "decision_function") else "predict_proba"


def held_out(pipeline: Pipeline, table: Table, folds: Folds, method: str) -> Floats:
    """Return what `method` says of each row when it is held out, shape (n,); of probabilities, the positive label's.

    Raises:
        DataError: the pipeline cannot be fitted to these rows.
    """
    params = _weighted(pipeline, table.weights)
    with _quiet(pipeline):
        return _of_positive(
            cross_val_predict(pipeline, table.rows.X, table.rows.y, cv=folds, method=method, params=params)
        )


def side_by_side(pipelines: Sequence[Pipeline], table: Table, folds: Folds, *, until: float) -> list[Floats]:
    """Return the held-out margins of each pipeline, shape (n,); on a cluster they are made side by side.

    Args:
        pipelines: untrained.
        table: the rows.
        folds: which rows are held out together.
        until: when to stop, by `time.monotonic`; then only those that were done are returned, the first at least.

    Raises:
        DataError: a pipeline cannot be fitted to these rows.
    """
    calls = (
        delayed(cross_val_predict)(
            each,
            table.rows.X,
            table.rows.y,
            cv=folds,
            method=margin_method(each),
            params=_weighted(each, table.weights),
        )
        for each in pipelines
    )
    done: list[Floats] = []
    with _quiet(pipelines[0]), closing(Parallel(return_as="generator")(calls)) as made:
        warnings.filterwarnings("ignore", ".* still being processed by the workers have been cancelled", UserWarning)
        for found in made:
            done.append(_of_positive(found))
            if time.monotonic() > until:
                break
    return done


def _of_positive(found: npt.NDArray[Any]) -> Floats:
    return np.asarray(found[:, 1] if found.ndim > 1 else found, dtype=np.float64)


def _weighted(pipeline: Pipeline, weights: Floats | None) -> dict[str, Any]:
    return {} if weights is None else {f"{pipeline.steps[-1][0]}__sample_weight": weights}


@contextmanager
def _quiet(pipeline: Pipeline) -> Iterator[None]:
    """Have no word of scikit-learn's; a model that did not converge is a worse model, which the gate will tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            yield
        except Exception as error:
            if not isinstance(error, ValueError) and not type(error).__module__.startswith(_OF_LIBRARIES):
                raise
            told = f"{type(pipeline[-1]).__name__} cannot be trained on these rows: {' '.join(str(error).split())}"
            raise DataError(told) from error


@contextmanager
def resources(training: Training, rows: int) -> Iterator[None]:
    """Hold libraries to as many threads as pay, and spread parallel loops over a cluster where there is one.

    Raises:
        SettingsError: Dask is not installed.
        DataError: the cluster is not there.
    """
    threads = training.threads if rows > _WORTH_THREADS else 1
    with _spread(training.cluster), threadpool_limits(limits=threads):
        yield


@contextmanager
def _spread(cluster: str | None) -> Iterator[None]:
    """Have scikit-learn's parallel loops, over the folds, run on a Dask cluster where there is one."""
    if cluster is None:
        yield
        return
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("settings.yaml: training.cluster: needs Dask: pip install 'churnwatch[dask]'.") from None
    try:
        client: Any = Client(cluster, timeout=_CONNECT_S)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{cluster}: no Dask scheduler answers there ({type(error).__name__}). See that it runs, or take"
            " `training.cluster` out."
        ) from error
    with client, parallel_config("dask"):
        yield

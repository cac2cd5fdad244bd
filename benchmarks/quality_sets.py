"""The data of benchmarks/quality.py: rows as `churnwatch init --from` would have them, and who is tested on what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from churnwatch.pipeline.features import Rows, kinds
from churnwatch.pipeline.firstlook.infer import infer
from churnwatch.pipeline.schema import Schema, from_settings
from churnwatch.pipeline.settings import Settings

Places = npt.NDArray[np.int64]
_FOLDS = 5


@dataclass(frozen=True)
class Split:
    """One training and one test, as places of rows.

    Attributes:
        repeat: the splits of one repeat test no row twice.
        period: the first that is tested, for data in order of time, else 0.
    """

    repeat: int
    fold: int
    period: int
    train: Places
    test: Places

    @property
    def name(self) -> str:
        """One for each split."""
        return f"{self.repeat}-{self.fold}-{self.period}"


@dataclass(frozen=True)
class Set:
    """One set of data.

    Attributes:
        first: the first period that is tested, for data in order of time; None: cross-validation.
        periods: how many periods, such as months, are tested by one model; none but earlier ones were learned from.
    """

    name: str
    files: str
    exclude: tuple[str, ...] = ()
    first: int | None = None
    periods: int = 1

    def rows(self, data: Path) -> tuple[Rows, Schema]:
        """Return the rows, exact duplicates left out; their batches are the files, in order."""
        paths = sorted(data.glob(self.files))
        found = infer(paths[0], exclude=self.exclude)
        assert found.target is not None, found.questions
        assert found.positive is not None, found.questions
        settings = Settings(
            target=found.target, positive=found.positive, id=found.id, date=found.date, exclude=found.exclude
        )
        schema = from_settings(settings, dict(found.columns))
        read = [pd.read_csv(path, sep=found.csv.delimiter, dtype=str, keep_default_na=False) for path in paths]
        frame = pd.concat(read, keys=range(len(paths)), names=["batch"]).drop_duplicates()
        frame = frame.apply(lambda column: column.str.strip().mask(lambda cell: cell == ""))
        numbers = frame[list(schema.numeric)].apply(pd.to_numeric, errors="coerce")
        X = frame.assign(**numbers)[list(schema.features)].astype(kinds(schema)).reset_index(drop=True)
        ids = frame[schema.id].reset_index(drop=True) if schema.id else None
        y = (frame[schema.target] == schema.positive).to_numpy(dtype=np.int64)
        return Rows(X, y, ids, frame.index.get_level_values("batch").to_numpy(dtype=np.int64)), schema

    def splits(self, rows: Rows, repeats: int) -> Iterator[Split]:
        """Yield who is learned from and who is tested: a customer is never both, and the past never tested."""
        for repeat in range(repeats):
            for fold, (train, test) in enumerate(self._folds(rows, repeat)):
                if self.first is None:
                    yield Split(repeat, fold, 0, train, test)
                    continue
                for begin in range(self.first, int(rows.batches.max()) + 1, self.periods):
                    end = begin + self.periods
                    tested = test[(rows.batches[test] >= begin) & (rows.batches[test] < end)]
                    yield Split(repeat, fold, begin, train[rows.batches[train] < begin], tested)

    def _folds(self, rows: Rows, repeat: int) -> Iterator[tuple[Places, Places]]:
        if self.first is not None and rows.ids is None:  # time alone keeps them apart, the same way in each repeat
            every = np.arange(len(rows))
            yield from [(every, every)] if repeat == 0 else []
            return
        customers = np.arange(len(rows)) if rows.ids is None else rows.ids.to_numpy()
        folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=repeat)
        yield from folds.split(rows.X, rows.y, customers)


SETS = (
    Set("telco", "telco/telco-customer-churn.csv"),
    Set("telecom", "telecom/*.csv"),
    Set("bank marketing", "bank_marketing/*.csv", exclude=("duration",), first=5, periods=5),
    Set("retail", "retail/*.csv", first=3),
)

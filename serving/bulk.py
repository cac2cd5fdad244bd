"""A CSV of customers → the same with what one release says of each: block by block, in constant memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from churnwatch.pipeline.blocks import Readable
from churnwatch.pipeline.buckets import BUCKETS
from churnwatch.pipeline.csv_cells import Reader, Rows
from churnwatch.pipeline.predict import beside
from churnwatch.pipeline.read import Opening, Refusal, open_head
from churnwatch.pipeline.settings import ColumnType, Csv
from churnwatch.serving import bulk_inputs
from churnwatch.serving.bulk_writing import Writer
from churnwatch.serving.inputs import Columns
from churnwatch.serving.problems import LONGEST_NAME, MOST_PROBLEMS, FieldProblem, Problem
from churnwatch.serving.release import Release

Floats: TypeAlias = npt.NDArray[np.float64]

BLOCK = 1 << 20  # bytes that are read, and answered, at a time
_IN_TURN = threading.Lock()  # blocks of several CSVs take turns, so that single customers never wait for many
_ADDED = ("probability", "decision", "bucket", "model", "problem")
_ADDED_TO_AMOUNTS = ("amount", "bucket", "model", "problem")


@dataclass(frozen=True)
class Bulk:
    """Answers one CSV.

    Attributes:
        release: what answers, all of it.
        csv: the decimal sign, and what means "no value".
        opening: what the head says.
    """

    release: Release
    csv: Csv
    opening: Opening

    @property
    def assumed(self) -> Sequence[str]:
        """The fields that the header lacks."""
        return [name for name in self.release.fields if name not in self.opening.header]

    @property
    def header(self) -> Sequence[str]:
        """The columns of the answer. One that is called as ours gets ` (input)` to its name."""
        added = _ADDED_TO_AMOUNTS if self.release.amounts else _ADDED
        return [*beside(self.opening.header, added), *added]

    def head(self) -> bytes:
        """Return the first line, without its end."""
        return self._writer.line(self.header)

    def lines(self, file: Readable) -> Iterator[tuple[bytes, int]]:
        """Yield the lines of all rows, some at a time, a line feed before each; and how many of them are predicted.

        Raises:
            OSError: a line is longer, or all of it larger, than the settings allow.
        """
        for rows in self._reader.rows(file):
            with _IN_TURN:
                found = bulk_inputs.understood(rows, self.release.fields, self.csv)
                answered = self._answered(rows, found) if len(rows) else b""
            yield answered, len(rows) - len(found.problems)

    def last(self, problem: str) -> bytes:
        """Return a line of no row, which says why there are no more."""
        empty = self.opening.dialect.delimiter * (len(self.header) - 1)
        return b"\n" + empty.encode() + self._writer.line([problem])

    @property
    def _reader(self) -> Reader:
        header, worth = self.opening.header, self.release.sorter.worth_column
        wanted = {name: field.kind for name, field in self.release.fields.items() if name in header}
        if worth is not None and worth in header:
            wanted.setdefault(worth, ColumnType.NUMBER)
        return Reader(self.opening, self.csv, wanted, BLOCK)

    @property
    def _writer(self) -> Writer:
        return Writer(self.opening.dialect.delimiter, self.csv.decimal)

    def _answered(self, rows: Rows, found: bulk_inputs.Understood) -> bytes:
        columns, failed = found.columns, np.array(sorted(found.problems), dtype=np.int64)
        predictions = self.release.predictor.predictions(columns)
        said = [self._writer.numbers(_blank(predictions, failed)), *self._sorted(rows, columns, predictions, failed)]
        return self._writer.lines(rows, [*said, self._problems(len(rows), found)])

    def _sorted(
        self, rows: Rows, columns: Columns, said: Floats, failed: npt.NDArray[np.int64]
    ) -> Iterator[pa.StringArray]:
        """Yield decisions, buckets and models as texts."""

        def numbers(column: str) -> Floats:
            if column in columns:
                return np.asarray(columns[column])
            known = column in rows.cells.column_names
            return bulk_inputs.numbers(rows.cells[column], self.csv) if known else np.full(len(rows), np.nan)

        release = self.release
        buckets = release.sorter.places(said, release.threshold, numbers, amounts=release.amounts)
        if not release.amounts:
            yield _named(("0", "1"), (said >= release.threshold).astype(np.int64), failed)
        yield _named(BUCKETS, buckets, failed)
        yield _named((release.name,), np.zeros(len(rows), dtype=np.int64), failed)

    def _problems(self, rows: int, found: bulk_inputs.Understood) -> pa.StringArray:
        texts = np.full(rows, "", dtype=object)
        for place, problem in found.problems.items():
            texts[place] = problem
        return self._writer.texts(pa.array(texts, pa.string()))


def opened(release: Release, csv: Csv, head: bytes, *, is_all: bool, encoding: str | None) -> Bulk:
    """Return what answers a CSV that begins like this.

    Args:
        release: what answers.
        csv: how the home's files are written.
        head: how it begins.
        is_all: whether it also ends there.
        encoding: as Python calls it, where the client told it.

    Raises:
        Problem: it is no CSV, or its header is not of customers.
    """
    opening = open_head(head, csv, is_all=is_all, encoding=encoding, expected=list(release.fields))
    if isinstance(opening, Refusal):
        raise _refused(f"the CSV cannot be read: {opening.reason}.")
    if opening.width is not None:
        raise _refused(f"line {opening.line}: {opening.findings[-1]}; nobody can say which name is whose.")
    if not set(opening.header) & set(release.fields):
        raise _refused(f"line {opening.line}: none of the model's fields is in the header. See /docs for the fields.")
    unknown = [name for name in opening.header if name not in release.fields and name not in release.others]
    if unknown:
        listed = ", ".join(f"`{name[:LONGEST_NAME]}`" for name in unknown[:3]) + (", …" if len(unknown) > 3 else "")  # noqa: PLR2004
        fields = [FieldProblem(name, "no such field") for name in unknown[:MOST_PROBLEMS]]
        raise _refused(f"line {opening.line}: no such fields: {listed}. See /docs for the fields.", fields)
    return Bulk(release, csv, opening)


def _refused(detail: str, fields: Sequence[FieldProblem] = ()) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, fields)


def _blank(values: Floats, failed: npt.NDArray[np.int64]) -> Floats:
    values = values.copy()
    values[failed] = np.nan
    return values


def _named(names: Sequence[str], places: npt.NDArray[np.int64], failed: npt.NDArray[np.int64]) -> pa.StringArray:
    """Return a text for each row, an empty one where there is no prediction."""
    places = places.copy()
    places[failed] = len(names)
    return pa.array([*names, ""], pa.string()).take(pa.array(places))

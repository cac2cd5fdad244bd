"""Some customers → the rows of the page that lists them: each value with what it does to what the model says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from churnwatch.pipeline.ledger import explanations
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.reason_words import LEAST_SHOWN, shown
from churnwatch.pipeline.records import Explanation
from churnwatch.pipeline.settings import Home, Settings
from churnwatch.reports import words
from churnwatch.serving import customer_rows
from churnwatch.serving.customer_list import BUCKET, ID, ON_A_PAGE, RISK, SAMPLE, Asked, Places, Predicted, predicted
from churnwatch.serving.customer_rows import CustomerRows
from churnwatch.serving.effects import effect, risk_shade, shade
from churnwatch.serving.fields import Field, Value
from churnwatch.serving.release import Release

MOST_FIELDS = 30  # columns of the table; a customer's own page has all
_BUCKETS = {"A": "call", "B": "offer", "C": "thank"}


@dataclass(frozen=True)
class Head:
    """A column's head: a link that sorts by it."""

    label: str
    link: str
    sorted: str | None  # ascending or descending, where the table is sorted by it
    numeric: bool


@dataclass(frozen=True)
class Cell:
    """A value, and what it does.

    Attributes:
        text: the value as people read it.
        numeric: whether it is a number.
        shade: from -5, lowers most, to 5, raises most.
        effect: its contribution with its sign; empty where that is next to nothing, or not known.
    """

    text: str
    numeric: bool
    shade: int
    effect: str


@dataclass(frozen=True)
class Line:
    """A customer."""

    id: str
    bucket: str
    risk: str
    shade: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class View:
    """A choice of customers, as a link with its words."""

    label: str
    link: str
    current: bool


@dataclass(frozen=True)
class Table:
    """What the page shows.

    Attributes:
        predicted: all of whom some are shown.
        asked: what the link asked for.
        heads: of the columns.
        lines: the customers.
        total: how many were asked for.
        fields_left_out: how many fields have no column.
        why_not: the model explains nothing, and so no value is shaded.
        largest: the largest contribution that is shown, as text; empty where there is none.
    """

    predicted: Predicted
    asked: Asked
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]
    total: int
    fields_left_out: int
    why_not: str | None
    largest: str

    @property
    def views(self) -> tuple[View, ...]:
        """What else there is to see."""
        asked, found = self.asked, self.predicted
        sample = View(f"a sample of {SAMPLE}", Asked(seed=asked.seed).link(), asked.samples)
        some = [View(f"{letter}, {_BUCKETS[letter]}: {number:,}", Asked(bucket=letter).link(), asked.bucket == letter)
                for letter, number in found.counts.items()]  # fmt: skip
        everybody = View(f"everybody: {len(found.ids):,}", Asked(bucket="all").link(), asked.bucket == "all")
        return (*([sample] if len(found.ids) > SAMPLE else []), *some, everybody)

    @property
    def first(self) -> int:
        """The place of the first line among all that were asked for, from 1."""
        return (self.asked.page - 1) * ON_A_PAGE + 1

    @property
    def last(self) -> int:
        """The place of the last one."""
        return self.first + len(self.lines) - 1


def table(home: Home, ledger: Reader, release: Release, asked: Asked) -> Table:
    """Return what the page shows of the customers whom a link asks for; only those on the page are read.

    Raises:
        NotFoundError: no customers were predicted yet.
        DataError: a file of them is gone or damaged.
    """
    found, explanation = predicted(home, ledger), explanations.newest(ledger)
    fields = _most_important(ledger, explanation, release)
    with customer_rows.opened(home, ledger) as rows:
        places = found.ordered(found.chosen(asked), asked, lambda ids: _of_field(rows, release, asked.sort, ids))
        start = (asked.page - 1) * ON_A_PAGE
        page = places[start : start + ON_A_PAGE]
        ids = found.ids.take(pa.array(page)).to_pylist()
        values = rows.values({field.name: field.kind for field in fields}, ids)
        why = rows.contributions(explanation if explanation and explanation.run == found.run else None, ids)
    largest = max((abs(why[id_].get(each.name, 0.0)) for id_ in why for each in fields), default=0.0)
    lines = _lines(found, release, page, [
        _cells(fields, values.get(id_, {}), why.get(id_, {}), largest, amounts=release.amounts) for id_ in ids
    ])  # fmt: skip
    heads = (*_own_heads(found, asked, release), *(_head(asked, field, home.settings) for field in fields))
    return Table(found, asked, heads, tuple(lines), len(places), len(release.fields) - len(fields),
                 explanation.why if explanation else None,
                 effect(largest, amounts=release.amounts) if largest else "")  # fmt: skip


def _most_important(ledger: Reader, explanation: Explanation | None, release: Release) -> list[Field]:
    """Return the fields that get a column, those first that count most."""
    rows = explanations.importances(ledger, explanation.run) if explanation else []
    place = {row["column_name"]: number for number, row in enumerate(rows)}
    return sorted(release.fields.values(), key=lambda field: place.get(field.name, len(place)))[:MOST_FIELDS]


def _of_field(rows: CustomerRows, release: Release, column: str, ids: list[str]) -> list[Value]:
    """Return the values of one field of some customers; of many, all are read, since that is faster then."""
    if column not in release.fields:
        return [None] * len(ids)
    found = rows.values({column: release.fields[column].kind}, ids if len(ids) <= SAMPLE else None)
    return [found.get(each, {}).get(column) for each in ids]


def _cells(
    fields: Sequence[Field], values: Mapping[str, Value], why: Mapping[str, float], largest: float, *, amounts: bool
) -> tuple[Cell, ...]:
    return tuple(
        _cell(field, values.get(field.name), why.get(field.name, 0.0), largest, amounts=amounts) for field in fields
    )


def _cell(field: Field, value: Value, contribution: float, largest: float, *, amounts: bool) -> Cell:
    told = contribution and (amounts or abs(contribution) >= LEAST_SHOWN)
    return Cell(shown(value), field.is_number, shade(contribution, largest) if told else 0,
                effect(contribution, amounts=amounts) if told else "")  # fmt: skip


def _lines(found: Predicted, release: Release, page: Places, cells: Sequence[tuple[Cell, ...]]) -> Iterator[Line]:
    middle = float(found.risk.mean()) if release.amounts else release.threshold
    largest = float(found.risk.max(initial=0.0)) if release.amounts else 1.0
    for place, own in zip(page.tolist(), cells, strict=True):
        risk = float(found.risk[place])
        bucket = found.buckets[place].as_py() if found.buckets is not None else ""
        said = words.amount(risk) if release.amounts else words.share(risk)
        yield Line(found.ids[place].as_py(), bucket, said, risk_shade(risk, middle, largest), own)


def _own_heads(found: Predicted, asked: Asked, release: Release) -> Iterator[Head]:
    yield _sorting(asked, ID, "Customer", numeric=False)
    if found.buckets is not None:
        yield _sorting(asked, BUCKET, "Bucket", numeric=False)
    yield _sorting(asked, RISK, "Amount" if release.amounts else "Leaves", numeric=True)


def _head(asked: Asked, field: Field, settings: Settings) -> Head:
    return _sorting(asked, field.name, settings.names.get(field.name, field.name), numeric=field.is_number)


def _sorting(asked: Asked, sort: str, label: str, *, numeric: bool) -> Head:
    """Return a head whose link turns the order around where the table is sorted by it already."""
    if asked.sort != sort:
        return Head(label, asked.link(sort=sort, down=numeric), None, numeric)
    order = "descending" if asked.down else "ascending"
    return Head(label, asked.link(sort=sort, down=not asked.down), order, numeric)

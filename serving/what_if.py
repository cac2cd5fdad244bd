"""One customer, as they are and as a link has them changed → what the release says of both, field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.reason_words import shown
from churnwatch.pipeline.settings import ColumnType, Home, Settings
from churnwatch.reports import words
from churnwatch.serving import answers, customer_rows
from churnwatch.serving.answers import Answer
from churnwatch.serving.effects import effect
from churnwatch.serving.fields import Field, Value
from churnwatch.serving.inputs import Inputs
from churnwatch.serving.problems import Problem
from churnwatch.serving.release import Release

NOWHERE = "no current customer has that id; who is known to have left is not predicted."


@dataclass(frozen=True)
class Customer:
    """A customer as the data set has them.

    Attributes:
        id: None of the typical one.
        fields: what the model looks at.
        beside: what else their bucket depends on.
    """

    id: str | None
    fields: Mapping[str, Value]
    beside: Mapping[str, Value]


@dataclass(frozen=True)
class Control:
    """A field that can be changed.

    Attributes:
        name: of the field.
        label: what it is called for people.
        kind: choice, number or text.
        whole: of numbers: whether only whole ones hold.
        own: the customer's value as a form has it, empty where there is none.
        now: the value of the link, right or wrong.
        options: of a choice.
        hint: the range seen.
        typical: the value that stands in where none is known.
        wrong: what is wrong with the value of the link, which then does not count.
        before: what the customer's own value contributes; None where the model explains nothing.
        after: what the value of the link contributes.
        largest: the largest contribution of any field before and after.
    """

    name: str
    label: str
    kind: str
    whole: bool
    own: str
    now: str
    options: tuple[str, ...]
    hint: str
    typical: str
    wrong: str | None
    before: float | None
    after: float | None
    largest: float
    amounts: bool

    @property
    def changed(self) -> bool:
        """Whether the link has another value than the customer."""
        return self.now != self.own

    @property
    def effect(self) -> str:
        """The contribution with its sign."""
        return "" if self.after is None else effect(self.after, amounts=self.amounts)

    @property
    def was(self) -> str:
        """What it was before, where that is another one."""
        said = "" if self.before is None else effect(self.before, amounts=self.amounts)
        return said if said != self.effect else ""

    def reach(self, contribution: float | None) -> float:
        """Return how far the bar of a contribution reaches from the middle, from -100 to 100."""
        return 100 * (contribution or 0.0) / self.largest if self.largest else 0.0


@dataclass(frozen=True)
class WhatIf:
    """What the page shows.

    Attributes:
        customer: as they are.
        before: what is said of them.
        after: what is said of them as the link has them.
        controls: the fields, those first that contribute most to what is said of the customer as they are.
        threshold: the probability from which on it is decided that somebody leaves; None of amounts.
    """

    customer: Customer
    before: Answer
    after: Answer
    controls: tuple[Control, ...]
    threshold: float | None

    @property
    def said(self) -> str:
        """The prediction as the link has the customer."""
        return _said(self.after)

    @property
    def was(self) -> str:
        """The prediction as they are."""
        return _said(self.before)

    @property
    def moved(self) -> bool:
        """Whether the link changes anything."""
        return any(each.changed for each in self.controls)

    @property
    def plain(self) -> str:
        """What a script needs to know besides, as JSON."""
        keys = ("probability", "amount", "explanation")
        told = {key: self.before[key] for key in keys if key in self.before}
        return json.dumps({**told, "threshold": self.threshold, "beside": self.customer.beside})


def customer(home: Home, ledger: Reader, release: Release, id_: str | None) -> Customer:
    """Return a current customer, or the typical one.

    Raises:
        Problem: there is no such customer.
        DataError: the data set cannot be read now.
    """
    if id_ is None:
        return Customer(None, {name: field.typical for name, field in release.fields.items()}, {})
    beside = _beside(release)
    kinds = {name: field.kind for name, field in release.fields.items()}
    with customer_rows.opened(home, ledger) as rows:
        found = rows.values({**kinds, **beside}, [id_]).get(id_)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, NOWHERE)
    return Customer(id_, {name: found.get(name) for name in kinds}, {name: found.get(name) for name in beside})


def _beside(release: Release) -> dict[str, ColumnType]:
    """Return the column that says what a customer is worth, where the model does not look at it."""
    column = release.sorter.worth_column
    return {} if column is None or column in release.fields else {column: ColumnType.NUMBER}


def what_if(release: Release, settings: Settings, known: Customer, given: Mapping[str, str]) -> WhatIf:
    """Return what is said of a customer, as they are and with the values that a link gives by field.

    What a link says of fields that there are not counts for nothing, and neither does a value that is wrong: its
    control says so.
    """
    changed, wrong = dict(known.fields), dict[str, str]()
    for name, field in release.fields.items():
        if name in given:
            changed[name], problem = _read(field, given[name], known.fields[name])
            wrong |= {} if problem is None else {name: problem}
    before, after = (_answer(release, each, known.beside) for each in (known.fields, changed))
    effects = [each["explanation"] or {} for each in (before, after)]
    largest = max((abs(each) for effect_ in effects for each in effect_.values()), default=0.0)
    controls = [
        _control(field, settings, known.fields[name], given.get(name, _text(changed[name])), wrong.get(name),
                 (effects[0].get(name), effects[1].get(name)), largest, amounts=release.amounts)
        for name, field in release.fields.items()
    ]  # fmt: skip
    controls.sort(key=lambda each: -abs(each.before or 0.0))
    return WhatIf(known, before, after, tuple(controls), None if release.amounts else release.threshold)


def _answer(release: Release, fields: Mapping[str, Value], beside: Mapping[str, Value]) -> Answer:
    """Return what is said of a customer, whatever the checks of the settings have become since the row came in."""
    return answers.answer(release, Inputs([fields], [()], [None], [{**beside, **fields}]), explain=True)[0]


def _read(field: Field, text: str, own: Value) -> tuple[Value, str | None]:
    """Return the value that a form has sent, or the customer's own with what is wrong."""
    try:
        value: Value = None if text == "" else float(text) if field.is_number else text
    except ValueError:
        return own, "not a number"
    if field.kind is ColumnType.INTEGER and isinstance(value, float) and value.is_integer():
        value = int(value)
    problem = None if _text(value) == _text(own) else field.wrong(value)
    return (value, None) if problem is None else (own, problem)


def _control(
    field: Field, settings: Settings, own: Value, now: str, wrong: str | None,
    contributions: tuple[float | None, float | None], largest: float, *, amounts: bool,
) -> Control:  # fmt: skip
    chosen = () if field.is_number or not field.categories else _options(field, own)
    seen = "" if field.low is None or field.high is None else f"seen {shown(field.low)} to {shown(field.high)}"
    return Control(
        field.name, shown(settings.names.get(field.name, field.name)),
        "number" if field.is_number else "choice" if chosen else "text", field.kind is ColumnType.INTEGER,
        _text(own), now, chosen, seen, shown(field.typical), wrong, *contributions, largest, amounts,
    )  # fmt: skip


def _options(field: Field, own: Value) -> tuple[str, ...]:
    """Return what can be chosen: the frequent categories, what else the settings allow, and the customer's own."""
    allowed = [str(each) for each in field.checks.allowed or ()]
    kept = [each for each in field.categories if not allowed or each in allowed]
    return tuple(dict.fromkeys([*kept, *allowed, *([str(own)] if own is not None else [])]))


def _text(value: Value) -> str:
    """Return a value as a form has it."""
    return "" if value is None else str(value).removesuffix(".0") if isinstance(value, int | float) else value


def _said(answer: Answer) -> str:
    if "amount" in answer:
        return words.amount(answer["amount"])
    percent = 100 * answer["probability"]
    return f"{percent:.1f} %"

"""Which column is the target, the id, the date: by name first, then by what stands in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from churnwatch.pipeline.firstlook.column_types import shown
from churnwatch.pipeline.settings import ColumnType

_LEAVING = ("churn", "churned", "exited", "attrition", "attrited", "attritionflag", "left", "cancelled", "canceled")
_LEAVING_WORD = re.compile(r"churn|attrit|exited|cancell?ed")
_ANY_TARGET = ("y", "target", "label", "class", "outcome", "response")
_YES = (
    "1",
    "1.0",
    "yes",
    "y",
    "true",
    "t",
    "churn",
    "churned",
    "churner",
    "attrited",
    "attrited_customer",
    "left",
    "leaver",
    "exited",
    "cancelled",
    "canceled",
    "lost",
    "gone",
    "closed",
    "terminated",
)
_NO = (
    "0",
    "0.0",
    "no",
    "n",
    "false",
    "f",
    "-1",
    "existing_customer",
    "existing",
    "stayed",
    "stay",
    "active",
    "retained",
    "current",
    "no_churn",
)
# The order is the preference where several columns qualify.
_PERSONS = (
    "customer",
    "cust",
    "client",
    "subscriber",
    "member",
    "user",
    "person",
    "household",
    "corporation",
    "company",
    "account",
    "acct",
    "policy",
    "contract",
    "employee",
    "id",
    "uuid",
    "guid",
    "msno",
    "msisdn",
    "phone",
    "mobile",
)
_ID = re.compile(rf"(?:id)?({'|'.join(_PERSONS)})(id|number|num|no|nr|key|code|uuid|guid|ref)?")
_ROW_NUMBERS = ("row", "rownumber", "rowid", "index", "unnamed0", "record", "recordnumber", "recordid")
_SNAPSHOT = re.compile(r"snapshot|month|period|as_?of|report|batch|^date$")

_NEARLY_ALL = 0.98
_SOME = 0.1  # of an id's values may be distinct in a history: the rest are the same customers again
_LONGEST_ID = 64
_LEAST_ROWS = 10
_MOST_DATES = 120  # ten years of months
_MOST_VALUES = 20
_FREE_TEXT_VALUES = 50
_FREE_TEXT_SHARE = 0.5


@dataclass(frozen=True)
class Fact:
    """What the sample says of a column, repeated rows left out."""

    column: str
    type: ColumnType
    present: int
    distinct: int
    longest: int  # characters
    distinct_by_date: int  # distinct together with the date, where there is one

    @property
    def uniqueness(self) -> float:
        """Distinct values as a share of those that are there, within a date."""
        return max(self.distinct, self.distinct_by_date) / self.present if self.present else 0.0


@dataclass(frozen=True)
class Choice:
    """A part given to a column or value, and why; with candidates where somebody has to be asked."""

    value: str | None
    note: str = ""
    candidates: tuple[str, ...] = ()


def pick_target(facts: Sequence[Fact]) -> Choice:
    """Find the column that says who left."""
    names = {fact.column: _squeezed(fact.column) for fact in facts}
    two = [fact.column for fact in facts if fact.distinct == 2]  # noqa: PLR2004
    tiers = (
        [column for column in two if names[column] in _LEAVING],
        [column for column in two if _LEAVING_WORD.search(names[column])],
        [column for column in two if names[column] in _ANY_TARGET],
        [column for column in names if names[column] in _LEAVING + _ANY_TARGET],
    )
    for tier in tiers:
        if len(tier) == 1:
            return Choice(tier[0], f"target: {shown(tier[0])}, by its name")
        if tier:
            return Choice(None, candidates=tuple(tier))
    return Choice(None, candidates=tuple(two) or tuple(names))


def pick_positive(values: Sequence[str]) -> Choice:
    """Find the value that means "has left" among those of the target, most frequent first."""
    folded = {value: "_".join(value.strip().rstrip(".").lower().split()) for value in values}
    yes = [value for value in values if folded[value] in _YES]
    no = [value for value in values if folded[value] in _NO]
    if len(yes) == 1:
        return Choice(yes[0], f"positive: {shown(yes[0])} means that a customer has left")
    others = [value for value in values if value not in no]
    if len(values) == 2 and len(others) == 1:  # noqa: PLR2004
        return Choice(others[0], f"positive: {shown(others[0])}, because {shown(no[0])} means that a customer stays")
    return Choice(None, candidates=tuple(values[:_MOST_VALUES]))


def pick_date(facts: Sequence[Fact]) -> Choice:
    """Find the date of the snapshot: a date that many rows share."""
    few = [
        fact
        for fact in facts
        if fact.type is ColumnType.DATE and fact.distinct <= _MOST_DATES and 0 < fact.distinct <= fact.present / 2
    ]
    named = [fact for fact in few if _SNAPSHOT.search(fact.column.lower())]
    for tier in (named, few):
        if len(tier) == 1:
            fact = tier[0]
            days = "one value" if fact.distinct == 1 else f"{fact.distinct} values"
            return Choice(fact.column, f"date: {shown(fact.column)}, with {days} the date of the snapshot")
        if tier:
            return Choice(None, candidates=tuple(fact.column for fact in tier))
    return Choice(None)


def pick_id(facts: Sequence[Fact]) -> Choice:
    """Find the column that names the customer: by its name, else a short text that is never the same."""
    named = sorted((fact for fact in facts if _is_named_id(fact)), key=_preference)
    if named:
        fact = named[0]
        again = fact.distinct < _NEARLY_ALL * fact.present
        why = "by its name; the same customers come again" if again else "by its name, and it tells customers apart"
        return Choice(fact.column, f"id: {shown(fact.column)}, {why}; an id is always text")
    unnamed = [fact.column for fact in facts if _is_unnamed_id(fact)]
    if len(unnamed) == 1:
        return Choice(unnamed[0], f"id: {shown(unnamed[0])}, because nearly every row has its own")
    return Choice(None, candidates=tuple(unnamed))


def to_leave_out(facts: Sequence[Fact]) -> dict[str, str]:
    """Return the columns from which nothing can be learned because every row has its own value, and why."""
    found = {}
    for fact in facts:
        if _is_row_number(fact):
            found[fact.column] = "it counts the rows"
        elif fact.type is ColumnType.INTEGER and _is_named_id(fact):
            found[fact.column] = "it names the customer once more"
        elif fact.type is ColumnType.TEXT and fact.distinct >= max(_FREE_TEXT_VALUES, _FREE_TEXT_SHARE * fact.present):
            found[fact.column] = f"it has {fact.distinct:,} different texts in {fact.present:,} cells"
    return found


def _is_named_id(fact: Fact) -> bool:
    match = _ID.fullmatch(_squeezed(fact.column))
    if match is None or not fact.present or fact.type is ColumnType.DATE or _is_row_number(fact):
        return False
    if fact.uniqueness >= _NEARLY_ALL:
        return True
    says_id = match[2] is not None or match[1] in ("id", "uuid", "guid", "msno", "msisdn")
    return says_id and fact.distinct >= _SOME * fact.present


def _preference(fact: Fact) -> tuple[bool, int]:
    match = _ID.fullmatch(_squeezed(fact.column))
    return fact.uniqueness < _NEARLY_ALL, _PERSONS.index(match[1]) if match else len(_PERSONS)


def _is_unnamed_id(fact: Fact) -> bool:
    return (
        fact.type is ColumnType.TEXT
        and fact.present >= _LEAST_ROWS
        and fact.uniqueness >= _NEARLY_ALL
        and fact.longest <= _LONGEST_ID
    )


def _is_row_number(fact: Fact) -> bool:
    whole = fact.type is ColumnType.INTEGER and fact.distinct == fact.present >= _LEAST_ROWS
    return whole and _squeezed(fact.column) in _ROW_NUMBERS


def _squeezed(column: str) -> str:
    return re.sub(r"[\W_]+", "", column.lower())

"""Templates → pages. Whatever a template prints is a text and passes through `words.plain`, unless it is markup."""

from __future__ import annotations

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.loaders import BaseLoader, ChoiceLoader
from markupsafe import Markup

from churnwatch.reports import words

_PERCENT = re.compile(r"(?<=\d) %")  # a number and its sign stand on one line
_FILTERS = ("amount", "count", "day", "duration", "many", "moment", "percent", "score", "share", "short", "signed",
            "size", "told")  # fmt: skip


def environment(*others: BaseLoader) -> Environment:
    """Return what makes pages of the report's templates, and of those that are found elsewhere besides."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader("churnwatch.reports", "templates"), *others]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_said,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update({name: getattr(words, name) for name in _FILTERS})
    made.filters["drawn"] = Markup  # of what `svg` made, where every text is escaped
    return made


def _said(value: object) -> object:
    """Let every text pass through `plain`, and show what is not known as a dash."""
    if value is None:
        return words.NOTHING
    if isinstance(value, str) and not isinstance(value, Markup):
        return _PERCENT.sub("\N{NO-BREAK SPACE}%", words.plain(value))
    return value

"""Settings of campaigns, of the goal, and of churn that is told by activity. `settings` has the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from churnwatch.pipeline.settings import Settings, SourceTable

_Name = Annotated[str, Meta(min_length=1)]
_Days = Annotated[int, Meta(ge=1, le=3650)]
OF_CAMPAIGNS = ("date", "action", "treated")  # their columns beside the id


class Campaigns(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which files say what was done for whom, and which later rows tell what came of it."""

    files: _Name  # a glob, as that of a source
    days: _Days = 90  # after the action, in which outcomes count
    label_days: Annotated[int, Meta(ge=0, le=3650)] = 0  # so many days after its row's date a label looks


class Goal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Less churn than before, in points of the monthly rate, for some months one after the other."""

    less_churn: Annotated[float, Meta(gt=0, lt=1)]
    months: Annotated[int, Meta(ge=1, le=24)] = 3


class ChurnRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who counts as having left, told by the rows of a source."""

    source: _Name
    inactive_days: _Days | None = None  # without a row
    expiry: _Name | None = None  # the column that says until when a membership lasts
    grace_days: Annotated[int, Meta(ge=0, le=3650)] | None = None  # after it, in which it may be renewed

    @property
    def grace(self) -> int:
        """The days after the expiry in which a renewal still counts."""
        return 30 if self.grace_days is None else self.grace_days


def check(settings: Settings) -> None:
    """Refuse what does not fit together.

    Raises:
        msgspec.ValidationError: naming the setting.
    """
    if settings.campaigning is not None:
        _check_campaigns(settings, settings.campaigning)
    if settings.goal is not None and (settings.date is None or settings.id is None):
        raise msgspec.ValidationError("a monthly rate needs `id` and `date`; name them - at `$.goal`")
    if settings.churn is not None:
        _check_churn(settings, settings.churn)
    if settings.positive is None:
        for setting in ("campaigns", "goal", "churn"):
            if getattr(settings, setting) is not None:
                raise msgspec.ValidationError(f"only where it is predicted who leaves - at `$.{setting}`")


def _check_campaigns(settings: Settings, given: Campaigns) -> None:
    if settings.id is None:
        raise msgspec.ValidationError("they are joined to customers by `id`; name it - at `$.campaigns`")
    if settings.id in OF_CAMPAIGNS:
        raise msgspec.ValidationError(f"a file of campaigns has a `{settings.id}` of its own - at `$.id`")
    if given.days < given.label_days:
        raise msgspec.ValidationError("no label can be known so early; raise `days` - at `$.campaigns.days`")


def _check_churn(settings: Settings, rule: ChurnRule) -> None:
    source = settings.sources.get(rule.source)
    if source is None or source.time is None:
        raise msgspec.ValidationError(f"`{rule.source}` is none of `sources` with a `time` - at `$.churn.source`")
    if settings.id is None or settings.date is None:
        raise msgspec.ValidationError("the rows that it makes have an `id` and a `date`; name them - at `$.churn`")
    if (settings.snapshot, settings.horizon_days) != ("date", 0):
        raise msgspec.ValidationError("each row is made as of its date: no `snapshot`, no `horizon` - at `$.churn`")
    if settings.positive != "1":
        raise msgspec.ValidationError("the target that is made is 1 or 0, so `positive` is 1 - at `$.positive`")
    for setting in ("columns", "labels"):
        if getattr(settings, setting):
            raise msgspec.ValidationError(f"`churn` makes the rows and their target - at `$.{setting}`")
    _check_rule(source, rule)


def _check_rule(source: SourceTable, rule: ChurnRule) -> None:
    if (rule.inactive_days is None) == (rule.expiry is None):
        raise msgspec.ValidationError("either `inactive_days`, or `expiry` - at `$.churn`")
    if rule.expiry is None and rule.grace_days is not None:
        raise msgspec.ValidationError("goes with an `expiry` only - at `$.churn.grace_days`")
    if rule.expiry is not None and (
        rule.expiry not in source.columns or source.declared[rule.expiry].type.value != "date"
    ):
        raise msgspec.ValidationError(f"`{rule.expiry}` is no column of type date of the source - at `$.churn.expiry`")

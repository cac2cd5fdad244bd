"""Churn told by the rows of a source: who was active as of the first of a month, and whether they left after it.

    rows before the snapshot → who is active, and features        rows from the snapshot on → the label

A label is made once its whole window has passed in the data, and never from a row before the snapshot; so nothing that
features may see tells it, and it tells nothing that features may not see.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from churnwatch.pipeline.engine import name, timestamp
from churnwatch.pipeline.settings import SourceTable
from churnwatch.pipeline.settings_campaigns import ChurnRule

MOST_MONTHS = 120
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Activity:
    """A rule over the rows of its source.

    Attributes:
        rule: who counts as having left.
        source: whose rows tell it.
        rows: what stands after FROM to read them.
    """

    rule: ChurnRule
    source: SourceTable
    rows: str

    @property
    def _key(self) -> str:
        return name(self.source.key)

    @property
    def _time(self) -> str:
        return name(self.source.time or "")

    def labels(self, snapshot: dt.datetime) -> str:
        """Return the query of the customers who were active at a snapshot: `_cw_id`, and `_y`, 1 for those who left."""
        if self.rule.inactive_days is not None:
            return self._by_inactivity(snapshot, self.rule.inactive_days)
        return self._by_expiry(snapshot)

    def active(self, moment: dt.datetime) -> str:
        """Return the query of the customers who are active at a moment and may still leave: `_cw_id`."""
        if self.rule.inactive_days is not None:
            since = timestamp(moment - self.rule.inactive_days * _DAY)
            within = f"{self._time} >= {since} AND {self._time} < {timestamp(moment)}"
            return (
                f"SELECT DISTINCT {self._key} AS _cw_id FROM {self.rows} s WHERE {within} AND {self._key} IS NOT NULL"
            )
        lasting = f"_cw_expiry >= {timestamp(moment - self.rule.grace * _DAY)}"
        return f"SELECT _cw_id FROM ({self._memberships(moment)}) m WHERE {lasting}"

    def _by_inactivity(self, snapshot: dt.datetime, days: int) -> str:
        first, last, now = (timestamp(snapshot + each * _DAY) for each in (-days, days, 0))
        seen = f"max(CASE WHEN {self._time} >= {now} THEN 1 ELSE 0 END)"
        return (
            f"SELECT {self._key} AS _cw_id, 1 - {seen} AS _y FROM {self.rows} s"
            f" WHERE {self._time} >= {first} AND {self._time} < {last} AND {self._key} IS NOT NULL"
            f" GROUP BY {self._key} HAVING min({self._time}) < {now}"
        )

    def _by_expiry(self, snapshot: dt.datetime) -> str:
        """Tell renewals by a row that prolongs the membership; a cancellation is a row, too."""
        ends = f"_cw_expiry >= {timestamp(snapshot)} AND _cw_expiry < {timestamp(_next_month(snapshot))}"
        renewed = (
            f"s.{self._time} >= {timestamp(snapshot)} AND s.{self._time} < m._cw_expiry + INTERVAL"
            f" '{self.rule.grace + 1}' DAY AND s.{name(self.rule.expiry or '')} > m._cw_expiry"
        )
        return (
            f"SELECT m._cw_id, CASE WHEN count(s.{self._time}) > 0 THEN 0 ELSE 1 END AS _y FROM"
            f" (SELECT * FROM ({self._memberships(snapshot)}) a WHERE {ends}) m"
            f" LEFT JOIN {self.rows} s ON s.{self._key} = m._cw_id AND {renewed} GROUP BY m._cw_id"
        )

    def _memberships(self, moment: dt.datetime) -> str:
        """Return the query of until when the newest row of each customer before a moment says that they are members."""
        newest = f"PARTITION BY {self._key} ORDER BY {self._time} DESC, _batch DESC, _line DESC"
        return (
            f"SELECT {self._key} AS _cw_id, {name(self.rule.expiry or '')} AS _cw_expiry FROM (SELECT *,"
            f" row_number() OVER ({newest}) AS _nth FROM {self.rows} s WHERE {self._time} < {timestamp(moment)}"
            f" AND {self._key} IS NOT NULL) n WHERE _nth = 1"
        )


def over(rule: ChurnRule, first: dt.datetime, newest: dt.datetime) -> list[dt.datetime]:
    """Return the firsts of the months whose windows have passed in the data, the last ten years of them, oldest first.

    Args:
        rule: how long a window is.
        first: the time of the oldest row.
        newest: the time of the newest row; what comes after it is not known.
    """
    snapshot, found = _next_month(first), []
    while _end(rule, snapshot) <= newest:
        found.append(snapshot)
        snapshot = _next_month(snapshot)
    return found[-MOST_MONTHS:]  # one mistyped year must not ask for a thousand


def _end(rule: ChurnRule, snapshot: dt.datetime) -> dt.datetime:
    """Return from when on no row can change the labels of a snapshot."""
    if rule.inactive_days is not None:
        return snapshot + rule.inactive_days * _DAY
    return _next_month(snapshot) + rule.grace * _DAY


def _next_month(moment: dt.datetime) -> dt.datetime:
    return dt.datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1)  # noqa: DTZ001 - as rows have none

"""What a first look at a file found, as values."""

from __future__ import annotations

from dataclasses import dataclass

from churnwatch.pipeline.firstlook.inference import Inference
from churnwatch.pipeline.profile import ColumnProfile
from churnwatch.pipeline.settings import ColumnType


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, of which there is one more; of dates, the edges are seconds since 1970."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Bucket:
    """Rows with one value, or with values in one range, and the share of them that has left.

    Attributes:
        gathered: whether it is no value of its own but the rest, or what is missing.
    """

    label: str
    rows: int
    rate: float | None
    gathered: bool = False


@dataclass(frozen=True)
class ColumnLook:
    """One column.

    Attributes:
        part: target, id, date, left out, or nothing.
        auc: how well the column alone tells who left, .5 to 1.
        leak: whether it does so too well to be true.
        span: first and last day of a date.
        buckets: the most frequent values, or the tenths of a number.
    """

    column: str
    type: ColumnType
    part: str
    profile: ColumnProfile
    auc: float | None = None
    leak: bool = False
    span: tuple[str, str] | None = None
    histogram: Histogram | None = None
    buckets: tuple[Bucket, ...] = ()

    @property
    def varies(self) -> bool:
        """Whether there is more than one value, and something to show of them."""
        return self.profile.distinct_values > 1 and bool(self.histogram or self.buckets)


@dataclass(frozen=True)
class Quarantine:
    """Rows that a run would set aside, and why."""

    column: str | None
    reason: str
    rows: int
    first_line: int


@dataclass(frozen=True)
class Exploration:
    """A file.

    Attributes:
        rows: those that hold; exact duplicates are among them, quarantined rows are not.
        labelled: rows whose target is known.
        rate: the share of them that has left.
        duplicates: rows that are equal to an earlier one in every column.
        duplicate_ids: rows that repeat an id, on the same date, but say something else; None without an id.
        findings: what the reader has to say about the file.
    """

    file: str
    rows: int
    labelled: int
    rate: float | None
    duplicates: int
    duplicate_ids: int | None
    quarantined: tuple[Quarantine, ...]
    findings: tuple[str, ...]
    inference: Inference
    columns: tuple[ColumnLook, ...]

    @property
    def quarantined_rows(self) -> int:
        """How many rows a run would set aside."""
        return sum(reason.rows for reason in self.quarantined)

    @property
    def telling(self) -> tuple[ColumnLook, ...]:
        """The columns that tell something about who leaves, the best first."""
        known = [look for look in self.columns if look.auc is not None]
        return tuple(sorted(known, key=lambda look: -(look.auc or 0.0)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the file, a line each."""
        return (*self._of_rows(), *self._of_columns())

    def _of_rows(self) -> list[str]:
        lines = []
        for found in self.quarantined:
            where = f"`{' '.join(found.column.split())}`: " if found.column else ""
            lines.append(f"{found.rows:,} rows to quarantine, first on line {found.first_line}: {where}{found.reason}")
        if self.duplicates:
            share = self.duplicates / self.rows
            lines.append(f"{self.duplicates:,} rows ({share:.1%}) are equal to an earlier row in every column")
        if self.duplicate_ids:
            lines.append(f"{self.duplicate_ids:,} rows repeat an id that another row has, and differ from it")
        return lines

    def _of_columns(self) -> list[str]:
        empty = [look.column for look in self.columns if look.profile.missing == self.rows]
        constant = [
            look.column
            for look in self.columns
            if look.profile.distinct_values == 1 and look.part not in ("date", "target")
        ]
        lines = [*self.findings]
        lines += [f"no value in {len(empty)} column(s): {_listed(empty)}"] if empty else []
        lines += [f"one value only in {len(constant)} column(s): {_listed(constant)}"] if constant else []
        return lines


def _listed(columns: list[str]) -> str:
    most = 5
    return ", ".join(f"`{' '.join(c.split())[:40]}`" for c in columns[:most]) + (", …" if len(columns) > most else "")

"""Which customers a link asks for, among those of the newest call list, and in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from churnwatch.pipeline.buckets import BUCKETS
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import Home
from churnwatch.serving.fields import Value

SAMPLE, ON_A_PAGE = 100, 50  # customers
ID, RISK, BUCKET = ":id", ":risk", ":bucket"  # what one can sort by besides fields
_MOST_DIGITS = 9  # of a number in a link
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """What a link asks for. Whatever else somebody has written into it counts for nothing.

    Attributes:
        seed: of the random sample, where neither a bucket nor an id is asked for.
        bucket: one of A, B and C, or `all`.
        find: what the id contains.
        sort: a field, or `ID`, `RISK`, `BUCKET`; nothing: the order of the call list.
        down: whether the greatest comes first.
        page: from 1.
    """

    seed: int = 1
    bucket: str = ""
    find: str = ""
    sort: str = ""
    down: bool = False
    page: int = 1

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """Read the parameters of a link."""
        bucket = given.get("bucket", "")
        return cls(
            _number(given.get("seed")), bucket if bucket in (*BUCKETS, "all") else "", given.get("find", "").strip(),
            given.get("sort", ""), given.get("down") == "1", _number(given.get("page")),
        )  # fmt: skip

    @property
    def samples(self) -> bool:
        """Whether a random sample is asked for."""
        return not self.bucket and not self.find

    def link(self, **other: str | int | bool) -> str:
        """Return the link that asks for something else in some respect; to the first page, unless it names one."""
        wanted, plain = replace(self, **{"page": 1, **other}), Asked()  # type: ignore[arg-type]
        told = {name: value for name, value in vars(wanted).items() if value != getattr(plain, name)}
        return "/?" + urlencode(
            {name: int(value) if isinstance(value, bool) else value for name, value in told.items()}
        )


@dataclass(frozen=True)
class Predicted:
    """The current customers as the newest run predicted them, in the order in which to call them.

    Attributes:
        run: that predicted them.
        at: when.
        version: of the model.
        ids: (n,) texts.
        risk: (n,) probabilities, or amounts.
        buckets: (n,) letters; None where the run did not sort them.
    """

    run: int
    at: str
    version: int
    ids: pa.Array
    risk: npt.NDArray[np.float64]
    buckets: pa.Array | None

    @property
    def counts(self) -> dict[str, int]:
        """How many customers are in each bucket; nothing where the run did not sort them."""
        if self.buckets is None:
            return {}
        return {letter: pc.sum(pc.equal(self.buckets, letter)).as_py() or 0 for letter in BUCKETS}

    def chosen(self, asked: Asked) -> Places:
        """Return the places of those whom a link asks for, in the order of the call list."""
        found = np.ones(len(self.ids), dtype=bool)
        if asked.bucket in BUCKETS and self.buckets is not None:
            found &= np.asarray(pc.equal(self.buckets, asked.bucket))
        if asked.find:
            found &= np.asarray(pc.match_substring(self.ids, asked.find, ignore_case=True))
        places = np.flatnonzero(found)
        if not asked.samples or len(places) <= SAMPLE:
            return places
        return np.sort(np.random.default_rng(asked.seed).choice(places, SAMPLE, replace=False))

    def ordered(self, places: Places, asked: Asked, values: Callable[[list[str]], list[Value]]) -> Places:
        """Return places in the order that a link asks for, those without a value last.

        Args:
            places: those that were chosen.
            asked: the link.
            values: gives the values of the field that is sorted by, of some customers.
        """
        keys = self._keys(places, asked.sort, values) if asked.sort else []
        known = [place for place, key in enumerate(keys) if key is not None]
        known.sort(key=keys.__getitem__, reverse=asked.down)  # type: ignore[arg-type] # of one type, and none is None
        unknown = [place for place, key in enumerate(keys) if key is None]
        return places[[*known, *unknown]] if keys else places

    def _keys(self, places: Places, sort: str, values: Callable[[list[str]], list[Value]]) -> list[Value]:
        if sort == RISK:
            return list(self.risk[places])
        taken = self.buckets if sort == BUCKET and self.buckets is not None else self.ids
        found: list[Any] = taken.take(pa.array(places)).to_pylist()
        return found if sort in (ID, BUCKET) else values(found)


def predicted(home: Home, ledger: Reader) -> Predicted:
    """Read whom the newest run predicted, and as what; nothing else of them.

    Raises:
        NotFoundError: none did.
        DataError: its file is gone or damaged.
    """
    file = customers.files(ledger, 1)[0]
    path = home.predictions / file["path"]
    try:
        there = pyarrow.parquet.read_schema(path).names
        is_sorted = there[1] == "bucket"
        amount = "expected_loss" if is_sorted else "amount"
        risk = amount if home.settings.positive is None else "probability"
        table = pyarrow.parquet.read_table(path, columns=[there[0], risk, *(["bucket"] if is_sorted else [])])
    except (OSError, pa.ArrowInvalid):
        raise DataError(f"{path.name} is gone or damaged; put it back from a backup, or drop rows: the next run writes"
                        " a new one.") from None  # fmt: skip
    buckets = table["bucket"].combine_chunks() if is_sorted else None
    return Predicted(file["run"], file["created_at"], file["version"], table[there[0]].combine_chunks(),
                     table[risk].to_numpy(), buckets)  # fmt: skip


def _number(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(rf"[0-9]{{1,{_MOST_DIGITS}}}", text) else 1

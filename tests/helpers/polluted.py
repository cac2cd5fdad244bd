"""Files as they come in the wild, drawn at random, with what was written into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

_CELLS = st.text(alphabet='xyé1 ,;"\n', max_size=6)
_TABLES = st.integers(3, 5).flatmap(
    lambda width: st.lists(st.lists(_CELLS, min_size=width, max_size=width), min_size=6, max_size=12)
)
_SPOILT = st.none() | st.tuples(st.integers(0, 5), st.sampled_from(["less", "more", "quote"]))


@dataclass(frozen=True)
class Polluted:
    """A file and what it should be read as.

    Attributes:
        content: its bytes.
        delimiter: between cells.
        header: the columns' names.
        whole: the rows that nothing was done to.
        is_spoilt: whether there is one more, to which something was done.
    """

    content: bytes
    delimiter: str
    header: tuple[str, ...]
    whole: list[list[str]]
    is_spoilt: bool


@st.composite
def polluted_files(draw: st.DrawFn) -> Polluted:
    rows = [["r" + str(number), *row[1:]] for number, row in enumerate(draw(_TABLES))]
    header = [f"name{place}" for place in range(len(rows[0]))]
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    written = [_line(row, delimiter) for row in rows]
    spoilt = draw(_SPOILT)
    if spoilt is not None:
        written[spoilt[0]] = _spoilt(rows[spoilt[0]], delimiter, spoilt[1])
    above = draw(st.sampled_from(["", "Export\n\n", "\n"]))
    text = above + end.join([delimiter.join(header), *written]) + draw(st.sampled_from([end, ""]))
    whole = [row for place, row in enumerate(rows) if spoilt is None or place != spoilt[0]]
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    return Polluted(text.encode(encoding), delimiter, tuple(header), whole, spoilt is not None)


def examples(count: int) -> list[Polluted]:
    """Return so many polluted files, the same ones every time."""
    found: list[Polluted] = []

    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(polluted_files())
    def keep(each: Polluted) -> None:
        found.append(each)

    keep()
    return found


def _line(row: Sequence[str], delimiter: str) -> str:
    return delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row)


def _spoilt(row: Sequence[str], delimiter: str, how: str) -> str:
    if how == "less":
        return _line(row[:-1], delimiter)
    if how == "more":
        return _line([*row, "z"], delimiter)
    return f'"{row[0]}{delimiter}' + delimiter.join("y" for _ in row[1:])

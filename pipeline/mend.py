"""A line whose quotes do not fit → its cells, where there is one way to read it that gives as many as there should be.

A quote that belongs to the text stays in the text: nothing is taken away and nothing is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_MOST_QUOTES = 40  # in a line; with more there are too many ways to read it
_MOST_STRAY = 2  # quotes that are taken for text


def mended(line: str, delimiter: str, quote: str, width: int) -> list[str] | None:
    """Return the cells of a line, None where no way to read it has `width` cells, or several have.

    A quote opens a cell or is text; a quote in a quoted cell closes it where a delimiter or the end follows, else it is
    text. Of all ways to read the line those with the fewest exceptions to that count.
    """
    text = line.rstrip("\r\n")
    if text.count(quote) > _MOST_QUOTES:
        return None
    for strays in range(_MOST_STRAY + 1):
        found = list(_ways(text, delimiter, quote, width, strays))
        if found:
            return found[0] if all(each == found[0] for each in found) else None
    return None


def cells_of(line: str, delimiter: str, quote: str) -> list[str]:
    """Return the cells of a line by itself; a quote that is never closed is text."""
    text, cells, at = line.rstrip("\r\n"), [], 0
    last = len(text) - 1 if text.endswith(quote) else text.rfind(quote + delimiter)  # that may close a cell
    while at <= len(text):
        end = _closing(text, at, delimiter, quote) if at < last and text[at] == quote else None
        if end is not None:
            cells.append(text[at + 1 : end].replace(quote * 2, quote))
            at = end + 2
        else:
            end = _plain_end(text, at, delimiter)
            cells.append(text[at:end])
            at = end + 1
    return cells


def _closing(text: str, at: int, delimiter: str, quote: str) -> int | None:
    """Return where the quoted cell that opens at `at` closes, a doubled quote being text."""
    return next((end for end, cost in _closings(text, at, delimiter, quote) if not cost), None)


def _ways(text: str, delimiter: str, quote: str, width: int, strays: int) -> Iterator[list[str]]:
    """Yield every way to read a text as `width` cells in which exactly so many quotes are exceptions."""
    stack: list[tuple[int, int, Sequence[str]]] = [(0, strays, ())]
    while stack:
        at, left, cells = stack.pop()
        if at > len(text):
            if len(cells) == width and left == 0:
                yield list(cells)
            continue
        if len(cells) == width:
            continue
        end = _plain_end(text, at, delimiter)
        if text[at : at + 1] != quote:
            stack.append((end + 1, left, (*cells, text[at:end])))
            continue
        if left and (end == at + 1 or text[end - 1] != quote):  # else the quotes are there to be a pair
            stack.append((end + 1, left - 1, (*cells, text[at:end])))
        for end, cost in _closings(text, at, delimiter, quote):
            if cost <= left:
                inner = text[at + 1 : end].replace(quote * 2, quote)
                stack.append((end + 2, left - cost, (*cells, inner)))


def _plain_end(text: str, at: int, delimiter: str) -> int:
    end = text.find(delimiter, at)
    return len(text) if end < 0 else end


def _closings(text: str, at: int, delimiter: str, quote: str) -> Iterator[tuple[int, int]]:
    """Yield where a quoted cell may close, and what that costs.

    At its first closing quote; before that, as an exception, behind a quote that is not doubled but the text's last.
    """
    place = at + 1
    while (place := text.find(quote, place)) >= 0:
        following = text[place + 1 : place + 2]
        if following in ("", delimiter):
            yield place, 0
            return
        if following == quote and text[place + 2 : place + 3] in ("", delimiter):
            yield place + 1, 1
        place += 2 if following == quote else 1

"""Numbers, times and texts as people read them. Every text of the page passes through `plain`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.metrics import METRICS, MINUS, minus
from churnwatch.pipeline.metrics import amount as written

NOTHING = "\N{EN DASH}"
LONGEST = 400  # characters of one text; the ledger has all of it

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MINUTE, _HOUR = 60, 3600
_KILO = 1000


def plain(text: str, longest: int = LONGEST) -> str:
    """Return a text on one line, without characters that cannot be seen, and not too long.

    File and column names are other people's texts: a direction mark could turn a line around, half a surrogate
    pair could not be written.
    """
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def as_time(when: str | datetime) -> datetime:
    """Return a moment of the ledger in UTC."""
    return (from_iso(when) if isinstance(when, str) else when).astimezone(UTC)


def moment(when: str | datetime) -> str:
    """3 Nov 2026, 14:05 UTC."""
    at = as_time(when)
    return f"{at.day} {_MONTHS[at.month - 1][:3]} {at.year}, {at:%H:%M} UTC"


def short(when: str | datetime) -> str:
    """3 Nov 2026, 14:05: for columns whose head says UTC."""
    return moment(when).removesuffix(" UTC")


def day(when: str | datetime) -> str:
    """3 November 2026."""
    at = as_time(when)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def date(when: str | datetime, now: str | datetime) -> str:
    """3 Nov; of another year than now: 3 Nov 2025."""
    at = as_time(when)
    return f"{at.day} {_MONTHS[at.month - 1][:3]}" + (f" {at.year}" if at.year != as_time(now).year else "")


def age(when: str | datetime, now: datetime) -> str:
    """Say how long ago something was, in the largest unit that fits."""
    gone = max(as_time(now) - as_time(when), timedelta())
    minutes = int(gone.total_seconds()) // _MINUTE
    for size, unit in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            return f"{many(minutes // size, unit)} ago"
    return "just now"


def count(number: float | None) -> str:
    """3,057; a dash for what is not known."""
    return NOTHING if number is None else minus(f"{number:z,.0f}")


def many(number: int, noun: str, plural: str | None = None) -> str:
    """1 row, 2 rows."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def in_words(number: int) -> str:
    """Write small numbers out, as newspapers do."""
    return _SMALL[number] if number < len(_SMALL) else f"{number:,}"


def score(value: float | None, digits: int = 3) -> str:
    """0.535."""
    return NOTHING if value is None else minus(f"{value:z.{digits}f}")


def told(value: float | None, metric: str, digits: int = 3) -> str:
    """0.535, or in a metric's own unit: 41.20, 8.1 %."""
    of = METRICS.get(metric)
    return NOTHING if value is None else of.shown(value) if of and of.relative else score(value, digits)


def signed(value: float, metric: str) -> str:
    """Write by how much a metric is better, with a sign, and a minus that is as wide as the plus."""
    size = METRICS[metric].shown(abs(value))
    if not size.strip("0."):  # of what is rounded to nothing nobody can say which way it goes
        return size
    return f"{MINUS if value < 0 else '+'}{size}"


def share(value: float | None) -> str:
    """2.1 %, whole numbers from ten on; what is there is never shown as nothing."""
    if value is None:
        return NOTHING
    percent = 100 * value
    if 0 < percent < 0.1:  # noqa: PLR2004 - the smallest that one decimal shows
        return "< 0.1 %"
    return f"{percent:.1f} %" if 0 < percent < 10 else f"{percent:.0f} %"  # noqa: PLR2004


def percent(value: float | None) -> str:
    """2.1 %, of what is in percent already; a dash for what is nothing or not known."""
    return share(value / 100) if value else NOTHING


def duration(seconds: float | None) -> str:
    """60 ms, 3.4 s, 1 min 15 s, 2 h 5 min."""
    if seconds is None:
        return NOTHING
    if seconds < 0.9995:  # noqa: PLR2004 - a second, rounded
        return f"{1000 * seconds:.0f} ms"
    if seconds < 9.95:  # noqa: PLR2004 - from here on decimals are noise
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def amount(value: float | None) -> str:
    """1,204.50."""
    return NOTHING if value is None else written(value)


def size(number_of_bytes: float | None) -> str:
    """240 MB."""
    if number_of_bytes is None:
        return NOTHING
    value, unit = float(number_of_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):  # noqa: B007 - the unit reached is the answer
        if value < _KILO:
            break
        value /= _KILO
    return f"{value:.1f} {unit}" if value < 10 and unit != "B" else f"{value:.0f} {unit}"  # noqa: PLR2004

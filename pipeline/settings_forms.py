"""Settings whose text has a form: the pattern that it must fit, and what fits, in words."""

from __future__ import annotations

import re

DAYS = "^[0-9]{1,4}d$"
WINDOW = "^([1-9][0-9]{0,3}d|all)$"
HISTORY = "^(all|compare|last [1-9][0-9]{0,3} batch(es)?|since [0-9]{4}-[0-9]{2}-[0-9]{2})$"
EVERY = "^[1-9][0-9]{0,3}d$"
SNAPSHOT = "^(date|monthly|[0-9]{4}-[0-9]{2}-[0-9]{2})$"
CLUSTER = "^(tcp|tls)://.+$"
ENGINE = "^(duckdb|sc://.+)$"
DISCOUNT = r"^[0-9]+(\.[0-9]+)?%?$"

IN_WORDS = {
    DAYS: "a number of days such as `30d`, at most `9999d`",
    WINDOW: "a number of days such as `30d`, at least `1d`; or `all`",
    HISTORY: "`all`, `compare`, `last 6 batches` with any number from 1 to 9999, or `since 2026-01-31` with any day",
    EVERY: "a number of days such as `7d`, at least `1d`",
    SNAPSHOT: "`date`, `monthly`, or one day such as `2026-03-31`",
    CLUSTER: "the address of a Dask scheduler, such as `tcp://10.0.0.5:8786`",
    ENGINE: "`duckdb`, or the address of a Spark server, such as `sc://host:15002`",
    DISCOUNT: "an amount such as `50`, or a share of the customer's value such as `20%`",
}


def in_words(message: str) -> str:
    """Return msgspec's message about a text that does not fit, with words in place of the pattern."""
    found = re.fullmatch(r"Expected `str` matching regex '(.*)'", message)
    return f"must be {IN_WORDS[found[1]]}" if found and found[1] in IN_WORDS else message

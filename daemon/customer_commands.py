"""The current customers for the terminal: A, B and C, whom to call first, and one customer's history."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from churnwatch.daemon.listings import filled, moment, table
from churnwatch.pipeline import customer_files, one_customer, settings
from churnwatch.pipeline.errors import DataError, NotFoundError
from churnwatch.pipeline.ledger import customers
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.metrics import amount, minus
from churnwatch.pipeline.move_words import why_moved
from churnwatch.pipeline.reason_words import NO_PROMISE
from churnwatch.pipeline.records import Bucketing, UpliftModel
from churnwatch.pipeline.settings import Home
from churnwatch.pipeline.uplift_words import decided_by

Row = Mapping[str, Any]
SHOWN = 20
_MEANS = {"A": "call", "B": "offer", "C": "thank"}
_BY = {
    "profit": "by what an offer is expected to earn",
    "capacity": "by how many can be called (call_capacity) and the model's threshold",
    "thresholds": "by the thresholds in the settings",
}
_EARNED = {"expected_profit": "offers earn", "profit_at_half": "at half", "profit_at_one_and_a_half": "at 1.5"}
_VALUES = ("low", "median", "high")
_RULE = """\
An offer earns p·s·(V − D) − (1 − p)·a·D − c, docs/offers.md says how; `at half` and `at 1.5`: the same
offers if save rates are half and one and a half times of what the settings say. `pays above`: from
which probability on it pays, for a customer of low, median and high value V (10, 50 and 90 % are
worth no more)."""
_UNPRICED = "Without a save rate no profit is claimed of an offer, and it is made to nobody."


def look(folder: Path, *, bucket: str | None, top: int | None) -> dict[str, Any]:
    """Return the newest call list: how customers were sorted, the sums, and the first customers of it.

    Raises:
        NotFoundError: no customers were sorted yet.
        DataError: the file that holds them is gone.
    """
    home = settings.load(folder)
    with Reader.open(home.ledger) as ledger:
        head = _newest(home, ledger)
        listed = _listed(home, head, bucket)
        return {
            "run": asdict(head),
            "csv": str(home.predictions / head.path.replace("-calls.parquet", ".csv")),
            "buckets": customers.buckets(ledger, head.run),
            "moves": customers.moves(ledger, head.run),
            "move_reasons": customers.move_reasons(ledger, head.run),
            "why_moved": why_moved(ledger, head, home.settings.names, amounts=home.settings.positive is None),
            "offers": customers.offers(ledger, head.run),
            "uplift": [asdict(each) for each in customers.uplift_models(ledger, head.run)],
            "id": home.settings.id,
            "of_amounts": home.settings.positive is None,
            "listed": len(listed),
            "customers": listed.slice(0, top).to_pylist(),
        }


def _newest(home: Home, ledger: Reader) -> Bucketing:
    head = customers.newest(ledger)
    if head is not None:
        return head
    if home.settings.id is None:
        raise NotFoundError("settings.yaml names no `id`, so there is no call list: nobody could be named in it.")
    raise NotFoundError(
        "no customers were sorted yet; the run that is at work does it, or else the next one that brings rows."
    )


def _listed(home: Home, head: Bucketing, bucket: str | None) -> pa.Table:
    found = customer_files.told(home.predictions / head.path)
    places = pa.array(range(1, len(found) + 1))
    listed = found.add_column(0, "place", places)
    return listed if bucket is None else listed.filter(pc.equal(listed["bucket"], bucket))


def as_csv(folder: Path, *, bucket: str | None, top: int | None) -> str:
    """Return the newest call list as the CSV for people has it, or some of its rows.

    Raises:
        NotFoundError: no customers were sorted yet.
        DataError: the CSV is gone.
    """
    home = settings.load(folder)
    with Reader.open(home.ledger) as ledger:
        path = home.predictions / f"run-{_newest(home, ledger).run:05d}.csv"
    out = io.StringIO()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            _copy_rows(csv.reader(file), csv.writer(out), bucket, top)
    except OSError:
        raise DataError(f"{path}: gone; the next run that brings rows writes a new one.") from None
    return out.getvalue()


def _copy_rows(rows: Iterator[list[str]], out: Any, bucket: str | None, top: int | None) -> None:
    header = next(rows)
    out.writerow(header)
    place, left = header.index("bucket"), top
    for row in rows:
        if left == 0:
            return
        if bucket is None or row[place] == bucket:
            out.writerow(row)
            left = left - 1 if left is not None else None


def called(folder: Path, run: int) -> list[str]:
    """Return what a run made of the call list, in a line; none where it sorted no customers."""
    with Reader.open(settings.load(folder).ledger) as ledger:
        if customers.bucketing(ledger, run) is None:
            return []
        told = ", ".join(f"{row['customers']:,} in {row['bucket']}" for row in customers.buckets(ledger, run))
    return [f"call list: {told}. Whom to call first, and why: churnwatch customers"]


# -- in words --------------------------------------------------------------------------------------------------


def in_words(found: Mapping[str, Any]) -> str:
    """Return a call list for the terminal."""
    head, shown = found["run"], found["customers"]
    parts = [
        _head(head),
        _buckets(found["buckets"], amounts=found["of_amounts"]),
        _moved(head, found["moves"], found["why_moved"]),
    ]
    if found["offers"]:
        parts.append(_offers(found["offers"], [UpliftModel(**each) for each in found["uplift"]]))
    parts.append(_customers(found["id"], shown, amounts=found["of_amounts"]))
    if any(row["raises"] for row in shown):
        parts.append(f"Why: contributions to the {'amount' if found['of_amounts'] else 'log-odds'}. {NO_PROMISE}")
    if len(shown) < found["listed"]:
        parts.append(f"… and {found['listed'] - len(shown):,} more: --top {found['listed']}, or all of them in"
                     f" {found['csv']}.")  # fmt: skip
    if shown:
        parts.append("More of one of them: churnwatch explain ID, churnwatch customers ID.")
    return "\n\n".join(part for part in parts if part)


def _head(head: Row) -> str:
    by = f"v{head['version']} in run {head['run']} on {moment(head['at'])} (UTC)"
    lines = [f"{head['customers']:,} current customers, by {by}, sorted {_BY[head['decided_by']]}."]
    if head["value"]:
        lines.append(f"What a customer is worth: {head['value']}; losses and profits are of that time.")
    if head["unvalued"]:
        lines.append(f"{head['unvalued']:,} of them have no value there: no loss is counted and no offer made.")
    if head["left_alone"]:
        lines.append(f"{head['left_alone']:,} of B are left alone by lot (holdback), to learn what offers do.")
    return "\n".join(lines)


def _buckets(rows: Sequence[Row], *, amounts: bool) -> str:
    """One line per bucket, without columns in which nothing stands."""
    columns = {
        "customers": "customers", "threshold": "from", "expected_leavers": "will leave",
        "expected_loss": "expected loss", **_EARNED,
    }  # fmt: skip
    known = [column for column in columns if any(row[column] is not None for row in rows)]
    bound = amount if amounts else "p ≥ {:.3f}".format
    return table(
        (
            [f"{row['bucket']}  {_MEANS[row['bucket']]}",
             *((_maybe(bound, row[key]) if key == "threshold" else _maybe(_whole, row[key])) for key in known)]
            for row in rows
        ),
        ["bucket", *(columns[column] for column in known)],
    )  # fmt: skip


def _whole(value: float) -> str:
    return minus(f"{value:z,.0f}")


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _maybe(shown: Callable[[float], str], value: float | None) -> str | None:
    return None if value is None else shown(value)


def _moved(head: Row, moves: Sequence[Row], why: str) -> str:
    if head["former_run"] is None:
        return ""
    told = [_move(row) for row in moves if row["from_bucket"] != row["to_bucket"]]
    since = f"Since run {head['former_run']}: {', '.join(told) or 'nobody moved'}."
    return f"{since}\n{why}" if why else since


def _move(row: Row) -> str:
    before, now, number = row["from_bucket"], row["to_bucket"], f"{row['customers']:,}"
    if before is None:
        return f"{number} new in {now}"
    return f"{number} gone from {before}" if now is None else f"{number} {before} → {now}"


def _offers(rows: Sequence[Row], uplift: Sequence[UpliftModel]) -> str:
    """One line per offer: what it is, to how many it is made, what it earns, and from which probability on."""
    measured = {each.offer for each in uplift if each.decides}
    values = list(dict.fromkeys(value for which in _VALUES if (value := rows[0][f"{which}_value"]) is not None))
    shown = table(
        (
            [_offer(row), row["discount"], f"{row['cost']:g}",
             _saves(row, measured), _percent(row["take_up"]), f"{row['customers']:,}",
             *(_maybe(_whole, row[key]) for key in _EARNED), _pays_from(row, values, measured)]
            for row in rows
        ),
        ["offer", "discount", "cost", "saves", "taken", "made to", "earns", "at half", "at 1.5",
         "pays above"],
    )  # fmt: skip
    waiting = (f"{row['waiting']:,} more in B would be worth a `{row['offer']}`, and no call is left (call_capacity)."
               for row in rows if row["waiting"])  # fmt: skip
    rates = {row["offer"]: row["save_rate"] for row in rows}
    decided = [decided_by(each, has_save_rate=rates[each.offer] is not None) for each in uplift]
    unpriced = any(rate is None and offer not in measured for offer, rate in rates.items())
    rule = f"{_RULE[:-1]}: {' / '.join(map(_whole, values))}."
    return "\n".join([rule, "", shown, *waiting, *decided, *([_UNPRICED] if unpriced else [])])


def _offer(row: Row) -> str:
    """Return an offer's name, and where that does not say so, that it is made in a call."""
    return f"{row['offer']} (by call)" if row["call"] and "call" not in row["offer"].lower() else str(row["offer"])


def _saves(row: Row, measured: Collection[str]) -> str | None:
    return "measured" if row["offer"] in measured else _maybe(_percent, row["save_rate"])


def _pays_from(row: Row, values: Sequence[float], measured: Collection[str]) -> str | None:
    if row["offer"] in measured:
        return "by customer"
    if row["expected_profit"] is None:
        return None
    bounds = {row[f"{which}_value"]: row[f"threshold_at_{which}"] for which in _VALUES}
    return " / ".join("never" if bounds[value] is None else f"{bounds[value]:.2f}" for value in values)


def _customers(identity: str | None, rows: Sequence[Row], *, amounts: bool) -> str:
    if not rows:
        return "Nobody."
    columns = {
        "place": "place", "id": identity or "id", "bucket": "bucket", "former_bucket": "was",
        "probability": "probability", "expected_loss": "amount" if amounts else "expected loss", "offer": "offer",
        "expected_profit": "earns", "effect": "effect", "raises": "why",
    }  # fmt: skip
    return _listing(columns, rows)


def _listing(columns: Mapping[str, str], rows: Sequence[Row]) -> str:
    """One line per row, without columns in which nothing stands; ids stay as they are, also those like 1e5."""
    known = [column for column in columns if any(row.get(column) is not None for row in rows)]
    return table(
        ([_cell(column, row.get(column)) for column in known] for row in rows),
        [columns[column] for column in known],
        numbers=False,
    )


def _cell(column: str, value: Any) -> str | None:
    if value is None:
        return None
    if column == "probability":
        return f"{value:.3f}"
    if column == "effect":
        return f"{100 * value:.1f} points"
    if column == "created_at":
        return moment(value)
    if column == "version":
        return f"v{value}"
    return amount(value) if column in ("amount", "expected_loss", "expected_profit") else str(value)


# -- one customer ----------------------------------------------------------------------------------------------


def of_one(folder: Path, identity: str, *, top: int | None) -> dict[str, Any]:
    """Return what the newest runs said of one customer, and what was done, newest first.

    Raises:
        NotFoundError: none of them knows such a customer.
    """
    home = settings.load(folder)
    with Reader.open(home.ledger) as ledger:
        history = one_customer.history(home, ledger, identity, runs=top or SHOWN)
        return {"history": history, "campaigns": one_customer.done_for(home, ledger, identity)}


def history_in_words(identity: str, history: Sequence[Row], campaigns: Sequence[Row]) -> str:
    """Return one customer's history for the terminal, newest first, the newest reasons, and what was done."""
    columns = {
        "run": "run", "created_at": "began (UTC)", "version": "model", "probability": "probability",
        "amount": "amount", "bucket": "bucket", "expected_loss": "expected loss", "offer": "offer",
        "expected_profit": "earns", "effect": "effect",
    }  # fmt: skip
    said = [filled(f"{word}: {history[0][side]}") for side, word in (("raises", "why"), ("lowers", "held back by"))
            if history[0].get(side)]  # fmt: skip
    return "\n".join([identity, "", _listing(columns, history), *([""] if said else []), *said, *_done(campaigns)])


def _done(rows: Sequence[Row]) -> list[str]:
    # A file without the column says that it was done for all of them.
    cells = ((f"{row['date']:%Y-%m-%d}", row["action"], "no" if row["treated"] == 0 else "yes") for row in rows)
    return ["", table(cells, ("done for them", "action", "treated"), numbers=False)] if rows else []

"""`explain`: what the model in use says of one customer, and why, so that it can be repeated on the phone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from churnwatch.daemon.listings import table
from churnwatch.daemon.writing import ledger_of
from churnwatch.pipeline import datasets, load, predict_file, schemas, settings
from churnwatch.pipeline.engine import DuckDB, constant, duckdb_engine, name
from churnwatch.pipeline.errors import NotFoundError, SettingsError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.metrics import amount, minus
from churnwatch.pipeline.reason_words import NO_PROMISE, shown, signed
from churnwatch.pipeline.reasons import of_row
from churnwatch.pipeline.workspace import Surroundings

_WIDEST_BAR = 20


def explain(folder: Path, customer: str, source: Path | None) -> dict[str, Any]:
    """Return what the model in use says of a customer, why, and which model and data say so.

    Args:
        folder: the home.
        customer: the id.
        source: a file that has the customer's row; None: the newest row of the data set.

    Raises:
        NotFoundError: there is no model yet, or no such customer.
        SettingsError: the home names no column of ids, or the settings no longer let the model be used.
    """
    with _opened(folder) as (at, local):
        champion = at.ledger.champion()
        if champion is None:
            raise NotFoundError("there is no model yet; drop a CSV with the target first.")
        version = champion.model
        model = at.usable(version)
        if isinstance(model, str):
            raise SettingsError(f"settings.yaml: {model}. Put that back, or drop rows to learn from.")
        query, data = _row(at, customer) if source is None else _row_of_file(at, local, source, customer)
        found = of_row(at, version, model, query)
        return {
            "id": customer, **asdict(found), "names": at.home.settings.names, "threshold": version.threshold,
            "model": {"version": version.name, "run": version.run, "sha256": version.sha256}, "data": data,
            "says": NO_PROMISE,
        }  # fmt: skip


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[Surroundings, DuckDB]]:
    home = settings.load(folder)
    if home.settings.id is None:
        raise SettingsError("settings.yaml: id: names no column, so no customer can be asked for.")
    with ledger_of(home) as ledger, duckdb_engine(home.state / "spill") as local:
        if not ledger.parts():
            raise NotFoundError("nothing was ingested yet; drop a CSV into the source folder first.")
        yield Surroundings(home, ledger, local, local, schemas.current(home, ledger)), local


def _row(at: Surroundings, customer: str) -> tuple[str, dict[str, Any]]:
    """Return the query of a current customer's row, and where that came from."""
    query = f"SELECT * FROM ({at.customers}) AS c WHERE {name(at.schema.id or '')} = {constant(customer)}"
    found = at.engine.rows(f"SELECT _batch FROM ({query}) AS r")
    if not found:
        raise NotFoundError("no current customer has that id; who is known to have left is not predicted.")
    return query, _origin(at.ledger, found[0][0])


def _origin(ledger: Reader, number: int) -> dict[str, Any]:
    batch = next((each for each in ledger.batches() if each.batch == number), None)
    if batch is None:
        return {"file": None, "run": None, "sha256": None}
    file = ledger.source_file(batch.file)
    return {"file": file.path, "run": batch.run, "sha256": file.sha256}


def _row_of_file(at: Surroundings, local: DuckDB, source: Path, customer: str) -> tuple[str, dict[str, Any]]:
    """Return the query of a customer's last row in a file, and what file that is."""
    csv = at.home.settings.csv
    opened = predict_file.open_file(source, at.schema, csv, datasets.pinned(at.home.settings, at.ledger))
    load.load([opened], at.schema, csv, local, with_target=False)
    rows = (
        f"SELECT * FROM {at.featured.table('typed', local)} t WHERE {name(at.schema.id or '')} = {constant(customer)}"
    )
    query = f"SELECT * FROM ({rows}) AS r ORDER BY _line DESC LIMIT 1"
    if not at.featured.engine.rows(f"SELECT count(*) FROM ({query}) AS q")[0][0]:
        raise NotFoundError(f"{source.name}: no row that can be read has that id.")
    return query, {"file": source.name, "run": None, "sha256": None}


def as_text(told: dict[str, Any]) -> str:
    """Return it for people, with bars."""
    of_amounts = told["decision"] is None
    parts = [_headline(told), *_made_of(told), ""]
    if told["why_not"]:
        return "\n".join([*parts, f"It cannot be said why: {told['why_not']}."])
    unit = "amount" if of_amounts else "log-odds"
    largest = max((abs(each["contribution"]) for each in told["reasons"]), default=0.0)
    rows = [_line(each, told["names"], largest, amounts=of_amounts) for each in told["reasons"]]
    total = told["base"] + sum(each["contribution"] for each in told["reasons"])
    start = amount(told["base"]) if of_amounts else _log_odds(told["base"])
    end = amount(total) if of_amounts else f"{_log_odds(total)}, a probability of {told['prediction']:.3f}"
    return "\n".join([
        *parts,
        table(rows, ("column", "value", "typical", unit, "█ raises, ▒ lowers"), numbers=False),
        "",
        f"Where nothing is known it says {start}; with all columns {end}.",
        told["says"],
    ])  # fmt: skip


def _headline(told: dict[str, Any]) -> str:
    if told["decision"] is None:
        return f"{shown(told['id'])}: {amount(told['prediction'])} expected."
    decided = "expected to leave" if told["decision"] else "expected to stay"
    return f"{shown(told['id'])}: probability {told['prediction']:.3f}, {decided} (from {told['threshold']:.3f} on)."


def _made_of(told: dict[str, Any]) -> Iterator[str]:
    model, data = told["model"], told["data"]
    yield f"Model {model['version']} of run {model['run']}, sha256 {model['sha256']}."
    if data["sha256"] is not None:
        yield f"Row of {shown(data['file'])}, ingested by run {data['run']}, sha256 {data['sha256']}."
    elif data["file"] is not None:
        yield f"Row of {shown(data['file'])}, which is not ingested."


def _log_odds(value: float, sign: str = "") -> str:
    return minus(f"{value:{sign}.2f}")


def _line(reason: dict[str, Any], names: dict[str, str], largest: float, *, amounts: bool) -> tuple[str, ...]:
    size = round(_WIDEST_BAR * abs(reason["contribution"]) / largest) if largest else 0
    bar = ("█" if reason["contribution"] > 0 else "▒") * size
    called = shown(names.get(reason["column"], reason["column"]))
    said = signed(reason["contribution"], amounts=True) if amounts else _log_odds(reason["contribution"], "+")
    return called, reason["value"], reason["typical"], said, bar

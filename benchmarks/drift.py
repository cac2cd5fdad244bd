"""What the drift step finds where there is none, what it finds where there is, how long it takes, and real months.

    [CHURNWATCH_DATA=FOLDER] python benchmarks/drift.py [--batches 5000] [--seed 1] [alarms] [power] [time] [months]

A batch and its reference are drawn from one world of 30 columns that go together (pairwise correlation .36 before they
are cut up): skewed numbers, some without a value in 5 % of the rows, whole numbers with ties, numbers that are mostly
zero, and texts of 2 to 40 categories. Every batch has a reference of its own, so that one odd reference is not counted
many times. Bounds are those of Clopper and Pearson.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.stats import beta, norm

from churnwatch.pipeline import bins, run, settings
from churnwatch.pipeline.drift import Deviation, Spread, deviations
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Drift, DriftKind

_SIZES = (100, 1000, 5000)
_REFERENCE = 5000
_POPULATION = 400_000
_CATEGORIES = (2, 2, 2, 3, 3, 4, 5, 6, 8, 12, 20, 40)
_NUMBERS = 18
_POWER_BATCHES = 300
Frame = pd.DataFrame
Shift = Callable[[Frame, np.random.Generator], Frame]


def world(rows: int, rng: np.random.Generator) -> Frame:
    """Draw rows of 30 columns."""
    common = rng.standard_normal((rows, 1))
    normal = 0.6 * common + 0.8 * rng.standard_normal((rows, _NUMBERS + len(_CATEGORIES)))
    columns: dict[str, Any] = {f"n{place}": _number(place, normal[:, place], rng) for place in range(_NUMBERS)}
    for place, many in enumerate(_CATEGORIES):
        shares = 1 / np.arange(1, many + 1)
        ranks = np.searchsorted(np.cumsum(shares / shares.sum())[:-1], norm.cdf(normal[:, _NUMBERS + place]))
        columns[f"t{place}"] = pd.Series(np.array([f"c{each}" for each in range(many)])[ranks], dtype="category")
    return pd.DataFrame(columns)


def _number(place: int, normal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kind = (np.exp, lambda x: np.floor(np.maximum(0, 3 * x)), lambda x: np.where(x < 0.3, 0.0, np.exp(x)))[place % 3]
    values = kind(normal)
    return np.where(rng.random(len(values)) < 0.05, np.nan, values) if place % 4 == 0 else values


def drawn(population: Frame, rows: int, rng: np.random.Generator) -> Frame:
    """Draw rows, each by itself."""
    return population.take(rng.integers(len(population), size=rows))


def held(reference: Frame, batch: Frame, *, seed: int) -> dict[str, Deviation]:
    """Return the deviation of each column."""
    known = bins.of_frame(reference)
    found = deviations([Spread(each.rows, _counted(each, batch[each.column])) for each in known], alpha=0.05, seed=seed)
    return {each.column: deviation for each, deviation in zip(known, found, strict=True)}


def _counted(known: bins.Bins, values: pd.Series) -> tuple[int, ...]:
    if known.categories is None:
        return tuple(bins.count_numbers(known, values.to_numpy()).tolist())
    counted = values.value_counts()
    by_name = [int(counted.get(each, 0)) for each in known.categories]
    return (*by_name, int(counted.sum()) - sum(by_name), int(values.isna().sum()))


# -- false alarms ----------------------------------------------------------------------------------------------


def alarms(sizes: Sequence[int], batches: int, seed: int) -> Iterator[list[str]]:
    """Yield a row for each size: in what share of batches without drift any column deviates."""
    for size in sizes:
        rng, count, floors = np.random.default_rng([seed, size]), 0, []
        population = world(_POPULATION, rng)
        for batch in range(batches):
            found = held(drawn(population, _REFERENCE, rng), drawn(population, size, rng), seed=batch)
            count += any(each.value > 0 for each in found.values())
            floors += [[each.floor for each in found.values()]]
        high = float(beta.ppf(0.99, count + 1, batches - count))
        low, middle, top = np.quantile(np.mean(floors, axis=0), (0, 0.5, 1))
        yield [f"{size:,}", f"{100 * count / batches:.1f} % (≤ {100 * high:.1f})",
               f"{100 * middle:.1f} % ({100 * low:.1f} to {100 * top:.1f})"]  # fmt: skip


# -- power -----------------------------------------------------------------------------------------------------


def _moved(column: str, share: float, source: str, target: str) -> Shift:
    def shift(frame: Frame, rng: np.random.Generator) -> Frame:
        """Move so many of all rows from one category to another."""
        chosen = (frame[column] == source).to_numpy()
        return frame.assign(
            **{
                column: frame[column]
                .astype("str")
                .mask(chosen & (rng.random(len(frame)) < share / chosen.mean()), target)
            }
        )

    return shift


def _lost(column: str, share: float) -> Shift:
    return lambda frame, rng: frame.assign(**{column: frame[column].mask(rng.random(len(frame)) < share)})


def _grown(column: str, by: float) -> Shift:
    return lambda frame, _: frame.assign(**{column: frame[column] * by})


SHIFTS: dict[str, tuple[str, Shift]] = {
    "5 % move to another of 4 categories": ("t5", _moved("t5", 0.05, "c0", "c1")),
    "10 % move to another of 4 categories": ("t5", _moved("t5", 0.10, "c0", "c1")),
    "10 % move to another of 20 categories": ("t10", _moved("t10", 0.10, "c0", "c1")),
    "5 % have a new category": ("t5", _moved("t5", 0.05, "c0", "new")),
    "8 % lose their value": ("n3", _lost("n3", 0.08)),
    "a skewed number grows by 20 %": ("n3", _grown("n3", 1.2)),
    "a skewed number grows by 50 %": ("n3", _grown("n3", 1.5)),
}


def power(seed: int) -> Iterator[list[str]]:
    """Yield a row for each shift: the true deviation, how often it is found, and what is said of it then."""
    rng = np.random.default_rng([seed, 7])
    large = world(_POPULATION, rng)
    for name, (column, shift) in SHIFTS.items():
        known = bins.of_frame(large[[column]])[0]
        now = np.array(_counted(known, shift(large, rng)[column])) / len(large)
        true = np.abs(now - np.array(known.rows) / len(large)).sum() / 2
        cells = []
        for size in _SIZES:
            values = []
            for batch in range(_POWER_BATCHES):
                found = held(drawn(large, _REFERENCE, rng), shift(drawn(large, size, rng), rng), seed=batch)
                values.append(found[column].value)
            seen = [value for value in values if value]
            said = f", said {100 * np.mean(seen):.1f} ± {100 * np.std(seen):.1f}" if len(seen) > 1 else ""
            cells.append(f"{100 * len(seen) / len(values):.0f} %{said}")
        yield [name, f"{100 * true:.1f} %", *cells]


# -- time ------------------------------------------------------------------------------------------------------


def timings(seed: int) -> Iterator[list[str]]:
    """Yield how long each part takes, the median of several."""
    rng = np.random.default_rng(seed)
    reference, batch = world(_REFERENCE, rng), world(5000, rng)
    known = bins.of_frame(reference)
    spreads = [Spread(each.rows, _counted(each, batch[each.column])) for each in known]
    yield ["the floor of 30 columns, 2,000 simulations", _median(lambda: deviations(spreads, alpha=0.05))]
    yield [f"bins of a reference of {_REFERENCE:,} rows", _median(lambda: bins.of_frame(reference))]
    with tempfile.TemporaryDirectory() as folder, duckdb_engine(Path(folder), threads=2) as engine:
        for rows in (5000, 100_000, 1_000_000):
            some = world(rows, rng)
            texts = {column: "str" for column in some if some[column].dtype == "category"}
            engine.table("drawn", pa.Table.from_pandas(some.astype(texts)))
            yield [f"counting {rows:,} rows", _median(lambda: bins.count(known, engine, '"drawn"'))]


def _median(work: Callable[[], object]) -> str:
    found = []
    for _ in range(7):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return f"{1000 * np.median(found):.0f} ms"


# -- real months -----------------------------------------------------------------------------------------------

_SETTINGS = "\ntraining: {estimators: [logistic]}\nretrain: {when: WHEN}\npackages: {check: never}\n"


def months(data: Path, name: str, exclude: tuple[str, ...], when: str) -> Iterator[list[str]]:
    """Drop a set's months in order into a home and yield what was found, a row for each."""
    files = sorted((data / name).glob("*.csv"))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        harness.churnwatch(
            "init", home, "--from", files[0], *(word for each in exclude for word in ("--exclude", each))
        )
        with (home / "settings.yaml").open("a", encoding="utf-8") as file:
            file.write(_SETTINGS.replace("WHEN", when))
        made = settings.load(home)
        with Ledger.open(made.ledger) as ledger:
            for number, path in enumerate(files, start=1):
                shutil.copy(path, made.source)
                run.work(made, ledger, reason="benchmark")
                yield _month(ledger, number, path.stem)


def _month(ledger: Reader, number: int, month: str) -> list[str]:
    found = ledger.drifts(number)
    row = ledger.run(number)
    done = row["decision"] or "not trained"
    if not found:
        return [month, "", "", "no model yet" if ledger.champion() else "", "", "", "", done]
    columns = [each for each in found if each.kind is DriftKind.COLUMN]
    of = {each.kind: each for each in found}
    first = columns[0]
    beyond = sum(each.band.retrains for each in columns)
    largest = f"{first.column_name} {first.deviation_percent:.1f} % (floor {first.floor_percent:.1f})"
    rest = (_percent(of.get(kind)) for kind in (DriftKind.TARGET, DriftKind.PREDICTION, DriftKind.CONCEPT))
    return [month, f"{first.rows:,}", f"v{first.version}", largest, str(beyond), *rest, done]


def _percent(found: Drift | None) -> str:
    return "" if found is None else f"{found.deviation_percent:.1f} ({found.floor_percent:.1f})"


_SETS = (("bank_marketing", ("duration",)), ("retail", ()))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=5000, help="of each size without drift")
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, help="of these batches")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--when", default="drop", help="retrain.when of the homes that real months are dropped into")
    parser.add_argument("parts", nargs="*", default=["alarms", "power", "time", "months"])
    wanted = parser.parse_args()
    sizes = [f"{size:,} rows" for size in _SIZES]
    if "alarms" in wanted.parts:
        headers = ["rows", "batches in which any of 30 columns deviates", "floor"]
        harness.print_table(headers, list(alarms(wanted.sizes, wanted.batches, wanted.seed)))
    if "power" in wanted.parts:
        harness.print_table(["shift", "true deviation", *sizes], list(power(wanted.seed)))
    if "time" in wanted.parts:
        harness.print_table(["part", "time"], list(timings(wanted.seed)))
    if "months" in wanted.parts:
        headers = [
            "month",
            "rows",
            "reference",
            "largest column",
            "columns at 5 %",
            "target",
            "prediction",
            "log loss",
            "what came of it",
        ]
        for name, exclude in _SETS:
            print(f"\n{name}, retrain.when: {wanted.when}\n")
            harness.print_table(headers, list(months(Path(os.environ["CHURNWATCH_DATA"]), name, exclude, wanted.when)))


if __name__ == "__main__":
    main()

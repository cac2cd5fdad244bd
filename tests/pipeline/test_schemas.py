from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from churnwatch.pipeline import schemas
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.load import Source
from churnwatch.pipeline.settings import ColumnType, Home

LEAST = "target: left\npositive: yes\n"
MakeHome = Callable[..., Home]
MakeSource = Callable[..., Source]


@pytest.fixture(autouse=True)
def _spill(tmp_path: Path) -> None:
    (tmp_path / "home" / ".churnwatch" / "spill").mkdir(parents=True)


ROWS = "zip,day,n,left\n" + "".join(
    f"0{row % 9}123,{row % 27 + 1:02}.{row % 12 + 1:02}.2025,{row}.5,{'yes' if row % 2 else 'no'}\n"
    for row in range(200)
)


def test_without_declared_columns_they_are_inferred_from_the_first_file_with_the_target(
    make_home: MakeHome, ledger: Ledger, engine: DuckDB, make_source: MakeSource
) -> None:
    sources = [make_source("zip,day,n\n00123,1,2\n"), make_source(ROWS)]
    schema = schemas.resolve(make_home(LEAST), ledger, engine, sources)
    assert {name: column.type.value for name, column in schema.columns.items()} == {
        "zip": "text", "day": "date", "n": "number", "left": "text"}  # fmt: skip
    assert ledger.schema() is not None


def test_inferred_columns_are_kept_in_their_order_with_the_form_of_their_dates(
    make_home: MakeHome, ledger: Ledger, engine: DuckDB, make_source: MakeSource
) -> None:
    home = make_home(LEAST)
    first = schemas.resolve(home, ledger, engine, [make_source(ROWS)])
    assert first.columns["day"].format == "%d.%m.%Y"
    again = schemas.resolve(home, ledger, engine, [make_source("left,zip\n")])
    assert again == first
    assert again.names == ("zip", "day", "n", "left")
    assert schemas.current(home, ledger) == first


def test_declared_columns_are_taken_and_checks_may_change(make_home: MakeHome, ledger: Ledger, engine: DuckDB) -> None:
    schemas.resolve(make_home(f"{LEAST}columns: {{n: number, left: text}}"), ledger, engine, [])
    home = make_home(f"{LEAST}columns: {{left: text, n: {{type: number, min: 3}}}}")
    schema = schemas.resolve(home, ledger, engine, [])
    assert schema.columns["n"].min == 3
    assert schema.names == ("left", "n")
    assert len(ledger.rows("SELECT * FROM schemas")) == 1


@pytest.mark.parametrize(
    ("columns", "difference"),
    [
        ("{n: integer, t: text, left: text}", "`n` became integer (it was number)"),
        ("{n: number, left: text}", "`t` is gone"),
        ("{n: number, t: text, more: text, left: text}", "`more` was added"),
    ],
)
def test_other_columns_than_the_data_set_has_are_refused(
    make_home: MakeHome, ledger: Ledger, engine: DuckDB, columns: str, difference: str
) -> None:
    schemas.resolve(make_home(f"{LEAST}columns: {{n: number, t: text, left: text}}"), ledger, engine, [])
    with pytest.raises(SettingsError) as caught:
        schemas.resolve(make_home(f"{LEAST}columns: {columns}"), ledger, engine, [])
    assert str(caught.value).startswith(f"settings.yaml: columns: {difference} since the data set was begun.")


def test_no_file_with_the_target_is_a_setting_to_mend(
    make_home: MakeHome, ledger: Ledger, engine: DuckDB, make_source: MakeSource
) -> None:
    with pytest.raises(SettingsError, match="target: no file has a column `left`, and no `columns` are declared"):
        schemas.resolve(make_home(LEAST), ledger, engine, [make_source("zip,n\n1,2\n")])
    assert ledger.schema() is None


def test_a_home_without_a_run_knows_only_declared_columns(make_home: MakeHome, ledger: Ledger) -> None:
    with pytest.raises(SettingsError, match="no columns are known yet"):
        schemas.current(make_home(LEAST), ledger)
    declared = schemas.current(make_home(f"{LEAST}columns: {{n: number, left: text}}"), ledger)
    assert declared.columns["n"].type is ColumnType.NUMBER

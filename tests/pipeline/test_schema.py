from __future__ import annotations

from collections.abc import Callable

import pytest

from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.feature_step import widened
from churnwatch.pipeline.schema import ROW_COLUMNS, Schema, from_settings
from churnwatch.pipeline.settings import ColumnType, parse
from tests.helpers.sources_world import SETTINGS

MakeSchema = Callable[..., Schema]
ALL = {"id": "text", "day": "date", "n": "number", "i": "integer", "t": "text", "bad": "text", "left": "text"}


def test_target_id_dates_and_what_is_left_out_are_never_features(make_schema: MakeSchema) -> None:
    schema = make_schema(ALL, id="id", date="day", exclude=("bad",))
    assert schema.features == ("n", "i", "t")
    assert schema.numeric == ("n", "i")
    assert schema.categorical == ("t",)
    assert make_schema(ALL, forbidden=("bad", "n")).features == ("id", "i", "t")


def test_names_keep_their_order_and_the_canonical_text_has_none(make_schema: MakeSchema) -> None:
    there, back = make_schema(ALL), make_schema(dict(reversed(ALL.items())))
    assert there.names == tuple(ALL)
    assert back.names == tuple(reversed(ALL))
    assert there.canonical == back.canonical


def test_checks_do_not_change_the_canonical_text_but_types_do(make_schema: MakeSchema) -> None:
    plain = make_schema().canonical
    assert make_schema({"id": "text", "n": {"type": "number", "min": 0}, "left": "text"}).canonical == plain
    assert make_schema({"id": "text", "n": "integer", "left": "text"}).canonical != plain


def test_an_id_is_a_text_whatever_it_was_declared_as(make_schema: MakeSchema) -> None:
    schema = make_schema(
        {"id": {"type": "integer", "required": True, "min": 1}, "n": "number", "left": "text"}, id="id"
    )
    assert schema.columns["id"].type is ColumnType.TEXT
    assert schema.columns["id"].required
    assert schema.columns["id"].min is None


@pytest.mark.parametrize(
    ("columns", "rest", "message"),
    [
        ({"n": "number"}, {}, "target: the data has no column `left`; it has n"),
        ({"n": "number", "left": "text"}, {"id": "who"}, "id: the data has no column `who`; it has n, left"),
        (
            {"n": "number", "day": "text", "left": "text"},
            {"date": "day"},
            "column `day` is of type text; declare it as",
        ),
        ({"id": "text", "left": "text"}, {"id": "id"}, "none is left to learn from"),
        ({"n": "number", "left": "text"}, {"exclude": ("n",)}, "none is left to learn from"),
        ({"n": "number", "N": "text", "left": "text"}, {}, "`N` and `n` differ in case only"),
        ({"n": "number", "": "text", "left": "text"}, {}, "a column has no name"),
        (
            {"tenure": "number", "left": "text"},
            {"names": {"tenur": "months as a customer"}},
            "names: the data has no column `tenur`; did you mean `tenure`?",
        ),
        (
            {"gender": "text", "left": "text"},
            {"forbidden": ("gendre",)},
            "forbidden: the data has no column `gendre`; did you mean `gender`?",
        ),
        (
            {"duration": "number", "left": "text"},
            {"exclude": ("durations",)},
            "exclude: the data has no column `durations`; did you mean `duration`?",
        ),
        ({"n": "number", "left": "text"}, {"names": {"tenure": "months"}}, "no column `tenure`; it has n, left"),
    ],
)
def test_what_cannot_be_used_is_a_setting_to_mend(
    make_schema: MakeSchema, columns: dict[str, str], rest: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=r"^settings") as caught:
        make_schema(columns, **rest)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", [*ROW_COLUMNS, "_LINE", "_file", "_bad", "_key", "_nth", "_y", "_raw_0"])
def test_our_own_names_are_taken(make_schema: MakeSchema, name: str) -> None:
    with pytest.raises(SettingsError, match=f"`{name}` is a name that churnwatch itself uses"):
        make_schema({name: "text", "left": "text"})


@pytest.mark.parametrize("name", ["_", "_id", "file", "key", "_raw_x", "raw_0"])
def test_other_names_are_free(make_schema: MakeSchema, name: str) -> None:
    assert make_schema({name: "text", "left": "text"}).features == (name,)


def test_a_long_list_of_columns_is_cut(make_schema: MakeSchema) -> None:
    with pytest.raises(SettingsError, match=r"it has c0, .*c11, …\.$"):
        make_schema({f"c{i}": "text" for i in range(20)})


def test_features_of_sources_may_have_words_and_those_that_are_not_there_may_not() -> None:
    given = parse(f"{SETTINGS}names: {{visits_count_30d: visits a month, id: customer}}\n", "settings.yaml")
    assert "visits_count_30d" in widened(from_settings(given, given.declared), given).columns
    wrong = parse(f"{SETTINGS}names: {{visits_cuont_30d: visits a month}}\n", "settings.yaml")
    schema = from_settings(wrong, wrong.declared)
    with pytest.raises(SettingsError, match=r"no column `visits_cuont_30d`; did you mean `visits_count_30d`\?"):
        widened(schema, wrong)

from __future__ import annotations

import pytest

from churnwatch.pipeline.explained_file import columns, shape


@pytest.mark.parametrize("names", [["a", "b"], ["Base", "a"], ["a b", 'q"t', "a (input)", ""]])
def test_columns_are_found_again_whatever_they_are_called(names: list[str]) -> None:
    made = shape("id", names)
    assert made.names[:2] == ["id", "base"]
    assert len(set(map(str.lower, made.names))) == len(made.names)
    assert columns(made) == names


def test_an_id_that_has_our_name_keeps_out_of_the_way() -> None:
    assert shape("base", ["a"]).names == ["base (input)", "base", "a"]
